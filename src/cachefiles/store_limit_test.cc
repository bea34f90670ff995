// The hard limit, culling by recency, full disks and the budget of descriptors.

#include <gtest/gtest.h>
#include <optional>
#include <set>

#include "cachefiles/sim_disk.h"
#include "cachefiles/test_store.h"

namespace netfs::cachefiles {
namespace {

constexpr uint64_t kMiB = 1 << 20;

class StoreLimitTest : public ::testing::Test {
 protected:
  void open(uint64_t limit_bytes) {
    store_.emplace("sim", TestStoreOptions{.size_limit_bytes = limit_bytes, .disk = &disk_});
    ASSERT_TRUE(store_->ok()) << store_->error().message();
  }
  // Stores and commits a sealed file of 1 MiB.
  Result<void> add(const std::string& path) {
    store_->clock().advance(std::chrono::seconds(10));
    const Ref<Cookie> cookie = store_->lookup(path, kMiB);
    cookie->touch();
    TRY(store_->put(*cookie, 0, bytes_));
    store_->writer().may_seal(*cookie);
    return store_->writer().commit();
  }
  bool stored(const std::string& path) {
    return store_->lookup(path, kMiB)->state() != ObjectState::kAbsent;
  }
  size_t object_files() {
    size_t count = 0;
    for (const std::string& file : disk_.files()) count += file.starts_with("objects/") ? 1 : 0;
    return count;
  }
  std::string data_file_of(const std::string& path) {
    std::set<std::string> before;
    for (const std::string& file : disk_.files()) before.insert(file);
    EXPECT_TRUE(add(path).ok());
    for (const std::string& file : disk_.files()) {
      if (file.starts_with("objects/") && !before.contains(file)) return file;
    }
    return "";
  }

