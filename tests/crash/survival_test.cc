// Goal: a worker that is killed, whenever, costs who uses its mounts a pause and nothing else: no
// call fails, no byte is wrong, what was open stays open, what was synced is there.

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <dirent.h>
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <poll.h>
#include <random>
#include <set>
#include <string>
#include <sys/mman.h>
#include <vector>

#include "base/kill_process.h"
#include "tests/crash/lock_way.h"
#include "tests/crash/user.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/process.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr unsigned kFiles = 24;
constexpr uint64_t kFileBytes = 200'000;
constexpr unsigned kNames = 5'000;  // more than are asked for while one is known not to be there
constexpr std::chrono::seconds kPauseMax{60};

struct Mode {
  const char* name;
  bool over_sftp;
  const char* write;  // null: read-only
};

std::chrono::milliseconds stopped_time() {
  const char* given = std::getenv("NETFS_TEST_STOPPED_MS");
  return std::chrono::milliseconds(given != nullptr ? std::strtol(given, nullptr, 10) : 1000);
}

class Survival : public testing::TestWithParam<Mode> {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    if (GetParam().over_sftp) NETFS_TEST_NEEDS(program("sshd"));
    random_.seed(test_seed());
    source_ = temp_.make_dir("source");
    for (unsigned i = 0; i < kFiles; ++i) {
      write_file(source_ + name(i), pattern(i, 0, kFileBytes + i));
      names_.insert(name(i).substr(1));
    }
    std::filesystem::create_directory(source_ + "/written");
    NetfsMount::Options options{.url = "file://" + source_,
                                .cache_dir = temp_ / "cache",
                                .more = {"--hot", "0s", "--metadata-ttl", "1s"}};
    if (GetParam().over_sftp) {
      sshd_ = std::make_unique<TestSshd>(temp_);
      ASSERT_TRUE(sshd_->ready()) << sshd_->log();
      options.url = sshd_->url(source_);
      const std::vector<std::string> more = sshd_->mount_options();
      options.more.insert(options.more.end(), more.begin(), more.end());
    }
    if (GetParam().write != nullptr) {
      options.more.push_back(std::string("--write=") + GetParam().write);
    }
    mount_ = std::make_unique<NetfsMount>(options, temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }

  static std::string name(unsigned i) { return "/file" + std::to_string(i); }
  [[nodiscard]] std::string here(const std::string& path) const { return mount_->path() + path; }

  void use(const char* who, User::Work work) {
    users_.push_back(std::make_unique<User>(who, random_(), std::move(work)));
  }

  // Opened once, and read all the time.
  void read_what_is_open() {
    auto fds = std::make_shared<std::vector<UniqueFd>>();
    for (unsigned i = 0; i < kFiles; ++i) fds->push_back(open_file(here(name(i)), O_RDONLY));
    use("reader", [fds](std::mt19937_64& random) -> std::string {
      const unsigned pick = random() % kFiles;
      const uint64_t at = random() % kFileBytes;
      std::string bytes;
      const int error = read_on((*fds)[pick].get(), static_cast<off_t>(at), 5000, bytes);
      if (error != 0) return failed("read of an open file", error);
      const uint64_t length = std::min<uint64_t>(5000, kFileBytes + pick - at);
      return bytes == pattern(pick, at, length) ? "" : "an open file has other bytes";
    });
  }

  void open_and_read() {
    use("opener", [this](std::mt19937_64& random) -> std::string {
      const unsigned pick = random() % kFiles;
      const UniqueFd fd = open_file(here(name(pick)), O_RDONLY);
      if (!fd) return failed("open", errno);
      std::string bytes;
      const int error = read_on(fd.get(), 0, kFileBytes + kFiles, bytes);
      if (error != 0) return failed("read", error);
      if (bytes != pattern(pick, 0, kFileBytes + pick)) return "a file has other bytes";
      if (random() % 8 == 0) ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
      return "";
    });
  }

