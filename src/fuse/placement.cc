#include "fuse/placement.h"

#include <algorithm>
#include <utility>

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

Placement::Placement(unsigned thread_index, CallerWatch& watch)
    : watch_(watch),
      seat_(CallerWatch::seat()),
      allowed_(allowed_processors()),
      has_choice_(CPU_COUNT(&allowed_) > 1),
      policy_(home_of(allowed_, thread_index)) {}

void Placement::served(uint32_t pid) {
  if (pid == 0 || !has_choice_) return;
  if (const int found = seat_->take_found(); found >= 0) move(found);
  if (policy_.wants_look(pid)) watch_.look(seat_, pid);
}

void Placement::move(int found) {
  if (found >= CPU_SETSIZE || !CPU_ISSET(found, &allowed_)) return;
  const int wanted = policy_.decide(found);
  if (wanted == cpu_) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(wanted, &one);
  if (::sched_setaffinity(0, sizeof one, &one) == 0) cpu_ = wanted;
}

}  // namespace netfs::fuse
