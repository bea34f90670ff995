#include "tests/support/temp_dir.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "base/assert.h"
#include "base/kill_process.h"
#include "tests/support/process.h"

namespace netfs::test {
namespace {

constexpr const char* kPrefix = "netfs-test.";

// The mount points below a folder, the deepest first.
std::vector<std::string> mounts_below(const std::string& folder) {
  std::vector<std::string> found;
  std::istringstream table(read_text("/proc/self/mountinfo"));
  for (std::string line; std::getline(table, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, where;
    fields >> id >> parent >> device >> root >> where;
    if (where.starts_with(folder + "/")) found.push_back(where);
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

// Takes down what a test left behind that was killed: folder, mounts and loop devices.
void take_down(const std::string& folder) {
  for (const std::string& where : mounts_below(folder)) {
    ::umount2(where.c_str(), MNT_FORCE | MNT_DETACH);
  }
  run({"sh", "-c",
       "for image in " + folder +
           "/*.img; do losetup -n -O NAME -j \"$image\" | xargs -r losetup -d; done"},
      std::chrono::seconds(20));
  run({"rm", "-rf", "--one-file-system", folder}, std::chrono::seconds(60));
}

// Once a program: the folders of programs that are gone.
void scavenge(const std::string& base) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(base, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    const int owner = std::atoi(name.c_str() + std::string(kPrefix).size());
    if (owner > 1 && kill_process(owner, 0) == ESRCH) take_down(entry.path().string());
  }
}

}  // namespace

TempDir::TempDir() {
  const char* given = std::getenv("TMPDIR");
  const std::string base = given != nullptr && *given != '\0' ? given : "/tmp";
  [[maybe_unused]] static const bool scavenged = (scavenge(base), true);
  path_ = base + "/" + kPrefix + std::to_string(::getpid()) + ".XXXXXX";
  NETFS_ASSERT(::mkdtemp(path_.data()) != nullptr);
}

TempDir::~TempDir() {
  // rm knows the boundary of a file system; a mount that a failed test left must not be emptied.
  run({"rm", "-rf", "--one-file-system", path_}, std::chrono::seconds(60));
}

std::string TempDir::make_dir(const std::string& name) const {
  std::string dir = path_ + "/" + name;
  NETFS_ASSERT(::mkdir(dir.c_str(), 0700) == 0);
  return dir;
}

}  // namespace netfs::test
