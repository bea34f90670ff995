// Goal: when the source changes behind a mount, every handle opened after the change was noticed
// reads the new version, and an older one reads one version throughout (hard behaviour 13); when
// the cache is damaged or its disk is full, the bytes are right all the same (22, 24, X4).

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

#include "base/unique_fd.h"
#include "tests/support/loop_image.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/shared_ceph.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kBound{150};
constexpr uint64_t kBytes = 3 << 20;

// The parameter is the origin's protocol.
class Coherence : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    if (is_ceph()) {
      NETFS_TEST_NEEDS(TestCeph::needs());
      ASSERT_TRUE(SharedCeph::get().ready()) << SharedCeph::get().log();
      source_ = SharedCeph::get().new_folder();
      return;
    }
    source_ = temp_.make_dir("source");
    if (GetParam() == std::string("sftp")) {
      NETFS_TEST_NEEDS(program("sshd"));
      sshd_ = std::make_unique<TestSshd>(temp_);
      ASSERT_TRUE(sshd_->ready()) << sshd_->log();
    }
  }

  static bool is_ceph() { return std::string_view(GetParam()) == "ceph"; }
  void mount_it(std::vector<std::string> more, const std::string& cache_dir = "") {
    std::string url = sshd_ ? sshd_->url(source_) : "file://" + source_;
    std::vector<std::string> words;
    if (sshd_) words = sshd_->mount_options();
    if (is_ceph()) {
      url = SharedCeph::get().ceph().url(source_);
      words = SharedCeph::get().mount_options();
    }
    NetfsMount::Options options{.url = url,
                                .cache_dir = cache_dir.empty() ? temp_ / "cache" : cache_dir,
                                .more = std::move(more)};
    options.more.insert(options.more.end(), words.begin(), words.end());
    mount_.reset();
    mount_ = std::make_unique<NetfsMount>(options, temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }

  // The data files of the objects in a cache directory.
  static std::vector<std::string> objects(const std::string& cache_dir) {
    std::vector<std::string> found;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(cache_dir + "/objects")) {
      if (entry.is_regular_file() && entry.file_size() > 0) found.push_back(entry.path().string());
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  TempDir temp_;
  std::string source_;
  std::unique_ptr<TestSshd> sshd_;
  std::unique_ptr<NetfsMount> mount_;
};

std::string read_fd(int fd, uint64_t size) {
  std::string bytes(size, '\0');
  size_t done = 0;
  while (done < size) {
    const ssize_t n = ::pread(fd, bytes.data() + done, size - done, static_cast<off_t>(done));
    if (n <= 0) return "";
    done += static_cast<size_t>(n);
  }
  return bytes;
}

// The file is replaced at its origin while a handle on it is open: whoever opens it now reads the
// new bytes, the old handle the old ones, and both again after the kernel forgot its pages.
TEST_P(Coherence, AfterAChangeNewHandlesReadTheNewVersionAndOldOnesTheirs) {
  const std::string before = pattern(1, 0, kBytes);
  const std::string after = pattern(2, 0, kBytes + 4321);
  write_file(source_ + "/file", before, std::chrono::hours(2));
  mount_it({"--metadata-ttl", "0s", "--hot", "0s"});
  const Watchdog watchdog(kBound, [&] { mount_->abort(); });
  const std::string path = mount_->path() + "/file";
  ASSERT_TRUE(same_bytes(path, source_ + "/file"));
  ASSERT_TRUE(wait_until([&] { return mount_->status_number("sealed_count") >= 1; },
                         std::chrono::seconds(60)))
      << mount_->status();
  for (unsigned round = 0; round < 2; ++round) {  // from the daemon first, then from the kernel
    const UniqueFd old_handle(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(old_handle) << strerror(errno);
    const std::string& now = round == 0 ? before : after;
    const std::string& next = round == 0 ? after : before;
    write_file(source_ + "/.fresh", next, std::chrono::minutes(60 - round));
    ASSERT_EQ(::rename((source_ + "/.fresh").c_str(), (source_ + "/file").c_str()), 0);
    EXPECT_TRUE(same_bytes(path, source_ + "/file")) << "a new handle, round " << round;
    EXPECT_TRUE(read_fd(old_handle.get(), now.size()) == now) << "the old handle, round " << round;
    drop_pages(path);
    EXPECT_TRUE(same_bytes(path, source_ + "/file")) << "a new handle, round " << round;
    EXPECT_TRUE(read_fd(old_handle.get(), now.size()) == now) << "the old handle, round " << round;
  }
}

// A version that was never read whole cannot be had any more: its handle says so rather than show a
// mixture.
TEST_P(Coherence, AnOldHandleOfAPartlyReadVersionReadsItsOwnBytesOrFails) {
  const std::string before = pattern(3, 0, 16 << 20);
  write_file(source_ + "/file", before, std::chrono::hours(2));
  mount_it({"--metadata-ttl", "0s", "--hot", "0s"});
  const Watchdog watchdog(kBound, [&] { mount_->abort(); });
  const UniqueFd handle(::open((mount_->path() + "/file").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(handle) << strerror(errno);
  std::string piece(100000, '\0');
  ASSERT_EQ(::pread(handle.get(), piece.data(), piece.size(), 0),
            static_cast<ssize_t>(piece.size()));
  // In place, as an editor or a log does: the same inode, other bytes.
  write_file(source_ + "/file", pattern(4, 0, 16 << 20), std::chrono::hours(1));
  for (uint64_t at = 0; at + piece.size() < before.size(); at += 1 << 20) {
    const ssize_t n = ::pread(handle.get(), piece.data(), piece.size(), static_cast<off_t>(at));
    if (n < 0) {
      EXPECT_EQ(errno, ESTALE);
    } else {
      EXPECT_TRUE(piece.substr(0, static_cast<size_t>(n)) ==
                  before.substr(at, static_cast<size_t>(n)))
          << "bytes of another version at " << at;
    }
  }
  EXPECT_TRUE(same_bytes(mount_->path() + "/file", source_ + "/file"));
}

// Bits flipped, files cut short, emptied and removed in the store: all bytes right, and what was
// not touched still comes from the cache.
TEST_P(Coherence, DamagedObjectsAreFetchedAnewAndTheRestGoesOnServing) {
  constexpr unsigned kFiles = 10;
  for (unsigned i = 0; i < kFiles; ++i) {
    write_file(source_ + "/file" + std::to_string(i), pattern(20 + i, 0, 500000));
  }
  mount_it({"--hot", "0s", "--no-passthrough"});
  const Watchdog watchdog(kBound, [&] { mount_->abort(); });
  for (unsigned i = 0; i < kFiles; ++i) {
    const std::string name = "/file" + std::to_string(i);
    ASSERT_TRUE(same_bytes(mount_->path() + name, source_ + name));
  }
  ASSERT_TRUE(wait_until([&] { return mount_->status_number("sealed_count") >= kFiles; },
                         std::chrono::seconds(60)))
      << mount_->status();
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
  const std::vector<std::string> stored = objects(temp_ / "cache");
  ASSERT_GE(stored.size(), 4u);
  {
    const UniqueFd fd(::open(stored[0].c_str(), O_RDWR | O_CLOEXEC));
    char byte = 0;
    ASSERT_EQ(::pread(fd.get(), &byte, 1, 123456), 1);
    byte = static_cast<char>(byte ^ 4);
    ASSERT_EQ(::pwrite(fd.get(), &byte, 1, 123456), 1);
  }
  ASSERT_EQ(::truncate(stored[1].c_str(), 70000), 0);
  ASSERT_EQ(::truncate(stored[2].c_str(), 0), 0);
  ASSERT_EQ(::unlink(stored[3].c_str()), 0);
  mount_it({"--hot", "0s", "--no-passthrough"});
  for (unsigned i = 0; i < kFiles; ++i) {
    const std::string name = "/file" + std::to_string(i);
    EXPECT_TRUE(same_bytes(mount_->path() + name, source_ + name));
  }
  const int64_t fetched = mount_->status_number("origin_bytes");
  EXPECT_GT(fetched, 0) << "nothing was damaged: the test proves nothing";
  EXPECT_LE(fetched, 4 * 500000) << "sound objects were fetched anew";
  EXPECT_LE(mount_->status_number("downloaded_bytes"), 4 * 500000) << mount_->status();
}

// The cache's disk is full: reads go on, stores fail and are counted; with space again, storing
// resumes by itself.
TEST_P(Coherence, AFullCacheDiskCostsNoReadAndStoringResumesByItself) {
  NETFS_TEST_NEEDS(loop_devices());
  LoopImage disk(temp_, "ext4", 96);
  ASSERT_TRUE(disk.ready()) << disk.trouble();
  constexpr unsigned kFiles = 8;
  for (unsigned i = 0; i < kFiles; ++i) {
    write_file(source_ + "/file" + std::to_string(i), pattern(40 + i, 0, 2 << 20));
  }
  mount_it({"--hot", "0s", "--cache-size", "10G"}, disk.path() + "/cache");
  const Watchdog watchdog(kBound, [&] { mount_->abort(); });
  {
    const UniqueFd ballast(
        ::open((disk.path() + "/ballast").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    for (off_t piece = 8 << 20, at = 0; piece >= 4096;) {
      if (::posix_fallocate(ballast.get(), at, piece) == 0) {
        at += piece;
      } else {
        piece /= 2;
      }
    }
  }
  for (unsigned i = 0; i < kFiles; ++i) {
    const std::string name = "/file" + std::to_string(i);
    EXPECT_TRUE(same_bytes(mount_->path() + name, source_ + name));
  }
  EXPECT_TRUE(
      wait_until([&] { return mount_->status_number("no_space") > 0; }, std::chrono::seconds(60)))
      << "the disk was not full: the test proves nothing: " << mount_->status();
  ASSERT_EQ(::unlink((disk.path() + "/ballast").c_str()), 0);
  // Read again until it has come back: when it tries anew is its own affair.
  EXPECT_TRUE(wait_until(
      [&] {
        for (unsigned i = 0; i < kFiles; ++i) {
          const std::string name = mount_->path() + "/file" + std::to_string(i);
          drop_pages(name);
          if (!same_bytes(name, source_ + "/file" + std::to_string(i))) return false;
        }
        return mount_->status_number("sealed_count") >= kFiles;
      },
      std::chrono::seconds(60)))
      << mount_->status();
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
}

INSTANTIATE_TEST_SUITE_P(Origins, Coherence, testing::Values("file", "sftp", "ceph"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace netfs::test
