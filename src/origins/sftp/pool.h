#pragma once
// Pool: the connections to one server: opened in the background, spread over, opened again.
//
// One ssh channel carries at most 2 MiB a round trip, so filling a far link takes several: the pool
// opens the first at once and more by itself, as many as the measured delay asks for.  A connection
// that ended is replaced, with a back-off from 100 ms to 5 s.  When nothing has been up for
// `timeout`, callers fail at once instead of waiting their own deadlines one after the other.
//
// The pool owns its connections: they are destroyed by its own thread, which also starts every ssh
// (ssh gets a signal when the thread that started it ends).  Thread-safe.

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

class Pool {
 public:
  // Waits for the first connection; its error says why there is none.
  static Result<std::unique_ptr<Pool>> create(PoolOptions options, const Clock& clock);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // The connection with the least file data under way; waits for one until the deadline.
  // ENOTCONN or what connecting said last; ETIMEDOUT.
  Result<Ref<Connection>> acquire(Deadline deadline) EXCLUDES(mutex_);
  // The same without waiting; null when none is up.  Prefers `preferred` (a serial) unless that is
  // busy with more than kBusyBytes while another has less.
  Ref<Connection> try_acquire(const std::vector<uint32_t>& preferred) EXCLUDES(mutex_);
  Ref<Connection> find(uint32_t serial) EXCLUDES(mutex_);

  struct State {
    unsigned up = 0;
    unsigned wanted = 0;
    uint64_t reconnects = 0;
    Duration round_trip{};
    std::string last_error;
  };
  [[nodiscard]] State state() const EXCLUDES(mutex_);
  [[nodiscard]] const SshTarget& target() const { return options_.target; }

 private:
  static constexpr int64_t kBusyBytes = 256 * 1024;

  Pool(PoolOptions options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}
  void manage();
  void reap_locked(std::vector<Ref<Connection>>& dead) REQUIRES(mutex_);
  [[nodiscard]] unsigned wanted_for(Duration round_trip) const;

  const PoolOptions options_;
  const Clock& clock_;
  mutable sync::Mutex mutex_{kPoolLock};
  sync::CondVar changed_;
  std::vector<Ref<Connection>> up_ GUARDED_BY(mutex_);
  std::vector<Ref<Connection>> ended_ GUARDED_BY(mutex_);  // until nobody uses them
  unsigned wanted_ GUARDED_BY(mutex_) = 1;
  uint32_t next_serial_ GUARDED_BY(mutex_) = 1;
  uint64_t connects_ GUARDED_BY(mutex_) = 0;
  Duration round_trip_ GUARDED_BY(mutex_){};
  bool first_tried_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  Error last_error_ GUARDED_BY(mutex_){ENOTCONN, "sftp.pool"};
  MonoTime down_since_ GUARDED_BY(mutex_){};
  sync::Thread thread_;
};

}  // namespace netfs::origins::sftp
