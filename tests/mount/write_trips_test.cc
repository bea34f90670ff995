// Goal: what a file of an unpacked archive costs on a far link, through the whole mount.  Method:
// OpenSSH's own server behind sftp_meter in place of ssh.

#include <optional>

#include "tests/mount/write_fixture.h"
#include "tests/support/sftp_meter.h"

namespace netfs::test {
namespace {

constexpr int kAttempts = 20;  // one is enough where the processor is not lost

class WriteTrips : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    NETFS_TEST_NEEDS(
        ::access(SftpMeter::kServer, X_OK) == 0 ? "" : std::string("needs ") + SftpMeter::kServer);
    source_ = temp_.make_dir("source");
    meter_.emplace(temp_);
  }
  void mount_it(const std::vector<std::string>& more = {}) {
    NetfsMount::Options options{
        .url = "sftp://meter" + source_,
        .cache_dir = temp_ / "cache",
        .more = {"--write=through", "--metadata-ttl", "60s", "--negative-ttl", "60s", "-o",
                 "connections=1,ssh=" + meter_->program()}};
    options.more.insert(options.more.end(), more.begin(), more.end());
    mount_ = std::make_unique<NetfsMount>(options, temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }
  [[nodiscard]] std::string here(const std::string& name) const {
    return mount_->path() + "/" + name;
  }
  // The least of some attempts, each with another name: see sftp_meter.h.
  template <class Work>
  void expect(const std::string& requests, Work work) {
    std::string seen;
    for (int attempt = 0; attempt < kAttempts && seen != requests; ++attempt) {
      const std::string name = "n" + std::to_string(next_++);
      seen = meter_->measure([&] { work(name); }).requests;
    }
    EXPECT_EQ(seen, requests);
  }
  // As tar does it.
  void unpack(const std::string& path) {
    const std::string bytes = pattern(3, 0, 20'000);
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    ASSERT_TRUE(fd) << strerror(errno);
    ASSERT_EQ(::write(fd.get(), bytes.data(), bytes.size()), 20'000);
    const timespec times[2] = {{1'400'000'000, 0}, {1'400'000'000, 0}};
    ASSERT_EQ(::futimens(fd.get(), times), 0);
  }

  TempDir temp_;
  std::string source_;
  std::optional<SftpMeter> meter_;
  std::unique_ptr<NetfsMount> mount_;
  unsigned next_ = 0;
  const Watchdog watchdog_{kBound, [this] { abort_mount(temp_ / "mnt"); }};
};

constexpr const char* kWritten = "OPEN LSTAT | FSTAT WRITE FSTAT | LSTAT lsetstat LSTAT";

TEST_F(WriteTrips, AFileInADirectoryMadeHereTakesThree) {
  mount_it();
  expect("LSTAT | MKDIR LSTAT",
         [&](const std::string& name) { ASSERT_EQ(::mkdir(here(name).c_str(), 0755), 0); });
  ASSERT_EQ(::mkdir(here("made").c_str(), 0755), 0);
  expect(kWritten, [&](const std::string& name) { unpack(here("made/" + name)); });
  // A directory in a directory made here, and what is in that.
  expect("MKDIR LSTAT", [&](const std::string& name) {
    ASSERT_EQ(::mkdir(here("made/" + name).c_str(), 0755), 0);
  });
  ASSERT_EQ(::mkdir(here("made/below").c_str(), 0755), 0);
  expect(kWritten, [&](const std::string& name) { unpack(here("made/below/" + name)); });
  struct stat st = stat_of(source_ + "/made/below");
  EXPECT_EQ(st.st_mode & 0777, 0755U);
}

TEST_F(WriteTrips, ADirectoryThatWasThereTakesOneMoreForTheName) {
  ASSERT_EQ(::mkdir((source_ + "/there").c_str(), 0755), 0);
  mount_it();
  stat_of(here("there"));
  expect(std::string("LSTAT | ") + kWritten,
         [&](const std::string& name) { unpack(here("there/" + name)); });
}

// The kernel then asks for the directory after each change in it.
TEST_F(WriteTrips, AMountForAllUsersTakesNoMore) {
  mount_it({"--allow-other"});
  ASSERT_EQ(::mkdir(here("made").c_str(), 0755), 0);
  unpack(here("made/first"));
  expect("OPEN LSTAT LSTAT | FSTAT WRITE FSTAT | LSTAT lsetstat LSTAT",
         [&](const std::string& name) { unpack(here("made/" + name)); });
}

}  // namespace
}  // namespace netfs::test
