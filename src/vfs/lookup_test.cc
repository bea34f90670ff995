#include <atomic>

#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {
namespace {

using Lookup = MountFixture;

TEST_F(Lookup, AFreshNameIsAnsweredFromMemory) {
  write("file", "text");
  start();
  const proto::EntryOut first = look_up("file");
  const proto::EntryOut again = look_up("file");
  EXPECT_EQ(again.nodeid, first.nodeid);
  EXPECT_EQ(again.attr.size, 4U);
  EXPECT_EQ(origin_.counts().stats, 2U) << "the root's at the start, and one";
  EXPECT_EQ(fs_->counters().lookup_hits.get(), 1U);
}

TEST_F(Lookup, TheKernelIsToldWhatIsLeftOfTheTtl) {
  write("file", "text");
  start({.metadata_ttl = std::chrono::seconds(5)});
  EXPECT_EQ(look_up("file").entry_valid, 5U);
  clock_.advance(std::chrono::seconds(2));
  const proto::EntryOut later = look_up("file");
  EXPECT_EQ(later.entry_valid, 3U);
  EXPECT_EQ(later.attr_valid, 3U);
  EXPECT_EQ(origin_.counts().stats, 2U);
}

TEST_F(Lookup, AnOldNameIsAskedAgainAndKeepsItsNode) {
  write("file", "text");
  start();
  const proto::EntryOut first = look_up("file");
  clock_.advance(std::chrono::seconds(6));
  EXPECT_EQ(look_up("file").nodeid, first.nodeid);
  EXPECT_EQ(origin_.counts().stats, 3U);
}

TEST_F(Lookup, AnAbsentNameIsRememberedForTheNegativeTtl) {
  start({.negative_ttl = std::chrono::seconds(3)});
  const Answer answer = call_name(Opcode::kLookup, fuse::kRootNode, "none");
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(answer.as<proto::EntryOut>().nodeid, 0U);
  EXPECT_EQ(answer.as<proto::EntryOut>().entry_valid, 3U);
  EXPECT_EQ(look_up_error("none"), ENOENT);
  EXPECT_EQ(origin_.counts().stats, 2U);
  EXPECT_EQ(fs_->counters().negative_hits.get(), 1U);
  write("none", "now it is");
  clock_.advance(std::chrono::seconds(4));
  EXPECT_EQ(look_up("none").attr.size, 9U);
}

TEST_F(Lookup, AFreshListingAnswersForNamesItDoesNotHold) {
  write("file", "text");
  start();
  (void)list();
  EXPECT_EQ(look_up_error("none"), ENOENT);
  EXPECT_EQ(origin_.counts().stats, 1U);
}

TEST_F(Lookup, AnotherVersionIsAnotherNodeWithTheSameInode) {
  write("file", "one");
  start();
  const proto::EntryOut first = look_up("file");
  rewrite("file", "and two");
  clock_.advance(std::chrono::seconds(6));
  const proto::EntryOut second = look_up("file");
  EXPECT_NE(second.nodeid, first.nodeid);
  EXPECT_EQ(second.attr.ino, first.attr.ino);
  EXPECT_EQ(second.attr.size, 7U);
  EXPECT_EQ(fs_->counters().versions_changed.get(), 1U);
}

TEST_F(Lookup, ADirectoryKeepsItsNodeWhenItsContentsChange) {
  write("dir/file", "text");
  start();
  const proto::EntryOut first = look_up("dir");
  Attributes newer = MUST(tree_.stat("dir", Deadline::never())).attributes;
  newer.mtime.seconds += 100;
  tree_.set_attributes("dir", newer);
  clock_.advance(std::chrono::seconds(6));
  const proto::EntryOut second = look_up("dir");
  EXPECT_EQ(second.nodeid, first.nodeid);
  EXPECT_EQ(second.attr.mtime, first.attr.mtime + 100);
}

TEST_F(Lookup, ConcurrentLookUpsOfOneNameAreOneStat) {
  write("file", "text");
  start();
  origin_.hold();
  std::vector<uint64_t> asked;
  for (int i = 0; i < 20; ++i) {
    asked.push_back(kernel_->send_name(Opcode::kLookup, fuse::kRootNode, "file"));
  }
  ASSERT_TRUE(origin_.wait_held(1));
  // Answered behind the others on the same queue: all of them have joined.
  EXPECT_EQ(get_attributes(fuse::kRootNode).error, 0);
  origin_.release();
  for (const uint64_t unique : asked) {
    const Answer answer = await(unique);
    EXPECT_EQ(answer.error, 0);
    EXPECT_EQ(answer.as<proto::EntryOut>().attr.size, 4U);
  }
  EXPECT_EQ(origin_.counts().stats, 2U);
  EXPECT_EQ(fs_->counters().coalesced.get(), 19U);
}

TEST_F(Lookup, LongNamesAndUnknownParentsAreRefused) {
  write("file", "text");
  start();
  EXPECT_EQ(look_up_error(std::string(256, 'x')), ENAMETOOLONG);
  EXPECT_EQ(look_up_error(std::string(255, 'x')), ENOENT);
  EXPECT_EQ(look_up_error("x", NodeId(uint64_t{12345} << 32)), ESTALE);
  EXPECT_EQ(look_up_error("x", NodeId(look_up("file").nodeid)), ENOTDIR);
}

TEST_F(Lookup, ATreeBelowAReplacedDirectoryIsNotTheNewOnes) {
  write("dir/file", "old");
  start();
  const proto::EntryOut old_dir = look_up("dir");
  // Another directory under the name: another identity, and other files.
  origin_.set_change([](const std::string& path, NodeInfo& info) {
    info.identity = path == "dir" ? "another" : "";
  });
  clock_.advance(std::chrono::seconds(6));
  const proto::EntryOut new_dir = look_up("dir");
  EXPECT_NE(new_dir.nodeid, old_dir.nodeid);
  EXPECT_EQ(look_up_error("file", NodeId(old_dir.nodeid)), ESTALE);
  EXPECT_EQ(look_up_error("file", NodeId(new_dir.nodeid)), 0);
}

TEST_F(Lookup, ImmutableMountsBelieveForEver) {
  write("file", "text");
  start({.immutable = true});
  const proto::EntryOut first = look_up("file");
  EXPECT_GT(first.entry_valid, 1'000'000'000U);
  EXPECT_EQ(look_up_error("none"), ENOENT);
  rewrite("file", "changed all the same");
  clock_.advance(std::chrono::hours(10'000));
  EXPECT_EQ(look_up("file").nodeid, first.nodeid);
  EXPECT_EQ(look_up_error("none"), ENOENT);
  EXPECT_EQ(origin_.counts().stats, 3U);
}

// Looks and listed entries take time here: as much as `cost` says, each.
class OldNames : public MountFixture {
 protected:
  void start_with_names(int count) {
    for (int i = 0; i < count; ++i) tree_.add_file("name-" + std::to_string(i), "x");
    start();
    origin_.set_change([this](const std::string&, NodeInfo&) { clock_.advance(cost_.load()); });
    (void)list();
  }

  std::atomic<Duration> cost_{std::chrono::milliseconds(1)};
};

TEST_F(OldNames, ManyAskedForOneAfterTheOtherAreListedOnceLooksHaveCostAsMuch) {
  start_with_names(100);
  clock_.advance(std::chrono::seconds(6));
  cost_ = std::chrono::milliseconds(10);
  for (int i = 0; i < 100; ++i) EXPECT_NE(look_up("name-" + std::to_string(i)).nodeid, 0U);
  EXPECT_EQ(origin_.counts().stats, 1U + 10) << "ten looks cost what the listing did";
  EXPECT_EQ(origin_.counts().lists, 2U);
}

TEST_F(OldNames, AttributesAreFoundByTheSameListing) {
  start_with_names(100);
  std::vector<uint64_t> nodes;
  for (int i = 0; i < 100; ++i) nodes.push_back(look_up("name-" + std::to_string(i)).nodeid);
  clock_.advance(std::chrono::seconds(6));
  cost_ = std::chrono::milliseconds(10);
  for (const uint64_t node : nodes)
    EXPECT_EQ(get_attributes(fuse::NodeId(node)).as<proto::AttrOut>().attr.size, 1U);
  EXPECT_EQ(origin_.counts().stats, 1U + 10);
  EXPECT_EQ(origin_.counts().lists, 2U);
}

TEST_F(OldNames, ANameThatTheListingLacksIsGone) {
  start_with_names(100);
  tree_.remove("name-50");
  clock_.advance(std::chrono::seconds(6));
  cost_ = std::chrono::milliseconds(10);
  for (int i = 0; i < 10; ++i) (void)look_up("name-" + std::to_string(i));
  EXPECT_EQ(look_up_error("name-50"), ENOENT);
  EXPECT_EQ(origin_.counts().lists, 2U);
}

TEST_F(OldNames, FewAskedForNowAndThenAreLookedAt) {
  start_with_names(100);
  for (int i = 0; i < 40; ++i) {
    clock_.advance(std::chrono::seconds(6));
    (void)look_up("name-1");
  }
  EXPECT_EQ(origin_.counts().stats, 1U + 40);
  EXPECT_EQ(origin_.counts().lists, 1U);
}

// Where many names are known others go for it.
TEST_F(Lookup, ANameThatWasJustFoundIsNotSweptBeforeTheAnswer) {
  for (int i = 0; i < 50; ++i) write(std::to_string(i), "x");
  start({.unreferenced_nodes_max = 0});
  for (int i = 0; i < 50; ++i) {
    const uint64_t node = look_up(std::to_string(i)).nodeid;
    if (node != 0) kernel_->forget(NodeId(node), 1);
  }
}

// More than one look of the sweeper takes.
TEST_F(Lookup, OfWhatTheKernelForgetsAtOnceNoMoreIsKeptThanThereIsRoomFor) {
  constexpr size_t kNames = 6000;
  constexpr size_t kKept = 500;
  for (size_t i = 0; i < kNames; ++i) tree_.add_file("d/" + std::to_string(i), "");
  start({.metadata_ttl = std::chrono::hours(1), .unreferenced_nodes_max = kKept});
  const NodeId directory(look_up("d").nodeid);
  std::vector<proto::ForgetOne> all;
  for (const Listed& one : list(directory)) {
    if (one.entry.nodeid != 0) all.push_back({.nodeid = one.entry.nodeid, .nlookup = 1});
  }
  // While the listing comes in some go that the kernel was not told of yet.
  ASSERT_GT(all.size(), kNames / 2);
  EXPECT_GE(fs_->sizes().nodes, all.size());
  const proto::BatchForgetIn head{.count = static_cast<uint32_t>(all.size()), .dummy = 0};
  std::string body(reinterpret_cast<const char*>(&head), sizeof head);
  body.append(reinterpret_cast<const char*>(all.data()), all.size() * sizeof all[0]);
  kernel_->send(Opcode::kBatchForget, NodeId(0), std::as_bytes(std::span(body)));
  EXPECT_TRUE(wait_for([&] { return fs_->sizes().nodes <= kKept + 2; })) << fs_->sizes().nodes;
}

}  // namespace
}  // namespace netfs::vfs
