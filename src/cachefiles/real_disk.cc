#include "cachefiles/real_disk.h"

#include <algorithm>
#include <dirent.h>
#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace netfs::cachefiles {

namespace {

FileStat stat_of(const struct ::stat& st) {
  return {static_cast<uint64_t>(st.st_size), static_cast<uint64_t>(st.st_blocks) * 512};
}

// RWF_DONTCACHE of Linux 6.14, which Debian 12's headers lack: what had to be read from the disk
// does not stay in the page cache.
constexpr int kDontCache = 0x80;

class RealFile final : public DiskFile {
 public:
  explicit RealFile(UniqueFd fd) : fd_(std::move(fd)) {}

  Result<size_t> read(uint64_t offset_bytes, std::span<const iovec> pieces,
                      Waiting waiting) override {
    if (waiting == Waiting::kNever) return read_cached(offset_bytes, pieces);
    std::vector<iovec> rest(pieces.begin(), pieces.end());
    size_t done = 0;
    size_t first = 0;
    int flags = waiting == Waiting::kDiskOnce ? kDontCache : 0;
    while (first < rest.size()) {
      const ssize_t n = ::preadv2(fd_.get(), &rest[first], static_cast<int>(rest.size() - first),
                                  static_cast<off_t>(offset_bytes + done), flags);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EOPNOTSUPP && flags != 0) {  // an older kernel, or file system
        flags = 0;
        continue;
      }
      if (n < 0) return Error::from_errno("cachefiles.read");
      if (n == 0) break;
      done += static_cast<size_t>(n);
      first = advance(rest, first, static_cast<size_t>(n));
    }
    return done;
  }

  Result<void> write(uint64_t offset_bytes, std::span<const std::byte> data) override {
    while (!data.empty()) {
      const ssize_t n =
          ::pwrite(fd_.get(), data.data(), data.size(), static_cast<off_t>(offset_bytes));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Error::from_errno("cachefiles.write");
      if (n == 0) return Error(EIO, "cachefiles.write");
      data = data.subspan(static_cast<size_t>(n));
      offset_bytes += static_cast<uint64_t>(n);
    }
    return {};
  }

  Result<void> truncate(uint64_t size_bytes) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size_bytes)) != 0) {
      return Error::from_errno("cachefiles.truncate");
    }
    return {};
  }

  Result<void> allocate(uint64_t size_bytes) override {
    int allocated = -1;
    do {
      allocated = ::fallocate(fd_.get(), 0, 0, static_cast<off_t>(size_bytes));
    } while (allocated != 0 && errno == EINTR);
    // A file system that cannot promise space finds out when it is written to.
    if (allocated != 0 && errno == EOPNOTSUPP) return truncate(size_bytes);
    if (allocated != 0) return Error::from_errno("cachefiles.allocate");
    return {};
  }

  Result<void> sync_data() override {
    if (::fdatasync(fd_.get()) != 0) return Error::from_errno("cachefiles.sync");
    return {};
  }

  Result<FileStat> stat() override {
    struct ::stat st {};
    if (::fstat(fd_.get(), &st) != 0) return Error::from_errno("cachefiles.stat");
    return stat_of(st);
  }

  Result<uint64_t> data_end() override {
    constexpr int kPiecesMax = 64;
    const uint64_t size_bytes = TRY(stat()).size_bytes;
    off_t end = 0;
    for (int piece = 0; piece < kPiecesMax; ++piece) {
      const off_t data = ::lseek(fd_.get(), end, SEEK_DATA);
      if (data < 0 && errno == ENXIO) return std::min(static_cast<uint64_t>(end), size_bytes);
      end = data < 0 ? -1 : ::lseek(fd_.get(), data, SEEK_HOLE);
      if (end < 0) break;
    }
    return size_bytes;
  }

  Result<bool> only_user() override {
    if (::fcntl(fd_.get(), F_SETLEASE, F_WRLCK) == 0) {
      if (::fcntl(fd_.get(), F_SETLEASE, F_UNLCK) != 0) return Error::from_errno("lease");
      return true;
    }
    if (errno == EAGAIN || errno == EBUSY) return false;
    return Error(EOPNOTSUPP, "cachefiles.lease");
  }

  Result<UniqueFd> descriptor() override {
    UniqueFd copy(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
    if (!copy) return Error::from_errno("cachefiles.descriptor");
    return copy;
  }

 private:
  Result<size_t> read_cached(uint64_t offset_bytes, std::span<const iovec> pieces) {
    size_t wanted = 0;
    for (const iovec& piece : pieces) wanted += piece.iov_len;
    ssize_t n = 0;
    do {
      n = ::preadv2(fd_.get(), pieces.data(), static_cast<int>(pieces.size()),
                    static_cast<off_t>(offset_bytes), RWF_NOWAIT);
    } while (n < 0 && errno == EINTR);
    // A file system without RWF_NOWAIT says EOPNOTSUPP: there everything would wait.
    if (n < 0 && errno == EOPNOTSUPP) return Error(EAGAIN, "cachefiles.read");
    if (n < 0) return Error::from_errno("cachefiles.read");
    if (static_cast<size_t>(n) < wanted) return Error(EAGAIN, "cachefiles.read");
    return static_cast<size_t>(n);
  }

  // Skips `n` bytes of the pieces from `first` on; returns the first that is not done.
  static size_t advance(std::vector<iovec>& pieces, size_t first, size_t n) {
    while (first < pieces.size() && n >= pieces[first].iov_len) n -= pieces[first++].iov_len;
    if (first < pieces.size()) {
      pieces[first].iov_base = static_cast<char*>(pieces[first].iov_base) + n;
      pieces[first].iov_len -= n;
    }
    return first;
  }

  const UniqueFd fd_;
};

