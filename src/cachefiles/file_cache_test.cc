#include "cachefiles/file_cache.h"

#include <gtest/gtest.h>

#include "cachefiles/sim_disk.h"

namespace netfs::cachefiles {
namespace {

class FileCacheTest : public ::testing::Test {
 protected:
  FileCacheTest() {
    for (uint64_t i = 0; i < 100; ++i) {
      (void)disk_.make_directory("objects").ok();
      (void)disk_.make_directory(data_directory(ObjectId(i))).ok();
      EXPECT_TRUE(disk_.open(data_path(ObjectId(i)), OpenMode::kCreateNew).ok());
    }
  }
  SimDisk disk_;
  Space space_{1 << 30};
};

TEST_F(FileCacheTest, OpenFilesStayUnderTheBudget) {
  FileCache files(disk_, space_, 32);
  for (int round = 0; round < 3; ++round) {
    for (uint64_t i = 0; i < 100; ++i) {
      ASSERT_TRUE(files.reader(ObjectId(i), Waiting::kDisk).ok());
      ASSERT_TRUE(files.writer(ObjectId(i), OpenMode::kReadWrite).ok());
      ASSERT_LE(files.open_count(), 32u);
    }
  }
  EXPECT_LE(disk_.open_files_max(), 32u);
}

TEST_F(FileCacheTest, WhatIsOpenAnswersWithoutTheDisk) {
  FileCache files(disk_, space_, 32);
  EXPECT_EQ(files.reader(ObjectId(1), Waiting::kNever).code(), EAGAIN);
  ASSERT_TRUE(files.reader(ObjectId(1), Waiting::kDisk).ok());
  disk_.set_fault([](SimDisk::Call call, const std::string&) {
    return call == SimDisk::Call::kOpen ? EIO : 0;
  });
  EXPECT_TRUE(files.reader(ObjectId(1), Waiting::kNever).ok());
  EXPECT_EQ(files.reader(ObjectId(2), Waiting::kDisk).code(), EIO);
}

TEST_F(FileCacheTest, LastUserOfARetiredFileDoesNotCloseIt) {
  FileCache files(disk_, space_, 32);
  space_.add(500);
  Ref<OpenFile> used = files.reader(ObjectId(1), Waiting::kDisk).value();
  const uint64_t open = disk_.open_files();
  files.retire(ObjectId(1));
  ASSERT_TRUE(disk_.remove(data_path(ObjectId(1))).ok());
  files.removed(ObjectId(1), 500);
  EXPECT_EQ(space_.used_bytes(), 500u);  // unlinked but open: still counted
  used = nullptr;                        // a reader: must not be the one who frees its blocks
  EXPECT_EQ(disk_.open_files(), open);
  EXPECT_EQ(space_.used_bytes(), 500u);
  files.close_retired();
  EXPECT_EQ(disk_.open_files(), open - 1);
  EXPECT_EQ(space_.used_bytes(), 0u);
  EXPECT_EQ(files.open_count(), 0u);
}

TEST_F(FileCacheTest, RetiringAnUnusedFileFreesItsSpaceAtOnce) {
  FileCache files(disk_, space_, 32);
  space_.add(500);
  ASSERT_TRUE(files.reader(ObjectId(1), Waiting::kDisk).ok());
  files.retire(ObjectId(1));
  files.removed(ObjectId(1), 500);
  files.close_retired();
  EXPECT_EQ(space_.used_bytes(), 0u);
  EXPECT_EQ(disk_.open_files(), 0u);
}

}  // namespace
}  // namespace netfs::cachefiles
