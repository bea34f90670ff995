#include "lockdep_tool/files.h"

#include <cstdio>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "lockdep_tool/command.h"

namespace netfs::lockdep_tool {
namespace {

constexpr size_t kBytesMax = size_t{1} << 30;

Error from_errno(const std::string& path, const char* doing) {
  const Error error = Error::from_errno(doing);
  return Error(error.code(), error.context(), path + ": " + error.message());
}

Result<std::string> read_all(int fd, const std::string& name) {
  std::string text;
  char piece[65536];
  while (true) {
    const ssize_t got = ::read(fd, piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return from_errno(name, "read");
    if (got == 0) return text;
    if (text.size() + static_cast<size_t>(got) > kBytesMax) {
      return Error(EFBIG, "read", name + " is larger than 1 GiB");
    }
    text.append(piece, static_cast<size_t>(got));
  }
}

Result<> write_all(int fd, std::string_view text, const std::string& name) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return from_errno(name, "write");
    text.remove_prefix(static_cast<size_t>(wrote));
  }
  return {};
}

// In memory, so that neither side of a pipe waits for the other.
Result<UniqueFd> memory_file() {
  UniqueFd fd(::memfd_create("lockdep", MFD_CLOEXEC));
  if (!fd) return Error::from_errno("memfd");
  return fd;
}

}  // namespace

Result<std::string> read_file(const std::string& path) {
  if (path == "-") return read_all(STDIN_FILENO, "stdin");
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return from_errno(path, "open");
  return read_all(fd.get(), path);
}

Result<> write_file(const std::string& path, std::string_view content) {
  if (path == "-") return write_all(STDOUT_FILENO, content, "stdout");
  const UniqueFd fd(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666));
  if (!fd) return from_errno(path, "open");
  return write_all(fd.get(), content, path);
}

Result<std::string> svg_of(const std::string& dot) {
  const UniqueFd in = TRY(memory_file());
  const UniqueFd out = TRY(memory_file());
  TRY(write_all(in.get(), dot, "graph"));
  if (::lseek(in.get(), 0, SEEK_SET) != 0) return Error::from_errno("seek");
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, out.get(), STDOUT_FILENO);
  const char* words[] = {"dot", "-Tsvg", nullptr};
  pid_t child = 0;
  const int code =
      ::posix_spawnp(&child, "dot", &actions, nullptr, const_cast<char* const*>(words), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (code == ENOENT) {
    return Error(ENOENT, "dot", "`dot` is not installed: it is in the package graphviz");
  }
  if (code != 0) return Error(code, "dot");
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return Error::from_errno("dot");
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return Error(EIO, "dot", "`dot` could not draw the graph");
  }
  if (::lseek(out.get(), 0, SEEK_SET) != 0) return Error::from_errno("seek");
  return read_all(out.get(), "dot");
}

int failed(const Error& error) {
  std::fprintf(stderr, "lockdep: %s\n", error.message().c_str());
  return kFailed;
}

}  // namespace netfs::lockdep_tool
