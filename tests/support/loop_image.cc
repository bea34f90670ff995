#include "tests/support/loop_image.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/unique_fd.h"
#include "tests/support/process.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kToolTimeout{60};

// The same number for ext4 (EXT4_IOC_SHUTDOWN) and xfs (XFS_IOC_GOINGDOWN); no header has both.
constexpr unsigned long kIocShutdown = _IOR('X', 125, uint32_t);
constexpr uint32_t kShutdownWithoutFlushingTheLog = 2;

// The guard process; only calls that are safe after a fork of a threaded program.
[[noreturn]] void guard(int directory, int parent, int bound_ms) {
  // Who ends a test by a signal to its whole group must not end this: the disk would stay frozen.
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  char byte = ::ioctl(directory, FIFREEZE, 0) == 0 ? 'f' : 'e';
  if (::write(parent, &byte, 1) != 1 || byte == 'e') ::_exit(1);
  pollfd asked{parent, POLLIN, 0};
  const int ready = ::poll(&asked, 1, bound_ms);
  byte = ::ioctl(directory, FITHAW, 0) == 0 && ready > 0 ? 't' : 'l';
  (void)!::write(parent, &byte, 1);
  ::_exit(0);
}

}  // namespace

LoopImage::LoopImage(const TempDir& temp, std::string type, unsigned size_mib)
    : type_(std::move(type)), path_(temp.make_dir(type_ + ".mnt")) {
  const std::string image = temp / (type_ + ".img");
  const UniqueFd file(::open(image.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file || ::ftruncate(file.get(), static_cast<off_t>(size_mib) << 20) != 0) {
    trouble_ = image + ": " + std::strerror(errno);
    return;
  }
  std::vector<std::string> make = {"mkfs." + type_, "-q"};
  if (type_ == "ext4") make.emplace_back("-F");
  make.push_back(image);
  Finished made = run(make, kToolTimeout);
  if (made.status != 0) {
    trouble_ = make[0] + ": " + made.output;
    return;
  }
  made = run({"losetup", "--find", "--show", image}, kToolTimeout);
  if (made.status != 0) {
    trouble_ = "losetup: " + made.output;
    return;
  }
  device_ = made.output.substr(0, made.output.find('\n'));
  if (!mount()) trouble_ = "mount " + device_ + ": " + std::strerror(errno);
}

LoopImage::~LoopImage() {
  if (device_.empty()) return;
  if (!unmount()) ::umount2(path_.c_str(), MNT_DETACH);
  run({"losetup", "--detach", device_}, kToolTimeout);
}

bool LoopImage::mount() {
  return ::mount(device_.c_str(), path_.c_str(), type_.c_str(), MS_NOATIME, nullptr) == 0;
}

bool LoopImage::unmount() {
  // A process that was just killed may need a moment to let go of its files.
  return wait_until([this] { return ::umount2(path_.c_str(), 0) == 0 || errno != EBUSY; },
                    kToolTimeout);
}

bool LoopImage::cut_power() const {
  const UniqueFd directory(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  uint32_t flags = kShutdownWithoutFlushingTheLog;
  return directory && ::ioctl(directory.get(), kIocShutdown, &flags) == 0;
}

// A worker that is about to end still has the dead file system, through a mount of its own, and as
// long as it does a new mount is of that one.
bool LoopImage::mount_again() {
  const auto takes_files = [this] {
    const UniqueFd probe(::open(path_.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
    return static_cast<bool>(probe);
  };
  return wait_until([&] { return unmount() && mount() && takes_files(); }, kToolTimeout);
}

QuotaFolder::QuotaFolder(const TempDir& temp, unsigned mib)
    : disk_(temp, "btrfs", 256), path_(disk_.path() + "/limited"), trouble_(disk_.trouble()) {
  if (!trouble_.empty()) return;
  (void)(btrfs({"quota", "enable", disk_.path()}) && btrfs({"subvolume", "create", path_}) &&
         limit(mib));
}

bool QuotaFolder::limit(unsigned mib) {
  return btrfs({"qgroup", "limit", std::to_string(mib) + "M", path_});
}

bool QuotaFolder::btrfs(const std::vector<std::string>& words) {
  std::vector<std::string> command = {"btrfs"};
  command.insert(command.end(), words.begin(), words.end());
  const Finished done = run(command, kToolTimeout);
  if (done.status != 0) trouble_ = "btrfs " + words[0] + ": " + done.output;
  return done.status == 0;
}

bool set_immutable(const std::string& path, bool immutable) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  int flags = 0;
  if (!fd || ::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) return false;
  flags = immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
  return ::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags) == 0;
}

Frozen::Frozen(const std::string& path, Duration bound) {
  const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int pair[2] = {-1, -1};
  if (!directory || ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return;
  const auto bound_ms = std::chrono::duration_cast<std::chrono::milliseconds>(bound).count();
  guard_ = ::fork();
  if (guard_ == 0) {
    ::close(pair[0]);  // so that the end of this program is seen
    guard(directory.get(), pair[1], static_cast<int>(bound_ms));
  }
  ::close(pair[1]);
  guard_socket_.reset(pair[0]);
  char byte = 0;
  frozen_ = guard_ > 0 && ::read(guard_socket_.get(), &byte, 1) == 1 && byte == 'f';
}

bool Frozen::thaw() {
  if (guard_ < 0) return false;
  char byte = 0;
  ::send(guard_socket_.get(), "t", 1, MSG_NOSIGNAL);
  const bool was_frozen = frozen_ && ::read(guard_socket_.get(), &byte, 1) == 1 && byte == 't';
  guard_socket_.reset();
  ::waitpid(guard_, nullptr, 0);
  guard_ = -1;
  return was_frozen;
}

}  // namespace netfs::test
