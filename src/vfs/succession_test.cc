// Goal: who uses a mount does not see that another process serves it now.

#include <algorithm>
#include <set>

#include "vfs/arena_kinds.h"
#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {
namespace {

using Succession = MountFixture;

TEST_F(Succession, WhatIsOpenIsReadOnAndClosed) {
  write("dir/file", "some text");
  start();
  const NodeId directory(look_up("dir").nodeid);
  const NodeId node(look_up("file", directory).nodeid);
  const uint64_t first = opened(node).fh;
  EXPECT_EQ(read(node, first), "some text");
  for (int process = 0; process < 3; ++process) {
    succeed();
    EXPECT_EQ(read(node, first), "some text");
    EXPECT_EQ(get_attributes(node).error, 0);
    EXPECT_EQ(NodeId(look_up("file", directory).nodeid), node) << "the same node";
    close(node, opened(node).fh);
  }
  close(node, first);
  EXPECT_EQ(fs_->sizes().handles, 0U);
}

TEST_F(Succession, AnotherVersionIsAnotherNodeAndTheOldOneIsStaleWhereItIsNotCached) {
  write("file", "one");
  start();
  const NodeId node(look_up("file").nodeid);
  const uint64_t handle = opened(node).fh;
  rewrite("file", "and two");
  succeed();
  EXPECT_EQ(open(node).error, ESTALE);
  const NodeId now(look_up("file").nodeid);
  EXPECT_NE(now, node);
  EXPECT_EQ(read(now, opened(now).fh), "and two");
  close(node, handle);
}

TEST_F(Succession, AFileThatTheKernelReadsKeepsItsBackingFile) {
  write("file", "text");
  library_.seal("file");
  start();
  const NodeId node(look_up("file").nodeid);
  const proto::OpenOut first = opened(node);
  ASSERT_GT(first.backing_id, 0);
  succeed();
  const proto::OpenOut second = opened(node);
  EXPECT_EQ(second.backing_id, first.backing_id) << "another one would be EIO";
  EXPECT_EQ(kernel_->backing_open_count(), 0U);
  close(node, first.fh);
  close(node, second.fh);
}

TEST_F(Succession, AFileThatTheKernelReadsByADamagedHandleIsOpenedAsAnother) {
  write("file", "text");
  library_.seal("file");
  start();
  const NodeId node(look_up("file").nodeid);
  ASSERT_GT(opened(node).backing_id, 0);
  die();
  for (void* chunk : left_->chunks(arena_kind::kHandles)) {
    static_cast<HandleRecord*>(chunk)->unique ^= 4;
  }
  follow();
  EXPECT_EQ(open(node).error, ESTALE) << "the kernel has it open by a file that nobody knows";
  const NodeId now(look_up("file").nodeid);
  EXPECT_NE(now, node);
  const proto::OpenOut again = opened(now);
  EXPECT_GT(again.backing_id, 0);
  close(now, again.fh);
}

TEST_F(Succession, ADirectoryIsReadOnBehindWhatWasReadOfIt) {
  std::set<std::string> all;
  for (int i = 1000; i < 1500; ++i) {
    tree_.add_file("name-" + std::to_string(i), "x");
    all.insert("name-" + std::to_string(i));
  }
  start();
  const uint64_t handle = open_directory(fuse::kRootNode).as<proto::OpenOut>().fh;
  std::vector<std::string> seen;
  uint64_t offset = 0;
  // The first part, and some of what was seen goes, the last of it too.
  for (int part = 0; part < 4; ++part) {
    for (const Listed& one : listed_in(read_directory(fuse::kRootNode, handle, offset, 4096))) {
      offset = one.dirent.off;
      if (one.name.size() > 2) seen.push_back(one.name);
    }
  }
  ASSERT_GT(seen.size(), 20U);
  ASSERT_LT(seen.size(), 400U);
  for (const size_t gone : {size_t{0}, size_t{5}, seen.size() - 2, seen.size() - 1}) {
    tree_.remove(seen[gone]);
  }
  succeed();
  std::vector<std::string> rest = names_of(list(fuse::kRootNode, handle, 4096, offset));
  seen.insert(seen.end(), rest.begin(), rest.end());
  EXPECT_EQ(seen.size(), all.size());
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()), all) << "each once";
}

