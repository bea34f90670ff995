#include "harness/workdir.h"

#include <atomic>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

namespace netfs::bench {

namespace {

std::atomic<bool> g_interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // Set by a signal handler.

int remove_one(const char* path, const struct stat*, int, struct FTW*) {
  ::remove(path);
  return 0;
}

}  // namespace

Result<Workdir> Workdir::create(const std::string& parent) {
  std::string pattern = parent + "/netfs-bench.XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) {
    return Error(errno, "bench.workdir", "cannot make a directory under " + parent);
  }
  return Workdir(std::move(pattern));
}

Workdir::~Workdir() {
  if (!root_.empty()) remove_tree(root_);
}

Result<std::string> Workdir::directory(const std::string& name) const {
  std::string made = path(name);
  if (::mkdir(made.c_str(), 0700) != 0 && errno != EEXIST) {
    return Error(errno, "bench.workdir", "cannot make " + made);
  }
  return made;
}

void remove_tree(const std::string& path) {
  constexpr int kOpenDirectoriesMax = 64;
  ::nftw(path.c_str(), remove_one, kOpenDirectoriesMax, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_interrupted.store(true, std::memory_order_relaxed); };
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() {
  return g_interrupted.load(std::memory_order_relaxed);
}

}  // namespace netfs::bench
