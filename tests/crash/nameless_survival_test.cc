// Goal: a file that is open and has no name any more, or never had one, is read and written on when
// the worker that serves it is killed, and nothing of it is left once it is closed; and where the
// supervisor has no room for its descriptor, who has it open is told.
//
// By back it has a hidden name, and none is made without one.

#include <array>
#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <sys/mman.h>

#include "base/kill_process.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

class NamelessSurvival : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    source_ = temp_.make_dir("source");
  }
  void mount_it(std::vector<std::string> in_front = {}) {
    mount_ = std::make_unique<NetfsMount>(
        NetfsMount::Options{.url = "file://" + source_,
                            .cache_dir = temp_ / "cache",
                            .more = {std::string("--write=") + GetParam()},
                            .in_front = std::move(in_front)},
        temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }
  [[nodiscard]] static bool by_descriptor() { return std::string_view(GetParam()) != "back"; }
  [[nodiscard]] std::string here(const std::string& name) const {
    return mount_->path() + "/" + name;
  }
  [[nodiscard]] std::string there(const std::string& name) const { return source_ + "/" + name; }

  void kill_worker() {
    const pid_t worker = mount_->worker();
    ASSERT_GT(worker, 0);
    ASSERT_EQ(kill_process(worker, SIGKILL), 0);
    ASSERT_TRUE(wait_until([&] { return mount_->worker() > 0 && mount_->worker() != worker; },
                           std::chrono::seconds(60)));
  }
  // One that has been removed, one that another has replaced, one that was made without a name; and
  // one that was removed and is only read.
  void open_them() {
    for (const char* name : {"removed", "replaced", "read"}) {
      ASSERT_EQ(put(here(name), "0"), 0);
      const int how = std::string_view(name) == "read" ? O_RDONLY : O_RDWR;
      files_[name] = open_file(here(name), how);
    }
    if (by_descriptor()) files_["made"] = open_file(here("."), O_TMPFILE | O_RDWR);
    for (const auto& [name, file] : files_) ASSERT_TRUE(file) << name << strerror(errno);
    if (by_descriptor()) {
      ASSERT_EQ(::write(files_["made"].get(), "0", 1), 1);
    }
    ASSERT_EQ(::unlink(here("removed").c_str()), 0);
    ASSERT_EQ(::unlink(here("read").c_str()), 0);
    ASSERT_EQ(put(here("other"), "other"), 0);
    ASSERT_EQ(::rename(here("other").c_str(), here("replaced").c_str()), 0);
  }

  void give_name(const std::string& name) {
    const std::string open = "/proc/self/fd/" + std::to_string(files_[name].get());
    ASSERT_EQ(::linkat(AT_FDCWD, open.c_str(), AT_FDCWD, here(name).c_str(), AT_SYMLINK_FOLLOW), 0)
        << strerror(errno);
  }
  bool sync() { return run({netfs_binary(), "sync", mount_->path()}, kBound).status == 0; }
  // Files of the origin that the supervisor has open.
  [[nodiscard]] size_t held_by_supervisor() const {
    const std::string fds = "/proc/" + std::to_string(mount_->supervisor()) + "/fd";
    size_t held = 0;
    for (const std::string& name : list_names(fds).value()) {
      std::array<char, 4096> to{};
      (void)::readlink((fds + "/" + name).c_str(), to.data(), to.size() - 1);
      if (std::string_view(to.data()).starts_with(source_)) ++held;
    }
    return held;
  }

  TempDir temp_;
  std::string source_;
  std::unique_ptr<NetfsMount> mount_;
  std::map<std::string, UniqueFd> files_;
};

