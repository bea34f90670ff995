#include "tests/support/needs.h"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <unistd.h>

#include "tests/support/process.h"

namespace netfs::test {

std::string root() {
  return ::geteuid() == 0 ? "" : "needs root";
}

std::string fuse() {
  return ::access("/dev/fuse", R_OK | W_OK) == 0 ? "" : "needs /dev/fuse";
}

std::string loop_devices() {
  return ::access("/dev/loop-control", R_OK | W_OK) == 0 ? "" : "needs loop devices";
}

std::string quotas() {
  for (const std::string& missing : {loop_devices(), program("mkfs.btrfs"), program("btrfs")}) {
    if (!missing.empty()) return missing;
  }
  // It may be a module that nobody has needed yet.
  if (program("modprobe").empty()) run({"modprobe", "-q", "btrfs"}, std::chrono::seconds(20));
  std::ifstream types("/proc/filesystems");
  for (std::string word; types >> word;) {
    if (word == "btrfs") return "";
  }
  return "needs a kernel with btrfs, for its quota";
}

std::string program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream dirs(std::string(path != nullptr ? path : "") + ":/usr/sbin:/sbin");
  for (std::string dir; std::getline(dirs, dir, ':');) {
    if (::access((dir + "/" + name).c_str(), X_OK) == 0) return "";
  }
  return "needs the program " + name;
}

}  // namespace netfs::test
