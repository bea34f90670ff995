#pragma once
// Pace: lets so many bytes a second through, for whoever asks before he sends or fetches some.
//
// First come, first served, but for what nobody waits for: that goes when nothing else waits.  What
// was idle gives nothing in advance: the first piece goes at once, and each one after it when the
// one before has had its time.  So a piece is as long as what may come in one burst.
//
// Thread-safe.  A thread of its own, from the first limit on, calls whoever's turn it is.  The
// destructor is called when nobody waits.
//
//   pace.set(1 << 20);
//   pace.wait(bytes, [=] { send(bytes); });

#include <atomic>
#include <cstdint>
#include <deque>
#include <string>

#include "base/clock.h"
#include "base/unique_function.h"
#include "netfs/lock_classes.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs {

class Pace {
 public:
  using Turn = UniqueFunction<void()>;
  // Whether somebody waits for it by now.  Called under a lock: it takes none.
  using IsAwaited = UniqueFunction<bool()>;

  explicit Pace(std::string thread_name) : thread_name_(std::move(thread_name)) {}
  ~Pace();
  Pace(const Pace&) = delete;
  Pace& operator=(const Pace&) = delete;

  // Bytes a second, 0: no limit.  Counts at once, for those who wait as well.
  void set(uint64_t bytes_per_second) EXCLUDES(mutex_);
  [[nodiscard]] uint64_t bytes_per_second() const { return bytes_per_second_; }

  // Calls `turn` once `bytes` may pass, on the caller's thread where there is no limit.  Without
  // `is_awaited` somebody waits for them.
  void wait(uint64_t bytes, Turn turn, IsAwaited is_awaited = {}) EXCLUDES(mutex_);
  // So many of them that passed were not needed.
  void give_back(uint64_t bytes) EXCLUDES(mutex_);

 private:
  struct Waiting {
    uint64_t bytes = 0;
    Turn turn;
    IsAwaited is_awaited;
  };

  [[nodiscard]] Waiting take_next_locked() REQUIRES(mutex_);
  [[nodiscard]] Duration time_of(uint64_t bytes) const;
  void run() EXCLUDES(mutex_);

  const std::string thread_name_;
  sync::Mutex mutex_{kPaceLock};
  sync::CondVar changed_;
  std::atomic<uint64_t> bytes_per_second_{0};  // set under the lock
  std::deque<Waiting> waiting_ GUARDED_BY(mutex_);
  MonoTime free_at_ GUARDED_BY(mutex_);  // when what was let through has had its time
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool started_ GUARDED_BY(mutex_) = false;
  sync::Thread thread_;
};

}  // namespace netfs
