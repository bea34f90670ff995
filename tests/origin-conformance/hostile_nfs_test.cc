// Goal: an NFS server that loses answers, refuses, lies or says nothing costs no wrong answer, no
// hang past the deadline, and no storm of requests.

#include "tests/origin-conformance/hostile_nfs.h"

#include <cerrno>
#include <gtest/gtest.h>
#include <map>
#include <utility>

#include "sync/thread.h"

namespace netfs::test {
namespace {

TEST_F(HostileNfs, AMountServiceThatSaysNothingIsGivenUpOn) {
  serve([](const NfsCall& call) -> Said {
    if (call.program != kNfsMountProgram || call.procedure != kMountMnt) return std::nullopt;
    return NfsAnswer::silence();
  });
  for (int round = 0; round < 3; ++round) {
    const auto origin = try_open(std::chrono::milliseconds(500));
    EXPECT_TRUE(origin.is_error(ETIMEDOUT)) << origin.code();
  }
}

TEST_F(HostileNfs, AMountServiceThatHangsUpHasNotSaidNo) {
  serve([](const NfsCall& call) -> Said {
    if (call.program != kNfsMountProgram || call.procedure != kMountMnt) return std::nullopt;
    return NfsAnswer::hang_up();
  });
  const auto origin = try_open();
  ASSERT_TRUE(origin.is_error(ENOTCONN)) << origin.code();
  EXPECT_EQ(origin.error().message().find("exported?"), std::string::npos);
}

TEST_F(HostileNfs, WhatIsRefusedIsNotAskedAgain) {
  serve([](const NfsCall& call) -> Said {
    return call.is(kNfsLookup) ? Said(NfsAnswer::refused()) : std::nullopt;
  });
  open();
  EXPECT_TRUE(origin_->stat("x", soon()).is_error(EIO));
  EXPECT_EQ(server_->calls(kNfsLookup), 1U);
}

TEST_F(HostileNfs, AServerThatHangsUpAtEachRequestIsAskedWithPauses) {
  serve([](const NfsCall& call) -> Said {
    return call.is(kNfsLookup) ? Said(NfsAnswer::hang_up()) : std::nullopt;
  });
  open();
  const MonoTime began = Clock::system().now();
  const Result<NodeInfo> info = origin_->stat("x", in(std::chrono::seconds(3)));
  EXPECT_TRUE(info.is_error(ENOTCONN) || info.is_error(ETIMEDOUT)) << info.code();
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(8));
  EXPECT_GT(server_->calls(kNfsLookup), 1U);
  EXPECT_LT(server_->calls(kNfsLookup), 20U);
  EXPECT_LT(server_->connections(), 40U);
}

TEST_F(HostileNfs, AFileThatAnotherClientMadeIsNotTakenForOnesOwn) {
  serve([this](const NfsCall& call) -> Said {
    if (!call.is(kNfsCreate) || call.number > 0) return std::nullopt;
    server_->put("lock");
    return NfsAnswer::hang_up();
  });
  EXPECT_TRUE(open().create("lock", {.permissions = 0600}, soon()).is_error(EEXIST));
  EXPECT_EQ(server_->calls(kNfsCreate), 2U);
}

TEST_F(HostileNfs, AFileWhoseAnswerWasLostIsMadeOnceAndIsOnesOwn) {
  serve([](const NfsCall& call) -> Said {
    if (!call.is(kNfsCreate) || call.number > 0) return std::nullopt;
    return NfsAnswer::do_and_hang_up();
  });
  const Result<OpenedFile> made = open().create("new", {.permissions = 0640}, soon());
  ASSERT_TRUE(made.ok()) << made.error().message();
  EXPECT_EQ(made.value().info.attributes.permissions, 0640U);
  EXPECT_EQ(server_->find("new")->mode, 0640U);
}

TEST_F(HostileNfs, WithoutExclusiveCreatesAndOfDirectoriesALostAnswerIsToldAsSuch) {
  serve([this](const NfsCall& call) -> Said {
    if (call.is(kNfsCreate) && call.exclusive) {
      return NfsAnswer::say(Xdr().u32(kNfsNotSupported).u32(0).u32(0));
    }
    const bool lost = call.name.starts_with("lost") && (call.is(kNfsMkdir) || call.is(kNfsCreate));
    return lost && !server_->find(call.name) ? Said(NfsAnswer::do_and_hang_up()) : std::nullopt;
  });
  OriginWriter& writer = open();
  EXPECT_TRUE(writer.create("f", {.permissions = 0644}, soon()).ok());
  EXPECT_TRUE(writer.create("f", {.permissions = 0644}, soon()).is_error(EEXIST));
  EXPECT_TRUE(writer.create("lost", {.permissions = 0644}, soon()).is_error(ENOTCONN));
  const NewNode directory{.type = FileType::kDirectory, .permissions = 0755};
  EXPECT_TRUE(writer.make("d", directory, soon()).ok());
  EXPECT_TRUE(writer.make("d", directory, soon()).is_error(EEXIST));
  EXPECT_TRUE(writer.make("lost-d", directory, soon()).is_error(ENOTCONN));
}

TEST_F(HostileNfs, AServerThatKeepsNoModesMakesFilesAllTheSame) {
  serve([](const NfsCall& call) -> Said {
    if (!call.is(kNfsSetattr)) return std::nullopt;
    return NfsAnswer::say(Xdr().u32(kNfsPerm).u32(0).u32(0));
  });
  EXPECT_TRUE(open().create("new", {.permissions = 0600}, soon()).ok());
  EXPECT_TRUE(server_->find("new").has_value());
}

// They are those of its verifier, which nobody is to see.
TEST_F(HostileNfs, AServerThatKeepsNoModesIsAskedForTheTimesOfANewFileAlone) {
  serve([](const NfsCall& call) -> Said {
    if (!call.is(kNfsSetattr) || call.number > 0) return std::nullopt;
    return NfsAnswer::status(kNfsPerm);
  });
  EXPECT_TRUE(open().create("new", {.permissions = 0600}, soon()).ok());
  EXPECT_EQ(server_->calls(kNfsSetattr), 2U);
  EXPECT_EQ(server_->find("new")->mode, 0644U);
}

TEST_F(HostileNfs, AFileThatCannotBeFinishedIsNotLeftThere) {
  serve([](const NfsCall& call) -> Said {
    if (!call.is(kNfsSetattr)) return std::nullopt;
    return NfsAnswer::say(Xdr().u32(5).u32(0).u32(0));
  });
  EXPECT_TRUE(open().create("new", {.permissions = 0600}, soon()).is_error(EIO));
  EXPECT_FALSE(server_->find("new").has_value());
}

TEST_F(HostileNfs, ARenameWhoseAnswerWasLostIsToldByTheFileAndNotByTheName) {
  serve([](const NfsCall& call) -> Said {
    if (!call.is(kNfsRename) || call.number > 0) return std::nullopt;
    return NfsAnswer::do_and_hang_up();
  });
  const uint64_t done = server_->put("done");
  OriginWriter& writer = open();
  EXPECT_TRUE(writer.rename("done", "there", RenameHow::kReplace, soon()).ok());
  EXPECT_EQ(server_->find("there")->fileid, done);
}

TEST_F(HostileNfs, ARenameOfWhatAnotherClientRemovedMeanwhileHasNotSucceeded) {
  serve([this](const NfsCall& call) -> Said {
    if (!call.is(kNfsRename) || call.number > 0) return std::nullopt;
    server_->remove("a");
    return NfsAnswer::hang_up();
  });
  server_->put("a");
  const uint64_t older = server_->put("b");
  EXPECT_TRUE(open().rename("a", "b", RenameHow::kReplace, soon()).is_error(ENOTCONN));
  EXPECT_EQ(server_->find("b")->fileid, older);
}

TEST_F(HostileNfs, AServerWithoutReaddirplusIsListedByReaddir) {
  serve([](const NfsCall& call) -> Said {
    if (!call.is(kNfsReaddirplus)) return std::nullopt;
    return NfsAnswer::say(Xdr().u32(kNfsNotSupported).u32(0));
  });
  server_->put("a");
  server_->put("b");
  open();
  const auto names = list();
  ASSERT_TRUE(names.ok()) << names.error().message();
  EXPECT_EQ(names.value().size(), 2U);
  EXPECT_EQ(names.value().at("a").attributes.type, FileType::kUnknown);
}

TEST_F(HostileNfs, ANameWithoutAttributesIsListedAlsoWhereItMayNotBeLookedUp) {
  serve([](const NfsCall& call) -> Said {
    if (call.is(kNfsLookup)) return NfsAnswer::say(Xdr().u32(kNfsAccess).u32(0));
    if (!call.is(kNfsReaddirplus)) return std::nullopt;
    Xdr page;
    page.u32(0).u32(0).u64(0).u32(1).u64(5).opaque("x").u64(1).u32(0).u32(0).u32(0).u32(1);
    return NfsAnswer::say(page);
  });
  open();
  const auto names = list();
  ASSERT_TRUE(names.ok()) << names.error().message();
  EXPECT_TRUE(names.value().contains("x"));
}

TEST_F(HostileNfs, AListingThatNeverEndsIsAnError) {
  serve([](const NfsCall& call) -> Said {
    if (!call.is(kNfsReaddirplus)) return std::nullopt;
    Xdr page;
    page.u32(0).u32(0).u64(0);
    if (call.number == 0) page.u32(1).u64(5).opaque("x").u64(7).u32(0).u32(0);
    page.u32(0).u32(0);
    return NfsAnswer::say(page);
  });
  open();
  EXPECT_TRUE(list().is_error(EIO));
  EXPECT_LE(server_->calls(kNfsReaddirplus), 2U);
}

TEST_F(HostileNfs, AWriteThatFailsOrIsLiedAboutEnds) {
  serve([](const NfsCall& call) -> Said {
    if (!call.is(kNfsWrite)) return std::nullopt;
    if (call.number == 0) return NfsAnswer::say(Xdr().u32(kNfsNotSupported).u32(0).u32(0));
    return NfsAnswer::say(Xdr().u32(0).u32(0).u32(0).u32(1000).u32(0).u64(1));
  });
  OriginWriter& writer = open();
  const OpenedFile file = MUST(writer.create("f", {.permissions = 0644}, soon()));
  EXPECT_TRUE(
      WaitedWrite(*file.file, 0, "bytes").run(writer).transferred_bytes.is_error(EOPNOTSUPP));
  EXPECT_TRUE(WaitedWrite(*file.file, 0, "bytes").run(writer).transferred_bytes.is_error(EIO))
      << "more was written than was sent";
  EXPECT_EQ(field("bytes not committed"), "0");
}

TEST_F(HostileNfs, AWriteThatIsGivenUpOnTakesItsConnectionWithIt) {
  serve([](const NfsCall& call) -> Said {
    return call.is(kNfsWrite) ? Said(NfsAnswer::silence()) : std::nullopt;
  });
  OriginWriter& writer = open();
  const OpenedFile file = MUST(writer.create("f", {.permissions = 0644}, soon()));
  const std::string bytes = "bytes";
  const MonoTime began = Clock::system().now();
  WaitedWrite late(*file.file, 0, bytes, std::chrono::milliseconds(1500));
  EXPECT_TRUE(late.run(writer).transferred_bytes.is_error(ETIMEDOUT));
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(4));
  EXPECT_EQ(field("lost connections"), "1");
}

