#include "daemon/runtime_dir.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

constexpr std::string_view kSocketSuffix = ".sock";
constexpr mode_t kPrivate = 0700;

Result<std::string> private_directory(const std::string& path) {
  if (::mkdir(path.c_str(), kPrivate) != 0 && errno != EEXIST) {
    const Error error = Error::from_errno("runtime_dir");
    return Error(error.code(), "runtime_dir",
                 fmt::format("cannot make {}: {}", path, std::strerror(error.code())));
  }
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return Error::from_errno("runtime_dir");
  if (!S_ISDIR(status.st_mode) || status.st_uid != ::geteuid() || (status.st_mode & 077) != 0) {
    return Error(
        EACCES, "runtime_dir",
        fmt::format("{} is not a directory of mode 0700 of user {}; remove it", path, ::geteuid()));
  }
  return path;
}

}  // namespace

Result<std::string> runtime_dir() {
  if (::geteuid() == 0) return private_directory("/run/netfs");
  const char* xdg = std::getenv("XDG_RUNTIME_DIR");
  if (xdg != nullptr && xdg[0] == '/' && ::access(xdg, W_OK | X_OK) == 0) {
    return private_directory(std::string(xdg) + "/netfs");
  }
  return private_directory(fmt::format("/tmp/netfs-{}", ::geteuid()));
}

OwnerPaths owner_paths(const std::string& runtime_dir, const std::string& name) {
  const std::string stem = runtime_dir + "/" + name;
  return {stem + std::string(kSocketSuffix), stem + ".lock", stem + ".log"};
}

Result<std::string> owner_name(const std::string& cache_dir) {
  struct stat status {};
  if (::stat(cache_dir.c_str(), &status) != 0) return Error::from_errno("cache_dir");
  return fmt::format("{:x}-{:x}", status.st_dev, status.st_ino);
}

std::string cacheless_owner_name() {
  // The time keeps a name from meeting the remains of an earlier process of the same number.
  return fmt::format("nocache-{}-{:x}", ::getpid(),
                     Clock::system().now().time_since_epoch().count());
}

std::vector<std::string> list_owners(const std::string& runtime_dir) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(runtime_dir.c_str()), ::closedir);
  if (!dir) return names;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name.size() <= kSocketSuffix.size()) continue;
    const size_t stem = name.size() - kSocketSuffix.size();
    if (name.substr(stem) == kSocketSuffix) names.emplace_back(name.substr(0, stem));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::optional<UniqueFd>> try_lock_owner(const OwnerPaths& paths) {
  constexpr int kAttempts = 100;
  for (int i = 0; i < kAttempts; ++i) {
    UniqueFd fd(::open(paths.lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return Error::from_errno("owner lock");
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return std::optional<UniqueFd>();
      return Error::from_errno("owner lock");
    }
    // A holder unlinks the file when it ends: what we locked may have no name any more.
    struct stat held {};
    struct stat named {};
    if (::fstat(fd.get(), &held) != 0) return Error::from_errno("owner lock");
    if (::stat(paths.lock.c_str(), &named) == 0 && named.st_ino == held.st_ino &&
        named.st_dev == held.st_dev) {
      return std::optional<UniqueFd>(std::move(fd));
    }
  }
  return std::optional<UniqueFd>();
}

}  // namespace netfs::daemon
