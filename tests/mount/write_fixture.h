#pragma once
// What the tests of a writable mount share: a mount of a folder, of a real sshd or of a real
// CephFS, written through, by close or by back, and calls in short.

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "base/unique_fd.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/process.h"
#include "tests/support/shared_ceph.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"
#include "tests/support/watchdog.h"

namespace netfs::test {

inline constexpr std::chrono::seconds kBound{150};
// What a journal may have waiting goes to an origin one change after the other.
inline constexpr std::chrono::seconds kBacklogMax{600};
inline constexpr unsigned kNobody = 65534;

// How long the tests that go on as long as they are told to do so.
inline std::chrono::seconds run_time() {
  const char* given = std::getenv("NETFS_TEST_SECONDS");
  return std::chrono::seconds(given != nullptr ? std::strtol(given, nullptr, 10) : 3);
}

// How many kills the tests of kills come to, however slow the machine.
// Who dies a thousand times a minute is given up (daemon/restart_policy.h): not quite so often.
constexpr Duration kBetweenKills = std::chrono::milliseconds(70);
inline unsigned kills_wanted() {
  const char* given = std::getenv("NETFS_TEST_KILLS");
  return given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : 4;
}
// What those may take.
inline std::chrono::seconds kills_bound() {
  return kBound + run_time() + kills_wanted() * std::chrono::seconds(8);
}

// The errno of a call that answers -1, else 0.
inline int code(int64_t result) {
  return result < 0 ? errno : 0;
}

inline UniqueFd open_file(const std::string& path, int flags, mode_t mode = 0644) {
  return UniqueFd(::open(path.c_str(), flags | O_CLOEXEC, mode));
}

inline int put(const std::string& path, const std::string& bytes, int flags = O_CREAT | O_TRUNC) {
  const UniqueFd fd = open_file(path, O_WRONLY | flags);
  if (!fd) return errno;
  const ssize_t n = ::write(fd.get(), bytes.data(), bytes.size());
  if (n < 0) return errno;
  return n == static_cast<ssize_t>(bytes.size()) ? 0 : EIO;
}

inline std::string whole(const std::string& path) {
  const Result<std::string> bytes = read_whole(path);
  return bytes.ok() ? bytes.value() : "error " + std::to_string(bytes.code());
}

inline std::string bytes_at(int fd, off_t offset, size_t length) {
  std::string bytes(length, '\0');
  const ssize_t n = ::pread(fd, bytes.data(), length, offset);
  return n < 0 ? "error " + std::to_string(errno) : bytes.substr(0, static_cast<size_t>(n));
}

// The same for a worker that may be killed meanwhile: then a call may end early, and the next one
// says why.  An errno.
inline int read_on(int fd, off_t offset, size_t length, std::string& bytes) {
  bytes.assign(length, '\0');
  size_t done = 0;
  while (done < length) {
    const ssize_t n =
        ::pread(fd, bytes.data() + done, length - done, offset + static_cast<off_t>(done));
    if (n < 0) return errno;
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  bytes.resize(done);
  return 0;
}

// The first object of that name in a status, wherever it stands.
inline nlohmann::json status_object(const nlohmann::json& status, const std::string& name) {
  if (status.is_object() && status.contains(name)) return status[name];
  for (const nlohmann::json& inner : status) {
    if (!inner.is_structured()) continue;
    nlohmann::json found = status_object(inner, name);
    if (!found.is_null()) return found;
  }
  return nullptr;
}

inline void set_mtime(const std::string& path, time_t seconds) {
  const timespec times[2] = {{seconds, 0}, {seconds, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0) << strerror(errno);
}

// Two processes at once append so many lines each; empty: each line is whole in what `there` is
// once `settled` has run, and those of each process are in their order.
template <class Settle>
std::string append_by_two(const std::string& here, const std::string& there, Settle settled) {
  constexpr int kLines = 150;
  const auto line = [](int who, int i) {
    return std::to_string(who) + " " + std::to_string(i) + std::string(i % 70, '.') + "\n";
  };
  std::vector<pid_t> children;
  for (int who = 0; who < 2; ++who) {
    children.push_back(::fork());
    if (children.back() != 0) continue;
    const UniqueFd fd = open_file(here, O_WRONLY | O_APPEND);
    for (int i = 0; i < kLines; ++i) {
      const std::string bytes = line(who, i);
      const ssize_t n = ::write(fd.get(), bytes.data(), bytes.size());
      if (n != static_cast<ssize_t>(bytes.size())) ::_exit(1);
    }
    ::_exit(0);
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    if (status != 0) return "a write failed";
  }
  settled();
  std::istringstream all(whole(there));
  int next[2] = {0, 0};
  for (std::string one; std::getline(all, one);) {
    const int who = one.starts_with("1") ? 1 : 0;
    if (one + "\n" != line(who, next[who])) return "'" + one + "' is not what was written";
    ++next[who];
  }
  return next[0] == kLines && next[1] == kLines ? "" : "lines are missing";
}

inline struct stat stat_of(const std::string& path) {
  struct stat st {};
  EXPECT_EQ(::lstat(path.c_str(), &st), 0) << path << ": " << strerror(errno);
  return st;
}

// Runs `work` as an ordinary user in a process of its own; its exit code.
template <class Work>
int as_nobody(Work work) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setresgid(kNobody, kNobody, kNobody) != 0) ::_exit(100);
    if (::setresuid(kNobody, kNobody, kNobody) != 0) ::_exit(101);
    ::_exit(work());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

// The parameter is the origin's protocol, and "_close" for --write=close, "_back" for --write=back.
class WritableMount : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    ASSERT_EQ(::chmod(temp_.path().c_str(), 0755), 0);
    if (is_ceph()) {
      NETFS_TEST_NEEDS(TestCeph::needs());
      ASSERT_TRUE(SharedCeph::get().ready()) << SharedCeph::get().log();
      source_ = SharedCeph::get().new_folder();
      return;
    }
    source_ = temp_.make_dir("source");
    ASSERT_EQ(::chmod(source_.c_str(), 0755), 0);
    if (is_sftp()) {
      NETFS_TEST_NEEDS(program("sshd"));
      sshd_ = std::make_unique<TestSshd>(temp_);
      ASSERT_TRUE(sshd_->ready()) << sshd_->log();
    }
  }

