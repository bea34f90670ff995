#pragma once
// LargeBodies: whose answer may be large.
//
// Many listings are under way at a time, and each is held whole until it is decoded.  As much as
// kSmallBodyBytes everybody may hold; who needs more has a turn for it, and there is one.  It is
// asked for without waiting while an answer comes (on the engine's thread), and waited for once
// that answer was given up.
//
// Thread-safe.  Outlives its turns.
//
//   LargeBodies::Turn turn = bodies.try_take();
//   if (!turn) turn = TRY(bodies.take(deadline));

#include <cstddef>
#include <utility>

#include "base/clock.h"
#include "base/result.h"
#include "origins/http/lock_classes.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::origins::http {

// Some 5,000 names of a multistatus, 25,000 of a page.
inline constexpr size_t kSmallBodyBytes = size_t{4} << 20;

class LargeBodies {
 public:
  // Given back by whoever drops it.  False: it is none.
  class Turn {
   public:
    Turn() = default;
    Turn(Turn&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    Turn& operator=(Turn&& other) noexcept {
      std::swap(of_, other.of_);
      return *this;
    }
    ~Turn() {
      if (of_ != nullptr) of_->give_back();
    }
    explicit operator bool() const { return of_ != nullptr; }

   private:
    friend class LargeBodies;
    explicit Turn(LargeBodies& of) : of_(&of) {}
    LargeBodies* of_ = nullptr;
  };

  // None: somebody else has it.
  Turn try_take() EXCLUDES(mutex_);
  // ETIMEDOUT: somebody else had it all the time.
  Result<Turn> take(Deadline deadline) EXCLUDES(mutex_);

 private:
  void give_back() EXCLUDES(mutex_);

  sync::Mutex mutex_{kLargeBodiesLock};
  sync::CondVar given_back_;
  bool taken_ GUARDED_BY(mutex_) = false;
};

}  // namespace netfs::origins::http
