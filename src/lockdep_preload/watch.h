#pragma once
// What the hooks of every kind of lock have in common: from an address to a record, and the events.
//
// All take a context from watched().  A null record (no memory) is a lock that is not watched.

#include "lockdep_preload/hook.h"
#include "lockdep_preload/record.h"

namespace netfs::lockdep_preload {

// The lock's record; a new one's site is found by where the lock lies and by `ip`.
Record* record_at(const void* lock, Kind kind, uintptr_t ip);
// An init call: whatever was at the address is no more.
void lock_made(Context& context, const void* lock, Kind kind, uintptr_t ip);
void lock_destroyed(Context& context, const void* lock, uintptr_t ip);

void acquire_known_class(Context& context, Record& record, const How& how, uintptr_t ip);

// Before the real lock is taken.
inline void acquire(Context& context, Record* record, const How& how, uintptr_t ip) {
  if (record == nullptr) return;
  if (context.depth() == 0 && !record->site->split.load(std::memory_order_relaxed)) {
    validator().acquire(context, record->instance, how, ip);
  } else {
    acquire_known_class(context, *record, how, ip);
  }
}
inline void release(Context& context, Record* record, uintptr_t ip) {
  if (record != nullptr) validator().release(context, record->instance, ip);
}

// Takes a lock that was announced: tries first, so that a real wait is known to be one.
// `succeeded` tells which results mean that it is held.
template <class Try, class Wait, class Succeeded>
int take(Context& context, Record* record, uintptr_t ip, Try try_it, Wait wait,
         Succeeded succeeded) {
  int result = try_it();
  if (succeeded(result)) return result;
  if (record == nullptr) return wait();
  validator().contended(context, record->instance);
  result = wait();
  validator().acquired(context, record->instance);
  if (!succeeded(result)) validator().acquire_failed(context, record->instance, ip);
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
    if (record_ != nullptr) validator().wait_begins(*context_, record_->instance, ip_);
  }
  ~ConditionWait() {
    if (record_ != nullptr) validator().wait_ends(*context_, record_->instance, ip_);
  }
  ConditionWait(const ConditionWait&) = delete;
  ConditionWait& operator=(const ConditionWait&) = delete;

 private:
  Context* context_;
  Record* record_;
  uintptr_t ip_;
};

}  // namespace netfs::lockdep_preload
