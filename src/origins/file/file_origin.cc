#include "origins/file/file_origin.h"

#include <climits>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <vector>

#include "origins/file/local_file.h"

namespace netfs::origins {

namespace {

constexpr unsigned kReaders = 4;

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
      workers_({.name = "netfs-file", .threads = kReaders}),
      writer_(root_.get(), workers_),
      locks_(root_.get()) {}

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

Result<NodeInfo> FileOrigin::stat(const std::string& path, Deadline) {
  const UniqueFd fd = TRY(open_beneath(root_.get(), path, O_PATH | O_NOFOLLOW));
  return stat_fd(fd.get(), "");
}

Result<void> FileOrigin::list(const std::string& path, Deadline, const EntrySink& sink) {
  UniqueFd fd = TRY(open_beneath(root_.get(), path, O_RDONLY | O_DIRECTORY));
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
  const UniqueFd fd = TRY(open_beneath(root_.get(), path, O_PATH | O_NOFOLLOW));
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
  UniqueFd fd = TRY(open_beneath(root_.get(), path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return Error::from_errno("file.open");
  if (S_ISDIR(st.st_mode)) return Error(EISDIR, "file.open");
  if (!S_ISREG(st.st_mode)) return Error(EINVAL, "file.open");
  return std::unique_ptr<OriginFile>(std::make_unique<LocalFile>(std::move(fd)));
}

void FileOrigin::issue_read(Subrequest& subrequest) {
  const bool queued = workers_.post([&subrequest] {
    const auto& file = static_cast<const LocalFile&>(subrequest.file());
    subrequest.terminated(read_range(file, subrequest.range(), subrequest.destination()));
  });
  if (!queued) subrequest.terminated({.transferred_bytes = Error(ECANCELED, "file.read")});
}

StatusFields FileOrigin::status() const {
  return {{"root", root_path_}};
}

}  // namespace netfs::origins
