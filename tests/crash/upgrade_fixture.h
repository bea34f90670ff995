#pragma once
// Upgrade: a mount that is read and written all the time, and what the tests of upgrades ask of it.

#include <algorithm>
#include <filesystem>
#include <gtest/gtest.h>
#include <memory>
#include <poll.h>
#include <random>
#include <string>
#include <vector>

#include "tests/crash/user.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/process.h"
#include "tests/support/wait.h"

namespace netfs::test {

inline constexpr std::chrono::seconds kPatience{120};
inline constexpr unsigned kFiles = 6;
inline constexpr uint64_t kFileBytes = 100'000;

inline unsigned number_given(const char* name, unsigned otherwise) {
  const char* given = std::getenv(name);
  return given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : otherwise;
}

struct Mode {
  const char* name;
  bool over_sftp;
  const char* write;
};

class Upgrade : public testing::Test {
 protected:
  void SetUp() override { set_up({"file_close", false, "close"}); }
  void set_up(const Mode& mode) {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    if (mode.over_sftp) NETFS_TEST_NEEDS(program("sshd"));
    source_ = temp_.make_dir("source");
    for (unsigned i = 0; i < kFiles; ++i) {
      write_file(source_ + name(i), pattern(i, 0, kFileBytes));
    }
    std::filesystem::create_directory(source_ + "/written");
    NetfsMount::Options options{
        .url = "file://" + source_,
        .cache_dir = temp_ / "cache",
        .more = {"--hot", "0s", "--metadata-ttl", "1s", std::string("--write=") + mode.write}};
    if (mode.over_sftp) {
      sshd_ = std::make_unique<TestSshd>(temp_);
      ASSERT_TRUE(sshd_->ready()) << sshd_->log();
      options.url = sshd_->url(source_);
      for (const std::string& word : sshd_->mount_options()) options.more.push_back(word);
    }
    mount_ = std::make_unique<NetfsMount>(options, temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
    watchdog_ = std::make_unique<Watchdog>(std::chrono::seconds(240) * number_of_upgrades(),
                                           [this] { mount_->abort(); });
    use_it();
  }
  void TearDown() override {
    for (const auto& user : users_) user->stop();
  }

  static unsigned number_of_upgrades() { return number_given("NETFS_TEST_UPGRADES", 3); }
  static std::string name(unsigned i) { return "/file" + std::to_string(i); }
  [[nodiscard]] std::string here(const std::string& path) const { return mount_->path() + path; }
  void use(const char* who, User::Work work) {
    users_.push_back(std::make_unique<User>(who, test_seed() + users_.size(), std::move(work)));
  }

  // So that the origin keeps up with what is written back.
  static void pause() { ::poll(nullptr, 0, 5); }

  void use_it() {
    auto open = std::make_shared<std::vector<UniqueFd>>();
    for (unsigned i = 0; i < kFiles; ++i) open->push_back(open_file(here(name(i)), O_RDONLY));
    use("reader", [open](std::mt19937_64& random) -> std::string {
      const unsigned pick = random() % kFiles;
      const uint64_t at = random() % (kFileBytes - 5000);
      std::string bytes;
      if (const int error = read_on((*open)[pick].get(), static_cast<off_t>(at), 5000, bytes)) {
        return failed("read of an open file", error);
      }
      if (random() % 8 == 0) ::posix_fadvise((*open)[pick].get(), 0, 0, POSIX_FADV_DONTNEED);
      return bytes == pattern(pick, at, 5000) ? "" : "an open file has other bytes";
    });
    use("opener", [this](std::mt19937_64& random) -> std::string {
      const unsigned pick = random() % kFiles;
      const Result<std::vector<std::string>> names = list_names(mount_->path());
      if (!names.ok()) return failed("list", names.code());
      if (names.value().size() < kFiles) return "a listing that lacks names";
      return whole(here(name(pick))) == pattern(pick, 0, kFileBytes) ? "" : "other bytes";
    });
    auto log =
        std::make_shared<UniqueFd>(open_file(here("/written/log"), O_WRONLY | O_CREAT | O_APPEND));
    use("logger", [this, log](std::mt19937_64&) -> std::string {
      const std::string line = "line " + std::to_string(log_.size()) + "\n";
      const ssize_t n = ::write(log->get(), line.data(), line.size());
      if (n != static_cast<ssize_t>(line.size())) return failed("append", n < 0 ? errno : 0);
      pause();
      if (::fsync(log->get()) != 0) return failed("fsync", errno);
      log_ += line;
      return "";
    });
    use("namer", [this](std::mt19937_64& random) -> std::string {
      const std::string a = here("/written/a"), b = here("/written/b");
      const std::string bytes = pattern(random(), 0, 1 + random() % 20'000);
      pause();
      if (const int error = put(a, bytes, O_CREAT | O_EXCL)) return failed("create", error);
      if (::rename(a.c_str(), b.c_str()) != 0) return failed("rename", errno);
      if (whole(b) != bytes) return "not what was written";
      if (::unlink(b.c_str()) != 0) return failed("unlink", errno);
      if (::mkdir(a.c_str(), 0755) != 0) return failed("mkdir", errno);
      return ::rmdir(a.c_str()) == 0 ? "" : failed("rmdir", errno);
    });
  }

  // Once each has done something since: they use what serves now.
  void let_all_go_on() {
    std::vector<uint64_t> rounds;
    for (const auto& user : users_) rounds.push_back(user->rounds());
    ASSERT_TRUE(wait_until(
        [&] {
          size_t moved = 0;
          for (size_t i = 0; i < users_.size(); ++i) {
            moved += users_[i]->rounds() > rounds[i] || users_[i]->ended();
          }
          return moved == users_.size();
        },
        kPatience));
  }
  void expect_all_fine() {
    for (const auto& user : users_) user->expect_fine();
    users_.clear();
    EXPECT_EQ(whole(here("/written/log")), log_);
    EXPECT_TRUE(mount_->mounted());
    if (HasFailure()) std::printf("%s\n", mount_->log().c_str());
    const Finished synced = run({netfs_binary(), "sync", mount_->path()}, kBacklogMax);
    EXPECT_EQ(synced.status, 0) << synced.output;
    EXPECT_TRUE(mount_->unmount()) << mount_->log();
    EXPECT_EQ(whole(source_ + "/written/log"), log_) << "nothing acknowledged is lost";
  }

  [[nodiscard]] Finished upgrade_to(const std::string& program) const {
    return run({netfs_binary(), "upgrade", mount_->path(), "--to", program}, kPatience);
  }
  // By this version's program, whoever serves.
  static nlohmann::json status_of(const std::string& path) {
    const Finished finished = run({netfs_binary(), "status", path, "--json"}, kPatience);
    return nlohmann::json::parse(finished.output, nullptr, false);
  }
  // Additions to the arena's layout that whoever serves now knows, as its header has them.
  [[nodiscard]] uint32_t additions_of_arena() const {
    constexpr off_t kAdditionsAt = 24;
    const std::string fds = "/proc/" + std::to_string(mount_->supervisor()) + "/fd";
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(fds, error)) {
      const std::string target = std::filesystem::read_symlink(entry.path(), error);
      if (target.find("memfd:netfs-arena") == std::string::npos) continue;
      uint32_t additions = UINT32_MAX;
      const UniqueFd arena = open_file(entry.path(), O_RDONLY);
      if (::pread(arena.get(), &additions, sizeof additions, kAdditionsAt) == sizeof additions) {
        return additions;
      }
    }
    return UINT32_MAX;
  }
  [[nodiscard]] std::string program_of_supervisor() const {
    std::error_code error;
    return std::filesystem::read_symlink("/proc/" + std::to_string(mount_->supervisor()) + "/exe",
                                         error);
  }
  std::string bad_program(const std::string& behaviour) {
    const std::string path = temp_ / behaviour;
    std::filesystem::copy_file(NETFS_TEST_BAD_PROGRAM, path);
    return path;
  }
  // One line that says why, and nobody is disturbed.
  void expect_refused(const std::string& program, const std::string& why) {
    const Finished finished = upgrade_to(program);
    EXPECT_EQ(finished.status, 32) << program << ": " << finished.output;
    EXPECT_NE(finished.output.find(why), std::string::npos) << finished.output;
    EXPECT_NE(finished.output.find("serves on"), std::string::npos) << finished.output;
    EXPECT_EQ(std::count(finished.output.begin(), finished.output.end(), '\n'), 1)
        << finished.output;
    let_all_go_on();
    EXPECT_TRUE(mount_->status().is_object()) << program;
  }

  TempDir temp_;
  std::string source_;
  std::unique_ptr<TestSshd> sshd_;
  std::unique_ptr<NetfsMount> mount_;
  std::unique_ptr<Watchdog> watchdog_;
  std::string log_;
  std::vector<std::unique_ptr<User>> users_;
};

}  // namespace netfs::test
