// What passthrough demands, shown on this kernel by a real mount: versions as nodes, one backing id
// for all opens of a node, and a mapping that outlives RELEASE.

#include <sys/mman.h>

#include "fuse/mount_test_fs.h"

namespace netfs::fuse {
namespace {

const std::string kOld(10'000, 'o');
const std::string kNew(20'000, 'n');

TEST_F(MountTest, PassthroughIsNegotiatedAndReadsNeverReachTheHandler) {
  mount_fs(Reading::kPassthrough);
  EXPECT_TRUE(session_->negotiated()->passthrough);
  fs_->publish(make_file("v1", kOld));
  const UniqueFd fd(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd) << errno;
  EXPECT_EQ(bytes_in(fd), kOld);
  EXPECT_EQ(issued(Opcode::kRead), 0U);
  EXPECT_EQ(issued(Opcode::kOpen), 1U);
}

// The whole of it: the second open succeeds, sees the new bytes and size, the same st_ino; the
// first handle and its mapping go on with the old ones.
TEST_F(MountTest, EstaleFromOpenBringsTheNewVersionUnderTheSameInodeNumber) {
  mount_fs(Reading::kPassthrough);
  fs_->publish(make_file("v1", kOld));
  const UniqueFd before(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(before) << errno;
  auto* mapped = static_cast<const char*>(
      ::mmap(nullptr, kOld.size(), PROT_READ, MAP_SHARED, before.get(), 0));
  ASSERT_NE(mapped, MAP_FAILED);

  fs_->publish(make_file("v2", kNew));
  const UniqueFd after(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(after) << errno;
  EXPECT_EQ(bytes_in(after), kNew);
  EXPECT_EQ(bytes_in(before), kOld);
  EXPECT_EQ(std::string(mapped, kOld.size()), kOld);

  struct stat old_attributes {};
  struct stat new_attributes {};
  ASSERT_EQ(::fstat(before.get(), &old_attributes), 0);
  ASSERT_EQ(::fstat(after.get(), &new_attributes), 0);
  EXPECT_EQ(old_attributes.st_ino, kFileIno);
  EXPECT_EQ(new_attributes.st_ino, kFileIno);
  EXPECT_EQ(old_attributes.st_size, static_cast<off_t>(kOld.size()));
  EXPECT_EQ(new_attributes.st_size, static_cast<off_t>(kNew.size()));
  EXPECT_EQ(session_->counters().ops[static_cast<size_t>(Opcode::kOpen)].count.failed.get(), 1U);
  ::munmap(const_cast<char*>(mapped), kOld.size());
}

TEST_F(MountTest, EstaleFromOpenWorksForReadsThroughTheDaemonToo) {
  mount_fs(Reading::kCached);
  fs_->publish(make_file("v1", kOld));
  const UniqueFd before(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(before) << errno;
  EXPECT_EQ(bytes_in(before), kOld);
  fs_->publish(make_file("v2", kNew));
  const UniqueFd after(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(after) << errno;
  EXPECT_EQ(bytes_in(after), kNew);
  EXPECT_EQ(bytes_in(before), kOld);
}

TEST_F(MountTest, AMappingReadsOnAfterReleaseAndAfterItsBackingIdIsClosed) {
  mount_fs(Reading::kPassthrough);
  fs_->publish(make_file("v1", kOld));
  UniqueFd fd(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd) << errno;
  auto* mapped =
      static_cast<const char*>(::mmap(nullptr, kOld.size(), PROT_READ, MAP_SHARED, fd.get(), 0));
  ASSERT_NE(mapped, MAP_FAILED);
  fd.reset();
  ASSERT_TRUE(fs_->wait_releases(1));  // although the mapping lives
  fs_->backing().forget(fs_->current());
  ASSERT_EQ(::unlink((folder_ + "/v1").c_str()), 0);
  EXPECT_EQ(std::string(mapped, kOld.size()), kOld);
  ::munmap(const_cast<char*>(mapped), kOld.size());
}

TEST_F(MountTest, AllOpensOfANodeShareOneBackingId) {
  mount_fs(Reading::kPassthrough);
  fs_->publish(make_file("v1", kOld));
  for (int round = 0; round < 3; ++round) {
    const UniqueFd one(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd two(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(one) << errno;
    ASSERT_TRUE(two) << errno;
    EXPECT_EQ(bytes_in(two), kOld);
  }
  EXPECT_EQ(fs_->backing().counters().done.get(), 1U);
}

// The kernel's rule that BackingIds exists for.
TEST_F(MountTest, AnotherBackingIdForAnOpenNodeReachesTheUserAsEio) {
  mount_fs(Reading::kPassthrough);
  fs_->publish(make_file("v1", kOld));
  const UniqueFd first(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(first) << errno;
  const UniqueFd backing(::open((folder_ + "/v1").c_str(), O_RDONLY | O_CLOEXEC));
  const int32_t other = MUST(channel_->backing_open(backing.get()));
  fs_->use_id(other);
  const UniqueFd second(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(second);
  EXPECT_EQ(errno, EIO);
  fs_->use_id(0);
  EXPECT_TRUE(channel_->backing_close(other).ok());
  EXPECT_EQ(bytes_in(first), kOld);
}

}  // namespace
}  // namespace netfs::fuse
