#pragma once
// What the hooks of every kind of lock have in common: from an address to a record, and the events.
//
// All take a context from watched().  A null record (no memory) is a lock that is not watched.

#include "lockdep/held_lock.h"
#include "lockdep_preload/hook.h"
#include "lockdep_preload/lock_times.h"
#include "lockdep_preload/real.h"
#include "lockdep_preload/record.h"
#include "lockdep_preload/timing.h"

namespace netfs::lockdep_preload {

// The lock's record; a new one's site is found by where the lock lies and by `ip`.
Record* record_at_slowly(const void* lock, Kind kind, uintptr_t ip);
inline Record* record_at(const void* lock, Kind kind, uintptr_t ip) {
  Record* record = find_record(reinterpret_cast<uintptr_t>(lock));
  if (__builtin_expect(record != nullptr && record->frame == 0, 1)) return record;
  return record_at_slowly(lock, kind, ip);
}
// The same for an unlock: of what the context holds it is known without a look at the stack.
inline Record* record_held_at(const Context& context, const void* lock, Kind kind, uintptr_t ip) {
  Record* record = find_record(reinterpret_cast<uintptr_t>(lock));
  if (__builtin_expect(record != nullptr && record->frame == 0, 1)) return record;
  const lockdep::Instance* held = nullptr;
  const bool is_last = record != nullptr && lockdep::Validator::held(context, &held, 1) != 0 &&
                       held == &record->instance;
  return is_last ? record : record_at_slowly(lock, kind, ip);
}
// An init call: whatever was at the address is no more.
void lock_made(Context& context, const void* lock, Kind kind, uintptr_t ip);
void lock_destroyed(Context& context, const void* lock, uintptr_t ip);

void acquire_known_class(Context& context, Record& record, const How& how, uintptr_t ip);

// Before the real lock is taken.
inline void acquire(Context& context, Record* record, const How& how, uintptr_t ip) {
  if (record == nullptr) return;
  // Often something is held: a thread always holds its own pseudo-lock.
  if (!record->site->split.load(std::memory_order_relaxed) &&
      !validator().may_hold(context, record->site->key)) {
    validator().acquire(context, record->instance, how, ip);
  } else {
    acquire_known_class(context, *record, how, ip);
  }
  if (__builtin_expect(g_timing, 0) && how.attempt == Attempt::kTry) hold_begins(*record);
}
// False: this context did not hold it, which has been reported.
inline bool release(Context& context, Record* record, uintptr_t ip) {
  if (record == nullptr) return true;
  if (__builtin_expect(g_timing, 0)) hold_ends(*record);
  return validator().release(context, record->instance, ip);
}
// It is unlocked by a thread that does not hold it: `owner`, a thread's id, has it no more.
void taken_from(Record& record, int owner);

// Takes a lock that was announced: tries first, so that a real wait is known to be one (where
// another library counts the calls each is taken for one).  `succeeded` tells which results mean
// that it is held.
template <class Try, class Wait, class Succeeded>
int take(Context& context, Record* record, uintptr_t ip, Try try_it, Wait wait,
         Succeeded succeeded) {
  int result = EBUSY;
  if (__builtin_expect(!real().others, 1)) result = try_it();
  if (succeeded(result)) {
    if (__builtin_expect(g_timing, 0) && record != nullptr) hold_begins(*record);
    return result;
  }
  if (record == nullptr) return wait();
  validator().contended(context, record->instance);
  const uint64_t began = g_timing ? times_now_ns() : 0;
  result = wait();
  validator().acquired(context, record->instance);
  if (!succeeded(result)) {
    validator().acquire_failed(context, record->instance, ip);
  } else if (g_timing) {
    time_waited(*record, times_now_ns() - began);
    hold_begins(*record);
  }
  return result;
}

// A condition wait gives its mutex up and takes it again inside, where no hook sees it.  In our
// books it is taken back however the wait ends: a cancelled one as well, whose cleanup handlers
// find it locked.
class ConditionWait {
 public:
  // `context`: null when nothing is watched.
  ConditionWait(Context* context, const void* mutex, Kind kind, uintptr_t ip)
      : context_(context),
        record_(context == nullptr ? nullptr : record_at(mutex, kind, ip)),
        ip_(ip) {
    if (record_ == nullptr) return;
    if (g_timing) hold_ends(*record_);
    validator().wait_begins(*context_, record_->instance, ip_);
  }
  ~ConditionWait() {
    if (record_ == nullptr) return;
    validator().wait_ends(*context_, record_->instance, ip_);
    if (g_timing) hold_begins(*record_);
  }
  ConditionWait(const ConditionWait&) = delete;
  ConditionWait& operator=(const ConditionWait&) = delete;

 private:
  Context* context_;
  Record* record_;
  uintptr_t ip_;
};

}  // namespace netfs::lockdep_preload
