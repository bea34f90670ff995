#include "lockdep/saved_graph_file.h"

#include <climits>
#include <cstdlib>
#include <fcntl.h>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "lockdep/saved_graph_text.h"

namespace netfs::lockdep {
namespace {

constexpr off_t kBytesMax = off_t{1} << 30;

Error about(const std::string& path, const Error& error) {
  return Error(error.code(), error.context(), path + " " + error.message());
}

Error from_errno(const std::string& path, const char* doing) {
  const Error error = Error::from_errno(doing);
  return Error(error.code(), error.context(), path + ": " + error.message());
}

Result<std::string> read_all(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd) return from_errno(path, "open");
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return from_errno(path, "stat");
  if (!S_ISREG(status.st_mode)) return Error(EINVAL, "open", path + " is no regular file");
  if (status.st_size > kBytesMax) return Error(EFBIG, "read", path + " is larger than 1 GiB");
  std::string text(static_cast<size_t>(status.st_size), '\0');
  size_t have = 0;
  while (have < text.size()) {
    const ssize_t got = ::read(fd.get(), text.data() + have, text.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return from_errno(path, "read");
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  text.resize(have);
  return text;
}

Result<> write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return from_errno(path, "write");
    text.remove_prefix(static_cast<size_t>(wrote));
  }
  return {};
}

// Where a file is to be written.
struct Target {
  std::string path;  // of the file itself, behind symbolic links
  struct stat status {};
  bool there = false;

  // A device, a pipe, a socket: nothing that another file could take the place of.
  [[nodiscard]] bool is_written_through() const { return there && !S_ISREG(status.st_mode); }
};

// What a link that leads nowhere yet names is made, as by any program that opens it.
Result<Target> target_of(const std::string& path) {
  Target target{.path = path};
  struct stat link {};
  if (::lstat(path.c_str(), &link) != 0) return target;  // who makes it says what is wrong
  if (S_ISLNK(link.st_mode) && ::stat(path.c_str(), &target.status) != 0) {
    const UniqueFd made(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
    if (!made) return from_errno(path, "open");
  }
  target.there = ::stat(path.c_str(), &target.status) == 0;
  if (!target.there) return from_errno(path, "stat");
  if (!S_ISLNK(link.st_mode)) return target;
  char whole[PATH_MAX];
  if (::realpath(path.c_str(), whole) == nullptr) return from_errno(path, "open");
  target.path = whole;
  return target;
}

Result<> write_through(const std::string& path, std::string_view text, int flags) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | flags));
  if (!fd) return from_errno(path, "open");
  if (flags != 0) (void)::fcntl(fd.get(), F_SETFL, 0);  // the reader is there: it is waited for
  return write_all(fd.get(), text, path);
}

// A new file beside the target, with the rights that any new file of this process has.
UniqueFd make_beside(const std::string& path, std::string& beside) {
  for (unsigned number = 0; number < 1000; ++number) {
    beside = path + "." + std::to_string(::getpid()) + "." + std::to_string(number);
    UniqueFd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (fd || errno != EEXIST) return fd;
  }
  return {};
}

Result<> replace(const Target& target, std::string_view text) {
  std::string beside;
  const UniqueFd fd = make_beside(target.path, beside);
  if (!fd) return from_errno(target.path, "write");
  if (target.there) {
    // Whose it was, where we may; the rights after that, for a change of owner takes some away.
    const bool same_owner = ::fchown(fd.get(), target.status.st_uid, target.status.st_gid) == 0;
    // By its group the owner before still reads what is ours now.
    if (!same_owner) (void)!::fchown(fd.get(), static_cast<uid_t>(-1), target.status.st_gid);
    (void)::fchmod(fd.get(), target.status.st_mode & 0777);
  }
  Result<> wrote = write_all(fd.get(), text, target.path);
  if (wrote.ok() && ::rename(beside.c_str(), target.path.c_str()) != 0) {
    wrote = from_errno(target.path, "rename");
  }
  if (!wrote.ok()) ::unlink(beside.c_str());
  return wrote;
}

}  // namespace

Result<SavedGraph> read_saved_graph(const std::string& path) {
  Result<SavedGraph> graph = decode_saved_graph(TRY(read_all(path)));
  if (!graph.ok()) return about(path, graph.error());
  return graph;
}

Result<> write_saved_graph(const std::string& path, const SavedGraph& graph) {
  const Target target = TRY(target_of(path));
  const std::string text = encode(graph);
  return target.is_written_through() ? write_through(path, text, 0) : replace(target, text);
}

Result<> add_to_saved_graph(const std::string& path, const SavedGraph& graph) {
  const Target target = TRY(target_of(path));
  // Nothing can be added to: it gets this graph.  A pipe that nobody reads is not waited for.
  if (target.is_written_through()) {
    return write_through(path, encode(graph), S_ISFIFO(target.status.st_mode) ? O_NONBLOCK : 0);
  }
  const std::string lock_path = target.path + ".lock";
  const UniqueFd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!lock) return from_errno(lock_path, "open");
  int locked = 0;
  while ((locked = ::flock(lock.get(), LOCK_EX)) != 0 && errno == EINTR) {
  }
  if (locked != 0) return from_errno(lock_path, "lock");
  SavedGraphMerger merger;
  merger.add(graph);
  // Who is to write the file may have made it, to know that it can be written.
  struct stat status {};
  const bool empty = ::stat(target.path.c_str(), &status) == 0 && status.st_size == 0;
  Result<SavedGraph> before = empty ? SavedGraph() : read_saved_graph(path);
  if (before.ok()) {
    merger.add(before.value());
  } else if (!before.is_error(ENOENT)) {
    return std::move(before).error();
  }
  return write_saved_graph(path, merger.take());
}

}  // namespace netfs::lockdep
