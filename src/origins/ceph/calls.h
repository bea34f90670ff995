#pragma once
// Calls: blocking calls on threads of their own, so that who asks is answered by his deadline.
//
// libcephfs waits for as long as a daemon is silent, and nothing wakes it up.  A call whose
// deadline has passed goes on without the one who asked: it must own all that it uses, and what it
// answers is let go of on its own thread.  One that has not begun by then never does.
//
// Thread-safe.  close() is bounded: what stands in libcephfs still then keeps its threads and what
// it uses, until the process ends.
//
//   const NodeInfo info = TRY(calls.run(Calls::Kind::kLook, deadline,
//       [sessions, path]() -> Result<NodeInfo> { ... }));

#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "base/clock.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/unique_function.h"
#include "origins/ceph/late_changes.h"
#include "origins/ceph/lock_classes.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/work_queue.h"

namespace netfs::origins::ceph {

// Where an answer is put; held by who waits and by who works.
template <class T>
class Pending final : public RefCounted<Pending<T>> {
 public:
  // `late`: of a change.
  explicit Pending(Ref<LateChanges> late) : late_(std::move(late)) {}

  // False: nobody waits for it any more.
  bool begin() EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    if (state_ != State::kQueued) return false;
    state_ = State::kRunning;
    return true;
  }
  void answer(Result<T> result) EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    if (state_ == State::kRunning) {
      state_ = State::kAnswered;
      result_ = std::move(result);
      answered_.notify_all();
      return;
    }
    lock.unlock();
    if (late_) late_->ended();
  }
  Result<T> wait(Deadline deadline) EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    while (state_ != State::kAnswered) {
      if (answered_.wait_until(mutex_, deadline.at) || state_ == State::kAnswered) continue;
      const bool running = state_ == State::kRunning;
      state_ = State::kLeft;
      lock.unlock();
      if (running && late_) late_->begins();
      return Error(ETIMEDOUT, "ceph.call");
    }
    return *std::exchange(result_, std::nullopt);
  }

 private:
  enum class State : uint8_t { kQueued, kRunning, kAnswered, kLeft };

  const Ref<LateChanges> late_;
  sync::Mutex mutex_{kCallLock};
  sync::CondVar answered_;
  State state_ GUARDED_BY(mutex_) = State::kQueued;
  std::optional<Result<T>> result_ GUARDED_BY(mutex_);
};

class Calls {
 public:
  enum class Kind : uint8_t { kLook, kChange };

  Calls(const std::string& name, unsigned threads)
      : late_(make_ref<LateChanges>()),
        queue_(std::make_unique<sync::WorkQueue>(
            sync::WorkQueue::Options{.name = name, .threads = threads})) {}
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

  template <class Call>
  std::invoke_result_t<Call&> run(Kind kind, Deadline deadline, Call call) {
    using T = typename std::invoke_result_t<Call&>::Value;
    if (kind == Kind::kChange) TRY(late_->wait_for_none(deadline));
    auto pending = make_ref<Pending<T>>(kind == Kind::kChange ? late_ : nullptr);
    if (!post([pending, call = std::move(call)]() mutable {
          if (pending->begin()) pending->answer(call());
        })) {
      return Error(ENOTCONN, "ceph.call");
    }
    return pending->wait(deadline);
  }
  // A look, which is taken once more where the client turned out to be gone: the next one is made.
  template <class Look>
  std::invoke_result_t<Look&> look(Deadline deadline, Look look) {
    return run(Kind::kLook, deadline, [look = std::move(look)]() mutable {
      std::invoke_result_t<Look&> seen = look();
      if (seen.is_error(ENOTCONN)) seen = look();
      return seen;
    });
  }
  // For what nobody waits for.
  bool post(sync::WorkQueue::Work work) { return queue_->post(std::move(work)); }

  [[nodiscard]] const Ref<LateChanges>& late_changes() const { return late_; }
  [[nodiscard]] size_t under_way() const { return queue_->unfinished(); }

  // Waits until then for what is under way.  False: some of it does not end.
  bool close(Deadline deadline) {
    const bool ended = queue_->drain(deadline.at);
    if (!ended) (void)queue_.release();  // its threads cannot be joined
    queue_.reset();
    return ended;
  }

 private:
  const Ref<LateChanges> late_;
  std::unique_ptr<sync::WorkQueue> queue_;
};

}  // namespace netfs::origins::ceph
