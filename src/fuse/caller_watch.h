#pragma once
// CallerWatch: finds out which processor a caller runs on, on a thread of its own.
//
// Looking at a process may wait for that process: while a program is being executed, its files are
// closed, and /proc/PID/stat is not answered.  If one of them is a file of ours, its FLUSH waits
// for an answer meanwhile; so no thread that answers the kernel may look itself.
//
// Life: outlives every session that uses it, and the kernel's connection to each: a look may last
// until that has ended.  Thread-safe.
//
//   Ref<CallerWatch::Seat> seat = watch.seat();
//   watch.look(seat, pid);
//   ... at the next request:
//   if (const int cpu = seat->take_found(); cpu >= 0) move_to(cpu);

#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "base/ref.h"
#include "sync/work_queue.h"

namespace netfs::fuse {

class CallerWatch {
 public:
  // Where one thread finds what it asked for; one question at a time.
  class Seat : public RefCounted<Seat> {
   public:
    // The processor that was found, once; -1: nothing yet, or it was not to be found out.
    int take_found() { return found_.exchange(-1, std::memory_order_relaxed); }

   private:
    friend class CallerWatch;
    std::atomic<bool> asked_{false};
    std::atomic<int> found_{-1};
  };

  CallerWatch();

  static Ref<Seat> seat() { return make_ref<Seat>(); }
  // Asks where a thread runs, unless the seat's last question still waits.
  void look(const Ref<Seat>& seat, uint32_t pid);
  // Waits for a look that is under way; false at the deadline: then this may not be destroyed.
  [[nodiscard]] bool idle_by(MonoTime until) { return thread_.drain(until); }

 private:
  sync::WorkQueue thread_;
};

// The processor that a thread ran on last; -1: not to be found out.  May wait for that thread.
int processor_of(uint32_t pid);

}  // namespace netfs::fuse
