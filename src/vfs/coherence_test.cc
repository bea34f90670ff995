// The file system over the real library and a cache in memory.

#include "netfs/offload.h"
#include "netfs/testing/memory_cache.h"
#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {
namespace {

class Coherence : public MountFixture {
 protected:
  Coherence() : offload_(cache_.open_writer(), {.commit_interval = std::chrono::milliseconds(1)}) {
    Ref<Volume> volume = MUST(cache_.open_volume(origin_.volume_key()));
    real_ = MUST(Library::create(
        {.origin = origin_, .volume = std::move(volume), .offload = &offload_, .pool = pool_}));
  }
  ~Coherence() override {
    tree_.release_reads();
    end();
    real_.reset();
    EXPECT_TRUE(offload_.close(soon()));
  }

  Library& library() override { return *real_; }
  void close_library() override { real_->close(); }
  static Deadline soon() { return Deadline::after(Clock::system(), fuse::FakeKernel::kPatience); }
  // A whole file in requests of 64 KiB.
  std::string read_all(NodeId node, uint64_t handle, uint64_t size) {
    std::string all;
    while (all.size() < size) {
      const std::string part = read(node, handle, all.size(), 64 << 10);
      if (part.empty() || part.starts_with("errno")) return all + part;
      all += part;
    }
    return all;
  }

  MemoryCache cache_;
  Offload offload_;
  std::unique_ptr<Library> real_;
};

std::string pattern(uint64_t seed, size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(pattern_byte(seed, i));
  return text;
}

TEST_F(Coherence, AChangeSeenAtOpenIsReadByAllLaterHandlesWhileAnOlderOneGoesOn) {
  const std::string old_bytes = pattern(1, 300'000);
  const std::string new_bytes = pattern(2, 200'000);
  tree_.add_file("file", old_bytes);
  start();
  const NodeId old(look_up("file").nodeid);
  const uint64_t old_handle = opened(old).fh;
  EXPECT_TRUE(read_all(old, old_handle, old_bytes.size()) == old_bytes);
  ASSERT_TRUE(offload_.drain(soon()));
  tree_.replace("file", new_bytes);
  clock_.advance(std::chrono::seconds(6));
  EXPECT_EQ(open(old).error, ESTALE);
  const NodeId node(look_up("file").nodeid);
  for (int i = 0; i < 3; ++i) {
    const uint64_t handle = opened(node).fh;
    EXPECT_TRUE(read_all(node, handle, new_bytes.size()) == new_bytes);
    close(node, handle);
    EXPECT_TRUE(read(old, old_handle, 1000, 5000) == old_bytes.substr(1000, 5000));
  }
  close(old, old_handle);
}

TEST_F(Coherence, WhatWasReadWholeIsSealedAndThenHandedOut) {
  const std::string bytes = pattern(3, 500'000);
  tree_.add_file("file", bytes);
  start({.metadata_ttl = std::chrono::hours(1)});
  const NodeId node(look_up("file").nodeid);
  const proto::OpenOut first = opened(node);
  EXPECT_EQ(first.backing_id, 0);
  EXPECT_TRUE(read_all(node, first.fh, bytes.size()) == bytes);
  close(node, first.fh);
  ASSERT_TRUE(wait_for([&] { return cache_.usage().sealed_count == 1; }));
  EXPECT_GT(opened(node).backing_id, 0);
}

TEST_F(Coherence, AReadOutlivesItsAskerAndWhatItBringsIsStored) {
  const std::string bytes = pattern(4, 100'000);
  tree_.add_file("file", bytes);
  start({.metadata_ttl = std::chrono::hours(1)});
  const NodeId node(look_up("file").nodeid);
  const uint64_t handle = opened(node).fh;
  tree_.hold_reads();
  const uint64_t unique = send_read(node, handle, 0, 64 << 10);
  ASSERT_TRUE(tree_.wait_for_held(1, soon()));
  kernel_->interrupt(unique);
  EXPECT_EQ(await(unique).error, EINTR);
  close(node, handle);
  tree_.release_reads();
  EXPECT_TRUE(wait_for([&] { return cache_.stored_blocks("file") >= 1; }));
}

TEST_F(Coherence, ImmutableMountsReadWithoutOpens) {
  const std::string bytes = pattern(5, 150'000);
  tree_.add_file("dir/file", bytes);
  start({.immutable = true});
  const NodeId dir(look_up("dir").nodeid);
  const NodeId node(look_up("file", dir).nodeid);
  EXPECT_TRUE(read_all(node, 0, bytes.size()) == bytes);
  EXPECT_TRUE(read_all(node, 0, bytes.size()) == bytes);
}

}  // namespace
}  // namespace netfs::vfs
