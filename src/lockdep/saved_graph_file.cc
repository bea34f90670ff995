#include "lockdep/saved_graph_file.h"

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

}  // namespace

Result<SavedGraph> read_saved_graph(const std::string& path) {
  Result<SavedGraph> graph = decode_saved_graph(TRY(read_all(path)));
  if (!graph.ok()) return about(path, graph.error());
  return graph;
}

Result<> write_saved_graph(const std::string& path, const SavedGraph& graph) {
  std::string beside = path + ".XXXXXX";
  const UniqueFd fd(::mkostemp(beside.data(), O_CLOEXEC));
  if (!fd) return from_errno(path, "write");
  // What a file of this process would have: mkostemp's is the owner's only.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  (void)::fchmod(fd.get(), 0666 & ~mask);
  Result<> wrote = write_all(fd.get(), encode(graph), path);
  if (wrote.ok() && ::rename(beside.c_str(), path.c_str()) != 0) {
    wrote = from_errno(path, "rename");
  }
  if (!wrote.ok()) ::unlink(beside.c_str());
  return wrote;
}

Result<> add_to_saved_graph(const std::string& path, const SavedGraph& graph) {
  const std::string lock_path = path + ".lock";
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
  const bool empty = ::stat(path.c_str(), &status) == 0 && status.st_size == 0;
  Result<SavedGraph> before = empty ? SavedGraph() : read_saved_graph(path);
  if (before.ok()) {
    merger.add(before.value());
  } else if (!before.is_error(ENOENT)) {
    return std::move(before).error();
  }
  return write_saved_graph(path, merger.take());
}

}  // namespace netfs::lockdep
