#pragma once
// Request: one read or write that somebody asked for and that cannot be answered at once.
//
// It is in the list of live requests from then until it is answered: the list times it out, and
// `netfs status` shows what it waits for.  The links are the list's; the rest is constant once it
// is listed, but for the deadline: the time that parts of it are held back by a limit of bandwidth
// is not the origin's, and moves it.

#include <atomic>
#include <cstdint>
#include <string>

#include "base/byte_range.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/ref.h"
#include "sync/context.h"

namespace netfs {

class Request : public RefCounted<Request> {
 public:
  Request(uint64_t number, ByteRange asked, const sync::Context& asker, MonoTime now,
          MonoTime until)
      : id(number), range(asked), context(asker), began(now), deadline(until) {}
  virtual ~Request() = default;

  // For one that is not listed yet: its time runs from now.
  void begin_at(MonoTime now, MonoTime until) {
    began = now;
    deadline = until;
  }
  // One caller at a time.
  void extend(MonoTime until) {
    if (until > deadline.load()) deadline = until;
  }

  const uint64_t id;
  const ByteRange range;
  const sync::Context context;
  MonoTime began;
  std::atomic<MonoTime> deadline;

  // Answers it with an error unless it was answered before.  Not under a lock.
  virtual void end(Error error) = 0;
  // Asked when its time is up: until when it has time as it is now, max while all that it waits for
  // is held back.  Not under a lock.
  [[nodiscard]] virtual MonoTime waits_until() const { return deadline; }
  [[nodiscard]] virtual std::string path() const = 0;
  [[nodiscard]] virtual std::string what_it_waits_for() const = 0;

 private:
  friend class RequestList;
  Request* previous_ = nullptr;
  Request* next_ = nullptr;
  bool listed_ = false;
  MonoTime listed_until_{};
};

}  // namespace netfs
