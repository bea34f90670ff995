#pragma once
// Pool: the connections to one server: opened in the background, spread over, opened again.
//
// One ssh channel carries at most 2 MiB a round trip, so filling a far link takes several: the pool
// opens the first at once and then more by itself, as many as the measured delay asks for, a few at
// a time (sshd turns away more than MaxStartups that are not logged in yet).  A login is a dozen
// round trips, so where the first takes long some more are begun beside it.  A connection that
// ended is replaced, with a back-off from 100 ms to 5 s, and to a minute while others are up.  When
// nothing has been up for `timeout`, callers fail at once instead of waiting their own deadlines
// one after the other.
//
// The pool's own thread starts every ssh (ssh gets a signal when the thread that started it ends)
// and destroys every connection.  Thread-safe.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ref.h"
#include "base/result.h"
#include "origins/sftp/connection.h"
#include "origins/sftp/lock_classes.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs::origins::sftp {

struct PoolOptions {
  SshTarget target;
  unsigned connections_max = 0;  // 0: by the measured delay
};

// How many connections fill a gigabit a second at this delay, with some to spare.
unsigned connections_for(Duration round_trip);

class Pool final : private ConnectionOwner {
 public:
  // Waits for the first connection; its error says why there is none.
  static Result<std::unique_ptr<Pool>> create(PoolOptions options, const Clock& clock);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // The connection with the least file data under way; waits for one until the deadline.
  // ENOTCONN with what connecting said last; ETIMEDOUT; ECANCELED at the end.
  Result<Ref<Connection>> acquire(Deadline deadline) EXCLUDES(mutex_);
  // The same without waiting; null when none is up.  Prefers those of `preferred` (serials) unless
  // they have kBusyBytes more under way than another.
  Ref<Connection> try_acquire(const std::vector<uint32_t>& preferred) EXCLUDES(mutex_);
  Ref<Connection> find(uint32_t serial) EXCLUDES(mutex_);

  struct State {
    unsigned up = 0;
    unsigned wanted = 0;
    uint64_t lost = 0;  // connections that were up and ended
    Duration round_trip{};
    std::string last_error;  // empty while one is up
  };
  [[nodiscard]] State state() const EXCLUDES(mutex_);
  [[nodiscard]] const SshTarget& target() const { return options_.target; }

 private:
  static constexpr int64_t kBusyBytes = 256 * 1024;
  static constexpr uint32_t kFirstSerial = 1;

  Pool(PoolOptions options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}
  void connection_changed() override EXCLUDES(mutex_);
  void manage() EXCLUDES(mutex_);
  // What manage() does next.
  struct Step {
    std::vector<Ref<Connection>> dead;  // to be destroyed without the lock
    std::vector<std::string> log;       // to be said without it
    unsigned start = 0;
    bool stop = false;
  };
  Step next_step() EXCLUDES(mutex_);
  void sort_out_locked(Step& step) REQUIRES(mutex_);
  void count_new_locked(const Connection& connection) REQUIRES(mutex_);
  void count_ended_locked(const Connection& connection, Step& step) REQUIRES(mutex_);
  void drop_surplus_locked() REQUIRES(mutex_);
  [[nodiscard]] unsigned aimed_at_locked() const REQUIRES(mutex_);
  [[nodiscard]] unsigned to_start_locked() const REQUIRES(mutex_);
  void start_one(const std::vector<std::string>& tuned) EXCLUDES(mutex_);
  void close_all() EXCLUDES(mutex_);

  const PoolOptions options_;
  const Clock& clock_;
  mutable sync::Mutex mutex_{kPoolLock};
  sync::CondVar changed_;
  bool news_ GUARDED_BY(mutex_) = false;  // a connection changed since the thread looked
  std::vector<Ref<Connection>> connecting_ GUARDED_BY(mutex_);
  std::vector<Ref<Connection>> up_ GUARDED_BY(mutex_);
  std::vector<Ref<Connection>> ended_ GUARDED_BY(mutex_);  // until nobody uses them
  unsigned wanted_ GUARDED_BY(mutex_) = 1;
  uint32_t next_serial_ GUARDED_BY(mutex_) = kFirstSerial;
  MonoTime first_begun_ GUARDED_BY(mutex_){};
  uint64_t lost_ GUARDED_BY(mutex_) = 0;
  Duration round_trip_ GUARDED_BY(mutex_) = Duration::max();  // the least seen
  Duration backoff_ GUARDED_BY(mutex_){};
  MonoTime next_try_ GUARDED_BY(mutex_){};
  bool was_up_ GUARDED_BY(mutex_) = false;
  bool given_up_ GUARDED_BY(mutex_) = false;  // the first connection failed
  bool stopping_ GUARDED_BY(mutex_) = false;
  Error last_error_ GUARDED_BY(mutex_){ENOTCONN, "sftp.pool"};
  MonoTime down_since_ GUARDED_BY(mutex_){};
  sync::Thread thread_;
};

}  // namespace netfs::origins::sftp
