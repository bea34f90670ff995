#include "fuse/mount.h"

#include <cerrno>
#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "fuse/device_ioctl.h"
#include "fuse/mount_helper.h"
#include "fuse/mount_table.h"

namespace netfs::fuse {

namespace {

constexpr const char* kDevice = "/dev/fuse";

Error mount_point_error(int code, const std::string& path) {
  switch (code) {
    case ENOENT:
      return {code, "fuse.mount_point",
              fmt::format("mount point {} does not exist: create the directory first", path)};
    case ENOTDIR:
      return {code, "fuse.mount_point",
              fmt::format("mount point {} is not a directory: name one", path)};
    case ENOTCONN:
      return {code, "fuse.mount_point",
              fmt::format("mount point {} lies on a mount whose daemon is gone: unmount that first",
                          path)};
    case EACCES:
    case EPERM:
      return {code, "fuse.mount_point",
              fmt::format("mount point {} is not accessible to this user", path)};
    default:
      return {code, "fuse.mount_point", fmt::format("mount point {}: errno {}", path, code)};
  }
}

Result<UniqueFd> open_device() {
  UniqueFd fd(::open(kDevice, O_RDWR | O_CLOEXEC));
  if (fd) return fd;
  const int code = errno;
  if (code == ENOENT || code == ENODEV || code == ENXIO) {
    return Error(ENODEV, "fuse.mount",
                 "/dev/fuse is missing: load the fuse module (modprobe fuse) and try again");
  }
  if (code == EACCES || code == EPERM) {
    return Error(EPERM, "fuse.mount", "/dev/fuse may not be opened by this user");
  }
  return Error(code, "fuse.mount");
}

unsigned long mount_flags(const MountOptions& options) {
  unsigned long flags = 0;
  if (options.read_only) flags |= MS_RDONLY;
  if (options.nosuid) flags |= MS_NOSUID;
  if (options.nodev) flags |= MS_NODEV;
  if (options.noexec) flags |= MS_NOEXEC;
  if (options.noatime) flags |= MS_NOATIME;
  return flags;
}

// More descriptors of the connection, as far as the kernel and this user's rights go.
void add_clones(std::vector<UniqueFd>& fds, unsigned wanted) {
  while (fds.size() < wanted) {
    UniqueFd clone(::open(kDevice, O_RDWR | O_CLOEXEC));
    const auto original = static_cast<uint32_t>(fds[0].get());
    if (!clone || ::ioctl(clone.get(), kIocClone, &original) != 0) return;
    fds.push_back(std::move(clone));
  }
}

Error mount_error(int code, const MountOptions& options) {
  switch (code) {
    case EPERM:
    case EACCES:
      return {
          EPERM, "fuse.mount",
          fmt::format("mounting on {} needs CAP_SYS_ADMIN, or fusermount3", options.mount_point)};
    case ENODEV:
      return {code, "fuse.mount", "this kernel has no FUSE: load the fuse module (modprobe fuse)"};
    case EBUSY:
      return {code, "fuse.mount", fmt::format("mount point {} is busy", options.mount_point)};
    default:
      return {code, "fuse.mount",
              fmt::format("mounting on {} failed: errno {}", options.mount_point, code)};
  }
}

}  // namespace

std::string escape_option(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == ',' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

std::string kernel_options(const MountOptions& options, int fd, unsigned root_mode) {
  std::string text = fmt::format("fd={},rootmode={:o},user_id={},group_id={}", fd, root_mode,
                                 ::geteuid(), ::getegid());
  if (options.allow_other) text += ",allow_other";
  if (options.default_permissions) text += ",default_permissions";
  if (options.max_read_bytes > 0) text += fmt::format(",max_read={}", options.max_read_bytes);
  return text;
}

std::string helper_options(const MountOptions& options) {
  std::string text = fmt::format("fsname={},subtype={}", escape_option(options.source),
                                 escape_option(options.subtype));
  text += options.read_only ? ",ro" : ",rw";
  text += options.nosuid ? ",nosuid" : ",suid";
  text += options.nodev ? ",nodev" : ",dev";
  if (options.noexec) text += ",noexec";
  if (options.noatime) text += ",noatime";
  if (options.allow_other) text += ",allow_other";
  if (options.default_permissions) text += ",default_permissions";
  if (options.max_read_bytes > 0) text += fmt::format(",max_read={}", options.max_read_bytes);
  return text;
}

Result<void> check_mount_point(const std::string& path) {
  if (path.empty() || path.front() != '/') {
    return Error(EINVAL, "fuse.mount_point",
                 fmt::format("mount point '{}' must be an absolute path", path));
  }
  // From the table first: asking a mount whose daemon hangs would hang too.
  const std::optional<MountEntry> there = TRY(find_mount(path));
  if (there) {
    return Error(EBUSY, "fuse.mount_point",
                 fmt::format("{} is mounted on {} already (type {}): unmount it first, or choose "
                             "another directory",
                             there->source, path, there->type));
  }
  struct stat attributes {};
  if (::stat(path.c_str(), &attributes) != 0) return mount_point_error(errno, path);
  if (!S_ISDIR(attributes.st_mode)) return mount_point_error(ENOTDIR, path);
  return {};
}

Result<std::vector<UniqueFd>> mount_directly(const MountOptions& options) {
  TRY(check_mount_point(options.mount_point));
  struct stat attributes {};
  if (::stat(options.mount_point.c_str(), &attributes) != 0) {
    return mount_point_error(errno, options.mount_point);
  }
  std::vector<UniqueFd> fds;
  fds.push_back(TRY(open_device()));
  const std::string type = "fuse." + options.subtype;
  const std::string data = kernel_options(options, fds[0].get(), attributes.st_mode & S_IFMT);
  // The source is a string of its own to mount(2): nothing in it needs escaping.
  if (::mount(options.source.c_str(), options.mount_point.c_str(), type.c_str(),
              mount_flags(options), data.c_str()) != 0) {
    return mount_error(errno, options);
  }
  add_clones(fds, options.queues);
  return fds;
}

Result<std::vector<UniqueFd>> mount_by_helper(const MountOptions& options) {
  TRY(check_mount_point(options.mount_point));
  std::vector<UniqueFd> fds;
  fds.push_back(TRY(helper_mount(options.mount_point, helper_options(options))));
  add_clones(fds, options.queues);
  return fds;
}

Result<std::vector<UniqueFd>> mount(const MountOptions& options) {
  Result<std::vector<UniqueFd>> direct = mount_directly(options);
  if (direct.ok() || !direct.is_error(EPERM)) return direct;
  return mount_by_helper(options);
}

Result<void> unmount(const std::string& mount_point, UnmountMode mode) {
  const char* path = mount_point.c_str();
  int code = 0;
  if (mode == UnmountMode::kForce) {
    // Aborts what is in flight, and succeeds at once unless somebody has files open.
    code = ::umount2(path, MNT_FORCE | UMOUNT_NOFOLLOW) == 0 ? 0 : errno;
    if (code == 0) return {};
  }
  const int flags = mode == UnmountMode::kPlain ? 0 : MNT_DETACH;
  code = ::umount2(path, flags | UMOUNT_NOFOLLOW) == 0 ? 0 : errno;
  switch (code) {
    case 0:
      return {};
    case EPERM:
      return helper_unmount(mount_point, mode != UnmountMode::kPlain);
    case EBUSY:
      return Error(
          code, "fuse.unmount",
          fmt::format("{} is in use: close the files there, or unmount lazily", mount_point));
    case EINVAL:
      return Error(code, "fuse.unmount", fmt::format("nothing is mounted on {}", mount_point));
    case ENOENT:
      return Error(code, "fuse.unmount", fmt::format("{} does not exist", mount_point));
    default:
      return Error(code, "fuse.unmount");
  }
}

Result<void> set_readahead(const std::string& mount_point, unsigned kib) {
  const std::optional<MountEntry> entry = TRY(find_mount(mount_point));
  if (!entry) return Error(ENOENT, "fuse.readahead");
  const std::string path = fmt::format("/sys/class/bdi/{}/read_ahead_kb", entry->device);
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return Error::from_errno("fuse.readahead");
  const std::string text = std::to_string(kib);
  if (::write(fd.get(), text.data(), text.size()) < 0) return Error::from_errno("fuse.readahead");
  return {};
}

}  // namespace netfs::fuse
