// Goal: what the kernel reads by itself it reads on while no daemon lives: reads and faults of a
// file that it was given the cache's copy of.
//
// Method: the supervisor is stopped and the worker killed, so that nobody answers anything; the
// pages are dropped, so that they must come from the disk.

#include <filesystem>
#include <memory>
#include <sys/mman.h>

#include "tests/crash/without_worker.h"
#include "tests/mount/write_fixture.h"

namespace netfs::test {
namespace {

constexpr uint64_t kBytes = (4 << 20) + 1234;
constexpr size_t kPage = 4096;
constexpr std::chrono::seconds kCacheTime{60};
constexpr std::chrono::seconds kReadTime{30};  // an answer that nobody gives never comes

using Map = std::unique_ptr<char, void (*)(char*)>;

Map map_whole(const UniqueFd& fd) {
  void* at = ::mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, fd.get(), 0);
  return {at == MAP_FAILED ? nullptr : static_cast<char*>(at),
          [](char* map) { ::munmap(map, kBytes); }};
}

class Passthrough : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    source_ = temp_.make_dir("source");
    write_file(source_ + "/sealed", pattern(1, 0, kBytes));
    write_file(source_ + "/cold", pattern(2, 0, kBytes));
  }
  [[nodiscard]] std::string here(const std::string& path) const { return temp_ / "mnt" + path; }

  // Of the file here and of the cache's copies.  The mapping's too, whose pages stay else.
  void forget_pages(const Map& map, int fd) const {
    EXPECT_EQ(::madvise(map.get(), kBytes, MADV_DONTNEED), 0);
    EXPECT_EQ(::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(std::string(temp_ / "cache"))) {
      if (!entry.is_regular_file()) continue;
      const UniqueFd copy = open_file(entry.path(), O_RDONLY);
      EXPECT_EQ(code(::fsync(copy.get())), 0);
      EXPECT_EQ(::posix_fadvise(copy.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
    }
  }
  static size_t pages_in_memory(const Map& map) {
    std::vector<unsigned char> pages((kBytes + kPage - 1) / kPage);
    EXPECT_EQ(::mincore(map.get(), kBytes, pages.data()), 0);
    size_t count = 0;
    for (const unsigned char page : pages) count += page & 1;
    return count;
  }

  TempDir temp_;
  std::string source_;
};

TEST_F(Passthrough, ReadsAndFaultsGoOnWhileNoDaemonLives) {
  NetfsMount mount(
      {.url = "file://" + source_, .cache_dir = temp_ / "cache", .more = {"--hot", "0s"}}, temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const Watchdog watchdog(kBound, [&] { abort_mount(here("")); });
  ASSERT_TRUE(same_bytes(here("/sealed"), source_ + "/sealed"));
  ASSERT_TRUE(wait_until([&] { return mount.status_number("sealed_count") >= 1; }, kCacheTime));
  drop_pages(here("/sealed"));
  UniqueFd first = open_file(here("/sealed"), O_RDONLY);
  UniqueFd second = open_file(here("/sealed"), O_RDONLY);
  ASSERT_GE(mount.status()["mounts"][0]["opens"]["passthrough"], 2) << mount.status();
  Map map = map_whole(second);
  ASSERT_TRUE(map);
  const std::string expected = pattern(1, 0, kBytes);

  without_worker(mount, [&] {
    const Watchdog bound(kReadTime, [&] { abort_mount(here("")); });
    forget_pages(map, first.get());
    EXPECT_LT(pages_in_memory(map), kBytes / kPage) << "nothing has to be read: it proves nothing";
    EXPECT_TRUE(bytes_at(first.get(), 0, kBytes) == expected);
    forget_pages(map, first.get());
    EXPECT_LT(pages_in_memory(map), kBytes / kPage);
    const UniqueFd sink = open_file(temp_ / "sink", O_RDWR | O_CREAT);
    EXPECT_EQ(::pwrite(sink.get(), map.get(), kBytes, 0), static_cast<ssize_t>(kBytes));
    EXPECT_TRUE(bytes_at(sink.get(), 0, kBytes) == expected);
  });

  EXPECT_TRUE(same_bytes(here("/cold"), source_ + "/cold"));
  EXPECT_TRUE(bytes_at(first.get(), 0, kBytes) == expected);
  EXPECT_TRUE(std::string(map.get(), kBytes) == expected);
  map.reset();
  first.reset();
  second.reset();
  EXPECT_TRUE(mount.unmount()) << mount.log();
}

}  // namespace
}  // namespace netfs::test
