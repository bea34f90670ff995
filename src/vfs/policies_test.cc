// What happens when the origin cannot be reached, when it is slow, when requests are interrupted,
// and after a restart.

#include "vfs/limits.h"
#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {
namespace {

using Unreachable = MountFixture;

TEST_F(Unreachable, TheDefaultPolicyAnswersTheError) {
  write("file", "text");
  start();
  const NodeId node(look_up("file").nodeid);
  origin_.set_error(ENOTCONN);
  EXPECT_EQ(look_up("file").nodeid, node.value) << "fresh names need nobody";
  clock_.advance(std::chrono::seconds(6));
  EXPECT_EQ(look_up_error("file"), ENOTCONN);
  EXPECT_EQ(get_attributes(node).error, ENOTCONN);
  EXPECT_EQ(open(node).error, ENOTCONN);
  EXPECT_EQ(open_directory(fuse::kRootNode).error, ENOTCONN);
  EXPECT_GE(fs_->counters().origin_errors.get(), 4U);
}

TEST_F(Unreachable, StaleServesWhatIsKnown) {
  write("file", "text");
  write("dir/other", "text");
  start({.on_error = OnError::kStale});
  const NodeId node(look_up("file").nodeid);
  const NodeId dir(look_up("dir").nodeid);
  const std::vector<std::string> names = names_of(list());
  origin_.set_error(ETIMEDOUT);
  clock_.advance(std::chrono::hours(5));
  EXPECT_EQ(look_up("file").nodeid, node.value);
  EXPECT_EQ(get_attributes(node).as<proto::AttrOut>().attr.size, 4U);
  EXPECT_EQ(read(node, opened(node).fh), "text");
  EXPECT_EQ(names_of(list()), names);
  EXPECT_EQ(look_up_error("none"), ENOENT) << "as the listing says";
  EXPECT_EQ(look_up_error("none", dir), ETIMEDOUT) << "of this nothing is known";
  EXPECT_GE(fs_->counters().served_stale.get(), 2U);
}

TEST_F(Unreachable, StaleDoesNotWaitForEachTimeoutAnew) {
  for (int i = 0; i < 50; ++i) write("f" + std::to_string(i), "text");
  start({.on_error = OnError::kStale});
  (void)list();
  origin_.set_error(ETIMEDOUT);
  clock_.advance(std::chrono::seconds(6));
  const uint64_t before = origin_.counts().stats;
  for (int i = 0; i < 50; ++i) (void)look_up("f" + std::to_string(i));
  EXPECT_EQ(origin_.counts().stats, before + 1) << "one has asked in vain for all";
  // After a while it is tried again, and then all is well.
  origin_.set_error(0);
  rewrite("f7", "longer than before");
  clock_.advance(kUnreachableFor);
  EXPECT_EQ(look_up("f7").attr.size, 18U);
}

TEST_F(Unreachable, WaitAnswersOnceTheOriginIsBack) {
  write("file", "text");
  start({.on_error = OnError::kWait});
  origin_.set_error(ENOTCONN);
  const uint64_t unique = kernel_->send_name(Opcode::kLookup, fuse::kRootNode, "file");
  ASSERT_TRUE(wait_for([&] { return origin_.counts().stats >= 2; }));
  EXPECT_FALSE(kernel_->answered(unique));
  origin_.set_error(0);
  EXPECT_EQ(await(unique).as<proto::EntryOut>().attr.size, 4U);
}

TEST_F(Unreachable, WaitCanBeInterrupted) {
  write("file", "text");
  start({.on_error = OnError::kWait});
  origin_.set_error(ENOTCONN);
  const uint64_t unique = kernel_->send_name(Opcode::kLookup, fuse::kRootNode, "file");
  ASSERT_TRUE(wait_for([&] { return origin_.counts().stats >= 2; }));
  kernel_->interrupt(unique);
  EXPECT_EQ(await(unique).error, EINTR);
}

TEST_F(Unreachable, OtherErrorsAreNeverCoveredUp) {
  write("file", "text");
  start({.on_error = OnError::kStale});
  (void)look_up("file");
  origin_.set_error(EACCES);
  clock_.advance(std::chrono::seconds(6));
  EXPECT_EQ(look_up_error("file"), EACCES);
}

using SlowOrigin = MountFixture;

TEST_F(SlowOrigin, EveryCallIsBoundedByTheTimeout) {
  write("file", "text");
  tree_.add_symlink("link", "file");
  start({.timeout = std::chrono::seconds(9)});
  const NodeId file(look_up("file").nodeid);
  const NodeId link(look_up("link").nodeid);
  using Counts = TestOrigin::Counts;
  const auto expect_bounded = [&](const char* what, uint64_t Counts::*counter, auto ask) {
    clock_.advance(std::chrono::seconds(6));  // nothing is believed any longer
    const uint64_t before = origin_.counts().*counter;
    EXPECT_EQ(ask().error, 0) << what;
    EXPECT_GT(origin_.counts().*counter, before) << what << " asks nobody";
    EXPECT_EQ(origin_.last_deadline().at, clock_.now() + std::chrono::seconds(9)) << what;
  };
  expect_bounded("LOOKUP", &Counts::stats,
                 [&] { return call_name(Opcode::kLookup, fuse::kRootNode, "file"); });
  expect_bounded("GETATTR", &Counts::stats, [&] { return get_attributes(file); });
  expect_bounded("OPEN", &Counts::stats, [&] { return open(file); });
  expect_bounded("READDIRPLUS", &Counts::lists, [&] {
    return read_directory(fuse::kRootNode, open_directory(fuse::kRootNode).as<proto::OpenOut>().fh,
                          0);
  });
  expect_bounded("READLINK", &Counts::links,
                 [&] { return call(Opcode::kReadlink, link, proto::ForgetIn{}); });
  expect_bounded("STATFS", &Counts::file_systems,
                 [&] { return call(Opcode::kStatfs, fuse::kRootNode, proto::ForgetIn{}); });
}

// EAGAIN is no answer to who asked for a name: it would mean that he is to ask again.
TEST_F(SlowOrigin, OneThatHasNoTimeIsOneThatDidNotAnswerInTime) {
  write("file", "text");
  tree_.add_symlink("link", "file");
  start({.timeout = std::chrono::seconds(9)});
  const NodeId link(look_up("link").nodeid);
  clock_.advance(std::chrono::seconds(6));
  origin_.set_error(EAGAIN);
  EXPECT_EQ(look_up_error("file"), ETIMEDOUT);
  EXPECT_EQ(look_up_error("none"), ETIMEDOUT);
  EXPECT_EQ(get_attributes(fuse::kRootNode).error, ETIMEDOUT);
  EXPECT_EQ(open_directory(fuse::kRootNode).error, ETIMEDOUT);
  EXPECT_EQ(call(Opcode::kReadlink, link, proto::ForgetIn{}).error, ETIMEDOUT);
  EXPECT_EQ(call(Opcode::kStatfs, fuse::kRootNode, proto::ForgetIn{}).error, ETIMEDOUT);
  EXPECT_GE(fs_->counters().timeouts.get(), 6U);
}

TEST_F(SlowOrigin, OneThatHasNoTimeIsUnreachableToThePolicies) {
  write("file", "text");
  start({.on_error = OnError::kStale});
  const NodeId node(look_up("file").nodeid);
  origin_.set_error(EAGAIN);
  clock_.advance(std::chrono::seconds(6));
  EXPECT_EQ(look_up("file").nodeid, node.value);
  EXPECT_EQ(fs_->counters().served_stale.get(), 1U);
}

TEST_F(SlowOrigin, WhoWaitsBehindOthersIsTimedOutFromHisArrival) {
  for (int i = 0; i < 40; ++i) write("f" + std::to_string(i), "text");
  start({.timeout = std::chrono::seconds(9)});
  origin_.hold();
  std::vector<uint64_t> asked;
  for (int i = 0; i < 40; ++i) {
    asked.push_back(kernel_->send_name(Opcode::kLookup, fuse::kRootNode, "f" + std::to_string(i)));
  }
  ASSERT_TRUE(origin_.wait_held(kMetadataThreads));
  EXPECT_EQ(get_attributes(fuse::kRootNode).error, 0) << "memory answers all the while";
  clock_.advance(std::chrono::seconds(10));
  origin_.set_error(ETIMEDOUT);  // as an origin does past its deadline
  origin_.release();
  for (const uint64_t unique : asked) EXPECT_EQ(await(unique).error, ETIMEDOUT);
  EXPECT_EQ(origin_.counts().stats, 1U + kMetadataThreads) << "the others did not ask in vain";
}

TEST_F(SlowOrigin, AnInterruptedLookUpIsAnsweredAndItsResultKept) {
  write("file", "text");
  start();
  origin_.hold();
  const uint64_t first = kernel_->send_name(Opcode::kLookup, fuse::kRootNode, "file");
  const uint64_t second = kernel_->send_name(Opcode::kLookup, fuse::kRootNode, "file");
  ASSERT_TRUE(origin_.wait_held(1));
  kernel_->interrupt(first);
  EXPECT_EQ(await(first).error, EINTR);
  EXPECT_FALSE(kernel_->answered(second)) << "only the one who was interrupted";
  origin_.release();
  EXPECT_EQ(await(second).error, 0);
  EXPECT_EQ(look_up("file").attr.size, 4U);
  EXPECT_EQ(origin_.counts().stats, 2U);
}

TEST_F(SlowOrigin, AnInterruptedOpenLeavesNothingOpen) {
  write("file", "text");
  library_.seal("file");
  start();
  const NodeId node(look_up("file").nodeid);
  clock_.advance(std::chrono::seconds(6));
  origin_.hold();
  const uint64_t unique = kernel_->send(Opcode::kOpen, node, proto::OpenIn{});
  ASSERT_TRUE(origin_.wait_held(1));
  kernel_->interrupt(unique);
  EXPECT_EQ(await(unique).error, EINTR);
  origin_.release();
  const proto::OpenOut out = opened(node);
  close(node, out.fh);
  ASSERT_TRUE(wait_for([&] { return fs_->sizes().handles == 0; }));
  EXPECT_TRUE(wait_for([&] { return !backing_->in_use(node); }));
}

using Restart = MountFixture;

TEST_F(Restart, NodeidsOfTheProcessBeforeAreStaleNeverAnotherFile) {
  write("file", "text");
  write("other", "another file");
  start({.epoch = 4});
  const proto::EntryOut before = look_up("file");
  const uint64_t handle = opened(NodeId(before.nodeid)).fh;
  end();
  start({.epoch = 5});
  (void)look_up("other");  // sits where the other one sat
  EXPECT_EQ(get_attributes(NodeId(before.nodeid)).error, ESTALE);
  EXPECT_EQ(open(NodeId(before.nodeid)).error, ESTALE);
  EXPECT_EQ(read(NodeId(before.nodeid), handle), "errno " + std::to_string(ESTALE));
  EXPECT_EQ(call(Opcode::kReadlink, NodeId(before.nodeid), proto::ForgetIn{}).error, ESTALE);
  EXPECT_EQ(call(Opcode::kRelease, NodeId(before.nodeid), proto::ReleaseIn{.fh = handle}).error, 0);
  const proto::EntryOut again = look_up("file");
  EXPECT_EQ(again.attr.ino, before.attr.ino) << "st_ino is the same after a restart";
  EXPECT_GE(fs_->counters().stale_nodes.get(), 2U);
}

using Drop = MountFixture;

TEST_F(Drop, ADroppedPathIsAskedAgainAndTheKernelTold) {
  write("dir/file", "text");
  start({.metadata_ttl = std::chrono::hours(1)});
  const NodeId dir(look_up("dir").nodeid);
  const NodeId file(look_up("file", dir).nodeid);
  rewrite("dir/file", "longer");
  EXPECT_EQ(look_up("file", dir).attr.size, 4U);
  fs_->drop("dir");
  for (const NodeId node : {dir, file}) {
    const auto inode = kernel_->await_notification();
    ASSERT_TRUE(inode.has_value());
    EXPECT_EQ(inode->code, proto::Notify::kInvalInode) << node.value;
    const auto entry = kernel_->await_notification();
    ASSERT_TRUE(entry.has_value());
    EXPECT_EQ(entry->code, proto::Notify::kInvalEntry);
  }
  EXPECT_EQ(look_up("dir").nodeid, dir.value);
  EXPECT_EQ(look_up("file", dir).attr.size, 6U);
  fs_->drop("no/such/path");
}

TEST_F(Drop, EvenAnImmutableMountIsAskedAgain) {
  write("file", "text");
  start({.immutable = true});
  (void)look_up("file");
  (void)list(fuse::kRootNode, 0);
  rewrite("file", "longer");
  write("more", "1");
  fs_->drop("");
  EXPECT_EQ(look_up("file").attr.size, 6U);
  EXPECT_EQ(names_of(list(fuse::kRootNode, 0)), (std::vector<std::string>{"file", "more"}));
}

}  // namespace
}  // namespace netfs::vfs