TEST_F(Succession, AMountWithoutOpensIsReadOn) {
  write("file", "text");
  start({.immutable = true});
  const NodeId node(look_up("file").nodeid);
  EXPECT_EQ(open(node).error, ENOSYS);
  succeed();
  EXPECT_EQ(read(node, 0), "text");
}

// The origin is away when the next process takes the mount over: it is not asked.
TEST_F(Succession, WhileTheOriginIsAwayTheRootIsAsItWasSeenLast) {
  write("file", "text");
  library_.seal("file");
  start({.on_error = OnError::kStale});
  const NodeId node(look_up("file").nodeid);
  const uint64_t handle = opened(node).fh;
  const proto::Attr root = get_attributes(fuse::kRootNode).as<proto::AttrOut>().attr;
  origin_.set_error(ENOTCONN);
  origin_is_away_ = true;
  const uint64_t asked = origin_.counts().stats;
  succeed();
  EXPECT_EQ(origin_.counts().stats, asked) << "it was not asked";
  EXPECT_EQ(read(node, handle), "text");
  const proto::Attr now = get_attributes(fuse::kRootNode).as<proto::AttrOut>().attr;
  EXPECT_EQ(now.mode, root.mode);
  EXPECT_EQ(now.mtime, root.mtime);
  EXPECT_EQ(NodeId(look_up("file").nodeid), node);
  EXPECT_GT(origin_.counts().stats, asked) << "what is old is shown once it was asked in vain";
  succeed();
  EXPECT_EQ(NodeId(look_up("file").nodeid), node) << "nor does the one after that need it";
  origin_.set_error(0);
  EXPECT_EQ(read(node, handle), "text");
}

TEST_F(Succession, WhatIsKnownOfTheRootIsNotBelievedOnceTheOriginIsBack) {
  write("file", "text");
  start();
  origin_.set_error(ENOTCONN);
  origin_is_away_ = true;
  succeed();
  EXPECT_EQ(get_attributes(fuse::kRootNode).error, ENOTCONN) << "that is the policy";
  origin_.set_error(0);
  write("another", "text");
  EXPECT_EQ(names_of(list()).size(), 2U);
  EXPECT_EQ(get_attributes(fuse::kRootNode).error, 0);
}

TEST_F(Succession, AnOriginThatGoesWhenItIsAskedForItsRootCostsNoMount) {
  write("file", "text");
  start({.on_error = OnError::kStale});
  const NodeId node(look_up("file").nodeid);
  const uint64_t handle = opened(node).fh;
  origin_.set_error(ETIMEDOUT);
  succeed();
  EXPECT_EQ(NodeId(look_up("file").nodeid), node);
  EXPECT_EQ(read(node, handle), "text");
}

TEST_F(Succession, TheRootIsShownAsItWasSeenLastAndNotFirst) {
  start({.on_error = OnError::kStale});
  const uint32_t before = get_attributes(fuse::kRootNode).as<proto::AttrOut>().attr.mode;
  origin_.set_change([](const std::string& path, NodeInfo& info) {
    if (path.empty()) info.attributes.permissions ^= 0111;
  });
  clock_.advance(std::chrono::seconds(6));
  const uint32_t seen = get_attributes(fuse::kRootNode).as<proto::AttrOut>().attr.mode;
  ASSERT_NE(seen, before);
  origin_.set_error(ENOTCONN);
  origin_is_away_ = true;
  succeed();
  EXPECT_EQ(get_attributes(fuse::kRootNode).as<proto::AttrOut>().attr.mode, seen);
}

// It is refused before it is saved: it would not fit.
TEST_F(Succession, ARootThatNoDirectoryCanBeIsRefused) {
  origin_.set_change([](const std::string& path, NodeInfo& info) {
    if (path.empty()) info.identity = std::string(3000, 'i');
  });
  const auto made = FileSystem::create({.origin = origin(), .library = library(), .options = {}});
  EXPECT_TRUE(made.is_error(EIO));
}

}  // namespace
}  // namespace netfs::vfs