  // A fault that fails is EFAULT to who writes from the mapping.
  void fault() {
    auto fds = std::make_shared<std::vector<UniqueFd>>();
    using Map = std::unique_ptr<void, void (*)(void*)>;
    auto maps = std::make_shared<std::vector<Map>>();
    for (unsigned i = 0; i < kFiles; ++i) {
      fds->push_back(open_file(here(name(i)), O_RDONLY));
      maps->emplace_back(::mmap(nullptr, kFileBytes, PROT_READ, MAP_SHARED, fds->back().get(), 0),
                         [](void* map) { ::munmap(map, kFileBytes); });
    }
    auto sink = std::make_shared<UniqueFd>(open_file(temp_ / "sink", O_RDWR | O_CREAT));
    use("mapper", [fds, maps, sink](std::mt19937_64& random) -> std::string {
      const unsigned pick = random() % kFiles;
      const uint64_t at = random() % (kFileBytes - 4096);
      const char* from = static_cast<const char*>((*maps)[pick].get()) + at;
      if (::pwrite(sink->get(), from, 4096, 0) != 4096) return failed("a fault", errno);
      if (bytes_at(sink->get(), 0, 4096) != pattern(pick, at, 4096)) return "a page is another";
      if (random() % 16 == 0) ::posix_fadvise((*fds)[pick].get(), 0, 0, POSIX_FADV_DONTNEED);
      return "";
    });
  }

  void list_and_stat() {
    use("lister", [this](std::mt19937_64&) -> std::string {
      DIR* directory = ::opendir(here("/").c_str());
      if (directory == nullptr) return failed("opendir", errno);
      std::multiset<std::string> seen;
      errno = 0;
      for (const dirent* entry = ::readdir(directory); entry != nullptr;
           entry = ::readdir(directory)) {
        if (std::string(entry->d_name).starts_with("file")) seen.insert(entry->d_name);
      }
      const int error = errno;
      ::closedir(directory);
      if (error != 0) return failed("readdir", error);
      return std::equal(seen.begin(), seen.end(), names_.begin(), names_.end())
                 ? ""
                 : "a listing of " + std::to_string(seen.size()) + " names";
    });
    use("stater", [this](std::mt19937_64& random) -> std::string {
      const unsigned pick = random() % kFiles;
      struct stat st {};
      if (::stat(here(name(pick)).c_str(), &st) != 0) return failed("stat", errno);
      return st.st_size == static_cast<off_t>(kFileBytes + pick) ? "" : "another size";
    });
  }

  // One small call after the other that the worker has to answer.  What a kill costs: the time from
  // it to the answer of the first call that began after it.
  void look_for_names_that_are_not_there() {
    use("prober", [this, next = 0U, seen = MonoTime()](std::mt19937_64&) mutable -> std::string {
      const MonoTime killed_at = killed_at_;
      const std::string path = here("/written/none" + std::to_string(next++ % kNames));
      if (::access(path.c_str(), F_OK) == 0 || errno != ENOENT) return failed("access", errno);
      if (killed_at != seen) pauses_.push_back(Clock::system().now() - killed_at);
      seen = killed_at;
      ::poll(nullptr, 0, 1);  // so that the names last
      return "";
    });
  }

  void print_pauses() {
    ASSERT_FALSE(pauses_.empty());
    std::sort(pauses_.begin(), pauses_.end());
    const auto ms = [](Duration pause) {
      return std::chrono::duration<double, std::milli>(pause).count();
    };
    std::printf("pause after a kill: median %.1f ms, worst %.1f ms of %zu\n",
                ms(pauses_[pauses_.size() / 2]), ms(pauses_.back()), pauses_.size());
  }

  // A log that is appended to, each line synced, through one descriptor.
  void append_and_sync() {
    auto fd =
        std::make_shared<UniqueFd>(open_file(here("/written/log"), O_WRONLY | O_CREAT | O_APPEND));
    use("logger", [this, fd](std::mt19937_64&) -> std::string {
      const std::string line = "line " + std::to_string(lines_) + "\n";
      const ssize_t n = ::write(fd->get(), line.data(), line.size());
      if (n != static_cast<ssize_t>(line.size())) return failed("append", n < 0 ? errno : 0);
      if (::fsync(fd->get()) != 0) return failed("fsync", errno);
      log_ += line;
      ++lines_;
      return "";
    });
  }

