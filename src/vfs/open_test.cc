#include <fcntl.h>

#include "vfs/limits.h"
#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {
namespace {

using Open = MountFixture;

bool has(const proto::OpenOut& out, uint32_t flag) {
  return (out.open_flags & flag) != 0;
}

TEST_F(Open, ASealedFileIsHandedToTheKernel) {
  write("file", "text");
  library_.seal("file");
  start();
  const NodeId node(look_up("file").nodeid);
  const proto::OpenOut first = opened(node);
  EXPECT_TRUE(has(first, proto::kFopenPassthrough));
  EXPECT_TRUE(has(first, proto::kFopenNoflush));
  EXPECT_GT(first.backing_id, 0);
  const proto::OpenOut second = opened(node);
  EXPECT_EQ(second.backing_id, first.backing_id) << "one inode, one backing file";
  close(node, first.fh);
  close(node, second.fh);
  EXPECT_EQ(opened(node).backing_id, first.backing_id) << "remembered";
  EXPECT_EQ(library_.counts().hand_outs, 1U);
  EXPECT_EQ(fs_->counters().opens_handed_out.get(), 3U);
}

TEST_F(Open, AnUnsealedFileIsServedAndKeepsItsPages) {
  write("file", "text");
  start();
  const NodeId node(look_up("file").nodeid);
  const proto::OpenOut out = opened(node);
  EXPECT_FALSE(has(out, proto::kFopenPassthrough));
  EXPECT_TRUE(has(out, proto::kFopenKeepCache));
  EXPECT_TRUE(has(out, proto::kFopenNoflush));
  EXPECT_EQ(not_handed_out(fs_->counters(), NotHandedOut::kNotSealed), 1U);
  EXPECT_EQ(library_.counts().holes_filled, 1U) << "so that a later open may find it sealed";
  close(node, out.fh);
  (void)opened(node);
  EXPECT_EQ(library_.counts().holes_filled, 2U);
}

TEST_F(Open, AnInodeOpenThroughUsIsNotHandedOutBeforeItsLastClose) {
  write("file", "text");
  start();
  const NodeId node(look_up("file").nodeid);
  const uint64_t before = opened(node).fh;
  library_.seal("file");
  const proto::OpenOut mixed = opened(node);
  EXPECT_FALSE(has(mixed, proto::kFopenPassthrough)) << "the kernel would answer EIO";
  EXPECT_EQ(not_handed_out(fs_->counters(), NotHandedOut::kOpenOtherwise), 1U);
  close(node, before);
  const proto::OpenOut still = opened(node);
  EXPECT_FALSE(has(still, proto::kFopenPassthrough));
  close(node, mixed.fh);
  close(node, still.fh);
  EXPECT_TRUE(has(opened(node), proto::kFopenPassthrough));
}

TEST_F(Open, ConcurrentOpensShareOneBackingId) {
  write("file", "text");
  library_.seal("file");
  start();
  const NodeId node(look_up("file").nodeid);
  std::vector<uint64_t> asked;
  for (int i = 0; i < 16; ++i) {
    asked.push_back(kernel_->send(Opcode::kOpen, node, proto::OpenIn{}));
  }
  int32_t id = 0;
  for (const uint64_t unique : asked) {
    const auto out = await(unique).as<proto::OpenOut>();
    ASSERT_GT(out.backing_id, 0);
    if (id == 0) id = out.backing_id;
    EXPECT_EQ(out.backing_id, id);
  }
  EXPECT_EQ(kernel_->backing_open_count(), 1U);
}

TEST_F(Open, AHotFileIsNotHandedOut) {
  // The clock of the tests stands at 1,700,000,000.
  tree_.add_file("file", "text", ManualClock::kEpochSeconds - 30);
  library_.seal("file");
  start();
  const NodeId node(look_up("file").nodeid);
  const proto::OpenOut hot = opened(node);
  EXPECT_FALSE(has(hot, proto::kFopenPassthrough));
  EXPECT_EQ(not_handed_out(fs_->counters(), NotHandedOut::kHot), 1U);
  close(node, hot.fh);
  clock_.advance(std::chrono::seconds(60));
  EXPECT_TRUE(has(opened(node), proto::kFopenPassthrough));
}

TEST_F(Open, AFileThatChangedWhileItWasOpenIsHot) {
  write("file", "one");
  start();
  const NodeId old(look_up("file").nodeid);
  const uint64_t handle = opened(old).fh;
  rewrite("file", "and two");
  library_.seal("file");
  clock_.advance(std::chrono::seconds(6));
  const NodeId node(look_up("file").nodeid);
  EXPECT_FALSE(has(opened(node), proto::kFopenPassthrough));
  EXPECT_EQ(not_handed_out(fs_->counters(), NotHandedOut::kHot), 1U);
  close(old, handle);
}

TEST_F(Open, AnotherVersionAtTheOriginIsStaleAndThenFound) {
  write("file", "one");
  start();
  const NodeId old(look_up("file").nodeid);
  rewrite("file", "and two");
  clock_.advance(std::chrono::seconds(6));
  EXPECT_EQ(open(old).error, ESTALE);
  const proto::EntryOut entry = look_up("file");
  EXPECT_NE(NodeId(entry.nodeid), old);
  const uint64_t handle = opened(NodeId(entry.nodeid)).fh;
  EXPECT_EQ(read(NodeId(entry.nodeid), handle), "and two");
}

TEST_F(Open, AnOpenOfAFreshNodeDoesNotAskTheOrigin) {
  write("file", "text");
  start();
  const NodeId node(look_up("file").nodeid);
  (void)opened(node);
  EXPECT_EQ(origin_.counts().stats, 2U);
  clock_.advance(std::chrono::seconds(6));
  (void)opened(node);
  EXPECT_EQ(origin_.counts().stats, 3U) << "validated once the TTL is over";
}

TEST_F(Open, WithoutPassthroughAnOpenNeedsNoFile) {
  write("file", "text");
  session_options_.passthrough = false;
  start();
  const NodeId node(look_up("file").nodeid);
  const uint64_t handle = opened(node).fh;
  EXPECT_EQ(library_.counts().opens, 0U) << "all of it may be in the page cache";
  EXPECT_EQ(read(node, handle), "text");
  EXPECT_EQ(library_.counts().opens, 1U);
  EXPECT_EQ(not_handed_out(fs_->counters(), NotHandedOut::kNotNegotiated), 1U);
}

TEST_F(Open, WhatTheKernelDoesNotTakeIsServedFromHere) {
  write("file", "text");
  library_.seal("file");
  start();
  kernel_->set_backing_error(ELOOP);
  const NodeId node(look_up("file").nodeid);
  const proto::OpenOut out = opened(node);
  EXPECT_FALSE(has(out, proto::kFopenPassthrough));
  EXPECT_EQ(read(node, out.fh), "text");
  close(node, out.fh);
  EXPECT_FALSE(has(opened(node), proto::kFopenPassthrough));
  EXPECT_EQ(not_handed_out(fs_->counters(), NotHandedOut::kRefused), 2U);
}

TEST_F(Open, WithoutPrivilegeNothingIsTriedTwice) {
  write("one", "1");
  write("two", "2");
  library_.seal("one");
  library_.seal("two");
  start();
  kernel_->set_backing_error(EPERM);
  (void)opened(NodeId(look_up("one").nodeid));
  (void)opened(NodeId(look_up("two").nodeid));
  EXPECT_EQ(library_.counts().hand_outs, 1U);
  EXPECT_EQ(not_handed_out(fs_->counters(), NotHandedOut::kNotNegotiated), 1U);
}

TEST_F(Open, AForgottenBackingIdIsRegisteredAgain) {
  backing_idle_max_ = 1;
  write("one", "1");
  write("two", "2");
  library_.seal("one");
  library_.seal("two");
  start();
  const NodeId one(look_up("one").nodeid);
  const NodeId two(look_up("two").nodeid);
  close(one, opened(one).fh);
  close(two, opened(two).fh);
  ASSERT_TRUE(wait_for([&] { return backing_->size() == 1; }));
  // Which of the two went is up to the workers that prepared them: each holds its id a little
  // longer.
  EXPECT_TRUE(has(opened(one), proto::kFopenPassthrough));
  EXPECT_TRUE(has(opened(two), proto::kFopenPassthrough));
  EXPECT_EQ(library_.counts().hand_outs, 3U);
}

TEST_F(Open, FilesWithoutAValidatorDoNotKeepTheirPages) {
  write("file", "text");
  origin_.set_change([](const std::string&, NodeInfo& info) { info.validator = {}; });
  start();
  const proto::EntryOut first = look_up("file");
  EXPECT_FALSE(has(opened(NodeId(first.nodeid)), proto::kFopenKeepCache));
  // The same size at another time is another version, for want of anything better.
  Attributes newer = MUST(tree_.stat("file", Deadline::never())).attributes;
  newer.mtime.seconds += 1;
  tree_.set_attributes("file", newer);
  clock_.advance(std::chrono::seconds(6));
  EXPECT_NE(look_up("file").nodeid, first.nodeid);
}

TEST_F(Open, ImmutableMountsAreReadWithoutOpens) {
  write("file", "text");
  start({.immutable = true});
  const NodeId node(look_up("file").nodeid);
  EXPECT_EQ(open(node).error, ENOSYS);
  EXPECT_EQ(open_directory(fuse::kRootNode).error, ENOSYS);
  EXPECT_EQ(read(node, 0), "text");
  EXPECT_EQ(read(node, 0, 1), "ext");
  EXPECT_EQ(library_.counts().opens, 1U) << "the file is kept";
  EXPECT_EQ(names_of(list(fuse::kRootNode, 0)), std::vector<std::string>{"file"});
}

TEST_F(Open, ManyFilesInTurnKeepFewFilesReady) {
  constexpr int kFiles = 100'000;
  for (int i = 0; i < kFiles; ++i) tree_.add_file("f" + std::to_string(i), "text");
  start({.metadata_ttl = std::chrono::hours(1)});
  uint64_t most = 0;
  for (const Listed& one : list()) {
    if (one.name == "." || one.name == "..") continue;
    const NodeId node(one.entry.nodeid);
    close(node, opened(node).fh);
    most = std::max(most, library_.counts().live_files);
  }
  EXPECT_EQ(library_.counts().opens, kFiles);
  EXPECT_LE(most, kIdleFilesMax + 2);
  EXPECT_LE(fs_->sizes().idle_files, kIdleFilesMax);
  EXPECT_EQ(fs_->sizes().handles, 0U);
}

TEST_F(Open, TheFilesUsedLastAreTheOnesKept) {
  for (size_t i = 0; i <= kIdleFilesMax; ++i) tree_.add_file("f" + std::to_string(i), "text");
  start();
  const auto open_close = [&](size_t i) {
    const NodeId node(look_up("f" + std::to_string(i)).nodeid);
    close(node, opened(node).fh);
  };
  for (size_t i = 0; i < kIdleFilesMax; ++i) open_close(i);
  open_close(0);              // used again,
  open_close(kIdleFilesMax);  // so another one goes
  const uint64_t opens = library_.counts().opens;
  open_close(0);
  EXPECT_EQ(library_.counts().opens, opens);
  open_close(1);
  EXPECT_EQ(library_.counts().opens, opens + 1);
}

}  // namespace
}  // namespace netfs::vfs
