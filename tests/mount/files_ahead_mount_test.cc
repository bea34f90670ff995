// Goal: who reads small files in turn over a far link waits for few round trips, through the whole
// mount.  Method: OpenSSH's own server behind sftp_meter in place of ssh.

#include <algorithm>
#include <filesystem>
#include <optional>

#include "tests/mount/files_ahead.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/sftp_meter.h"

namespace netfs::test {
namespace {

constexpr unsigned kDirectories = 8;
constexpr unsigned kFiles = 20;
constexpr size_t kBytes = 10'000;

class FilesAheadMount : public testing::Test {
 protected:
  explicit FilesAheadMount(std::string ttl = "60s") : ttl_(std::move(ttl)) {}
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    NETFS_TEST_NEEDS(
        ::access(SftpMeter::kServer, X_OK) == 0 ? "" : std::string("needs ") + SftpMeter::kServer);
    source_ = temp_.make_dir("source");
    for (unsigned d = 0; d < kDirectories; ++d) {
      ASSERT_EQ(::mkdir((source_ + "/" + directory(d)).c_str(), 0755), 0);
      for (unsigned f = 0; f < kFiles; ++f) {
        const std::string path = source_ + "/" + directory(d) + "/" + name(f);
        write_file(path, bytes_of(directory(d), name(f)));
        const timespec times[2] = {{1'400'000'000, 0}, {1'400'000'000, 0}};
        ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
      }
    }
    meter_.emplace(temp_);
    mount_ = std::make_unique<NetfsMount>(
        NetfsMount::Options{
            .url = "sftp://meter" + source_,
            .cache_dir = temp_ / "cache",
            .more = {"--metadata-ttl", ttl_, "-o", "connections=1,ssh=" + meter_->program()}},
        temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }

  static std::string directory(unsigned d) { return "d" + std::to_string(10 + d); }
  static std::string name(unsigned f) { return "f" + std::to_string(10 + f); }
  static std::string bytes_of(const std::string& directory, const std::string& name) {
    return pattern(std::hash<std::string>()(directory + "/" + name) % 1000, 0, kBytes);
  }
  // In the order in which they are listed.
  [[nodiscard]] std::vector<std::string> listed(const std::string& path) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }
  void expect_read(const std::string& directory, const std::string& name) {
    EXPECT_TRUE(whole(mount_->path() + "/" + directory + "/" + name) == bytes_of(directory, name))
        << directory << "/" << name;
  }
  [[nodiscard]] nlohmann::json status() const { return mount_->status()["mounts"][0]; }

  const std::string ttl_;
  TempDir temp_;
  std::string source_;
  std::optional<SftpMeter> meter_;
  std::unique_ptr<NetfsMount> mount_;
  const Watchdog watchdog_{kBound, [this] { abort_mount(temp_ / "mnt"); }};
};

// One after the other they take two round trips each, and two a directory: 336.
TEST_F(FilesAheadMount, ReadInTurnTheyTakeFewRoundTrips) {
  const Metered metered = meter_->measure([&] {
    for (const std::string& directory : listed(mount_->path())) {
      for (const std::string& name : listed(mount_->path() + "/" + directory)) {
        expect_read(directory, name);
      }
    }
  });
  EXPECT_LE(metered.trips, 150U) << metered.requests;
  const auto opens = [&](const std::string& all) {
    size_t count = 0;
    for (size_t at = 0; (at = all.find(" OPEN ", at)) != std::string::npos; ++at) ++count;
    return count;
  };
  EXPECT_LE(opens(metered.requests), kDirectories * kFiles) << "each once";
  const nlohmann::json ahead = status()["files_ahead"];
  EXPECT_GE(ahead["used"].get<unsigned>(), kDirectories * kFiles / 2) << ahead;
  EXPECT_EQ(ahead["wasted"].get<unsigned>(), 0U) << ahead;
  const Finished shown = run({netfs_binary(), "status", mount_->path()}, kBound);
  EXPECT_NE(shown.output.find("files ahead  " + ahead["fetched"].dump() + " fetched, " +
                              ahead["used"].dump() + " of them read; 0 B wasted"),
            std::string::npos)
      << shown.output;
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

// By names that he knows: he lists the first directory only.
TEST_F(FilesAheadMount, ReadInTurnTheyGoOnInDirectoriesThatTheReaderDoesNotList) {
  EXPECT_EQ(listed(mount_->path()).size(), kDirectories);
  EXPECT_EQ(listed(mount_->path() + "/" + directory(0)).size(), kFiles);
  for (unsigned f = 0; f < kFiles; ++f) expect_read(directory(0), name(f));
  const unsigned before = status()["files_ahead"]["used"].get<unsigned>();
  for (unsigned d = 1; d < kDirectories; ++d) {
    for (unsigned f = 0; f < kFiles; ++f) expect_read(directory(d), name(f));
  }
  const nlohmann::json ahead = status()["files_ahead"];
  EXPECT_GE(ahead["used"].get<unsigned>() - before, (kDirectories - 1) * kFiles / 2) << ahead;
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_F(FilesAheadMount, OneFileOfEachDirectoryFetchesNoOther) {
  for (const std::string& directory : listed(mount_->path())) {
    expect_read(directory, listed(mount_->path() + "/" + directory).front());
  }
  const nlohmann::json now = status();
  EXPECT_LT(now["bytes"]["downloaded_bytes"].get<size_t>(), 2 * kDirectories * kBytes);
  EXPECT_EQ(now["files_ahead"]["fetched"].get<unsigned>(), 0U);
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_F(FilesAheadMount, ReadAtRandomNoOtherIsFetched) {
  constexpr size_t kMany = 200;
  ASSERT_EQ(::mkdir((source_ + "/many").c_str(), 0755), 0);
  for (unsigned f = 0; f < kMany; ++f) {
    write_file(source_ + "/many/" + name(f), bytes_of("many", name(f)), std::chrono::hours(24));
  }
  const std::vector<std::string> names = far_apart(listed(mount_->path() + "/many"), 40);
  EXPECT_EQ(names.size(), 40U);
  for (const std::string& name : names) expect_read("many", name);
  EXPECT_EQ(status()["bytes"]["downloaded_bytes"].get<size_t>(), 40 * kBytes);
  EXPECT_EQ(files_ahead_of(*mount_)["fetched"].get<unsigned>(), 0U);
  // The same reader in turn.
  for (const std::string& name : listed(mount_->path() + "/d10")) expect_read("d10", name);
  EXPECT_GT(files_ahead_of(*mount_)["fetched"].get<unsigned>(), 0U);
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

// Names are believed for no longer, and so long a file that was fetched may yet be read.
class FilesAheadUnread : public FilesAheadMount {
 protected:
  FilesAheadUnread() : FilesAheadMount("8s") {}
};

TEST_F(FilesAheadUnread, AreCountedAsWastedAndShownAndReadRightLater) {
  const std::vector<std::string> names = listed(mount_->path() + "/d10");
  ASSERT_EQ(names.size(), kFiles);
  for (size_t i = 0; i < 5; ++i) expect_read("d10", names[i]);
  expect_shown_as_wasted(*mount_, kBytes, kBound);
  for (const std::string& name : names) expect_read("d10", name);
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

}  // namespace
}  // namespace netfs::test