  // Names that come, move and go: each call as it would be on a local disk.
  void storm_of_names() {
    use("namer", [this](std::mt19937_64& random) -> std::string {
      const std::string a = here("/written/a" + std::to_string(random() % 4));
      const std::string b = here("/written/b" + std::to_string(random() % 4));
      const std::string bytes = pattern(random(), 0, 1 + random() % 20'000);
      UniqueFd fd = open_file(a, O_RDWR | O_CREAT | O_EXCL);
      if (!fd) return failed("create", errno);
      if (::write(fd.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
        return failed("write", errno);
      }
      if (bytes_at(fd.get(), 0, bytes.size()) != bytes) return "not what was written";
      if (::close(fd.release()) != 0) return failed("close", errno);
      if (::rename(a.c_str(), b.c_str()) != 0) return failed("rename", errno);
      if (::access(a.c_str(), F_OK) == 0 || errno != ENOENT) return failed("access", errno);
      if (whole(b) != bytes) return "not what was renamed";
      if (::unlink(b.c_str()) != 0) return failed("unlink", errno);
      const std::string directory = here("/written/d");
      if (::mkdir(directory.c_str(), 0755) != 0) return failed("mkdir", errno);
      if (::rmdir(directory.c_str()) != 0) return failed("rmdir", errno);
      return "";
    });
  }

  // Whether they are the origin's or the kernel's own: who holds one holds it on.
  void lock_and_unlock() {
    auto fd = std::make_shared<UniqueFd>(open_file(here("/written/lock"), O_RDWR | O_CREAT));
    auto other = std::make_shared<UniqueFd>(open_file(here("/written/lock"), O_RDWR));
    use("locker", [fd, other](std::mt19937_64&) -> std::string {
      for (const LockWay way : kLockWays) {
        // A lock of the process is in the way of one of a description of the same process.
        const LockWay others = way == LockWay::kProcess ? LockWay::kDescription : way;
        const std::string which = " of way " + std::to_string(static_cast<int>(way));
        if (const int error = set_lock(fd->get(), way, /*waits=*/true, LOCK_EX)) {
          return failed("lock" + which, error);
        }
        const int refused = set_lock(other->get(), others, /*waits=*/false, LOCK_EX);
        if (refused != EAGAIN) return failed("a lock that somebody has" + which, refused);
        if (const int error = set_lock(fd->get(), way, /*waits=*/false, LOCK_UN)) {
          return failed("unlock" + which, error);
        }
      }
      return "";
    });
  }

  void read_in_all_ways() {
    read_what_is_open();
    open_and_read();
    fault();
    list_and_stat();
  }
  void write_in_all_ways() {
    read_what_is_open();
    append_and_sync();
    storm_of_names();
    lock_and_unlock();
  }

  [[nodiscard]] bool any_ended() const {
    return std::any_of(users_.begin(), users_.end(),
                       [](const auto& user) { return user->ended(); });
  }

  void let_all_go_on() {
    std::vector<uint64_t> rounds;
    for (const auto& user : users_) rounds.push_back(user->rounds());
    ASSERT_TRUE(wait_until(
        [&] {
          size_t moved = 0;
          for (size_t i = 0; i < users_.size(); ++i) moved += users_[i]->rounds() > rounds[i];
          return moved == users_.size() || any_ended();
        },
        kPauseMax));
  }

  void stop_for_a_while() {
    ASSERT_NO_FATAL_FAILURE(let_all_go_on());
    const pid_t worker = mount_->worker();
    ASSERT_EQ(kill_process(worker, SIGSTOP), 0);
    const MonoTime until = Clock::system().now() + stopped_time();
    (void)wait_until([&] { return Clock::system().now() >= until; }, kPauseMax);
    ASSERT_EQ(kill_process(worker, SIGCONT), 0);
    ASSERT_NO_FATAL_FAILURE(let_all_go_on());
    EXPECT_EQ(mount_->worker(), worker);
  }

  // As many as come to pass in the time that is given, each at a random moment.
  void kill_for(std::chrono::seconds time) {
    const MonoTime end = Clock::system().now() + time;
    while ((Clock::system().now() < end || kills_ < kills_wanted()) && !any_ended()) {
      // Once each has done something since the last one: else a far origin is never reached.
      ASSERT_NO_FATAL_FAILURE(let_all_go_on());
      const MonoTime until =
          std::max(Clock::system().now() + std::chrono::milliseconds(random_() % 50),
                   killed_at_.load() + kBetweenKills);
      (void)wait_until([&] { return Clock::system().now() >= until; }, std::chrono::seconds(1));
      const pid_t worker = mount_->worker();
      killed_at_ = Clock::system().now();
      if (worker > 0 && kill_process(worker, SIGKILL) == 0) ++kills_;
      ASSERT_TRUE(wait_until([&] { return mount_->worker() != worker; }, kPauseMax));
    }
  }

  void expect_all_fine() {
    std::printf("%u kills\n", kills_);
    EXPECT_GE(kills_, kills_wanted()) << "it proves little";
    expect_users_fine();
  }
  void expect_users_fine() {
    for (const auto& user : users_) user->expect_fine();
    EXPECT_TRUE(mount_->mounted());
    if (HasFailure() || std::getenv("NETFS_TEST_LOG")) std::printf("%s\n", mount_->log().c_str());
    users_.clear();
  }
  void expect_the_log_came_to_the_origin() {
    EXPECT_EQ(whole(here("/written/log")), log_);
    // What waits in a journal may be thousands of changes, and an unmount leaves there what is not
    // at the origin soon.
    const Finished synced = run({netfs_binary(), "sync", mount_->path()}, kBacklogMax);
    EXPECT_EQ(synced.status, 0) << synced.output;
    EXPECT_TRUE(mount_->unmount()) << mount_->log();
    EXPECT_EQ(whole(source_ + "/written/log"), log_) << "nothing acknowledged is lost";
  }

  TempDir temp_;
  std::mt19937_64 random_;
  std::string source_;
  std::set<std::string> names_;
  std::unique_ptr<TestSshd> sshd_;
  std::unique_ptr<NetfsMount> mount_;
  std::atomic<unsigned> lines_{0};
  std::string log_;
  unsigned kills_ = 0;
  std::atomic<MonoTime> killed_at_{};
  std::vector<Duration> pauses_;  // the prober's, while there is one
  std::vector<std::unique_ptr<User>> users_;
};

TEST_P(Survival, KillsOfTheWorkerAreAPauseToWhoReads) {
  const Watchdog watchdog(kills_bound(), [&] { abort_mount(temp_ / "mnt"); });
  read_in_all_ways();
  look_for_names_that_are_not_there();
  kill_for(run_time());
  expect_all_fine();
  print_pauses();
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

// It is waited for, and goes on.
TEST_P(Survival, AWorkerThatIsStoppedCostsWhoReadsNoCall) {
  const Watchdog watchdog(kills_bound(), [&] { abort_mount(temp_ / "mnt"); });
  read_in_all_ways();
  stop_for_a_while();
  expect_users_fine();
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

class SurvivalOfWrites : public Survival {};

TEST_P(SurvivalOfWrites, KillsOfTheWorkerAreAPauseToWhoWrites) {
  const Watchdog watchdog(kills_bound(), [&] { abort_mount(temp_ / "mnt"); });
  write_in_all_ways();
  kill_for(run_time());
  expect_all_fine();
  expect_the_log_came_to_the_origin();
}

TEST_P(SurvivalOfWrites, AWorkerThatIsStoppedCostsWhoWritesNoCall) {
  const Watchdog watchdog(kills_bound(), [&] { abort_mount(temp_ / "mnt"); });
  write_in_all_ways();
  stop_for_a_while();
  expect_users_fine();
  expect_the_log_came_to_the_origin();
}

constexpr Mode kReadOnly[] = {{"file", false, nullptr}, {"sftp", true, nullptr}};
constexpr Mode kWritten[] = {{"file_through", false, "through"}, {"file_close", false, "close"},
                             {"file_back", false, "back"},       {"sftp_through", true, "through"},
                             {"sftp_close", true, "close"},      {"sftp_back", true, "back"}};
std::string name_of(const testing::TestParamInfo<Mode>& mode) {
  return mode.param.name;
}

INSTANTIATE_TEST_SUITE_P(ReadOnly, Survival, testing::ValuesIn(kReadOnly), name_of);
INSTANTIATE_TEST_SUITE_P(Written, Survival, testing::ValuesIn(kWritten), name_of);
INSTANTIATE_TEST_SUITE_P(Written, SurvivalOfWrites, testing::ValuesIn(kWritten), name_of);

}  // namespace
}  // namespace netfs::test
