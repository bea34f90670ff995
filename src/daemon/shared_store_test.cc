// Goal: mounts that must live on do without a cache that cannot be had now, and have it when it
// can.

#include "daemon/shared_store.h"

#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <poll.h>

#include "daemon/writing_mark.h"

namespace netfs::daemon {
namespace {

constexpr const char* kVolume = "test://volume";

Deadline bound() {
  return Deadline::after(Clock::system(), std::chrono::seconds(60));
}

class SharedStoreTest : public testing::Test {
 protected:
  SharedStoreTest() { EXPECT_NE(::mkdtemp(directory_.data()), nullptr); }
  ~SharedStoreTest() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] SharedStore::Options options() const {
    return {.cache_dir = directory_ + "/cache", .cache_size = {.bytes = 64 << 20, .percent = 0}};
  }
  // A process that was killed and has not ended has it.
  void expect_none(SharedStore& store) {
    store.open_or_go_on([this] { came_ = true; });
    EXPECT_EQ(store.cache(), nullptr);
    EXPECT_EQ(store.cache_for(kVolume, false), nullptr);
    EXPECT_NE(store.why_no_cache().find("in use by process"), std::string::npos)
        << store.why_no_cache();
  }
  void expect_it_comes() {
    const Deadline deadline = bound();
    while (!came_ && !deadline.passed(Clock::system().now())) ::poll(nullptr, 0, 5);
    EXPECT_TRUE(came_);
  }

  std::string directory_ = "/tmp/netfs-store-XXXXXX";
  std::atomic<bool> came_{false};
};

TEST_F(SharedStoreTest, WhatAnotherProcessHasComesWhenThatHasEnded) {
  constexpr const char* kChanged = "test://changed";
  SharedStore before(options());
  ASSERT_TRUE(before.open().ok());
  SharedStore store(options());
  expect_none(store);
  EXPECT_TRUE(store.open().ok()) << "nobody waits for it";
  EXPECT_EQ(store.cache(), nullptr);
  EXPECT_EQ(store.cache_for(kChanged, true), nullptr);
  store.distrust(kChanged);
  EXPECT_TRUE(before.close(bound()));
  expect_it_comes();
  EXPECT_EQ(store.why_no_cache(), "");
  EXPECT_NE(store.cache(), nullptr);
  EXPECT_NE(store.offload(), nullptr);
  EXPECT_EQ(store.cache_for(kVolume, false), store.cache());
  EXPECT_EQ(store.cache_for(kVolume, true), store.cache());
  // It would have for current what was changed meanwhile.
  EXPECT_EQ(store.cache_for(kChanged, false), nullptr);
  EXPECT_TRUE(WritingMark::is_left(directory_ + "/cache", kChanged));
  EXPECT_FALSE(WritingMark::is_left(directory_ + "/cache", kVolume));
  EXPECT_TRUE(store.close(bound()));
}

TEST_F(SharedStoreTest, WhoTriesYetEndsWithTheStore) {
  SharedStore before(options());
  ASSERT_TRUE(before.open().ok());
  SharedStore store(options());
  expect_none(store);
  EXPECT_TRUE(store.close(bound()));
  EXPECT_TRUE(before.close(bound()));
  EXPECT_FALSE(came_);
}

}  // namespace
}  // namespace netfs::daemon
