#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {
namespace {

using Read = MountFixture;

TEST_F(Read, BytesAreGatheredInOrderUpToTheEnd) {
  write("file", "the bytes of a file");
  start();
  const NodeId node(look_up("file").nodeid);
  const uint64_t handle = opened(node).fh;
  EXPECT_EQ(read(node, handle), "the bytes of a file");
  EXPECT_EQ(read(node, handle, 4, 5), "bytes");
  EXPECT_EQ(read(node, handle, 14, 100), " file");
  EXPECT_EQ(read(node, handle, 100, 10), "");
  EXPECT_TRUE(library_.counts().context_held) << "each read carries its asker's context";
}

TEST_F(Read, WhatTheCacheHasIsAnsweredAtOnceUpToTheEnd) {
  write("file", "the bytes of a file");
  start();
  const NodeId node(look_up("file").nodeid);
  const uint64_t handle = opened(node).fh;
  EXPECT_EQ(read(node, handle), "the bytes of a file");
  library_.cache("file");
  EXPECT_EQ(read(node, handle), "the bytes of a file");
  EXPECT_EQ(read(node, handle, 4, 5), "bytes");
  EXPECT_EQ(read(node, handle, 14, 100), " file");
  EXPECT_EQ(library_.counts().reads_at_once, 3U);
  EXPECT_EQ(library_.counts().reads, 1U) << "no request was made for them";
}

TEST_F(Read, AnOldHandleReadsOneVersionThroughout) {
  write("file", "one");
  start();
  const NodeId old(look_up("file").nodeid);
  const uint64_t old_handle = opened(old).fh;
  rewrite("file", "and two");
  clock_.advance(std::chrono::seconds(6));
  const NodeId node(look_up("file").nodeid);
  const uint64_t handle = opened(node).fh;
  EXPECT_EQ(read(old, old_handle), "one") << "though it is read for the first time only now";
  EXPECT_EQ(read(node, handle), "and two");
  EXPECT_EQ(read(old, old_handle), "one");
  EXPECT_EQ(get_attributes(old).as<proto::AttrOut>().attr.size, 3U);
}

TEST_F(Read, WhatIsCachedOfAnOldVersionGoesWithItsLastClose) {
  write("file", "one");
  start();
  const NodeId old(look_up("file").nodeid);
  const uint64_t handle = opened(old).fh;
  EXPECT_EQ(read(old, handle), "one");
  rewrite("file", "and two");
  clock_.advance(std::chrono::seconds(6));
  const NodeId node(look_up("file").nodeid);
  EXPECT_EQ(library_.counts().superseded, 0U) << "somebody reads it";
  close(old, handle);
  EXPECT_EQ(library_.counts().superseded, 1U);
  const uint64_t other = opened(node).fh;
  EXPECT_EQ(read(node, other), "and two");
  close(node, other);
  rewrite("file", "and three");
  clock_.advance(std::chrono::seconds(6));
  (void)look_up("file");
  EXPECT_EQ(library_.counts().superseded, 2U) << "nobody had it open";
}

TEST_F(Read, AStaleReadMakesTheNextOpenAskTheOrigin) {
  write("file", "one");
  start();
  const NodeId old(look_up("file").nodeid);
  const uint64_t handle = opened(old).fh;
  rewrite("file", "and two");
  library_.fail_reads(ESTALE);
  EXPECT_EQ(read(old, handle), "errno " + std::to_string(ESTALE));
  library_.fail_reads(0);
  EXPECT_EQ(open(old).error, ESTALE) << "within the TTL";
  EXPECT_EQ(look_up("file").attr.size, 7U);
}

TEST_F(Read, AnInterruptedReadIsAnsweredAndGoesOn) {
  write("file", "text");
  start();
  const NodeId node(look_up("file").nodeid);
  const uint64_t handle = opened(node).fh;
  library_.hold_reads();
  const uint64_t unique = send_read(node, handle);
  ASSERT_TRUE(library_.wait_held_reads(1));
  kernel_->interrupt(unique);
  EXPECT_EQ(await(unique).error, EINTR);
  close(node, handle);
  EXPECT_EQ(fs_->sizes().waiting, 0U);
  library_.release_reads();  // its answer falls on the floor
  EXPECT_EQ(get_attributes(node).error, 0);
}

TEST_F(Read, AReadThatWaitsDoesNotHoldUpOthers) {
  write("slow", "slow");
  write("fast", "fast");
  start();
  const NodeId slow(look_up("slow").nodeid);
  const NodeId fast(look_up("fast").nodeid);
  const uint64_t slow_handle = opened(slow).fh;
  const uint64_t fast_handle = opened(fast).fh;
  EXPECT_EQ(read(fast, fast_handle), "fast");
  library_.hold_reads();
  const uint64_t unique = send_read(slow, slow_handle);
  ASSERT_TRUE(library_.wait_held_reads(1));
  EXPECT_EQ(look_up("fast").nodeid, fast.value);
  EXPECT_FALSE(kernel_->answered(unique));
  library_.release_reads();
  EXPECT_EQ(await(unique).text(), "slow");
}

TEST_F(Read, HandlesOfAnotherProcessAreStale) {
  write("file", "text");
  start({.epoch = 4});
  const NodeId node(look_up("file").nodeid);
  const uint64_t handle = opened(node).fh;
  end();
  start({.epoch = 5});
  const NodeId same(look_up("file").nodeid);
  (void)opened(same);
  EXPECT_NE(same, node);
  EXPECT_EQ(read(same, handle), "errno " + std::to_string(ESTALE));
}

TEST_F(Read, StopAnswersWhatStillWaits) {
  write("file", "text");
  start();
  const NodeId node(look_up("file").nodeid);
  const uint64_t handle = opened(node).fh;
  library_.hold_reads();
  const uint64_t unique = send_read(node, handle);
  ASSERT_TRUE(library_.wait_held_reads(1));
  fs_->stop();
  EXPECT_EQ(await(unique).error, ECONNABORTED);
}

}  // namespace
}  // namespace netfs::vfs
