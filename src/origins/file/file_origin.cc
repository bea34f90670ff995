#include "origins/file/file_origin.h"

#include <climits>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <vector>

#include "netfs/file_mode.h"

namespace netfs::origins {

namespace {

constexpr unsigned kReaders = 4;
constexpr unsigned kStatMask = STATX_BASIC_STATS | STATX_BTIME;

struct LocalFile final : OriginFile {
  explicit LocalFile(UniqueFd descriptor) : fd(std::move(descriptor)) {}
  const UniqueFd fd;
};

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

Result<NodeInfo> stat_fd(int fd, const char* name) {
  struct statx st {};
  if (::statx(fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatMask, &st) != 0) {
    return Error::from_errno("file.stat");
  }
  return node_info_of(st);
}

// Reads until the range is full, the file ends or an error comes.
ReadOutcome read_range(const LocalFile& file, ByteRange range, std::span<std::byte> to) {
  ReadOutcome outcome;
  uint64_t done = 0;
  while (done < range.length_bytes) {
    const ssize_t n = ::pread(file.fd.get(), to.data() + done, range.length_bytes - done,
                              static_cast<off_t>(range.offset_bytes + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      outcome.transferred_bytes = Error::from_errno("file.read");
      return outcome;
    }
    if (n == 0) {
      outcome.hit_end_of_file = true;
      break;
    }
    done += static_cast<uint64_t>(n);
  }
  outcome.transferred_bytes = done;
  if (Result<NodeInfo> after = stat_fd(file.fd.get(), ""); after.ok()) {
    outcome.validator_after = after.value().validator;
  }
  return outcome;
}

}  // namespace

FileOrigin::FileOrigin(UniqueFd root, std::string root_path, std::string volume_key)
    : root_(std::move(root)),
      root_path_(std::move(root_path)),
      volume_key_(std::move(volume_key)),
      capabilities_{.validator_granularity = std::chrono::milliseconds(10), .identity = true},
      readers_({.name = "netfs-file", .threads = kReaders}) {}

Result<std::unique_ptr<Origin>> FileOrigin::open(const OriginRequest& request) {
  const std::string& path = request.url.path;
  UniqueFd root(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) {
    const int code = errno;
    return Error(code, "file.open", fmt::format("{}: {}", request.url.text, strerror(code)));
  }
  char real[PATH_MAX];
  if (::realpath(path.c_str(), real) == nullptr) return Error::from_errno("file.realpath");
  std::string key = fmt::format("file://{} uid={}", real, ::geteuid());
  return std::unique_ptr<Origin>(new FileOrigin(std::move(root), real, std::move(key)));
}

Result<UniqueFd> FileOrigin::open_beneath(const std::string& path, int flags) const {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const char* relative = path.empty() ? "." : path.c_str();
  // EAGAIN: a rename ran beside the walk; the kernel asks to try again.
  for (int attempt = 0; attempt < 100; ++attempt) {
    const long fd = ::syscall(SYS_openat2, root_.get(), relative, &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno != EAGAIN && errno != EINTR) break;
  }
  // A link in the middle of a path: to those who do not follow links it is no directory.
  if (errno == ELOOP && (flags & O_PATH)) return Error(ENOTDIR, "file.open");
  return Error::from_errno("file.open");
}

Result<NodeInfo> FileOrigin::stat(const std::string& path, Deadline) {
  const UniqueFd fd = TRY(open_beneath(path, O_PATH | O_NOFOLLOW));
  return stat_fd(fd.get(), "");
}

Result<void> FileOrigin::list(const std::string& path, Deadline, const EntrySink& sink) {
  UniqueFd fd = TRY(open_beneath(path, O_RDONLY | O_DIRECTORY));
  DIR* directory = ::fdopendir(fd.get());
  if (directory == nullptr) return Error::from_errno("file.list");
  const int directory_fd = fd.release();  // the DIR owns it now
  struct Closer {
    DIR* open;
    ~Closer() { ::closedir(open); }
  } const closer{directory};
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory);
    if (entry == nullptr) {
      if (errno != 0) return Error::from_errno("file.list");
      return {};
    }
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    Result<NodeInfo> info = stat_fd(directory_fd, name.c_str());
    if (info.is_error(ENOENT)) continue;  // removed meanwhile
    if (!info.ok()) return std::move(info).error();
    TRY(sink({name, std::move(info).value()}));
  }
}

Result<std::string> FileOrigin::read_link(const std::string& path, Deadline) {
  const UniqueFd fd = TRY(open_beneath(path, O_PATH | O_NOFOLLOW));
  char target[PATH_MAX];
  const ssize_t n = ::readlinkat(fd.get(), "", target, sizeof target);
  // On a descriptor of something else than a link the kernel says ENOENT; readlink(2) says EINVAL.
  if (n < 0) return Error(errno == ENOENT ? EINVAL : errno, "file.read_link");
  return std::string(target, static_cast<size_t>(n));
}

Result<FileSystemStats> FileOrigin::stat_file_system(Deadline) {
  struct statvfs st {};
  if (::fstatvfs(root_.get(), &st) != 0) return Error::from_errno("file.statfs");
  return FileSystemStats{.block_bytes = st.f_frsize,
                         .blocks = st.f_blocks,
                         .blocks_free = st.f_bfree,
                         .blocks_available = st.f_bavail,
                         .files = st.f_files,
                         .files_free = st.f_ffree,
                         .name_length_max = static_cast<uint32_t>(st.f_namemax)};
}

Result<std::unique_ptr<OriginFile>> FileOrigin::open(const std::string& path, Deadline) {
  // O_NONBLOCK: a FIFO in the file's place must not make us wait.
  UniqueFd fd = TRY(open_beneath(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return Error::from_errno("file.open");
  if (S_ISDIR(st.st_mode)) return Error(EISDIR, "file.open");
  if (!S_ISREG(st.st_mode)) return Error(EINVAL, "file.open");
  return std::unique_ptr<OriginFile>(std::make_unique<LocalFile>(std::move(fd)));
}

void FileOrigin::issue_read(Subrequest& subrequest) {
  const bool queued = readers_.post([&subrequest] {
    const auto& file = static_cast<const LocalFile&>(subrequest.file());
    subrequest.terminated(read_range(file, subrequest.range(), subrequest.destination()));
  });
  if (!queued) subrequest.terminated({.transferred_bytes = Error(ECANCELED, "file.read")});
}

StatusFields FileOrigin::status() const {
  return {{"root", root_path_}};
}

}  // namespace netfs::origins