// Another mapping each time: pages that one has stay in memory.
void change_mapped(int fd, char byte) {
  void* const at = ::mmap(nullptr, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(at, MAP_FAILED) << strerror(errno);
  *static_cast<char*>(at) = byte;
  EXPECT_EQ(code(::msync(at, 1, MS_SYNC)), 0);
  ::munmap(at, 1);
}

TEST_P(NamelessSurvival, ItIsReadAndWrittenOnAndNothingIsLeftOfItOnceItIsClosed) {
  mount_it();
  const Watchdog watchdog(kBound, [&] { abort_mount(temp_ / "mnt"); });
  ASSERT_NO_FATAL_FAILURE(open_them());
  std::string written = "0";
  for (const char more : {'1', '2', '3'}) {
    ASSERT_NO_FATAL_FAILURE(kill_worker());
    EXPECT_EQ(held_by_supervisor(), by_descriptor() ? files_.size() : 0U);
    const auto end = static_cast<off_t>(written.size());
    for (const auto& [name, file] : files_) {
      struct stat st {};
      EXPECT_EQ(code(::fstat(file.get(), &st)), 0) << name;
      EXPECT_EQ(st.st_nlink, 0U) << name;
      // From the mount, not from memory.
      EXPECT_EQ(::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
      EXPECT_EQ(bytes_at(file.get(), 0, 10), name == "read" ? "0" : written) << name;
      if (name == "read") continue;
      EXPECT_EQ(::pwrite(file.get(), &more, 1, end), 1) << name << ": " << strerror(errno);
      EXPECT_EQ(code(::ftruncate(file.get(), end + 5)), 0) << name;
      EXPECT_EQ(code(::ftruncate(file.get(), end + 1)), 0) << name;
      ASSERT_NO_FATAL_FAILURE(change_mapped(file.get(), more)) << name;
      EXPECT_EQ(code(::fstat(file.get(), &st)), 0) << name;
      EXPECT_EQ(st.st_size, end + 1) << name;
    }
    written += more;
    written[0] = more;
  }
  for (const auto& [name, file] : files_) {
    EXPECT_EQ(bytes_at(file.get(), 0, 10), name == "read" ? "0" : written) << name;
    EXPECT_EQ(code(::fsync(file.get())), 0) << name;
  }
  EXPECT_EQ(whole(here("replaced")), "other");
  if (by_descriptor()) {
    ASSERT_NO_FATAL_FAILURE(give_name("made"));
    EXPECT_EQ(whole(there("made")), written);
  }
  files_.clear();
  EXPECT_TRUE(wait_until([&] { return held_by_supervisor() == 0; }, std::chrono::seconds(60)));
  // A hidden name goes once the last close has been answered.
  const size_t with_a_name = by_descriptor() ? 2 : 1;
  EXPECT_TRUE(wait_until(
      [&] {
        const bool synced = by_descriptor() || sync();
        return synced && list_names(source_).value().size() == with_a_name;
      },
      std::chrono::seconds(60)))
      << "made, replaced";
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
  EXPECT_EQ(whole(there("replaced")), "other");
}

class NamelessWithoutRoom : public NamelessSurvival {};

TEST_P(NamelessWithoutRoom, WhoHasOneOpenIsToldAndTheNextOneIsServed) {
  mount_it({"/usr/bin/prlimit", "--nofile=256:256"});
  const Watchdog watchdog(kBound, [&] { abort_mount(temp_ / "mnt"); });
  ASSERT_NO_FATAL_FAILURE(open_them());
  ASSERT_NO_FATAL_FAILURE(kill_worker());
  for (const auto& [name, file] : files_) {
    char byte = 0;
    EXPECT_EQ(code(::pread(file.get(), &byte, 1, 0)), ESTALE) << name;
    if (name == "read") continue;
    EXPECT_EQ(code(::pwrite(file.get(), "x", 1, 0)), ESTALE) << name;
  }
  EXPECT_EQ(whole(here("replaced")), "other");
  UniqueFd next = open_file(here("."), O_TMPFILE | O_RDWR);
  EXPECT_EQ(::pwrite(next.get(), "next", 4, 0), 4);
  EXPECT_EQ(bytes_at(next.get(), 0, 10), "next");
  next.reset();
  files_.clear();
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
}

INSTANTIATE_TEST_SUITE_P(Written, NamelessSurvival, testing::Values("through", "close", "back"),
                         [](const auto& mode) { return std::string(mode.param); });
INSTANTIATE_TEST_SUITE_P(Written, NamelessWithoutRoom, testing::Values("through", "close"),
                         [](const auto& mode) { return std::string(mode.param); });

}  // namespace
}  // namespace netfs::test
