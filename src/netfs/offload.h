#pragma once
// Offload: the only caller of the cache's writer door; readers leave their filled blocks here.
//
// The founding rule in one class.  store() never blocks and never fails its caller: it takes a
// reference on data and cookie and returns; a thread that answers to no reader does the rest.  The
// queue is bounded in bytes, and what does not fit is dropped and counted, for a dropped store
// costs a later download and a blocked reader may cost the whole machine.  Its threads store and
// commit only: no read ever waits behind a store.
//
// Order: what is queued for one cookie happens in the order it was queued, so a discard() comes
// after the stores before it.  Commits are grouped by time and by bytes.
//
// Thread-safe.  Outlives the libraries that use it; the pool of the stored buffers outlives it.
// close() is bounded.  When it answers false a thread still stands in the writer (a frozen disk):
// the Offload, its Cache and the BufferPool must then not be destroyed; the process ends by _exit,
// or keeps them.  The destructor waits for that thread.
//
//   Offload offload(cache.open_writer(), {});
//   offload.store({.cookie = cookie, .first = BlockIndex(3), .data = slice, .ticket = ticket});
//   if (!offload.close(Deadline::after(clock, 5s))) _exit(1);

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/ref.h"
#include "base/strong_id.h"
#include "base/unique_function.h"
#include "netfs/buffer.h"
#include "netfs/cache.h"
#include "netfs/library_stats.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs {

// What became of a store, for whoever keeps the blocks in memory until then.  Thread-safe.
class StoreTicket : public RefCounted<StoreTicket> {
 public:
  enum class State : uint8_t {
    kQueued,
    kStored,   // present in the cookie: the copy in memory may go
    kDropped,  // never will be, unless it is tried again
  };
  // Acquire: who sees kStored sees the block present in its cookie.
  [[nodiscard]] State state() const { return state_.load(std::memory_order_acquire); }
  // For who stores the same once more: of several one gets true.
  [[nodiscard]] bool try_again() {
    State dropped = State::kDropped;
    return state_.compare_exchange_strong(dropped, State::kQueued);
  }

 private:
  friend class Offload;
  // Release: pairs with state().
  void settle(State state) { state_.store(state, std::memory_order_release); }

  std::atomic<State> state_{State::kQueued};
};

class Offload {
 public:
  struct Options {
    size_t queue_bytes_max = size_t{48} << 20;
    Duration commit_interval = std::chrono::milliseconds(500);  // from a store to its commit
    size_t commit_bytes = size_t{64} << 20;                     // commits earlier past this
    Duration maintain_interval = std::chrono::seconds(10);
  };

  // One run of whole blocks (the last of the file may be short).  The bytes are immutable.
  struct Store {
    Ref<Cookie> cookie;
    BlockIndex first;
    BufferSlice data;
    Ref<StoreTicket> ticket;  // may be null
  };

  Offload(std::unique_ptr<CacheWriter> writer, Options options);
  ~Offload();
  Offload(const Offload&) = delete;
  Offload& operator=(const Offload&) = delete;

  // Queues a store of confirmed bytes: it also tells the cache that the object may be sealed once
  // complete.  False when it was dropped.
  bool store(Store store) EXCLUDES(mutex_);
  // After the stores queued before it: what is stored of a path goes, in any version.  `done` is
  // called on the thread that stores when it is over.  False when closing: it is not called then.
  struct Forget {
    Ref<Volume> volume;
    std::string path;
    ForgetScope scope = ForgetScope::kFile;
  };
  bool forget(Forget what, UniqueFunction<void()> done) EXCLUDES(mutex_);
  // After what is queued before it: `task`, on the thread that stores, for what may wait for the
  // cache's disk.  False when closing; what close() drops is not run.
  bool after_stores(UniqueFunction<void()> task) EXCLUDES(mutex_);
  // After the stores queued before it: the cookie's object goes.  Never dropped but by close().
  void discard(Ref<Cookie> cookie) EXCLUDES(mutex_);

  // Whether the disk lags behind while it gets on: what is read ahead should then wait for it, so
  // that little is dropped.  Never true of a disk that stands still: whoever reads must not feel
  // that one.
  [[nodiscard]] bool lags() const;

  // Waits until everything queued so far is stored and committed; false at the deadline.
  bool drain(Deadline deadline) EXCLUDES(mutex_);
  // Takes no more, waits until the deadline for what is queued, then drops the rest.  True when no
  // thread is left in the writer.  Idempotent.
  bool close(Deadline deadline) EXCLUDES(mutex_);

  [[nodiscard]] const OffloadStats& stats() const { return stats_; }

 private:
  struct Job {
    Store store;
    bool is_discard = false;
    Forget forget;  // with a volume: that
    UniqueFunction<void()> forgotten;
    UniqueFunction<void()> task;  // alone
  };

  void run_stores() EXCLUDES(mutex_);
  void run_commits() EXCLUDES(mutex_);
  void work(Job job) EXCLUDES(mutex_);
  void drop_queue() EXCLUDES(mutex_);
  [[nodiscard]] bool quiet_locked() const REQUIRES(mutex_);
  // Waits until a commit is due and says whether there is one; false: it is time to end.
  bool wait_for_commit_locked() REQUIRES(mutex_);

  const std::unique_ptr<CacheWriter> writer_;
  const Options options_;
  OffloadStats stats_;
  std::atomic<MonoTime::rep> last_stored_{0};  // when the last store ended; 0: none did

  sync::Mutex mutex_;
  sync::CondVar changed_;
  std::deque<Job> queue_ GUARDED_BY(mutex_);
  size_t queued_bytes_ GUARDED_BY(mutex_) = 0;       // in queue_ or being stored
  size_t uncommitted_bytes_ GUARDED_BY(mutex_) = 0;  // stored since the last commit began
  MonoTime commit_due_ GUARDED_BY(mutex_) = MonoTime::max();
  MonoTime maintain_due_ GUARDED_BY(mutex_);
  bool storing_ GUARDED_BY(mutex_) = false;
  bool committing_ GUARDED_BY(mutex_) = false;
  bool dirty_ GUARDED_BY(mutex_) = false;  // something was stored and no commit has begun since
  unsigned draining_ GUARDED_BY(mutex_) = 0;
  bool closing_ GUARDED_BY(mutex_) = false;
  unsigned threads_running_ GUARDED_BY(mutex_) = 2;
  sync::Thread store_thread_;
  sync::Thread commit_thread_;
};

}  // namespace netfs
