#pragma once
// Connection: one TCP connection to the NFS service and the thread that keeps it.
//
// Requests are handed to the thread, go out as they come, many in flight, and are answered on that
// thread: with the decoded answer, which is valid during the call only; or with ETIMEDOUT at their
// deadline, whatever comes later; or with ENOTCONN when the connection is lost, and then the server
// may have carried them out.  A server that answers nothing for as long as `silence`, or
// whose host acknowledges nothing for `gone_after` (rpc.h), is lost.
// A lost one is made anew, at once if it had answered and with growing pauses if not, until the
// object goes.
//
// Thread-safe.  No lock is held while a request is answered.

#include <atomic>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "base/unique_function.h"
#include "origins/nfs/lock_classes.h"
#include "origins/nfs/rpc.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs::origins::nfs {

class Connection {
 public:
  // Calls one of libnfs's rpc_nfs3_..._async() and returns what that said.
  using Send = UniqueFunction<int(rpc_context*, rpc_cb, void*)>;
  // The result that libnfs decoded.
  using Answered = UniqueFunction<void(Result<void*>)>;

  // An ordered one, as each that changes something, must not be carried out after its caller has
  // given up on it: at its deadline the connection is lost, with all of it that has not left this
  // machine.
  enum class Kind : uint8_t { kFree, kOrdered };

  struct Options {
    std::string name;  // of its thread
    RpcTarget target;
    Duration silence = std::chrono::seconds(30);
    // It is up, or down, now; from its thread.
    UniqueFunction<void()> changed;
  };

  explicit Connection(Options options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] bool up() const { return up_.load(std::memory_order_acquire); }
  // Requests that are not answered.
  [[nodiscard]] size_t load() const { return load_.load(std::memory_order_relaxed); }
  // How often it was lost; why it is down.
  [[nodiscard]] uint64_t losses() const { return losses_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::string last_error() const EXCLUDES(mutex_);

  // False when it is down: then nothing is called.
  [[nodiscard]] bool submit(Send send, Answered answered, Deadline deadline,
                            Kind kind = Kind::kFree) EXCLUDES(mutex_);

 private:
  struct Request {
    Send send;
    Answered answered;  // none once it was answered
    Deadline deadline;
    Kind kind = Kind::kFree;
    MonoTime sent_at{};
    Connection* connection = nullptr;
    std::list<std::unique_ptr<Request>>::iterator place{};
  };
  using Requests = std::list<std::unique_ptr<Request>>;

  void run();
  // Until it is lost, and why.
  Error serve(Rpc& rpc);
  void send_queued(Rpc& rpc) EXCLUDES(mutex_);
  // Of a request that waits too long; the moment when the next one does.
  MonoTime expire(MonoTime now);
  [[nodiscard]] bool is_silent(MonoTime now) const;
  void close() EXCLUDES(mutex_);
  void lose(const Error& why) EXCLUDES(mutex_);
  void pause(Duration pause);
  void answer(Request& request, Result<void*> result);
  static void came(rpc_context* context, int status, void* data, void* request);

  Options options_;
  UniqueFd wake_;
  std::atomic<bool> up_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<size_t> load_{0};
  std::atomic<uint64_t> losses_{0};

  mutable sync::Mutex mutex_{kConnectionLock};
  Requests queue_ GUARDED_BY(mutex_);
  bool open_ GUARDED_BY(mutex_) = false;  // takes requests
  std::string last_error_ GUARDED_BY(mutex_);

  // Of the thread alone.
  Requests sent_;
  MonoTime last_answer_{};
  MonoTime heard_at_{};   // that the host was there, by its TCP
  uint64_t answers_ = 0;  // to requests, since it is up
  bool late_change_ = false;
  sync::Thread thread_;
};

}  // namespace netfs::origins::nfs
