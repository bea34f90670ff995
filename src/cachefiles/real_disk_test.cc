// Goal: what is said of a file on a real disk is so.

#include "cachefiles/real_disk.h"

#include <algorithm>
#include <cstdlib>
#include <gtest/gtest.h>
#include <span>
#include <string>
#include <string_view>
#include <unistd.h>

namespace netfs::cachefiles {
namespace {

constexpr uint64_t kSize = 1 << 20;
constexpr uint64_t kBlockMax = 256 << 10;

TEST(RealDisk, NothingButZeroesIsBehindWhereTheDataEnds) {
  // One of its own: a cache directory is for its owner alone.
  std::string place = testing::TempDir() + "netfs-disk-XXXXXX";
  ASSERT_NE(::mkdtemp(place.data()), nullptr);
  const std::unique_ptr<RealDisk> disk = MUST(RealDisk::create(place));
  for (const uint64_t at : {uint64_t{0}, uint64_t{100'000}, kSize - 5}) {
    const std::unique_ptr<DiskFile> file = MUST(disk->open("data_end", OpenMode::kCreateNew));
    EXPECT_EQ(MUST(file->data_end()), 0U);
    ASSERT_TRUE(file->allocate(kSize).ok());
    EXPECT_EQ(MUST(file->data_end()), 0U);
    ASSERT_TRUE(file->write(at, std::as_bytes(std::span(std::string_view("bytes")))).ok());
    const uint64_t end = MUST(file->data_end());
    EXPECT_GE(end, at + 5);
    EXPECT_LE(end, at + 5 + kBlockMax);
    std::string behind(kSize - std::min(end, kSize), 'x');
    ASSERT_TRUE(file->read(end, std::as_writable_bytes(std::span(behind))).ok());
    EXPECT_EQ(behind.find_first_not_of('\0'), std::string::npos);
    ASSERT_TRUE(file->truncate(at + 5).ok());
    EXPECT_EQ(MUST(file->data_end()), at + 5);
    EXPECT_TRUE(disk->remove("data_end").ok());
  }
  EXPECT_EQ(::rmdir(place.c_str()), 0);
}

}  // namespace
}  // namespace netfs::cachefiles