// What a restarted server lost is written again, which this one never answers.
TEST_F(HostileNfs, AWriteThatWaitsForAnotherToBeMadeGoodEndsInTime) {
  serve([](const NfsCall& call) -> Said {
    if (call.is(kNfsCommit)) return NfsAnswer::say(Xdr().u32(0).u32(0).u32(0).u64(2));
    return call.is(kNfsWrite) && call.number > 0 ? Said(NfsAnswer::silence()) : std::nullopt;
  });
  OriginWriter& writer = open();
  const OpenedFile file = MUST(writer.create("f", {.permissions = 0644}, soon()));
  const std::string bytes = "bytes";
  ASSERT_TRUE(WaitedWrite(*file.file, 0, bytes).run(writer).transferred_bytes.ok());
  sync::Thread syncer("test-sync", [&] {
    EXPECT_TRUE(writer.sync({"f", file.file.get()}, SyncKind::kAll, in(std::chrono::seconds(6)))
                    .is_error(ETIMEDOUT));
  });
  EXPECT_TRUE(wait_until([&] { return server_->calls(kNfsWrite) == 2; }, kPatience));
  const MonoTime began = Clock::system().now();
  WaitedWrite second(*file.file, 10, bytes, std::chrono::milliseconds(500));
  EXPECT_TRUE(second.run(writer).transferred_bytes.is_error(ETIMEDOUT));
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(3));
  syncer.join();
}

TEST_F(HostileNfs, WhatCannotBeWrittenAgainSinceTheFileIsStaleIsHeldOn) {
  serve([](const NfsCall& call) -> Said {
    if (call.is(kNfsCommit)) return NfsAnswer::say(Xdr().u32(0).u32(0).u32(0).u64(2));
    if (!call.is(kNfsWrite) || call.number == 0) return std::nullopt;
    return NfsAnswer::say(Xdr().u32(70).u32(0).u32(0));
  });
  OriginWriter& writer = open();
  const OpenedFile file = MUST(writer.create("f", {.permissions = 0644}, soon()));
  ASSERT_TRUE(WaitedWrite(*file.file, 0, "bytes").run(writer).transferred_bytes.ok());
  EXPECT_EQ(field("bytes not committed"), "5");
  EXPECT_TRUE(writer.sync({"f", file.file.get()}, SyncKind::kAll, soon()).is_error(ESTALE));
  EXPECT_EQ(field("bytes not committed"), "5");
}

}  // namespace
}  // namespace netfs::test
