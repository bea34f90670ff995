// Goal: many processes at once, in the same few names, leave the same tree on the mount and at its
// origin, and are answered what a local file system would answer, or ESTALE where names changed
// under a call again and again; also when the worker is killed under them.  Beside that each has a
// file of its own, and what was synced of it is there, byte for byte.  (fsstress has the idea.)
//
// NETFS_TEST_SECONDS sets how long; NETFS_TEST_SEED repeats the calls, not their order.

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <utility>

#include "base/kill_process.h"
#include "tests/model/describe_tree.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/process.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr unsigned kProcesses = 16;
constexpr int kWrongBytes = 250;
constexpr int64_t kPendingChangesMax = 300;
constexpr size_t kOwnBytesMax = 200'000;
constexpr std::chrono::milliseconds kBetweenKills{1500};
constexpr std::chrono::milliseconds kBetweenLooks{200};

enum class Worker : uint8_t { kLives, kDiesNowAndThen };

// One of the processes; its exit code is an errno that is not expected, kWrongBytes, or 0.
class Stresser {
 public:
  struct Place {
    std::string root;   // where all are at work
    std::string own;    // a file that nobody else touches
    std::string model;  // elsewhere: what that file holds, if that is known at the end
  };
  Stresser(Place place, uint64_t seed, bool sftp, bool links)
      : place_(std::move(place)), root_(place_.root), sftp_(sftp), links_(links), random_(seed) {}

  int run(MonoTime until) {
    while (Clock::system().now() < until) {
      const int error = random_() % 12 == 0 ? use_own_file() : step();
      if (error == kWrongBytes || (error != 0 && !is_expected(error))) {
        std::fprintf(stderr, "%s: errno %d\n", doing_, error);
        return error;
      }
    }
    return own_is_known_ ? put(place_.model, own_) : 0;
  }

