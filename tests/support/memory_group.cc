#include "tests/support/memory_group.h"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/process.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr const char* kFirstRoot = "/sys/fs/cgroup/memory";
constexpr const char* kSecondRoot = "/sys/fs/cgroup";

bool has_word(const std::string& text, const std::string& word) {
  std::istringstream words(text);
  for (std::string one; words >> one;) {
    if (one == word) return true;
  }
  return false;
}

bool say(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text << std::flush;
  return file.good();
}

}  // namespace

MemoryGroup::MemoryGroup() {
  std::string root = kFirstRoot;
  is_first_form_ = ::access((root + "/memory.limit_in_bytes").c_str(), W_OK) == 0;
  if (!is_first_form_) {
    root = kSecondRoot;
    // It is not ours to hand it down.
    if (!has_word(read_text(root + "/cgroup.subtree_control"), "memory")) return;
  }
  const std::string path = root + "/netfs-memory-" + std::to_string(::getpid());
  if (::mkdir(path.c_str(), 0755) != 0) return;
  path_ = path;
  // Who is swapped out is not killed.
  (void)say(file(is_first_form_ ? "memory.swappiness" : "memory.swap.max"), "0");
}

MemoryGroup::~MemoryGroup() {
  if (path_.empty()) return;
  (void)wait_until([&] { return ::rmdir(path_.c_str()) == 0; }, std::chrono::seconds(30));
}

std::string MemoryGroup::missing() const {
  return path_.empty() ? "needs a control group for memory that it can make" : "";
}

std::vector<std::string> MemoryGroup::in_front() const {
  return {"/bin/sh", "-c", "echo $$ >\"$0\" && exec \"$@\"", file("cgroup.procs")};
}

uint64_t MemoryGroup::usage_bytes() const {
  const std::string text =
      read_text(file(is_first_form_ ? "memory.usage_in_bytes" : "memory.current"));
  return std::strtoull(text.c_str(), nullptr, 10);
}

bool MemoryGroup::limit(uint64_t bytes) const {
  return say(file(is_first_form_ ? "memory.limit_in_bytes" : "memory.max"), std::to_string(bytes));
}

bool MemoryGroup::lift_limit() const {
  return is_first_form_ ? say(file("memory.limit_in_bytes"), "-1") : say(file("memory.max"), "max");
}

uint64_t MemoryGroup::kills() const {
  std::istringstream words(
      read_text(file(is_first_form_ ? "memory.oom_control" : "memory.events")));
  std::string word;
  uint64_t number = 0;
  while (words >> word >> number) {
    if (word == "oom_kill") return number;
  }
  return 0;
}

}  // namespace netfs::test
