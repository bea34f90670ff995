// The bytes of files, what makes them durable, and extended attributes.

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "origins/file/file_place.h"
#include "origins/file/file_writer.h"
#include "origins/file/local_file.h"

namespace netfs::origins {

namespace {

WriteOutcome write_range(const LocalFile& file, ByteRange range, std::span<const std::byte> from) {
  WriteOutcome outcome;
  if (Result<NodeInfo> before = stat_fd(file.fd.get(), ""); before.ok()) {
    outcome.seen.before = std::move(before).value().validator;
  }
  uint64_t done = 0;
  while (done < range.length_bytes) {
    const ssize_t n = ::pwrite(file.fd.get(), from.data() + done, range.length_bytes - done,
                               static_cast<off_t>(range.offset_bytes + done));
    if (n < 0 && errno == EINTR) continue;
    // What came before a full disk is written: the next attempt hears of the disk.
    if (n <= 0) {
      if (done == 0)
        outcome.transferred_bytes =
            n == 0 ? Error(EIO, "file.write") : Error::from_errno("file.write");
      break;
    }
    done += static_cast<uint64_t>(n);
  }
  if (done > 0 || range.empty()) outcome.transferred_bytes = done;
  if (Result<NodeInfo> after = stat_fd(file.fd.get(), ""); after.ok()) {
    outcome.seen.after = std::move(after).value();
  }
  return outcome;
}

// As much as a slow disk copies well within any deadline; who wants more asks again.
constexpr uint64_t kCopyBytesMax = 64 << 20;

// A file to be read: nothing where it is open already.
Result<UniqueFd> open_to_read(int root, const FileAt& file) {
  if (file.open != nullptr) return UniqueFd();
  return open_beneath(root, file.path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
}

// Calls `ask(buffer, bytes)` with more and more room until the answer fits.
template <class Ask>
Result<std::string> ask_growing(Ask ask, const char* context) {
  std::string room;
  for (int attempt = 0; attempt < 16; ++attempt) {
    const ssize_t wanted = ask(nullptr, 0);
    if (wanted < 0) return Error::from_errno(context);
    room.resize(static_cast<size_t>(wanted));
    const ssize_t got = ask(room.data(), room.size());
    if (got >= 0) {
      room.resize(static_cast<size_t>(got));
      return room;
    }
    if (errno != ERANGE) return Error::from_errno(context);
  }
  return Error(EAGAIN, context);
}

}  // namespace

void FileWriter::issue_write(WriteSubrequest& subrequest) {
  const bool queued = workers_.post([&subrequest] {
    const auto& file = static_cast<const LocalFile&>(subrequest.file());
    subrequest.terminated(write_range(file, subrequest.range(), subrequest.source()));
  });
  if (!queued) subrequest.terminated({.transferred_bytes = Error(ECANCELED, "file.write")});
}

Result<void> FileWriter::sync(const FileAt& file, SyncKind kind, Deadline) {
  UniqueFd opened;
  int fd = -1;
  if (file.open != nullptr) {
    fd = static_cast<LocalFile&>(*file.open).fd.get();
  } else {
    opened = TRY(open_beneath(root_, file.path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW));
    fd = opened.get();
  }
  const int synced = kind == SyncKind::kData ? ::fdatasync(fd) : ::fsync(fd);
  if (synced != 0) return Error::from_errno("file.sync");
  return {};
}

Result<void> FileWriter::sync_all(Deadline) {
  if (::syncfs(root_) != 0) return Error::from_errno("file.syncfs");
  return {};
}

Result<Seen> FileWriter::allocate(OriginFile& file, uint32_t mode, ByteRange range, Deadline) {
  const int fd = static_cast<LocalFile&>(file).fd.get();
  Seen seen;
  seen.before = TRY(stat_fd(fd, "")).validator;
  if (::fallocate(fd, static_cast<int>(mode), static_cast<off_t>(range.offset_bytes),
                  static_cast<off_t>(range.length_bytes)) != 0) {
    return Error::from_errno("file.allocate");
  }
  seen.after = TRY(stat_fd(fd, ""));
  return seen;
}

Result<uint64_t> FileWriter::seek(const FileAt& file, SeekFor what, uint64_t offset, Deadline) {
  const UniqueFd opened = TRY(open_to_read(root_, file));
  const int fd = opened ? opened.get() : static_cast<LocalFile&>(*file.open).fd.get();
  // The descriptor's own offset is of no use to anybody: reads and writes say theirs.
  const off_t found =
      ::lseek(fd, static_cast<off_t>(offset), what == SeekFor::kData ? SEEK_DATA : SEEK_HOLE);
  if (found < 0) return Error::from_errno("file.seek");
  return static_cast<uint64_t>(found);
}

Result<Copied> FileWriter::copy(const FileAt& from, OriginFile& to, const Copying& what, Deadline) {
  const UniqueFd opened = TRY(open_to_read(root_, from));
  const int source = opened ? opened.get() : static_cast<LocalFile&>(*from.open).fd.get();
  const int target = static_cast<LocalFile&>(to).fd.get();
  auto from_offset = static_cast<off_t>(what.from_offset);
  auto to_offset = static_cast<off_t>(what.to.offset_bytes);
  Copied copied;
  copied.seen.before = TRY(stat_fd(target, "")).validator;
  const uint64_t length = std::min(what.to.length_bytes, kCopyBytesMax);
  const ssize_t n = ::copy_file_range(source, &from_offset, target, &to_offset, length, 0);
  if (n < 0) return Error::from_errno("file.copy");
  copied.bytes = static_cast<uint64_t>(n);
  copied.seen.after = TRY(stat_fd(target, ""));
  return copied;
}

Result<std::string> FileWriter::get_xattr(const FileAt& file, const std::string& name, Deadline) {
  const Held held = TRY(Held::find(root_, file));
  const std::string path = held.path();
  return ask_growing(
      [&](char* to, size_t bytes) { return ::getxattr(path.c_str(), name.c_str(), to, bytes); },
      "file.get_xattr");
}

Result<std::vector<std::string>> FileWriter::list_xattrs(const FileAt& file, Deadline) {
  const Held held = TRY(Held::find(root_, file));
  const std::string path = held.path();
  const std::string all =
      TRY(ask_growing([&](char* to, size_t bytes) { return ::listxattr(path.c_str(), to, bytes); },
                      "file.list_xattrs"));
  std::vector<std::string> names;
  for (size_t at = 0; at < all.size();) {
    names.emplace_back(all.c_str() + at);
    at += names.back().size() + 1;
  }
  return names;
}

Result<Seen> FileWriter::set_xattr(const FileAt& file, const std::string& name,
                                   const std::string& value, uint32_t flags, Deadline) {
  const Held held = TRY(Held::find(root_, file));
  Seen seen;
  seen.before = TRY(stat_fd(held.fd(), "")).validator;
  if (::setxattr(held.path().c_str(), name.c_str(), value.data(), value.size(),
                 static_cast<int>(flags)) != 0) {
    return Error::from_errno("file.set_xattr");
  }
  seen.after = TRY(stat_fd(held.fd(), ""));
  return seen;
}

Result<Seen> FileWriter::remove_xattr(const FileAt& file, const std::string& name, Deadline) {
  const Held held = TRY(Held::find(root_, file));
  Seen seen;
  seen.before = TRY(stat_fd(held.fd(), "")).validator;
  if (::removexattr(held.path().c_str(), name.c_str()) != 0) {
    return Error::from_errno("file.remove_xattr");
  }
  seen.after = TRY(stat_fd(held.fd(), ""));
  return seen;
}

}  // namespace netfs::origins
