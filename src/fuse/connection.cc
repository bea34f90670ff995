#include "fuse/connection.h"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <string_view>
#include <sys/mount.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "fuse/mount_table.h"

namespace netfs::fuse {

namespace {

// As the kernel tells it, from 6.16 on.
std::optional<unsigned> number_of(int fd) {
  constexpr std::string_view kWords = "fuse_connection:";
  std::ifstream in(fmt::format("/proc/self/fdinfo/{}", fd));
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(kWords)) continue;
    return static_cast<unsigned>(std::strtoul(line.c_str() + kWords.size(), nullptr, 10));
  }
  return std::nullopt;
}

bool has_ended(int fd) {
  pollfd polled{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&polled, 1, 0) > 0 && (polled.revents & POLLERR) != 0;
}

// The control file of a connection.  Where its file system is mounted nowhere it is had without a
// place, if this process may mount.
Result<UniqueFd> open_abort(unsigned number) {
  const std::string file = fmt::format("{}/abort", number);
  UniqueFd fd(::open(("/sys/fs/fuse/connections/" + file).c_str(), O_WRONLY | O_CLOEXEC));
  if (fd) return fd;
  if (errno != ENOENT && errno != EROFS) return Error::from_errno("fuse.abort");
  const UniqueFd made(::fsopen("fusectl", FSOPEN_CLOEXEC));
  if (!made || ::fsconfig(made.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return Error::from_errno("fuse.abort");
  }
  const UniqueFd tree(::fsmount(made.get(), FSMOUNT_CLOEXEC, 0));
  if (!tree) return Error::from_errno("fuse.abort");
  fd = UniqueFd(::openat(tree.get(), file.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return Error::from_errno("fuse.abort");
  return fd;
}

}  // namespace

std::optional<unsigned> connection_number(const std::string& mount_point,
                                          const std::string& source) {
  const Result<std::optional<MountEntry>> there = find_mount(mount_point);
  if (!there.ok() || !there.value()) return std::nullopt;
  const MountEntry& entry = *there.value();
  // A connection has the number of its device, whose major is 0.
  const bool is_it =
      entry.source == source && entry.type.starts_with("fuse.") && entry.device.starts_with("0:");
  if (!is_it) return std::nullopt;
  return static_cast<unsigned>(std::strtoul(entry.device.c_str() + 2, nullptr, 10));
}

Result<void> abort_connection(int fd, unsigned number) {
  if (has_ended(fd)) return {};
  number = number_of(fd).value_or(number);
  if (number == 0) return Error(ENOENT, "fuse.abort", "the number of its connection is not known");
  const Result<UniqueFd> file = open_abort(number);
  // What is open belongs to whoever had the number then: ours, if ours lives still.
  if (has_ended(fd)) return {};
  if (!file.ok()) return file.error();
  if (::write(file.value().get(), "1", 1) != 1) return Error::from_errno("fuse.abort");
  return {};
}

}  // namespace netfs::fuse
