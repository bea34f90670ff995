#include "daemon/mount_checks.h"

#include <climits>
#include <cstdlib>
#include <unistd.h>

#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

Error loop(std::string line) {
  return Error(ELOOP, "mount", std::move(line));
}

}  // namespace

bool lies_under(const std::string& path, const std::string& directory) {
  if (directory == "/") return !path.empty() && path.front() == '/';
  if (path.compare(0, directory.size(), directory) != 0) return false;
  return path.size() == directory.size() || path[directory.size()] == '/';
}

std::string resolved(const std::string& path) {
  char buffer[PATH_MAX];
  if (::realpath(path.c_str(), buffer) != nullptr) return buffer;
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return path;
  const std::string name = path.substr(slash + 1);
  if (slash == 0) return path;
  if (name.empty()) return resolved(path.substr(0, slash));
  const std::string parent = resolved(path.substr(0, slash));
  return parent == "/" ? "/" + name : parent + "/" + name;
}

Result<void> check_plan(const MountPlan& plan) {
  if (!plan.cache_dir.empty()) {
    if (lies_under(plan.cache_dir, plan.mount_point)) {
      return loop(fmt::format(
          "the cache directory {} lies under the mount point {}; choose another --cache-dir",
          plan.cache_dir, plan.mount_point));
    }
    for (const std::string& own : plan.own_mounts) {
      if (!lies_under(plan.cache_dir, own)) continue;
      return loop(
          fmt::format("the cache directory {} lies on the netfs mount {}; choose another "
                      "--cache-dir",
                      plan.cache_dir, own));
    }
  }
  if (plan.local_origin.empty()) return {};
  if (lies_under(plan.local_origin, plan.mount_point)) {
    return loop(fmt::format("the origin {} lies under the mount point {}; choose another",
                            plan.local_origin, plan.mount_point));
  }
  if (lies_under(plan.mount_point, plan.local_origin)) {
    return loop(fmt::format("the mount point {} lies inside the origin {}; choose another",
                            plan.mount_point, plan.local_origin));
  }
  for (const std::string& own : plan.own_mounts) {
    if (lies_under(plan.local_origin, own)) {
      return loop(
          fmt::format("the origin {} lies on {}, a mount of the same daemon; give one of "
                      "them another --cache-dir",
                      plan.local_origin, own));
    }
  }
  return {};
}

std::string mount_namespace() {
  char buffer[64];
  const ssize_t length = ::readlink("/proc/self/ns/mnt", buffer, sizeof buffer);
  return length > 0 ? std::string(buffer, static_cast<size_t>(length)) : std::string();
}

}  // namespace netfs::daemon
