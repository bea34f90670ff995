#include "origins/file/local_file.h"

#include <cerrno>
#include <climits>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "netfs/file_mode.h"

namespace netfs::origins {

namespace {

constexpr unsigned kStatMask = STATX_BASIC_STATS | STATX_BTIME;

Timestamp time_of(const statx_timestamp& t) {
  return {t.tv_sec, t.tv_nsec};
}

void append(std::string& out, const void* data, size_t size) {
  out.append(static_cast<const char*>(data), size);
}

Validator validator_of(const struct statx& st) {
  Validator validator;
  validator.strength = ValidatorStrength::kWeak;
  append(validator.bytes, &st.stx_mtime.tv_sec, sizeof st.stx_mtime.tv_sec);
  append(validator.bytes, &st.stx_mtime.tv_nsec, sizeof st.stx_mtime.tv_nsec);
  append(validator.bytes, &st.stx_ctime.tv_sec, sizeof st.stx_ctime.tv_sec);
  append(validator.bytes, &st.stx_ctime.tv_nsec, sizeof st.stx_ctime.tv_nsec);
  append(validator.bytes, &st.stx_size, sizeof st.stx_size);
  append(validator.bytes, &st.stx_ino, sizeof st.stx_ino);
  validator.changed_at = std::max(time_of(st.stx_mtime), time_of(st.stx_ctime));
  return validator;
}

NodeInfo node_info_of(const struct statx& st) {
  NodeInfo info;
  Attributes& a = info.attributes;
  a.type = file_type_of(st.stx_mode);
  a.permissions = st.stx_mode & 07777;
  a.uid = st.stx_uid;
  a.gid = st.stx_gid;
  a.link_count = st.stx_nlink;
  a.size_bytes = st.stx_size;
  a.allocated_bytes = st.stx_blocks * 512;
  a.atime = time_of(st.stx_atime);
  a.mtime = time_of(st.stx_mtime);
  a.ctime = time_of(st.stx_ctime);
  a.device = makedev(st.stx_rdev_major, st.stx_rdev_minor);
  info.validator = validator_of(st);
  append(info.identity, &st.stx_dev_major, sizeof st.stx_dev_major);
  append(info.identity, &st.stx_dev_minor, sizeof st.stx_dev_minor);
  append(info.identity, &st.stx_ino, sizeof st.stx_ino);
  if (st.stx_mask & STATX_BTIME) {
    append(info.identity, &st.stx_btime.tv_sec, sizeof st.stx_btime.tv_sec);
    append(info.identity, &st.stx_btime.tv_nsec, sizeof st.stx_btime.tv_nsec);
  }
  return info;
}

Result<UniqueFd> open_piece(int root, const char* path, int flags, uint32_t mode) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const char* relative = *path == '\0' ? "." : path;
  // EAGAIN: a rename ran beside the walk; the kernel asks to try again.
  for (int attempt = 0; attempt < 100; ++attempt) {
    const long fd = ::syscall(SYS_openat2, root, relative, &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno != EAGAIN && errno != EINTR) break;
  }
  // A link in the middle of a path: to those who do not follow links it is no directory.
  if (errno == ELOOP && (flags & O_PATH)) return Error(ENOTDIR, "file.open");
  return Error::from_errno("file.open");
}

}  // namespace

Result<NodeInfo> stat_fd(int fd, const char* name) {
  struct statx st {};
  if (::statx(fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatMask, &st) != 0) {
    return Error::from_errno("file.stat");
  }
  return node_info_of(st);
}

Result<UniqueFd> open_beneath(int root, const std::string& path, int flags, uint32_t mode) {
  // The kernel takes no longer path in one call; a mount, whose users walk it name by name, has
  // them.
  if (path.size() < PATH_MAX) return open_piece(root, path.c_str(), flags, mode);
  const size_t cut = path.rfind('/', PATH_MAX - 1);
  if (cut == std::string::npos || cut == 0) return Error(ENAMETOOLONG, "file.open");
  const UniqueFd below =
      TRY(open_piece(root, path.substr(0, cut).c_str(), O_PATH | O_DIRECTORY, 0));
  return open_beneath(below.get(), path.substr(cut + 1), flags, mode);
}

}  // namespace netfs::origins
