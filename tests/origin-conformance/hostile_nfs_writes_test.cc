// Goal: what was written and acknowledged outlives restarts of the server, and what was cut off or
// replaced since does not come back with it.

#include <atomic>
#include <cerrno>
#include <gtest/gtest.h>

#include "sync/thread.h"
#include "tests/origin-conformance/hostile_nfs.h"
#include "tests/origin-conformance/reads.h"

namespace netfs::test {
namespace {

constexpr const char* kNotCommitted = "bytes not committed";
constexpr const char* kRefused = "bytes that the server refuses to take again";

// A truncation that came between two writes of the one, or before them, would be undone by them.
TEST_F(HostileNfs, ATruncationWaitsForWhatIsBeingWrittenAgain) {
  // The server may ask until after the end of this.
  static std::atomic<bool> held;
  held = false;
  static std::atomic<bool> released;
  released = false;
  static std::atomic<bool> truncated;
  truncated = false;
  serve([&](const NfsCall& call) -> Said {
    if (call.is(kNfsCommit)) return committed(2);
    if (call.is(kNfsSetattr) && call.resizes) truncated = true;
    if (call.is(kNfsWrite) && call.number == 2) {
      held = true;
      (void)wait_until([&] { return released.load(); }, kPatience);
    }
    return std::nullopt;
  });
  OriginWriter& writer = open(kPatience);
  const OpenedFile file = create("f");
  ASSERT_TRUE(write(file, 0, "bytes").ok());
  ASSERT_TRUE(write(file, 10, "bytes").ok());
  sync::Thread syncer("test-sync", [&] {
    EXPECT_TRUE(writer.sync({"f", file.file.get()}, SyncKind::kAll, soon()).ok());
  });
  ASSERT_TRUE(wait_until([&] { return held.load(); }, kPatience));
  sync::Thread cutter("test-cut", [&] {
    EXPECT_TRUE(writer.set_attributes({"f", file.file.get()}, {.size_bytes = 0}, soon()).ok());
  });
  EXPECT_FALSE(wait_until([&] { return truncated.load(); }, std::chrono::milliseconds(500)));
  released = true;
  syncer.join();
  cutter.join();
  EXPECT_EQ(server_->find("f")->size, 0U);
  EXPECT_EQ(field(kNotCommitted), "0");
}

TEST_F(HostileNfs, WhatATruncationCutOffDoesNotComeBackAlsoIfItsAnswerWasLost) {
  // The server may ask until after the end of this.
  static std::atomic<uint64_t> life;
  life = 1;
  serve([&](const NfsCall& call) -> Said {
    if (call.is(kNfsCommit)) return committed(life);
    if (call.is(kNfsSetattr) && call.resizes) return NfsAnswer::do_and_silence();
    return std::nullopt;
  });
  OriginWriter& writer = open();
  const OpenedFile file = create("f");
  ASSERT_TRUE(write(file, 0, "bytes").ok());
  const FileAt at{"f", file.file.get()};
  EXPECT_TRUE(writer.set_attributes(at, {.size_bytes = 0}, in(std::chrono::seconds(2)))
                  .is_error(ETIMEDOUT));
  life = 2;
  EXPECT_TRUE(writer.sync(at, SyncKind::kAll, soon()).ok());
  EXPECT_EQ(server_->find("f")->size, 0U);
  EXPECT_EQ(server_->calls(kNfsWrite), 1U);
}

TEST_F(HostileNfs, WhatTheServerWillNotTakeAgainIsCutOffAllTheSame) {
  serve([](const NfsCall& call) -> Said {
    if (call.is(kNfsCommit)) return committed(2);
    if (call.is(kNfsWrite) && call.number > 0) return NfsAnswer::status(kNfsNoSpace);
    return std::nullopt;
  });
  OriginWriter& writer = open();
  const OpenedFile file = create("f");
  ASSERT_TRUE(write(file, 0, "bytes").ok());
  const FileAt at{"f", file.file.get()};
  EXPECT_TRUE(writer.sync(at, SyncKind::kAll, soon()).is_error(ENOSPC));
  EXPECT_EQ(field(kNotCommitted), "5");
  EXPECT_TRUE(writer.set_attributes(at, {.size_bytes = 2}, soon()).ok());
  EXPECT_EQ(field(kNotCommitted), "2") << "the rest of it is held still";
}

// A server that is up before its disk is answers so for a while.
TEST_F(HostileNfs, WhatIsStaleForAMomentIsNotForgotten) {
  serve([](const NfsCall& call) -> Said {
    if (!call.is(kNfsCommit)) return std::nullopt;
    return call.number == 0 ? NfsAnswer::status(kNfsStale) : committed(2);
  });
  open();
  OpenedFile file = create("f");
  ASSERT_TRUE(write(file, 0, "bytes").ok());
  file.file.reset();
  EXPECT_TRUE(wait_until([&] { return server_->calls(kNfsWrite) == 2; }, kPatience));
  EXPECT_TRUE(wait_until([&] { return field(kNotCommitted) == "0"; }, kPatience));
}

TEST_F(HostileNfs, WhatStaysStaleIsGivenUpAfterAWhileAndTold) {
  serve([](const NfsCall& call) -> Said {
    return call.is(kNfsCommit) ? Said(NfsAnswer::status(kNfsStale)) : std::nullopt;
  });
  OriginWriter& writer = open(std::chrono::seconds(1));
  OpenedFile file = create("f");
  ASSERT_TRUE(write(file, 0, "bytes").ok());
  file.file.reset();
  EXPECT_TRUE(wait_until([&] { return server_->calls(kNfsCommit) > 0; }, kPatience));
  EXPECT_EQ(field(kNotCommitted), "5");
  EXPECT_FALSE(writer.sync_all(soon()).ok()) << "it is not durable";
  EXPECT_TRUE(wait_until([&] { return field(kNotCommitted) == "0"; }, kPatience));
  EXPECT_TRUE(writer.sync({.path = "f"}, SyncKind::kAll, soon()).is_error(EIO));
  EXPECT_TRUE(writer.sync({.path = "f"}, SyncKind::kAll, soon()).is_error(ESTALE)) << "told once";
  EXPECT_TRUE(writer.sync_all(soon()).is_error(EIO));
  EXPECT_TRUE(writer.sync_all(soon()).ok()) << "told once";
}

TEST_F(HostileNfs, WhatWasHeldOfAFileThatIsRemovedOrReplacedHereIsNot) {
  serve({});
  OriginWriter& writer = open();
  const OpenedFile first = create("first");
  const OpenedFile second = create("second");
  const OpenedFile third = create("third");
  for (const OpenedFile* each : {&first, &second, &third}) ASSERT_TRUE(write(*each, 0, "b").ok());
  EXPECT_EQ(field(kNotCommitted), "3");
  EXPECT_TRUE(writer.remove("first", RemoveKind::kFile, soon()).ok());
  EXPECT_EQ(field(kNotCommitted), "2");
  EXPECT_TRUE(writer.rename("second", "third", RenameHow::kReplace, soon()).ok());
  EXPECT_EQ(field(kNotCommitted), "1");
}

// EROFS and its like say of a change that it was not begun; of a COMMIT that bytes are lost.
TEST_F(HostileNfs, WhatCannotBeMadeDurableIsNotToldAsWhatIsNotAllowed) {
  // The server may ask until after the end of this.
  static std::atomic<uint32_t> status;
  status = kNfsReadOnly;
  serve([&](const NfsCall& call) -> Said {
    if (call.is(kNfsCommit)) return committed(2);
    if (!call.is(kNfsWrite) || call.number == 0) return std::nullopt;
    return NfsAnswer::status(status);
  });
  OriginWriter& writer = open();
  const OpenedFile file = create("f");
  ASSERT_TRUE(write(file, 0, "bytes").ok());
  const FileAt at{"f", file.file.get()};
  EXPECT_TRUE(writer.sync(at, SyncKind::kAll, soon()).is_error(EIO));
  status = kNfsAccess;
  EXPECT_TRUE(writer.sync(at, SyncKind::kAll, soon()).is_error(EIO));
  status = kNfsNoSpace;
  EXPECT_TRUE(writer.sync(at, SyncKind::kAll, soon()).is_error(ENOSPC));
}

TEST_F(HostileNfs, WhereNothingIsHeldACommitThatIsNotAllowedLosesNothing) {
  serve([](const NfsCall& call) -> Said {
    return call.is(kNfsCommit) ? Said(NfsAnswer::status(kNfsAccess)) : std::nullopt;
  });
  server_->put("f");
  EXPECT_TRUE(open().sync({.path = "f"}, SyncKind::kAll, soon()).ok());
}

TEST_F(HostileNfs, LaterIsNoLostConnection) {
  serve([](const NfsCall& call) -> Said {
    if (call.is(kNfsWrite)) return NfsAnswer::status(kNfsLater);
    if (call.is(kNfsRead)) return NfsAnswer::status(kNfsLater, 1);
    return std::nullopt;
  });
  open();
  const OpenedFile file = create("f");
  EXPECT_TRUE(write(file, 0, "bytes").is_error(EAGAIN));
  TestRead read(*file.file, {0, 10}, soon());
  origin_->issue_read(read);
  const std::optional<ReadOutcome> outcome = read.wait(kPatience);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_TRUE(outcome->transferred_bytes.is_error(EAGAIN));
}

// Open files and no close: more than half of what may be held is brought down by itself.
TEST_F(HostileNfs, MuchThatIsHeldOfManyOpenFilesIsCommitted) {
  serve({});
  open(kPatience);
  const std::string bytes(1 << 20, 'x');
  std::vector<OpenedFile> files;
  for (unsigned i = 0; i < 5; ++i) {
    files.push_back(create("f" + std::to_string(i)));
    for (unsigned at = 0; at < 30; ++at) {
      ASSERT_TRUE(write(files.back(), uint64_t{at} << 20, bytes).ok());
    }
  }
  EXPECT_TRUE(
      wait_until([&] { return std::stoull(field(kNotCommitted)) < 128ULL << 20; }, kPatience));
  EXPECT_GT(server_->calls(kNfsCommit), 0U);
  EXPECT_LT(server_->calls(kNfsCommit), 10U);
}

TEST_F(HostileNfs, WhatIsHeldForLongOfAnOpenFileIsCommitted) {
  serve({});
  open(std::chrono::seconds(3));
  const OpenedFile file = create("f");
  ASSERT_TRUE(write(file, 0, "bytes").ok());
  EXPECT_EQ(field(kNotCommitted), "5");
  EXPECT_TRUE(wait_until([&] { return field(kNotCommitted) == "0"; }, kPatience));
  EXPECT_EQ(server_->calls(kNfsCommit), 1U);
}

TEST_F(HostileNfs, WhatCannotBeWrittenAgainIsTriedWithPausesAndDoesNotKeepBackTheRest) {
  serve([](const NfsCall& call) -> Said {
    if (call.is(kNfsCommit)) return committed(2);
    if (!call.is(kNfsWrite) || call.number < 2 || call.offset > 0) return std::nullopt;
    return NfsAnswer::status(kNfsNoSpace);
  });
  open();
  OpenedFile file = create("f");
  ASSERT_TRUE(write(file, 0, "bytes").ok());
  ASSERT_TRUE(write(file, 10, "others").ok());
  file.file.reset();
  EXPECT_TRUE(wait_until([&] { return field(kNotCommitted) == "5"; }, kPatience));
  EXPECT_TRUE(wait_until([&] { return field(kRefused).starts_with("5:"); }, kPatience));
  EXPECT_FALSE(wait_until([&] { return server_->calls(kNfsCommit) > 4; }, std::chrono::seconds(9)));
}

TEST_F(HostileNfs, AHostThatIsGoneIsLeftForANewConnectionInTime) {
  serve({});
  server_->put("f");
  open();
  ASSERT_TRUE(wait_until([&] { return field("connections") == "4 of 4"; }, kPatience));
  server_->go_deaf();
  EXPECT_TRUE(origin_->stat("f", in(std::chrono::seconds(10))).ok());
}

}  // namespace
}  // namespace netfs::test
