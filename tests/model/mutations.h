#pragma once
// Mutations: the same random calls on a mount and on a plain tree beside it.

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <memory>
#include <poll.h>
#include <random>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <vector>

#include "base/kill_process.h"
#include "base/unique_fd.h"
#include "sync/thread.h"
#include "tests/model/describe_tree.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {

inline constexpr std::chrono::seconds kMutationsBound{300};
inline constexpr std::chrono::seconds kMutationsRun{40};  // no step begins later
inline constexpr size_t kMutationsHeldMax = 6;
inline constexpr unsigned kStepsAKill = 10;

struct MutationParameters {
  const char* name;
  bool sftp;
  unsigned steps;
  const char* write;
  // By SFTP and by back one name of a file has nothing to do with another: docs/semantics.md.
  [[nodiscard]] bool links() const { return !sftp && write != std::string("back"); }
};

inline std::string outcome(int64_t result) {
  return result < 0 ? std::string(strerrorname_np(errno)) : "ok";
}

inline std::string bytes_of(int fd, off_t offset, size_t length) {
  std::string bytes(length, '\0');
  const ssize_t n = ::pread(fd, bytes.data(), length, offset);
  return n < 0 ? outcome(n) : bytes.substr(0, static_cast<size_t>(n));
}

class Mutations : public testing::TestWithParam<MutationParameters> {
 protected:
  // The same open file on the mount and in the plain tree.
  struct Held {
    std::string path;
    UniqueFd mounted;
    UniqueFd plain;
    bool writable;
  };

  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    ::umask(022);
    source_ = temp_.make_dir("source");
    twin_ = temp_.make_dir("twin");
    if (GetParam().sftp) {
      NETFS_TEST_NEEDS(program("sshd"));
      sshd_ = std::make_unique<TestSshd>(temp_);
      ASSERT_TRUE(sshd_->ready()) << sshd_->log();
    }
    random_.seed(test_seed());
    mount_anew();
  }

  void TearDown() override {
    if (!HasFailure()) return;
    for (const std::string& line : history_) std::printf("%s\n", line.c_str());
    if (mount_) std::printf("%s\n", mount_->log().c_str());
  }

  void mount_anew() {
    mount_.reset();
    NetfsMount::Options options{.url = sshd_ ? sshd_->url(source_) : "file://" + source_,
                                .cache_dir = temp_ / "cache",
                                .more = {std::string("--write=") + GetParam().write}};
    if (sshd_) {
      for (const std::string& word : sshd_->mount_options()) options.more.push_back(word);
    }
    mount_ = std::make_unique<NetfsMount>(options, temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }

  std::string any_path() {
    std::string path;
    const unsigned depth = 1 + random_() % 10 / 5 + random_() % 10 / 8;
    for (unsigned i = 0; i < depth; ++i) {
      if (i > 0) path += '/';
      path += static_cast<char>('a' + random_() % 4);
    }
    return path;
  }

  std::string any_bytes() {
    const size_t sizes[] = {1, 100, 4096, 5000, 65536, 150'000};
    return pattern(random_(), 0, 1 + random_() % sizes[random_() % 6]);
  }

  // Makes a call on both trees and compares what it answers.
  template <class Call>
  void both(const std::string& what, Call call) {
    history_.push_back(what);
    const std::string plain = call(twin_ + "/");
    const std::string mounted = call(mount_->path() + "/");
    EXPECT_TRUE(mounted == plain) << what << ": on the mount '" << mounted.substr(0, 60)
                                  << "', on a plain tree '" << plain.substr(0, 60) << "'";
    history_.back() += " -> " + plain.substr(0, 20);
  }

  void write_a_file() {
    const std::string path = any_path();
    const std::string bytes = any_bytes();
    const off_t at = random_() % 3 == 0 ? static_cast<off_t>(random_() % 200'000) : 0;
    const int choices[] = {0, O_TRUNC, O_APPEND, O_EXCL};
    const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | choices[random_() % 4];
    both("write " + path + " " + std::to_string(bytes.size()) + " at " + std::to_string(at) +
             " flags " + std::to_string(flags),
         [&](const std::string& root) {
           const UniqueFd fd(::open((root + path).c_str(), flags, 0640));
           if (!fd) return outcome(-1);
           return outcome(::pwrite(fd.get(), bytes.data(), bytes.size(), at));
         });
  }

  void read_a_file() {
    const std::string path = any_path();
    both("read " + path, [&](const std::string& root) {
      const UniqueFd fd(::open((root + path).c_str(), O_RDONLY | O_CLOEXEC));
      if (!fd) return outcome(-1);
      return bytes_of(fd.get(), 0, 1 << 20);
    });
  }

  void look_at_a_name() {
    const std::string path = any_path();
    both("stat " + path, [&](const std::string& root) {
      struct stat st {};
      if (::lstat((root + path).c_str(), &st) != 0) return outcome(-1);
      if (S_ISDIR(st.st_mode)) return std::to_string(st.st_mode);
      const nlink_t links = GetParam().sftp ? 1 : st.st_nlink;
      return std::to_string(st.st_mode) + " " + std::to_string(st.st_size) + " " +
             std::to_string(links);
    });
  }

  void list_a_directory() {
    const std::string path = random_() % 3 == 0 ? "" : any_path();
    both("list " + path, [&](const std::string& root) {
      const Result<std::vector<std::string>> names = list_names(root + path);
      if (!names.ok()) return std::string(strerrorname_np(names.code()));
      std::string text;
      for (const std::string& name : names.value()) text += name + " ";
      return text;
    });
  }

  // An origin whose handles do not outlive names shows what it hides; and a worker that is killed
  // takes with it what was removed while open.
  void let_go() {
    if (GetParam().sftp || kills_wanted_) held_.clear();
  }

  void change_a_name() {
    const std::string path = any_path();
    const std::string other = any_path();
    switch (random_() % 7) {
      case 0:
        return both("mkdir " + path, [&](const std::string& root) {
          return outcome(::mkdir((root + path).c_str(), 0755));
        });
      case 1:
        let_go();
        return both("unlink " + path, [&](const std::string& root) {
          return outcome(::unlink((root + path).c_str()));
        });
      case 2:
        return both("rmdir " + path, [&](const std::string& root) {
          return outcome(::rmdir((root + path).c_str()));
        });
      case 3:
        let_go();
        return both("rename " + path + " " + other, [&](const std::string& root) {
          return outcome(::rename((root + path).c_str(), (root + other).c_str()));
        });
      case 4:
        return both("symlink " + path, [&](const std::string& root) {
          return outcome(::symlink("b", (root + path).c_str()));
        });
      case 5: {
        let_go();
        const unsigned choices[] = {RENAME_NOREPLACE, RENAME_EXCHANGE};
        const unsigned flags = choices[random_() % (GetParam().links() ? 2 : 1)];
        return both("renameat2 " + path + " " + other + " flags " + std::to_string(flags),
                    [&](const std::string& root) {
                      return outcome(::renameat2(AT_FDCWD, (root + path).c_str(), AT_FDCWD,
                                                 (root + other).c_str(), flags));
                    });
      }
      default:
        if (!GetParam().links()) return;
        return both("link " + path + " " + other, [&](const std::string& root) {
          return outcome(::link((root + path).c_str(), (root + other).c_str()));
        });
    }
  }

  void change_attributes() {
    const std::string path = any_path();
    switch (random_() % 3) {
      case 0: {
        const mode_t mode = 0400 | (random_() & 0777);
        return both("chmod " + path, [&](const std::string& root) {
          return outcome(::chmod((root + path).c_str(), mode));
        });
      }
      case 1: {
        const auto seconds = static_cast<time_t>(1'000'000'000 + random_() % 500'000'000);
        return both("utimes " + path, [&](const std::string& root) {
          const timespec times[2] = {{seconds, 0}, {seconds + 5, 0}};
          const int set = ::utimensat(AT_FDCWD, (root + path).c_str(), times, 0);
          struct stat st {};
          if (set != 0 || ::stat((root + path).c_str(), &st) != 0) return outcome(-1);
          return std::to_string(st.st_mtim.tv_sec);
        });
      }
      default: {
        const auto size = static_cast<off_t>(random_() % 300'000);
        return both("truncate " + path + " " + std::to_string(size), [&](const std::string& root) {
          return outcome(::truncate((root + path).c_str(), size));
        });
      }
    }
  }

  void hold_a_file() {
    const std::string path = any_path();
    const int flags = (random_() % 2 == 0 ? O_RDWR : O_RDONLY) | O_CLOEXEC;
    history_.push_back("hold " + path + " " + std::to_string(flags));
    Held held{.path = path,
              .mounted = UniqueFd(::open((mount_->path() + "/" + path).c_str(), flags)),
              .plain = UniqueFd(),
              .writable = (flags & O_ACCMODE) == O_RDWR};
    const int error = held.mounted ? 0 : errno;
    held.plain = UniqueFd(::open((twin_ + "/" + path).c_str(), flags));
    EXPECT_EQ(error, held.plain ? 0 : errno) << "hold " << path;
    if (!held.mounted || !held.plain) return;
    struct stat st {};
    if (::fstat(held.plain.get(), &st) != 0 || !S_ISREG(st.st_mode)) return;
    if (held_.size() >= kMutationsHeldMax) held_.erase(held_.begin());
    held_.push_back(std::move(held));
  }

  template <class Call>
  void both_held(const std::string& what, const Held& held, Call call) {
    history_.push_back(what + " of the held " + held.path);
    const std::string plain = call(held.plain.get());
    const std::string mounted = call(held.mounted.get());
    EXPECT_TRUE(mounted == plain) << history_.back() << ": on the mount " << mounted.size()
                                  << " bytes '" << mounted.substr(0, 40) << "', on a plain tree "
                                  << plain.size() << " '" << plain.substr(0, 40) << "'";
  }

  void use_a_held_file() {
    if (held_.empty()) return hold_a_file();
    const Held& held = held_[random_() % held_.size()];
    const auto at = static_cast<off_t>(random_() % 200'000);
    const std::string bytes = any_bytes();
    const unsigned kind = held.writable ? random_() % 6 : random_() % 2;
    switch (kind) {
      case 0:
        return both_held("read", held, [&](int fd) { return bytes_of(fd, at, bytes.size()); });
      case 1:
        return both_held("fstat", held, [&](int fd) {
          struct stat st {};
          if (::fstat(fd, &st) != 0) return outcome(-1);
          return std::to_string(st.st_size) + " " + std::to_string(st.st_mode);
        });
      case 2:
      case 3:
        return both_held("write", held, [&](int fd) {
          return outcome(::pwrite(fd, bytes.data(), bytes.size(), at));
        });
      case 4:
        return both_held("ftruncate", held, [&](int fd) { return outcome(::ftruncate(fd, at)); });
      default:
        return both_held("store", held, [&](int fd) {
          struct stat st {};
          if (::fstat(fd, &st) != 0 || st.st_size == 0) return outcome(-1);
          const auto size = static_cast<size_t>(st.st_size);
          void* map = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
          if (map == MAP_FAILED) return outcome(-1);
          const size_t from = static_cast<size_t>(at) % size;
          std::memcpy(static_cast<char*>(map) + from, bytes.data(),
                      std::min(bytes.size(), size - from));
          const std::string done = outcome(::msync(map, size, MS_SYNC));
          ::munmap(map, size);
          return done;
        });
    }
  }

  // Within 20 ms from now, and not before another one serves since the last.
  void begin_kill() {
    killer_.reset();
    ASSERT_TRUE(wait_until([this] { return mount_->worker() != victim_; }, kMutationsBound));
    victim_ = mount_->worker();
    ASSERT_GT(victim_, 0);
    ++kills_;
    const auto us = static_cast<long>(random_() % (random_() % 2 == 0 ? 1'000 : 20'000));
    history_.push_back("kill in " + std::to_string(us) + " us");
    killer_ = std::make_unique<sync::Thread>("killer", [us, victim = victim_] {
      const timespec pause{.tv_sec = 0, .tv_nsec = us * 1000};
      (void)::ppoll(nullptr, 0, &pause, nullptr);
      kill_process(victim, SIGKILL);
    });
  }

  void compare_both();

  void step() {
    if (kills_wanted_ && ++steps_ % kStepsAKill == 0) begin_kill();
    const unsigned kind = random_() % 100;
    if (kind < 20) {
      write_a_file();
    } else if (kind < 32) {
      read_a_file();
    } else if (kind < 40) {
      look_at_a_name();
    } else if (kind < 46) {
      list_a_directory();
    } else if (kind < 66) {
      change_a_name();
    } else if (kind < 74) {
      change_attributes();
    } else if (kind < 80) {
      hold_a_file();
    } else if (kind < 96) {
      use_a_held_file();
    } else if (kind < 99) {
      drop_dentries();
    } else {
      history_.emplace_back("unmount and mount");
      killer_.reset();
      victim_ = -1;
      held_.clear();
      ASSERT_TRUE(mount_->unmount()) << mount_->log();
      mount_anew();
    }
  }

  TempDir temp_;
  std::string source_;
  std::string twin_;
  std::unique_ptr<TestSshd> sshd_;
  std::unique_ptr<NetfsMount> mount_;
  std::mt19937_64 random_;
  std::vector<Held> held_;
  std::vector<std::string> history_;
  unsigned kills_wanted_ = 0;  // however slow the machine
  unsigned steps_ = 0;
  unsigned kills_ = 0;
  pid_t victim_ = -1;
  std::unique_ptr<sync::Thread> killer_;
};

}  // namespace netfs::test
