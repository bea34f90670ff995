// Goal: what NFS has of its own: a server that is restarted, other clients, errors at the mount.

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netfs/origin_writer.h"
#include "sync/thread.h"
#include "tests/origin-conformance/nfs_fixture.h"
#include "tests/origin-conformance/waited_write.h"
#include "tests/support/tree.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

TEST_F(Nfs, AMountThatFailsSaysWhatItWas) {
  const std::string ports = nfs_->url("").substr(nfs_->url("").find('?'));
  const std::string unknown =
      refusal(request("nfs://no-such-host.invalid" + tree_ + ports), ENOENT);
  EXPECT_NE(unknown.find("DNS"), std::string::npos) << unknown;
  const std::string port =
      refusal(request("nfs://127.0.0.1" + tree_ + "?nfsport=1&mountport=1"), ENOTCONN);
  EXPECT_NE(port.find("port 1"), std::string::npos) << port;
  EXPECT_NE(port.find("TCP"), std::string::npos) << port;
  const std::string missing = refusal(request(nfs_->url(tree_ + "/missing")), ENOENT);
  EXPECT_NE(missing.find(tree_ + "/missing"), std::string::npos) << missing;
  const Result<std::unique_ptr<Origin>> elsewhere =
      origins::open_origin(request(nfs_->url("/not-exported")));
  ASSERT_FALSE(elsewhere.ok());
  EXPECT_TRUE(elsewhere.is_error(EACCES) || elsewhere.is_error(ENOENT)) << elsewhere.code();
  EXPECT_NE(elsewhere.error().message().find("/not-exported"), std::string::npos);
  EXPECT_NE(refusal(request("nfs://127.0.0.1/x?version=4.1"), EOPNOTSUPP).find("version"),
            std::string::npos);
}

TEST_F(Nfs, ReadsLiveThroughRestartsOfTheServer) {
  const Watchdog watchdog(std::chrono::seconds(150), [] { std::abort(); });
  write_file(tree_ + "/file", pattern(1, 0, kBytes));
  const std::unique_ptr<Origin> origin = open(request());
  ASSERT_NE(origin, nullptr);
  for (int round = 0; round < 2; ++round) read_over_a_restart(*origin);
}

TEST_F(Nfs, CallsWaitForAServerThatComesBack) {
  const Watchdog watchdog(std::chrono::seconds(150), [] { std::abort(); });
  write_file(tree_ + "/file", "here");
  const std::unique_ptr<Origin> origin = open(request());
  ASSERT_NE(origin, nullptr);
  nfs_->crash();
  const Deadline two = Deadline::after(Clock::system(), std::chrono::seconds(2));
  const MonoTime began = Clock::system().now();
  const Result<NodeInfo> down = origin->stat("file", two);
  EXPECT_TRUE(down.is_error(ENOTCONN) || down.is_error(ETIMEDOUT)) << down.code();
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(5));
  sync::Thread starter("test-starter", [&] { start_when_down(*origin); });
  // Asked while it is down: the answer comes when it is up again.
  EXPECT_TRUE(origin->writer()
                  ->make("made", {.type = FileType::kDirectory, .permissions = 0755}, soon())
                  .ok());
  starter.join();
  EXPECT_EQ(MUST(read_file(*origin, "file")), "here");
}

TEST_F(Nfs, ReadsOfAFrozenServerEndInTimeAndGoOnWhenItThaws) {
  const Watchdog watchdog(std::chrono::seconds(150), [] { std::abort(); });
  write_file(tree_ + "/file", pattern(2, 0, 1'000'000));
  const std::unique_ptr<Origin> origin = open(request());
  ASSERT_NE(origin, nullptr);
  const Result<std::unique_ptr<OriginFile>> file = origin->open("file", soon());
  ASSERT_TRUE(file.ok());
  nfs_->pause();
  const MonoTime began = Clock::system().now();
  TestRead read(*file.value(), {0, 1'000'000},
                Deadline::after(Clock::system(), std::chrono::seconds(1)));
  origin->issue_read(read);
  const std::optional<ReadOutcome> outcome = read.wait(kPatience);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_TRUE(outcome->transferred_bytes.is_error(ETIMEDOUT));
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(5));
  nfs_->resume();
  const Result<ReadBytes> again = read_range(*origin, *file.value(), {0, 1'000'000}, kPatience);
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_TRUE(again.value().bytes == pattern(2, 0, 1'000'000));
  EXPECT_TRUE(read.guards_intact());
  EXPECT_EQ(read.terminations(), 1U) << "the late answer is nobody's";
}

