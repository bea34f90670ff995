// Goal: whatever happens, a mount shows the bytes of its source.  Random changes are made to the
// source behind the mount's back, and random reads, listings and stats on the mount are compared
// with it, while the mount, its worker, its cache and its origin suffer random accidents.
//
// With --metadata-ttl 0 every open is validated, so a handle must read the version of its open, to
// the byte, for ever; or fail.  An accident may make a call fail; never may it show a wrong byte.
//
// The seed is printed first; NETFS_TEST_SEED repeats a run, NETFS_TEST_STEPS makes it longer.

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <random>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

#include "base/kill_process.h"
#include "base/unique_fd.h"
#include "tests/model/source_tree.h"
#include "tests/support/loop_image.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kBound{150};
constexpr std::chrono::seconds kRun{60};  // a slow machine does fewer steps
constexpr unsigned kHandlesMax = 8;

struct Parameters {
  const char* name;
  bool sftp;
  bool passthrough;
  unsigned steps;
};

// A file held open, with what it held when it was opened.
struct Held {
  UniqueFd fd;
  std::string name;
  std::string bytes;
};

class Model : public testing::TestWithParam<Parameters> {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    NETFS_TEST_NEEDS(loop_devices());
    const uint64_t seed = test_seed();
    random_.seed(seed);
    source_ = std::make_unique<SourceTree>(temp_.make_dir("source"), random_);
    disk_ = std::make_unique<LoopImage>(temp_, "ext4", 64);
    ASSERT_TRUE(disk_->ready()) << disk_->trouble();
    if (GetParam().sftp) {
      NETFS_TEST_NEEDS(program("sshd"));
      sshd_ = std::make_unique<TestSshd>(temp_);
      ASSERT_TRUE(sshd_->ready()) << sshd_->log();
    }
    mount_anew();
  }

  void TearDown() override {
    if (testing::Test::HasFailure()) {
      for (const std::string& line : history_) std::printf("  %s\n", line.c_str());
      if (mount_) std::printf("log of the mount:\n%s\n", mount_->log().c_str());
    }
    held_.clear();
    mount_.reset();
  }

  void mount_anew() {
    NetfsMount::Options options{.url = "file://" + source_->path(),
                                .cache_dir = disk_->path() + "/cache",
                                .more = {"--metadata-ttl", "0s", "--negative-ttl", "0s", "--hot",
                                         "0s", "--cache-size", "16M", "--timeout", "10s"}};
    if (sshd_) {
      options.url = sshd_->url(source_->path());
      for (const std::string& more : sshd_->mount_options()) options.more.push_back(more);
    }
    if (!GetParam().passthrough) options.more.push_back("--no-passthrough");
    mount_.reset();
    mount_ = std::make_unique<NetfsMount>(options, temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
    held_.clear();
    accident_ = false;
  }

  // Begins a step; the history of a failed run is shown with the seconds it took.
  void note(const std::string& what) {
    const std::chrono::duration<double> at = Clock::system().now() - began_;
    history_.push_back(std::to_string(at.count()) + " " + what);
  }

  void step() {
    const unsigned kind = random_() % 100;
    if (kind < 20) {
      note(source_->change());
    } else if (kind < 55) {
      read_a_file();
    } else if (kind < 65) {
      hold_a_file();
    } else if (kind < 80) {
      read_a_held_file();
    } else if (kind < 88) {
      compare_a_directory();
    } else if (kind < 95) {
      drop_what_the_kernel_has();
    } else {
      have_an_accident();
    }
  }

  void read_a_file() {
    const std::string name = source_->any_file();
    if (name.empty()) return;
    note("read " + name);
    const Result<std::string> want = read_whole(source_->path() + "/" + name);
    const uint64_t size = want.value().size();
    const ByteRange range{random_() % (size + 1), random_() % (size + 5000)};
    const Result<std::string> got = read_range(mount_->path() + "/" + name, range);
    if (!got.ok()) {
      EXPECT_TRUE(accident_) << got.error().message();
      return;
    }
    EXPECT_TRUE(got.value() == want.value().substr(range.offset_bytes, range.length_bytes))
        << name << " of " << size << " bytes is wrong in [" << range.offset_bytes << ", "
        << range.end_bytes() << "), got " << got.value().size() << " bytes";
  }

  void hold_a_file() {
    const std::string name = source_->any_file();
    if (name.empty()) return;
    note("hold " + name);
    UniqueFd fd(::open((mount_->path() + "/" + name).c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_TRUE(fd || accident_) << name << ": " << strerror(errno);
    if (!fd) return;
    if (held_.size() >= kHandlesMax) held_.erase(held_.begin());
    held_.push_back({std::move(fd), name, read_whole(source_->path() + "/" + name).value()});
  }

  // One version throughout, or an error if its bytes can be had no more.
  void read_a_held_file() {
    if (held_.empty()) return;
    const Held& held = held_[random_() % held_.size()];
    note("read the held " + held.name);
    const uint64_t offset = random_() % (held.bytes.size() + 1);
    std::string got(random_() % 200000 + 1, '\0');
    const ssize_t n = ::pread(held.fd.get(), got.data(), got.size(), static_cast<off_t>(offset));
    if (n < 0) {
      EXPECT_TRUE(errno == ESTALE || accident_) << held.name << ": " << strerror(errno);
      return;
    }
    got.resize(static_cast<size_t>(n));
    EXPECT_TRUE(got == held.bytes.substr(offset, got.size()))
        << held.name << " of " << held.bytes.size() << " bytes, held open, is wrong in [" << offset
        << ", " << offset + got.size() << ")";
  }

  void compare_a_directory() {
    const std::string name = source_->any_directory();
    note("list " + name);
    const Result<std::vector<std::string>> got = list_names(mount_->path() + "/" + name);
    if (!got.ok()) {
      EXPECT_TRUE(accident_) << got.error().message();
      return;
    }
    EXPECT_EQ(got.value(), list_names(source_->path() + "/" + name).value()) << name;
    for (const std::string& entry : got.value()) {
      const std::string path = (name.empty() ? "" : name + "/") + entry;
      struct stat ours {};
      struct stat theirs {};
      ASSERT_EQ(::lstat((source_->path() + "/" + path).c_str(), &theirs), 0);
      if (::lstat((mount_->path() + "/" + path).c_str(), &ours) != 0) {
        EXPECT_TRUE(accident_) << path << ": " << strerror(errno);
        continue;
      }
      EXPECT_EQ(ours.st_mode & S_IFMT, theirs.st_mode & S_IFMT) << path;
      EXPECT_EQ(ours.st_mtim.tv_sec, theirs.st_mtim.tv_sec) << path;
      if (S_ISREG(theirs.st_mode)) {
        EXPECT_EQ(ours.st_size, theirs.st_size) << path;
      }
    }
  }

  void drop_what_the_kernel_has() {
    note("drop dentries");
    drop_dentries();
    for (const std::string& name : source_->files()) drop_pages(mount_->path() + "/" + name);
  }

  void have_an_accident() {
    switch (random_() % 7) {
      case 0:
        note("unmount and mount");
        held_.clear();
        ASSERT_TRUE(mount_->unmount()) << mount_->log();
        mount_anew();
        break;
      case 1:
        note("kill the worker, unmount and mount");
        held_.clear();
        kill_process(mount_->worker(), SIGKILL);
        EXPECT_TRUE(mount_->unmount()) << mount_->log();
        mount_anew();
        break;
      case 2:
        note("cut the power of the cache's disk");
        held_.clear();
        ASSERT_TRUE(disk_->cut_power());
        kill_process(mount_->worker(), SIGKILL);
        EXPECT_TRUE(mount_->unmount()) << mount_->log();
        ASSERT_TRUE(disk_->mount_again());
        mount_anew();
        break;
      case 3: {
        note("freeze the cache's disk for a while");
        Frozen frozen(disk_->path(), std::chrono::seconds(100));
        for (unsigned i = 0; i < 5; ++i) read_a_file();
        EXPECT_TRUE(frozen.thaw());
        break;
      }
      case 4:
        fill_the_disk();
        break;
      case 5:
        kill_and_go_on();
        break;
      default:
        GetParam().sftp ? interrupt_the_origin() : damage_the_cache();
    }
  }

  // What is held stays held.  Not over a ring, where the mount ends with its worker.
  void kill_and_go_on() {
    const char* transport = std::getenv("NETFS_TEST_TRANSPORT");
    if (transport != nullptr && std::string_view(transport) == "ring") return;
    note("kill the worker and go on");
    kill_process(mount_->worker(), SIGKILL);
    for (unsigned i = 0; i < 3; ++i) read_a_held_file();
  }

  void fill_the_disk() {
    note("fill the cache's disk");
    const std::string ballast = disk_->path() + "/ballast";
    const UniqueFd fd(::open(ballast.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    for (off_t piece = 8 << 20, at = 0; piece >= 4096;) {
      if (::posix_fallocate(fd.get(), at, piece) == 0) {
        at += piece;
      } else {
        piece /= 2;
      }
    }
    for (unsigned i = 0; i < 5; ++i) read_a_file();
    ::unlink(ballast.c_str());
    // Or a power cut brings it back, and the disk stays full.
    const UniqueFd disk(::open(disk_->path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    (void)::syncfs(disk.get());
  }

  void interrupt_the_origin() {
    note("stop the origin and start it again");
    accident_ = true;
    sshd_->stop();
    for (unsigned i = 0; i < 2; ++i) read_a_file();
    ASSERT_TRUE(sshd_->start_again()) << sshd_->log();
    held_.clear();  // what is in use is not unmounted
    (void)mount_->unmount();
    mount_anew();
  }

  // Flips a bit of a stored object.  A file that the kernel reads by itself is beyond our checks,
  // so this is for mounts without passthrough.
  void damage_the_cache() {
    if (GetParam().passthrough) return;
    std::vector<std::string> objects;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(disk_->path() + "/cache/objects")) {
      if (entry.is_regular_file() && entry.file_size() > 0)
        objects.push_back(entry.path().string());
    }
    if (objects.empty()) return;
    std::sort(objects.begin(), objects.end());
    const std::string path = objects[random_() % objects.size()];
    note("damage " + path);
    const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    struct stat st {};
    ASSERT_EQ(::fstat(fd.get(), &st), 0);
    const off_t at = static_cast<off_t>(random_() % static_cast<uint64_t>(st.st_size));
    char byte = 0;
    ASSERT_EQ(::pread(fd.get(), &byte, 1, at), 1);
    byte = static_cast<char>(byte ^ (1 << random_() % 8));
    ASSERT_EQ(::pwrite(fd.get(), &byte, 1, at), 1);
    drop_what_the_kernel_has();
  }

  TempDir temp_;
  std::mt19937_64 random_;
  std::unique_ptr<SourceTree> source_;
  std::unique_ptr<LoopImage> disk_;
  std::unique_ptr<TestSshd> sshd_;
  std::unique_ptr<NetfsMount> mount_;
  std::vector<Held> held_;
  std::vector<std::string> history_;
  MonoTime began_ = Clock::system().now();
  bool accident_ = false;  // calls may fail just now
};

TEST_P(Model, EveryByteNameAndSizeIsTheSourcesWhateverHappens) {
  const Watchdog watchdog(kBound, [&] { abort_mount(temp_ / "mnt"); });
  const char* given = std::getenv("NETFS_TEST_STEPS");
  const unsigned steps =
      given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : GetParam().steps;
  const MonoTime until = Clock::system().now() + kRun;
  for (unsigned i = 0; i < steps && !HasFailure() && Clock::system().now() < until; ++i) step();
  for (const std::string& name : source_->files()) {
    if (HasFailure()) break;
    EXPECT_TRUE(same_bytes(mount_->path() + "/" + name, source_->path() + "/" + name));
  }
}

INSTANTIATE_TEST_SUITE_P(Mounts, Model,
                         testing::Values(Parameters{"File", false, true, 600},
                                         Parameters{"FileWithoutPassthrough", false, false, 600},
                                         Parameters{"Sftp", true, true, 300}),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace netfs::test
