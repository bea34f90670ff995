// Goal: opening very many files in turn keeps the worker's open descriptors under a budget and
// loses no cached data (hard behaviour X7).

#include <filesystem>
#include <gtest/gtest.h>
#include <string>
#include <sys/stat.h>

#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr unsigned kFiles = 100'000;
constexpr unsigned kFilesPerFolder = 1000;
constexpr size_t kDescriptorsMax = 2000;

std::string name_of(unsigned i) {
  return "/d" + std::to_string(i / kFilesPerFolder) + "/f" + std::to_string(i);
}

size_t open_descriptors(pid_t pid) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    ++count;
  }
  return count;
}

TEST(ManyFiles, AHundredThousandOpensStayUnderTheBudgetOfDescriptors) {
  NETFS_TEST_NEEDS(root());
  NETFS_TEST_NEEDS(fuse());
  const TempDir temp;
  const std::string source = temp.make_dir("source");
  for (unsigned i = 0; i < kFiles; ++i) {
    if (i % kFilesPerFolder == 0) {
      ::mkdir((source + "/d" + std::to_string(i / kFilesPerFolder)).c_str(), 0755);
    }
    write_file(source + name_of(i), pattern(i, 0, 100 + i % 50));
  }
  NetfsMount mount({.url = "file://" + source,
                    .cache_dir = temp / "cache",
                    .more = {"--hot", "0s", "--metadata-ttl", "1h"}},
                   temp);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const Watchdog watchdog(std::chrono::seconds(1500), [&] { mount.abort(); });
  size_t most = 0;
  for (unsigned pass = 0; pass < 2; ++pass) {
    for (unsigned i = 0; i < kFiles; ++i) {
      const Result<std::string> got = read_whole(mount.path() + name_of(i));
      ASSERT_TRUE(got.ok()) << got.error().message();
      ASSERT_TRUE(got.value() == pattern(i, 0, 100 + i % 50)) << name_of(i);
      if (i % 1000 == 0) most = std::max(most, open_descriptors(mount.worker()));
    }
  }
  EXPECT_LE(most, kDescriptorsMax);
  EXPECT_TRUE(mount.unmount()) << mount.log();
}

}  // namespace
}  // namespace netfs::test