// The directory in a mount that nobody else sees and that keeps no access times.
UniqueFd without_access_times(int root) {
  UniqueFd tree(
      ::open_tree(root, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE));
  mount_attr changes{};
  changes.attr_set = MOUNT_ATTR_NOATIME;
  changes.attr_clr = MOUNT_ATTR__ATIME;
  if (!tree || ::mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &changes,
                               sizeof changes) != 0) {
    return {};
  }
  return tree;
}

Error directory_error(const std::string& directory, int code) {
  const char* advice = "choose another with --cache-dir";
  if (code == ENOSPC || code == EDQUOT) advice = "free some space or choose another --cache-dir";
  char text[128];
  return Error(code, "cachefiles.directory",
               fmt::format("cache directory {} cannot be used: {}; {}", directory,
                           strerror_r(code, text, sizeof text), advice));
}

}  // namespace

Result<size_t> DiskFile::read(uint64_t offset_bytes, std::span<std::byte> to) {
  const iovec piece{to.data(), to.size()};
  return read(offset_bytes, std::span(&piece, 1), Waiting::kDisk);
}

Result<std::unique_ptr<RealDisk>> RealDisk::create(const std::string& directory) {
  // To make what is there already waits for a disk that is frozen; to look does not.
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  UniqueFd root(::open(directory.c_str(), kFlags));
  if (!root && errno == ENOENT) {
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
      return directory_error(directory, errno);
    }
    root = UniqueFd(::open(directory.c_str(), kFlags));
  }
  if (!root) return directory_error(directory, errno);
  struct ::stat st {};
  if (::fstat(root.get(), &st) != 0) return directory_error(directory, errno);
  if (st.st_uid != ::geteuid()) {
    return Error(EPERM, "cachefiles.directory",
                 fmt::format("cache directory {} belongs to uid {}, not to uid {}; choose another "
                             "with --cache-dir",
                             directory, st.st_uid, ::geteuid()));
  }
  if ((st.st_mode & 077) != 0 && ::fchmod(root.get(), 0700) != 0) {
    return directory_error(directory, errno);
  }
  if (::faccessat(root.get(), ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0) {
    return directory_error(directory, errno);
  }
  UniqueFd readers_root = without_access_times(root.get());
  return std::unique_ptr<RealDisk>(
      new RealDisk(directory, std::move(root), std::move(readers_root)));
}

