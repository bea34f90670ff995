// Goal: many processes at once, in the same few names, leave the same tree on the mount and at its
// origin, and are answered what a local file system would answer, or ESTALE where names changed
// under a call again and again; also when the worker is killed under them.  (fsstress has the
// idea.)
//
// NETFS_TEST_SECONDS sets how long; NETFS_TEST_SEED repeats the calls, not their order.

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <random>

#include "base/kill_process.h"
#include "tests/model/describe_tree.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr unsigned kProcesses = 8;
constexpr std::chrono::milliseconds kBetweenKills{1500};

enum class Worker : uint8_t { kLives, kDiesNowAndThen };

// One of the processes; its exit code is an errno that is not expected, or 0.
class Stresser {
 public:
  Stresser(std::string root, uint64_t seed, bool sftp)
      : root_(std::move(root)), sftp_(sftp), random_(seed) {}

  int run(MonoTime until) {
    while (Clock::system().now() < until) {
      const int error = step();
      if (error != 0 && !is_expected(error)) return error;
    }
    return 0;
  }

 private:
  // What names that others change meanwhile come to.  A link is EPERM where the origin has none;
  // ESTALE is told of a file that was open when the worker died, and by the kernel of a name that
  // was replaced twice in one call.  SFTP has one word for most failures, and what it was for may
  // be over when we look: EIO.
  [[nodiscard]] bool is_expected(int error) const {
    if (sftp_ && error == EIO) return true;
    constexpr int kExpected[] = {ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, EINVAL, EPERM,
                                 ELOOP,  EBUSY,  EXDEV,   EACCES, EMLINK,    ESTALE};
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
    const UniqueFd fd = open_file(any_path(), flags);
    if (!fd) return errno;
    for (unsigned i = random_() % 5; i > 0; --i) {
      const auto at = static_cast<off_t>(random_() % 100'000);
      const std::string bytes = pattern(random_(), 0, 1 + random_() % 20'000);
      const unsigned kind = random_() % 8;
      int64_t result = 0;
      if (kind < 4) {
        result = ::pwrite(fd.get(), bytes.data(), bytes.size(), at);
      } else if (kind < 6) {
        std::string room(bytes.size(), '\0');
        result = ::pread(fd.get(), room.data(), room.size(), at);
      } else if (kind < 7) {
        result = ::ftruncate(fd.get(), at);
      } else {
        result = ::fsync(fd.get());
      }
      if (result < 0) return errno;
    }
    return 0;
  }
  int step() {
    const unsigned kind = random_() % 20;
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
    if (kind < 18) return code(::link(any_path().c_str(), any_path().c_str()));
    if (kind < 19)
      return code(::truncate(any_path().c_str(), static_cast<off_t>(random_() % 9999)));
    struct stat st {};
    return code(::lstat(any_path().c_str(), &st));
  }

  const std::string root_;
  const bool sftp_;
  std::mt19937_64 random_;
};

class OneTree : public Write {
 protected:
  // What a dead worker had asked for may be done after another has looked, and is seen when that
  // look has grown old; what it had hidden goes when its directory is listed.
  bool become_alike() {
    return wait_until([this] { return describe_tree(mount_->path()) == describe_tree(source_); },
                      std::chrono::seconds(20));
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
    const MonoTime until = Clock::system().now() + run_time();
    std::vector<pid_t> processes;
    for (unsigned i = 0; i < kProcesses; ++i) {
      const pid_t child = ::fork();
      if (child == 0)
        ::_exit(Stresser(mount_->path(), seed * kProcesses + i, is_sftp()).run(until));
      processes.push_back(child);
    }
    while (worker == Worker::kDiesNowAndThen && Clock::system().now() + kBetweenKills < until) {
      (void)wait_until([] { return false; }, kBetweenKills);
      const pid_t victim = mount_->worker();
      if (victim > 0) kill_process(victim, SIGKILL);
    }
    std::vector<int> codes;
    for (const pid_t child : processes) {
      int status = 0;
      ::waitpid(child, &status, 0);
      EXPECT_TRUE(WIFEXITED(status)) << status;
      codes.push_back(WEXITSTATUS(status));
    }
    // One that dies in the middle of a notification takes with it what it had not answered.
    const bool refused = mount_->log().find("what it left unanswered fails") != std::string::npos;
    EXPECT_TRUE(!refused || worker == Worker::kDiesNowAndThen);
    for (const int code : codes) {
      EXPECT_TRUE(code == 0 || (refused && code == EIO)) << strerror(code);
    }
    EXPECT_TRUE(become_alike()) << difference();
    ASSERT_TRUE(mount_->unmount()) << mount_->log();
    mount_it();
    EXPECT_TRUE(become_alike()) << "after another mount: " << difference();
    if (HasFailure()) std::printf("%s\n", mount_->log().c_str());
  }
};

INSTANTIATE_TEST_SUITE_P(Origins, OneTree,
                         testing::Values("file", "sftp", "file_close", "sftp_close"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST_P(OneTree, IsTheSameHereAndAtTheOriginAfterManyProcesses) {
  mount_it({"--metadata-ttl", "1s"});
  stress(Worker::kLives);
  EXPECT_EQ(mount_->status_number("lost_bytes"), 0);
}

TEST_P(OneTree, IsTheSameHereAndAtTheOriginAlsoIfTheWorkerIsKilledUnderThem) {
  mount_it({"--metadata-ttl", "1s"});
  stress(Worker::kDiesNowAndThen);
}

}  // namespace
}  // namespace netfs::test