 private:
  // What names that others change meanwhile come to; and EINTR, of being stopped.  A link is EPERM
  // where the origin has none; ESTALE is told of a file that was open when the worker died, and by
  // the kernel of a name that was replaced twice in one call.  SFTP has one word for most failures,
  // and what it was for may be over when we look: EIO.
  [[nodiscard]] bool is_expected(int error) const {
    if (sftp_ && error == EIO) return true;
    constexpr int kExpected[] = {ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, EINVAL, EPERM,
                                 ELOOP,  EBUSY,  EXDEV,   EACCES, EMLINK,    ESTALE, EINTR};
    return std::find(std::begin(kExpected), std::end(kExpected), error) != std::end(kExpected);
  }
  std::string any_path() {
    std::string path = root_;
    const unsigned depth = 1 + random_() % 2;
    for (unsigned i = 0; i < depth; ++i) {
      path += '/';
      path += static_cast<char>('a' + random_() % 6);
    }
    return path;
  }
  int use_a_file(int flags) {
    doing_ = "open";
    const UniqueFd fd = open_file(any_path(), flags);
    if (!fd) return errno;
    for (unsigned i = random_() % 5; i > 0; --i) {
      const auto at = static_cast<off_t>(random_() % 100'000);
      const std::string bytes = pattern(random_(), 0, 1 + random_() % 20'000);
      const unsigned kind = random_() % 8;
      int64_t result = 0;
      if (kind < 4) {
        doing_ = "write";
        result = ::pwrite(fd.get(), bytes.data(), bytes.size(), at);
      } else if (kind < 6) {
        doing_ = "read";
        std::string room(bytes.size(), '\0');
        result = ::pread(fd.get(), room.data(), room.size(), at);
      } else if (kind < 7) {
        doing_ = "truncate";
        result = ::ftruncate(fd.get(), at);
      } else {
        doing_ = "fsync";
        result = ::fsync(fd.get());
      }
      if (result < 0) return errno;
    }
    return 0;
  }
  // Until the sync that follows has been answered nobody knows what it holds.
  int use_own_file() {
    doing_ = "own file";
    const bool known = std::exchange(own_is_known_, false);
    const UniqueFd fd = open_file(place_.own, O_RDWR | O_CREAT | (known ? 0 : O_TRUNC));
    if (!fd) return errno;
    if (!known) own_.clear();
    std::string found;
    if (const int error = read_on(fd.get(), 0, kOwnBytesMax, found)) return error;
    if (found != own_) return kWrongBytes;
    for (unsigned i = 1 + random_() % 4; i > 0; --i) {
      const size_t at = random_() % (kOwnBytesMax / 2);
      if (random_() % 6 == 0) {
        if (::ftruncate(fd.get(), static_cast<off_t>(at)) != 0) return errno;
        own_.resize(at);
        continue;
      }
      const std::string bytes = pattern(random_(), 0, 1 + random_() % (kOwnBytesMax / 2));
      const ssize_t done = ::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
      if (done != static_cast<ssize_t>(bytes.size())) return done < 0 ? errno : ESTALE;
      own_.resize(std::max(own_.size(), at + bytes.size()));
      own_.replace(at, bytes.size(), bytes);
    }
    if (::fsync(fd.get()) != 0) return errno;
    own_is_known_ = true;
    return 0;
  }
  int step() {
    const unsigned kind = random_() % 20;
    doing_ = "a call by name";
    if (kind < 8) return use_a_file(O_RDWR | O_CREAT | (random_() % 4 == 0 ? O_TRUNC : 0));
    if (kind < 10) {
      const UniqueFd fd = open_file(any_path(), O_RDONLY);
      if (!fd) return errno;
      std::string room(1 + random_() % 50'000, '\0');
      return code(::pread(fd.get(), room.data(), room.size(), 0));
    }
    if (kind < 12) return code(::mkdir(any_path().c_str(), 0755));
    if (kind < 14) return code(::rename(any_path().c_str(), any_path().c_str()));
    if (kind < 15) return code(::unlink(any_path().c_str()));
    if (kind < 16) return code(::rmdir(any_path().c_str()));
    if (kind < 17) return code(::symlink("a", any_path().c_str()));
    if (kind < 18 && links_) return code(::link(any_path().c_str(), any_path().c_str()));
    if (kind < 19)
      return code(::truncate(any_path().c_str(), static_cast<off_t>(random_() % 9999)));
    struct stat st {};
    return code(::lstat(any_path().c_str(), &st));
  }

  const Place place_;
  const std::string& root_;
  const bool sftp_;
  const bool links_;
  std::mt19937_64 random_;
  const char* doing_ = "";
  std::string own_;
  bool own_is_known_ = true;
};

class OneTree : public WritableMount {
 protected:
  // What a dead worker had asked for may be done after another has looked, and is seen when that
  // look has grown old; what it had hidden goes when its directory is listed.
  bool become_alike() {
    if (is_back()) bring();
    return wait_until([this] { return describe_tree(mount_->path()) == describe_tree(source_); },
                      std::chrono::seconds(60));
  }
  // All that waits is uploaded, and nothing went otherwise than it was done here.
  void bring() {
    const Finished synced =
        run({netfs_binary(), "sync", mount_->path(), "--timeout", "120s"}, kBound);
    EXPECT_EQ(synced.status, 0)
        << synced.output
        << run({netfs_binary(), "status", "--dirty", mount_->path()}, kBound).output;
  }
  [[nodiscard]] std::string model_of(unsigned i) const {
    return temp_ / ("model" + std::to_string(i));
  }
  [[nodiscard]] Stresser::Place place_of(unsigned i) const {
    return {.root = mount_->path(), .own = here("own" + std::to_string(i)), .model = model_of(i)};
  }
  // They write faster than it is uploaded, by far.
  void let_upload_catch_up(const std::vector<pid_t>& processes) {
    if (mount_->status_number("pending_changes") < kPendingChangesMax) return;
    for (const pid_t process : processes) kill_process(process, SIGSTOP);
    bring();
    for (const pid_t process : processes) kill_process(process, SIGCONT);
  }
  void expect_own_files() {
    for (unsigned i = 0; i < kProcesses; ++i) {
      if (!std::filesystem::exists(model_of(i))) continue;
      const std::string name = "own" + std::to_string(i);
      const std::string want = whole(model_of(i));
      if (want.empty() && !std::filesystem::exists(there(name))) continue;
      EXPECT_TRUE(whole(there(name)) == want) << name << " at the origin";
      EXPECT_TRUE(whole(here(name)) == want) << name;
    }
  }
  // The first lines that differ.
  std::string difference() {
    const std::string here_is = describe_tree(mount_->path());
    const std::string there_is = describe_tree(source_);
    const size_t shorter = std::min(here_is.size(), there_is.size());
    size_t at = 0;
    while (at < shorter && here_is[at] == there_is[at]) ++at;
    const size_t line = at == 0 ? 0 : here_is.rfind('\n', at - 1) + 1;
    return "here '" + here_is.substr(line, 60) + "', there '" + there_is.substr(line, 60) + "'";
  }

  void stress(Worker worker) {
    const uint64_t seed = test_seed();
    // By back each name is a file of its own: what is written by one is a conflict in the other.
    const bool links = !is_back();
    const MonoTime until = Clock::system().now() + run_time();
    std::vector<pid_t> processes;
    for (unsigned i = 0; i < kProcesses; ++i) {
      const pid_t child = ::fork();
      if (child == 0)
        ::_exit(Stresser(place_of(i), seed * kProcesses + i, is_sftp(), links).run(until));
      processes.push_back(child);
    }
    MonoTime next_kill = Clock::system().now() + kBetweenKills;
    while (Clock::system().now() < until) {
      (void)wait_until([] { return false; }, kBetweenLooks);
      if (is_back()) let_upload_catch_up(processes);
      if (worker == Worker::kLives || Clock::system().now() < next_kill) continue;
      const pid_t victim = mount_->worker();
      if (victim > 0) kill_process(victim, SIGKILL);
      next_kill = Clock::system().now() + kBetweenKills;
    }
    std::vector<int> codes;
    for (const pid_t child : processes) {
      int status = 0;
      ::waitpid(child, &status, 0);
      EXPECT_TRUE(WIFEXITED(status)) << status;
      codes.push_back(WEXITSTATUS(status));
    }
    for (const int code : codes) {
      EXPECT_EQ(code, 0) << (code == kWrongBytes ? "wrong bytes" : strerror(code));
    }
    EXPECT_TRUE(become_alike()) << difference();
    expect_own_files();
    ASSERT_TRUE(mount_->unmount()) << mount_->log();
    mount_it();
    EXPECT_TRUE(become_alike()) << "after another mount: " << difference();
    if (HasFailure()) std::printf("%s\n", mount_->log().c_str());
  }
};

class OneTreeKilled : public OneTree {};

constexpr auto kName = [](const auto& instance) { return std::string(instance.param); };
INSTANTIATE_TEST_SUITE_P(Origins, OneTree,
                         testing::Values("file", "sftp", "file_close", "sftp_close", "file_back",
                                         "sftp_back"),
                         kName);
INSTANTIATE_TEST_SUITE_P(Origins, OneTreeKilled,
                         testing::Values("file", "sftp", "file_close", "sftp_close", "file_back",
                                         "sftp_back"),
                         kName);

TEST_P(OneTree, IsTheSameHereAndAtTheOriginAfterManyProcesses) {
  mount_it({"--metadata-ttl", "1s"});
  stress(Worker::kLives);
  EXPECT_EQ(mount_->status_number("lost_bytes"), 0);
}

TEST_P(OneTreeKilled, IsTheSameHereAndAtTheOriginAlsoIfTheWorkerIsKilledUnderThem) {
  mount_it({"--metadata-ttl", "1s"});
  stress(Worker::kDiesNowAndThen);
}

}  // namespace
}  // namespace netfs::test