Result<std::unique_ptr<DiskFile>> RealDisk::open(const std::string& path, OpenMode mode) {
  int flags = O_CLOEXEC | O_NOFOLLOW;
  switch (mode) {
    case OpenMode::kRead:
      flags |= O_RDONLY | O_NOATIME;
      break;
    case OpenMode::kReadWrite:
      flags |= O_RDWR;
      break;
    case OpenMode::kCreate:
      flags |= O_RDWR | O_CREAT;
      break;
    case OpenMode::kCreateNew:
      flags |= O_RDWR | O_CREAT | O_EXCL;
      break;
  }
  const bool by_readers_root = mode == OpenMode::kRead && readers_root_;
  const int root = (by_readers_root ? readers_root_ : root_).get();
  UniqueFd fd(::openat(root, path.c_str(), flags, 0600));
  if (!fd) return Error::from_errno("cachefiles.open");
  return std::unique_ptr<DiskFile>(std::make_unique<RealFile>(std::move(fd)));
}

Result<FileStat> RealDisk::stat(const std::string& path) {
  struct ::stat st {};
  if (::fstatat(root_.get(), path.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    return Error::from_errno("cachefiles.stat");
  }
  return stat_of(st);
}

Result<void> RealDisk::remove(const std::string& path) {
  if (::unlinkat(root_.get(), path.c_str(), 0) != 0) return Error::from_errno("cachefiles.remove");
  return {};
}

Result<void> RealDisk::rename(const std::string& from, const std::string& to) {
  if (::renameat(root_.get(), from.c_str(), root_.get(), to.c_str()) != 0) {
    return Error::from_errno("cachefiles.rename");
  }
  return {};
}

Result<void> RealDisk::make_directory(const std::string& path) {
  if (::mkdirat(root_.get(), path.c_str(), 0700) != 0) {
    return Error::from_errno("cachefiles.make_directory");
  }
  return {};
}

Result<void> RealDisk::list(const std::string& path,
                            const std::function<void(const std::string&)>& sink) {
  UniqueFd fd(::openat(root_.get(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return Error::from_errno("cachefiles.list");
  // Not by readdir(): a worker that takes over lists 256 directories, mostly empty, while users
  // wait, and that makes eight calls of each where four do.
  alignas(dirent64) char buffer[16 << 10];
  for (;;) {
    const ssize_t got = ::getdents64(fd.get(), buffer, sizeof buffer);
    // One that was removed meanwhile has nothing more.
    if (got == 0 || (got < 0 && errno == ENOENT)) return {};
    if (got < 0) return Error::from_errno("cachefiles.list");
    for (ssize_t at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
      const std::string name = entry->d_name;
      if (name != "." && name != "..") sink(name);
      at += entry->d_reclen;
    }
  }
}

Result<void> RealDisk::sync_directory(const std::string& path) {
  UniqueFd fd(::openat(root_.get(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return Error::from_errno("cachefiles.sync_directory");
  return {};
}

Result<void> RealDisk::sync_all() {
  if (::syncfs(root_.get()) != 0) return Error::from_errno("cachefiles.sync_all");
  return {};
}

Result<std::unique_ptr<DiskFile>> RealDisk::lock(const std::string& path) {
  // As create() does: whoever finds that another process has it has not waited for the disk.
  UniqueFd fd(::openat(root_.get(), path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd && errno == ENOENT) {
    fd = UniqueFd(::openat(root_.get(), path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  }
  if (!fd) return directory_error(directory_, errno);
  char pid[32] = {};
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return directory_error(directory_, errno);
    const ssize_t n = ::pread(fd.get(), pid, sizeof pid - 1, 0);
    const std::string owner(pid, n > 0 ? static_cast<size_t>(n) : 0);
    return Error(EBUSY, "cachefiles.lock",
                 fmt::format("cache directory {} is in use by process {}; use that one's mounts or "
                             "another --cache-dir",
                             directory_, owner.substr(0, owner.find_first_of(" \n"))));
  }
  // As long as any other: cutting the file first waits for a disk that is at work, and users wait
  // for whoever takes over.
  const std::string text = fmt::format("{:<11}\n", ::getpid());
  if (::pwrite(fd.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return directory_error(directory_, errno == 0 ? ENOSPC : errno);
  }
  return std::unique_ptr<DiskFile>(std::make_unique<RealFile>(std::move(fd)));
}

}  // namespace netfs::cachefiles