  const std::string bytes_ = test_bytes(1, kMiB);
  SimDisk disk_;
  std::optional<TestStore> store_;
};

TEST_F(StoreLimitTest, UseNeverPassesTheLimitAndTheOldestGoFirst) {
  open(10 * kMiB);
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(add("file" + std::to_string(i)).ok()) << i;
    EXPECT_LE(disk_.allocated_bytes(), 10 * kMiB);
    EXPECT_LE(store_->cache().usage().used_bytes, 10 * kMiB);
  }
  EXPECT_TRUE(stored("file39"));
  EXPECT_TRUE(stored("file35"));
  EXPECT_FALSE(stored("file0"));
  EXPECT_FALSE(stored("file25"));
  EXPECT_GE(store_->cache().usage().culled_objects, 30u);
  EXPECT_EQ(store_->cache().usage().no_space, 0u);
}

TEST_F(StoreLimitTest, TouchedObjectOutlivesNewerOnes) {
  open(10 * kMiB);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(add("file" + std::to_string(i)).ok());
  for (int i = 6; i < 30; ++i) {
    store_->lookup("file0", kMiB)->touch();
    ASSERT_TRUE(add("file" + std::to_string(i)).ok());
  }
  EXPECT_TRUE(stored("file0"));
  EXPECT_FALSE(stored("file1"));
}

TEST_F(StoreLimitTest, RecencySurvivesReopening) {
  open(10 * kMiB);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(add("file" + std::to_string(i)).ok());
  store_->clock().advance(std::chrono::seconds(100));
  store_->lookup("file0", kMiB)->touch();
  store_.reset();
  open(10 * kMiB);
  store_->clock().advance(std::chrono::seconds(1000));
  for (int i = 6; i < 12; ++i) ASSERT_TRUE(add("file" + std::to_string(i)).ok());
  EXPECT_TRUE(stored("file0"));
  EXPECT_FALSE(stored("file1"));
}

TEST_F(StoreLimitTest, HeldObjectIsNeverCulled) {
  open(10 * kMiB);
  ASSERT_TRUE(add("held").ok());
  const Ref<Cookie> held = store_->lookup("held", kMiB);
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(add("file" + std::to_string(i)).ok());
  EXPECT_EQ(held->state(), ObjectState::kSealed);
  EXPECT_EQ(store_->read_all(*held), bytes_);
}

TEST_F(StoreLimitTest, ObjectThatTheKernelHasOpenIsNeverCulled) {
  open(10 * kMiB);
  const std::string file = data_file_of("mapped");
  disk_.set_mapped(file, true);
  ASSERT_TRUE(store_->lookup("mapped", kMiB)->hand_out().ok());
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(add("file" + std::to_string(i)).ok());
  EXPECT_TRUE(stored("mapped"));
  disk_.set_mapped(file, false);
  for (int i = 30; i < 60; ++i) ASSERT_TRUE(add("file" + std::to_string(i)).ok());
  EXPECT_FALSE(stored("mapped"));
}

TEST_F(StoreLimitTest, DiscardedObjectThatIsMappedCountsUntilItIsFree) {
  open(10 * kMiB);
  const std::string file = data_file_of("mapped");
  const Ref<Cookie> cookie = store_->lookup("mapped", kMiB);
  ASSERT_TRUE(cookie->hand_out().ok());
  disk_.set_mapped(file, true);
  store_->writer().discard(*cookie);
  ASSERT_TRUE(store_->writer().commit().ok());
  EXPECT_GE(store_->cache().usage().used_bytes, kMiB);
  const std::string dead = "dead/" + file.substr(file.find_last_of('/') + 1);
  disk_.set_mapped(dead, true);  // found there: moved, its bytes untouched
  store_->writer().maintain();
  EXPECT_GE(store_->cache().usage().used_bytes, kMiB);
  // It waits over a restart of the store as well.
  store_.reset();
  open(10 * kMiB);
  EXPECT_GE(store_->cache().usage().used_bytes, kMiB);
  disk_.set_mapped(dead, false);
  store_->writer().maintain();
  EXPECT_LT(store_->cache().usage().used_bytes, kMiB);
}

TEST_F(StoreLimitTest, ObjectLargerThanTheLimitLeavesBlocksAbsentAndReadsGoOn) {
  open(4 * kMiB);
  const std::string bytes = test_bytes(2, 8 * kMiB);
  const Ref<Cookie> cookie = store_->lookup("large", bytes.size());
  uint64_t stored_blocks = 0;
  int refused = 0;
  for (uint64_t block = 0; block < 128; ++block) {
    const Result<void> put =
        store_->put(*cookie, block, bytes.substr(block * kBlockBytes, kBlockBytes));
    if (put.ok()) {
      ++stored_blocks;
    } else {
      EXPECT_EQ(put.code(), ENOSPC);
      ++refused;
    }
  }
  EXPECT_GT(stored_blocks, 40u);
  EXPECT_GT(refused, 0);
  EXPECT_GE(store_->cache().usage().no_space, 1u);
  EXPECT_LE(store_->cache().usage().used_bytes, 4 * kMiB);
  EXPECT_EQ(store_->read(*cookie, 0, kBlockBytes).value(), bytes.substr(0, kBlockBytes));
  EXPECT_EQ(store_->read(*cookie, 127 * kBlockBytes, 1).code(), ENODATA);
}

// Another version of a file that finds no room, again and again, as a listing is.
TEST_F(StoreLimitTest, WhatFindsNoRoomLeavesNoFileAndTakesNone) {
  open(4 * kMiB);
  std::vector<Ref<Cookie>> held;  // nothing can be culled
  for (int i = 0; i < 3; ++i) {
    const std::string path = "file" + std::to_string(i);
    ASSERT_TRUE(add(path).ok());
    held.push_back(store_->lookup(path, kMiB));
  }
  const size_t files = object_files();
  const uint64_t used = store_->cache().usage().used_bytes;
  for (const bool disk_is_full : {false, true}) {
    if (disk_is_full) disk_.set_capacity(disk_.allocated_bytes() + kBlockBytes / 2);
    const std::string bytes = disk_is_full ? bytes_.substr(0, 2 * kBlockBytes) : bytes_;
    for (int i = 0; i < 100; ++i) {
      const Ref<Cookie> cookie = store_->lookup(
          "new", bytes.size(), "v" + std::to_string(disk_is_full) + std::to_string(i));
      ASSERT_EQ(store_->put(*cookie, 0, bytes).code(), ENOSPC);
      store_->writer().may_seal(*cookie);
      ASSERT_TRUE(store_->writer().commit().ok());
    }
    EXPECT_EQ(object_files(), files) << disk_is_full;
    EXPECT_EQ(store_->cache().usage().used_bytes, used) << disk_is_full;
  }
  disk_.set_capacity(UINT64_MAX);
  held.clear();
  // Nor does one that the disk does not even let have its size.
  disk_.set_fault([](SimDisk::Call call, const std::string& path) {
    return call == SimDisk::Call::kTruncate && path.starts_with("objects/") ? ENOSPC : 0;
  });
  EXPECT_EQ(store_->put(*store_->lookup("new", kMiB, "v0"), 0, bytes_).code(), ENOSPC);
  EXPECT_EQ(object_files(), files);
  disk_.set_fault({});
  const Ref<Cookie> cookie = store_->lookup("new", kMiB, "v00");
  ASSERT_TRUE(store_->put(*cookie, 0, bytes_).ok());
  ASSERT_TRUE(store_->writer().commit().ok());
  EXPECT_EQ(store_->read_all(*cookie), bytes_);
}

TEST_F(StoreLimitTest, FullDiskLeavesTheBlockAbsentAndStoringResumesByItself) {
  open(100 * kMiB);
  ASSERT_TRUE(add("first").ok());
  const Ref<Cookie> first = store_->lookup("first", kMiB);  // held: nothing can be culled
  disk_.set_capacity(disk_.allocated_bytes() + kBlockBytes / 2);
  const Ref<Cookie> cookie = store_->lookup("second", kMiB);
  EXPECT_EQ(store_->put(*cookie, 0, bytes_).code(), ENOSPC);
  EXPECT_FALSE(cookie->present(BlockIndex(0)));
  EXPECT_NE(cookie->state(), ObjectState::kDead);
  EXPECT_EQ(store_->read_all(*first), bytes_);
  EXPECT_GE(store_->cache().usage().no_space, 1u);
  disk_.set_capacity(UINT64_MAX);
  ASSERT_TRUE(store_->put(*cookie, 0, bytes_).ok());
  ASSERT_TRUE(store_->writer().commit().ok());
  EXPECT_EQ(store_->read_all(*cookie), bytes_);
}

TEST_F(StoreLimitTest, DiskFullerThanTheLimitIsCulledOnce) {
  open(100 * kMiB);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(add("file" + std::to_string(i)).ok());
  disk_.set_capacity(disk_.allocated_bytes() + kMiB / 2);
  ASSERT_TRUE(add("new").ok());
  EXPECT_TRUE(stored("new"));
  EXPECT_FALSE(stored("file0"));
}

TEST_F(StoreLimitTest, LowerLimitIsReachedByMaintain) {
  open(20 * kMiB);
  for (int i = 0; i < 15; ++i) ASSERT_TRUE(add("file" + std::to_string(i)).ok());
  store_.reset();
  open(8 * kMiB);
  store_->writer().maintain();
  EXPECT_LE(store_->cache().usage().used_bytes, 8 * kMiB);
  EXPECT_TRUE(stored("file14"));
}

TEST_F(StoreLimitTest, HundredThousandFilesInTurnStayUnderTheDescriptorBudget) {
  open(4ull << 30);
  const std::string bytes = test_bytes(3, 100);
  constexpr int kFiles = 100000;
  for (int i = 0; i < kFiles; ++i) {
    const Ref<Cookie> cookie = store_->lookup("d/" + std::to_string(i), bytes.size());
    ASSERT_TRUE(store_->put(*cookie, 0, bytes).ok());
    if (i % 10000 == 9999) {
      ASSERT_TRUE(store_->writer().commit().ok());
    }
  }
  for (int i = 0; i < kFiles; i += 7) {
    const Ref<Cookie> cookie = store_->lookup("d/" + std::to_string(i), bytes.size());
    ASSERT_EQ(store_->read_all(*cookie), bytes) << i;
  }
  // The budget of this store, and the index's and lock's own files.
  EXPECT_LE(disk_.open_files_max(), 64u + 12u);
  EXPECT_EQ(store_->cache().usage().object_count, uint64_t{kFiles});
}

}  // namespace
}  // namespace netfs::cachefiles
