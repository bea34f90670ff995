#pragma once
// Caller: requests whose caller waits for the answer; for metadata, on a metadata worker.
//
// A request whose connection is lost is sent again on another one, the first time at once, and one
// that the server has no time for (JUKEBOX) again after a while, until the deadline.  What the
// server refuses is not asked again.  One that changes something is `kOrdered`: it is not carried
// out any more when its caller has been told ETIMEDOUT.  Thread-safe.
//
//   const NodeInfo info = TRY(caller.ask<GETATTR3res>(
//       [handle](rpc_context* rpc, rpc_cb answered, void* call) { ... },
//       [](const GETATTR3res& answer) -> Result<NodeInfo> { ... }, deadline));

#include <algorithm>
#include <cerrno>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/ref.h"
#include "origins/nfs/pool.h"

namespace netfs::origins::nfs {

// Where an answer is put; held by who waits and by the connection.
template <class T>
class Waiter final : public RefCounted<Waiter<T>> {
 public:
  void answered(Result<T> result) EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    result_ = std::move(result);
    done_.notify_all();
  }
  Result<T> wait(Deadline deadline) EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    while (!result_) {
      if (!done_.wait_until(mutex_, deadline.at) && !result_) return Error(ETIMEDOUT, "nfs.call");
    }
    return *std::exchange(result_, std::nullopt);
  }

 private:
  sync::Mutex mutex_{kCallLock};
  sync::CondVar done_;
  std::optional<Result<T>> result_ GUARDED_BY(mutex_);
};

// How a request is asked.
struct Asking {
  Connection::Kind kind = Connection::Kind::kFree;
  // Becomes true when an earlier attempt may have been carried out.
  bool* lost = nullptr;
  // Asked after such an attempt: the request is sent again, or this error is the answer.
  std::function<Result<void>()> look = {};
};

class Caller {
 public:
  explicit Caller(Pool& pool) : pool_(pool) {}
  [[nodiscard]] Pool& pool() { return pool_; }

  // `send` holds copies of what it sends, and `decode` nothing: either may be used when the caller
  // is gone.
  template <class Answer, class Send, class Decode>
  auto ask(Send send, Decode decode, Deadline deadline, const Asking& asking = {})
      -> std::invoke_result_t<Decode, const Answer&> {
    const Connection::Kind kind = asking.kind;
    using T = typename std::invoke_result_t<Decode, const Answer&>::Value;
    Duration rest = std::chrono::milliseconds(50);
    for (unsigned losses = 0;;) {
      Connection* connection = TRY(pool_.acquire(deadline));
      auto waiter = make_ref<Waiter<Boxed<T>>>();
      const bool taken = connection->submit(
          send,
          [waiter, decode](Result<void*> answer) {
            if (!answer.ok()) return waiter->answered(answer.error());
            waiter->answered(box(decode(*static_cast<const Answer*>(answer.value()))));
          },
          deadline, kind);
      if (!taken) continue;
      // An ordered one is waited for until its connection is gone.
      const Duration more = kind == Connection::Kind::kOrdered ? kLoseWithin : Duration(0);
      const MonoTime until =
          deadline.at < MonoTime::max() - more ? deadline.at + more : deadline.at;
      Result<Boxed<T>> result = waiter->wait({until});
      if (result.is_error(ENOTCONN) && !deadline.passed(Clock::system().now())) {
        if (asking.lost != nullptr) *asking.lost = true;
        if (++losses > 1) pause(rest, deadline);
        if (asking.look) TRY(asking.look());
        continue;
      }
      if (result.is_error(EAGAIN)) {
        if (deadline.passed(Clock::system().now())) return Error(ETIMEDOUT, "nfs.call");
        pause(rest, deadline);
        continue;
      }
      if constexpr (std::is_void_v<T>) {
        if (!result.ok()) return std::move(result).error();
        return {};
      } else {
        return result;
      }
    }
  }

 private:
  static constexpr Duration kLoseWithin = std::chrono::seconds(2);

  // The next one is twice as long.
  static void pause(Duration& rest, Deadline deadline) {
    const Deadline later = Deadline::after(Clock::system(), rest);
    (void)make_ref<Waiter<int>>()->wait({std::min(later.at, deadline.at)}).ok();
    rest = std::min<Duration>(rest * 2, std::chrono::seconds(2));
  }

  struct Nothing {};
  template <class T>
  using Boxed = std::conditional_t<std::is_void_v<T>, Nothing, T>;
  template <class T>
  static Result<Boxed<T>> box(Result<T> result) {
    if constexpr (std::is_void_v<T>) {
      if (!result.ok()) return std::move(result).error();
      return Nothing{};
    } else {
      return result;
    }
  }

  Pool& pool_;
};

}  // namespace netfs::origins::nfs
