#include "fuse/placement.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>

#include "base/unique_fd.h"

namespace netfs::fuse {

namespace {

cpu_set_t allowed_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) CPU_ZERO(&set);
  return set;
}

// The index-th of the set, going round; -1: the set is empty.
int home_of(const cpu_set_t& allowed, unsigned index) {
  const int count = CPU_COUNT(&allowed);
  if (count == 0) return -1;
  unsigned left = index % static_cast<unsigned>(count);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed) && left-- == 0) return cpu;
  }
  return -1;
}

}  // namespace

bool PlacementPolicy::wants_look(uint32_t pid) {
  ++since_look_;
  if (pid == last_pid_) {
    ++run_;
  } else {
    // Callers that take turns are not new each time.
    if (run_ >= kRunOfOne) gap_ = kGapMin;
    run_ = 1;
    last_pid_ = pid;
  }
  if (since_look_ < gap_) return false;
  since_look_ = 0;
  gap_ = std::min(2 * gap_, kGapMax);
  return true;
}

int PlacementPolicy::decide(int found_cpu) {
  found_[looks_++ % found_.size()] = found_cpu;
  const bool agree =
      std::all_of(found_.begin(), found_.end(), [&](int cpu) { return cpu == found_cpu; });
  // The only caller has moved: soon be sure of it.
  if (agreed_ && !agree) gap_ = kGapMin;
  agreed_ = agree;
  return agree ? found_cpu : home_cpu_;
}

Placement::Placement(unsigned thread_index)
    : allowed_(allowed_processors()),
      has_choice_(CPU_COUNT(&allowed_) > 1),
      policy_(home_of(allowed_, thread_index)) {}

void Placement::served(uint32_t pid) {
  if (pid == 0 || !has_choice_ || !policy_.wants_look(pid)) return;
  const int found = processor_of(pid);
  if (found < 0 || found >= CPU_SETSIZE || !CPU_ISSET(found, &allowed_)) return;
  const int wanted = policy_.decide(found);
  if (wanted == cpu_) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(wanted, &one);
  if (::sched_setaffinity(0, sizeof one, &one) == 0) cpu_ = wanted;
}

int processor_of(uint32_t pid) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%u/stat", pid);
  const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  char text[1024];
  const ssize_t length = fd ? ::read(fd.get(), text, sizeof text - 1) : -1;
  if (length <= 0) return -1;
  text[length] = 0;
  // Fields are counted from behind the name, which is in brackets and may hold anything: the state
  // is the third field, the processor the 39th.
  const char* at = std::strrchr(text, ')');
  constexpr int kFieldsToSkip = 39 - 2;
  for (int field = 0; field < kFieldsToSkip && at != nullptr; ++field) {
    at = std::strchr(at + 1, ' ');
  }
  return at == nullptr ? -1 : std::atoi(at + 1);
}

}  // namespace netfs::fuse