  static bool is_sftp() { return std::string_view(GetParam()).starts_with("sftp"); }
  // What is there is seen by another client of it.
  static bool is_ceph() { return std::string_view(GetParam()).starts_with("ceph"); }
  // Whether a write may return before it is at the origin.
  static bool keeps_writes() { return std::string_view(GetParam()).ends_with("_close"); }
  static bool is_back() { return std::string_view(GetParam()).ends_with("_back"); }
  static std::string how() {
    if (is_back()) return "--write=back";
    return keeps_writes() ? "--write=close" : "--write=through";
  }

  [[nodiscard]] std::string url_of(const std::string& source) const {
    if (is_ceph()) return SharedCeph::get().ceph().url(source);
    return sshd_ ? sshd_->url(source) : "file://" + source;
  }
  std::unique_ptr<NetfsMount> mount_of(const std::string& source, std::vector<std::string> more,
                                       const std::string& name = "mnt") {
    NetfsMount::Options options{.url = url_of(source),
                                .cache_dir = temp_ / ("cache-" + name),
                                .more = std::move(more),
                                .name = name};
    std::vector<std::string> words;
    if (sshd_) words = sshd_->mount_options();
    if (is_ceph()) words = SharedCeph::get().mount_options();
    options.more.insert(options.more.end(), words.begin(), words.end());
    auto made = std::make_unique<NetfsMount>(options, temp_);
    EXPECT_TRUE(made->ready()) << made->log();
    return made;
  }
  void mount_it(std::vector<std::string> more = {}) {
    more.push_back(how());
    mount_ = mount_of(source_, std::move(more));
    ASSERT_TRUE(mount_->ready());
  }
  // `netfs bwlimit`; empty: asks for it.
  [[nodiscard]] Finished limit(const std::string& rate) const {
    std::vector<std::string> words = {NETFS_TEST_BINARY, "bwlimit", mount_->path()};
    if (!rate.empty()) words.push_back(rate);
    return run(words, std::chrono::seconds(60));
  }
  // `netfs umount`: its exit code, and what it says on stderr.
  [[nodiscard]] Finished umount_it() const {
    return run({"sh", "-c", "exec \"$0\" umount \"$1\" 2>&1 >/dev/null", NETFS_TEST_BINARY,
                mount_->path()},
               std::chrono::seconds(60));
  }
  // By back: all that was done is at the origin when it answers 0.
  int sync_it(const std::string& timeout = "60s") { return sync_it(*mount_, timeout); }
  int sync_it(const NetfsMount& mount, const std::string& timeout = "60s") {
    const Finished finished = run({NETFS_TEST_BINARY, "sync", mount.path(), "--timeout", timeout},
                                  std::chrono::seconds(100));
    if (finished.status != 0) last_output_ = finished.output;
    return finished.status;
  }
  [[nodiscard]] std::string here(const std::string& name) const {
    return mount_->path() + "/" + name;
  }
  [[nodiscard]] std::string there(const std::string& name) const { return source_ + "/" + name; }

  TempDir temp_;
  std::string source_;
  std::unique_ptr<TestSshd> sshd_;
  std::unique_ptr<NetfsMount> mount_;
  std::string last_output_;  // of a `netfs sync` that failed
  const Watchdog watchdog_{kills_bound(), [this] {
                             abort_mount(temp_ / "mnt");
                             abort_mount(temp_ / "other");
                           }};
};

// What holds whichever way it is written: who looks at the origin waits until what was done on the
// mount is there, and what a way or an origin cannot has a name.
class Write : public WritableMount {
 protected:
  [[nodiscard]] std::string there(const std::string& name) {
    settle();
    return source_ + "/" + name;
  }
  void settle() {
    if (mount_) settle(*mount_);
  }
  void settle(const NetfsMount& mount) {
    if (!is_back() || !mount.mounted()) return;
    EXPECT_EQ(sync_it(mount), 0) << last_output_;
  }

  // Whether the origin has its say before a call returns; else what it will not take is set aside,
  // or waits.
  static bool is_refused_at_once() { return !is_back(); }
  static bool has_xattrs() { return !is_sftp(); }
  static bool has_fifos() { return !is_sftp(); }
  // By back without: the upload brings it in words that every origin has.
  static bool allocates() { return is_back() || !is_sftp(); }
  // By back a file has no identity but its path, and of two names one would be somebody else's.
  static bool makes_links() { return is_sftp() || !is_back(); }
  static bool has_one_file_of_two_names() { return !is_sftp() && !is_back(); }
  // Of two names, or for a whiteout.
  static bool exchanges() { return !is_sftp() && !is_back(); }
  static bool tells_holes() { return !is_sftp() && !is_back(); }
  static bool copies_there() { return !is_back(); }
  static bool has_nameless_files() { return !is_sftp() && !is_back(); }
  // A file that is open without a name has a hidden one.
  static bool hides_open_files() { return is_sftp() || is_back(); }
};

class WriteRemote : public WritableMount {};

}  // namespace netfs::test
