#pragma once
// Placement: keeps a thread that answers the kernel on the processor of whoever asks.
//
// A caller sleeps while it waits, so its own processor is free for the answer; waking another one
// that idles costs several times the whole round trip (measured on a virtual machine: 8 us against
// 50).  Every few requests the thread has a look taken where its last caller runs, by CallerWatch.
// When the last looks all found the same processor, it binds itself there; when the callers are
// spread, it goes to its home, so that the threads are spread, too.  It never leaves the processors
// that the process was allowed.
//
// Where /proc or the affinity cannot be used, nothing happens.  By its own thread only.
//
//   Placement placement(thread_index, watch);
//   for (;;) { ...answer a request of `pid`...; placement.served(pid); }

#include <array>
#include <cstdint>
#include <sched.h>

#include "fuse/caller_watch.h"

namespace netfs::fuse {

// When to look, and where to go; pure.
//
// A look costs as much as two requests, so they become rarer while nothing changes: at a new caller
// the first comes after kGapMin requests, each further one after twice as many, up to kGapMax.
class PlacementPolicy {
 public:
  static constexpr unsigned kGapMin = 4;     // requests from look to look
  static constexpr unsigned kGapMax = 512;   // 20 us a look: 0.04 us a request
  static constexpr unsigned kRunOfOne = 64;  // requests of one caller that make the next one new
  static constexpr unsigned kLooksThatMustAgree = 4;

  explicit PlacementPolicy(int home_cpu) : home_cpu_(home_cpu) { found_.fill(kNowhere); }

  // Counts a request; whether to look where this caller runs.
  [[nodiscard]] bool wants_look(uint32_t pid);
  // What was found; the processor to be on from now.
  [[nodiscard]] int decide(int found_cpu);

 private:
  static constexpr int kNowhere = -1;
  const int home_cpu_;
  uint32_t last_pid_ = 0;
  unsigned run_ = 0;  // requests of last_pid_ in a row
  unsigned since_look_ = 0;
  unsigned gap_ = kGapMin;
  unsigned looks_ = 0;
  bool agreed_ = false;
  std::array<int, kLooksThatMustAgree> found_;
};

class Placement {
 public:
  // Homes go round the allowed processors by index.
  Placement(unsigned thread_index, CallerWatch& watch);
  // A request of this thread id was answered; 0: of the kernel's own.
  void served(uint32_t pid);

 private:
  void move(int found);

  CallerWatch& watch_;
  const Ref<CallerWatch::Seat> seat_;
  const cpu_set_t allowed_;
  const bool has_choice_;
  PlacementPolicy policy_;
  int cpu_ = -1;  // bound to; -1: to none
};

}  // namespace netfs::fuse