// Method: the server is killed before anybody has asked for durability, and what it has of the file
// is taken away while it is down, as a machine that loses power does.
TEST_F(Nfs, WhatWasNotCommittedIsWrittenAgainWhenTheServerWasRestarted) {
  const Watchdog watchdog(std::chrono::seconds(150), [] { std::abort(); });
  const std::unique_ptr<Origin> origin = open(request());
  ASSERT_NE(origin, nullptr);
  OriginWriter& writer = *origin->writer();
  const OpenedFile opened = MUST(writer.create("new", {.permissions = 0644}, soon()));
  std::string want = pattern(3, 0, 3'000'000);
  for (uint64_t at = 0; at < want.size(); at += 500'000) {
    const std::string piece = want.substr(at, 500'000);
    const WriteOutcome outcome = WaitedWrite(*opened.file, at, piece).run(writer);
    ASSERT_TRUE(outcome.transferred_bytes.ok()) << outcome.transferred_bytes.error().message();
    ASSERT_EQ(outcome.transferred_bytes.value(), piece.size());
  }
  // The newest of what overlaps counts.
  const std::string over = "newer";
  ASSERT_TRUE(WaitedWrite(*opened.file, 499'998, over).run(writer).transferred_bytes.ok());
  want.replace(499'998, over.size(), over);
  EXPECT_EQ(field(*origin, "bytes not committed"), std::to_string(want.size()));
  nfs_->crash();
  ASSERT_EQ(::truncate((tree_ + "/new").c_str(), 0), 0);
  ASSERT_TRUE(nfs_->start_again()) << nfs_->log();
  const Result<void> synced = writer.sync({"new", opened.file.get()}, SyncKind::kAll, soon());
  ASSERT_TRUE(synced.ok()) << synced.error().message();
  EXPECT_EQ(field(*origin, "bytes not committed"), "0");
  EXPECT_TRUE(read_whole(tree_ + "/new").value() == want);
}

// It is what a journal, and who copies a tree with its times, tells versions by.
TEST_F(Nfs, ATimeThatWasSetIsThatAlsoWhereTheBytesAreWrittenAgain) {
  const Watchdog watchdog(std::chrono::seconds(150), [] { std::abort(); });
  const std::unique_ptr<Origin> origin = open(request());
  ASSERT_NE(origin, nullptr);
  OriginWriter& writer = *origin->writer();
  const Timestamp time{1'500'000'000, 123'456'789};
  const OpenedFile kept = MUST(writer.create("kept", {.permissions = 0644}, soon()));
  const OpenedFile passed = MUST(writer.create("passed", {.permissions = 0644}, soon()));
  for (const OpenedFile* file : {&kept, &passed}) {
    ASSERT_TRUE(WaitedWrite(*file->file, 0, "bytes").run(writer).transferred_bytes.ok());
    ASSERT_TRUE(
        writer.set_attributes({.open = file->file.get()}, {.mtime = NewTime{.time = time}}, soon())
            .ok());
  }
  ASSERT_TRUE(WaitedWrite(*passed.file, 5, "more").run(writer).transferred_bytes.ok());
  nfs_->crash();
  for (const char* name : {"/kept", "/passed"}) {
    const timespec times[2] = {{1'600'000'000, 0}, {1'600'000'000, 0}};
    ASSERT_EQ(::truncate((tree_ + name).c_str(), 0), 0);
    ASSERT_EQ(::utimensat(AT_FDCWD, (tree_ + name).c_str(), times, 0), 0);
  }
  ASSERT_TRUE(nfs_->start_again()) << nfs_->log();
  ASSERT_TRUE(writer.sync({.open = kept.file.get()}, SyncKind::kAll, soon()).ok());
  ASSERT_TRUE(writer.sync({.open = passed.file.get()}, SyncKind::kAll, soon()).ok());
  EXPECT_EQ(MUST(origin->stat("kept", soon())).attributes.mtime, time);
  EXPECT_GT(MUST(origin->stat("passed", soon())).attributes.mtime.seconds, 1'600'000'000);
  EXPECT_EQ(read_whole(tree_ + "/kept").value(), "bytes");
  EXPECT_EQ(read_whole(tree_ + "/passed").value(), "bytesmore");
}

TEST_F(Nfs, AClosedFileIsCommittedWithoutBeingAskedAlsoOverARestart) {
  const Watchdog watchdog(std::chrono::seconds(150), [] { std::abort(); });
  const std::unique_ptr<Origin> origin = open(request());
  ASSERT_NE(origin, nullptr);
  OriginWriter& writer = *origin->writer();
  OpenedFile opened = MUST(writer.create("new", {.permissions = 0644}, soon()));
  const std::string want = pattern(4, 0, 400'000);
  ASSERT_TRUE(WaitedWrite(*opened.file, 0, want).run(writer).transferred_bytes.ok());
  nfs_->crash();
  ASSERT_EQ(::truncate((tree_ + "/new").c_str(), 0), 0);
  opened.file.reset();
  ASSERT_TRUE(nfs_->start_again()) << nfs_->log();
  EXPECT_TRUE(wait_until([&] { return field(*origin, "bytes not committed") == "0"; }, kPatience));
  EXPECT_TRUE(read_whole(tree_ + "/new").value() == want);
}

TEST_F(Nfs, AnotherClientsChangesAreSeenAndAFileThatItRemovedIsStale) {
  const std::unique_ptr<Origin> ours = open(request());
  const std::unique_ptr<Origin> theirs = open(request());
  ASSERT_TRUE(ours != nullptr && theirs != nullptr);
  ASSERT_TRUE(theirs->writer()
                  ->make("d", {.type = FileType::kDirectory, .permissions = 0755}, soon())
                  .ok());
  const auto put = [&](const std::string& path, const std::string& bytes) {
    const OpenedFile made = MUST(theirs->writer()->create(path, {.permissions = 0644}, soon()));
    EXPECT_TRUE(WaitedWrite(*made.file, 0, bytes).run(*theirs->writer()).transferred_bytes.ok());
  };
  put("d/f", "first");
  EXPECT_EQ(MUST(read_file(*ours, "d/f")), "first");
  const Validator before = MUST(ours->stat("d/f", soon())).validator;
  const Result<std::unique_ptr<OriginFile>> file = ours->open("d/f", soon());
  ASSERT_TRUE(file.ok());
  // The directory itself is another one, too: the handle that we know of it is stale.
  ASSERT_TRUE(theirs->writer()->remove("d/f", RemoveKind::kFile, soon()).ok());
  ASSERT_TRUE(theirs->writer()->remove("d", RemoveKind::kDirectory, soon()).ok());
  ASSERT_TRUE(theirs->writer()
                  ->make("d", {.type = FileType::kDirectory, .permissions = 0755}, soon())
                  .ok());
  put("d/f", "other");
  EXPECT_EQ(MUST(read_file(*ours, "d/f")), "other");
  EXPECT_FALSE(MUST(ours->stat("d/f", soon())).validator == before);
  EXPECT_TRUE(read_range(*ours, *file.value(), {0, 5}).is_error(ESTALE));
}

TEST_F(Nfs, ARenameThatMustNotReplaceNeverDoes) {
  const std::unique_ptr<Origin> origin = open(request());
  ASSERT_NE(origin, nullptr);
  OriginWriter& writer = *origin->writer();
  for (const char* name : {"a", "b"}) {
    ASSERT_TRUE(writer.make(name, {.type = FileType::kRegular, .permissions = 0644}, soon()).ok());
  }
  const std::string identity = MUST(origin->stat("a", soon())).identity;
  EXPECT_TRUE(writer.rename("a", "b", RenameHow::kNoReplace, soon()).is_error(EEXIST));
  EXPECT_TRUE(writer.rename("a", "c", RenameHow::kNoReplace, soon()).ok());
  EXPECT_EQ(MUST(origin->stat("c", soon())).identity, identity);
  EXPECT_EQ(MUST(origin->stat("c", soon())).attributes.link_count, 1U);
  EXPECT_TRUE(origin->stat("a", soon()).is_error(ENOENT));
  for (const char* name : {"d", "e"}) {
    ASSERT_TRUE(
        writer.make(name, {.type = FileType::kDirectory, .permissions = 0755}, soon()).ok());
  }
  EXPECT_TRUE(writer.rename("d", "e", RenameHow::kNoReplace, soon()).is_error(EEXIST));
  EXPECT_TRUE(writer.rename("d", "g", RenameHow::kNoReplace, soon()).ok());
  EXPECT_TRUE(writer.rename("e", "g", RenameHow::kExchange, soon()).is_error(EINVAL));
}

TEST_F(Nfs, SpecialFilesTimesAndOwnersAreAsTheyWereAskedFor) {
  const std::unique_ptr<Origin> origin = open(request());
  ASSERT_NE(origin, nullptr);
  OriginWriter& writer = *origin->writer();
  const NodeInfo fifo = MUST(writer.make(
      "fifo", {.type = FileType::kFifo, .permissions = 0620, .owner = Owner{12, 34}}, soon()));
  EXPECT_EQ(fifo.attributes.type, FileType::kFifo);
  EXPECT_EQ(fifo.attributes.permissions, 0620U);
  EXPECT_EQ(fifo.attributes.uid, 12U);
  EXPECT_EQ(fifo.attributes.gid, 34U);
  const OpenedFile file = MUST(writer.create("f", {.permissions = 04711}, soon()));
  EXPECT_EQ(file.info.attributes.permissions, 04711U);
  AttributeChange change;
  change.mtime = NewTime{.time = {1'500'000'000, 123'456'789}};
  change.atime = NewTime{.time = {1'500'000'001, 987'654'321}};
  const Seen seen = MUST(writer.set_attributes({.path = "f"}, change, soon()));
  ASSERT_TRUE(seen.after.has_value());
  EXPECT_EQ(seen.after->attributes.mtime, (Timestamp{1'500'000'000, 123'456'789}));
  EXPECT_EQ(seen.after->attributes.atime, (Timestamp{1'500'000'001, 987'654'321}));
  EXPECT_TRUE(writer.get_xattr({.path = "f"}, "user.x", soon()).is_error(EOPNOTSUPP));
  EXPECT_TRUE(writer.allocate(*file.file, 0, {0, 10}, soon()).is_error(EOPNOTSUPP));
}

TEST_F(Nfs, ATargetThatHasNoRoomInARequestIsTooLongAndNoFailureOfTheServer) {
  const std::unique_ptr<Origin> origin = open(request());
  ASSERT_NE(origin, nullptr);
  const auto link = [&](const std::string& name, size_t length) {
    return origin->writer()->make(
        name, {.type = FileType::kSymlink, .target = std::string(length, 'x')}, soon());
  };
  EXPECT_TRUE(link("long", 4095).is_error(ENAMETOOLONG));
  ASSERT_TRUE(link("short", 3500).ok());
  EXPECT_EQ(MUST(origin->read_link("short", soon())), std::string(3500, 'x'));
}

}  // namespace
}  // namespace netfs::test
