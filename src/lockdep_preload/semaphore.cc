// sem_*: a semaphore that begins at 1 and that only its taker posts is a lock of sorts; what is
// found of it is said in a line of low severity.  One that somebody else posts is none, from the
// first such post on.

#include "lockdep_preload/real.h"
#include "lockdep_preload/watch.h"

namespace netfs::lockdep_preload {
namespace {

constexpr size_t kHeldMax = 8;  // semaphores that a thread holds and that we keep count of

__thread Record* t_held[kHeldMax] __attribute__((tls_model("initial-exec")));
__thread unsigned t_held_count __attribute__((tls_model("initial-exec"))) = 0;

Record* lock_like(sem_t* semaphore) {
  Record* record = find_record(reinterpret_cast<uintptr_t>(semaphore));
  if (record == nullptr || record->site->kind != Kind::kSemaphore) return nullptr;
  return record->not_a_lock.load(std::memory_order_relaxed) ? nullptr : record;
}

bool forget_held(Record* record) {
  for (unsigned i = 0; i < t_held_count; ++i) {
    if (t_held[i] != record) continue;
    t_held[i] = t_held[--t_held_count];
    return true;
  }
  return false;
}

bool holds(const Record* record) {
  for (unsigned i = 0; i < t_held_count; ++i) {
    if (t_held[i] == record) return true;
  }
  return false;
}

// What somebody else has posted meanwhile is not held any more.
void drop_posted(Context& context, uintptr_t ip) {
  for (unsigned i = t_held_count; i > 0; --i) {
    Record* record = t_held[i - 1];
    if (!record->not_a_lock.load(std::memory_order_relaxed)) continue;
    forget_held(record);
    release(context, record, ip);
  }
}

template <class Try, class Wait>
int wait_for(sem_t* semaphore, Attempt attempt, uintptr_t ip, Try try_it, Wait wait) {
  Context* context = watched();
  if (context == nullptr) return wait();
  if (t_held_count != 0) drop_posted(*context, ip);
  Record* record = lock_like(semaphore);
  // One that is taken twice by one thread is none; nor is one more than we count.
  if (record != nullptr && (holds(record) || t_held_count == kHeldMax)) {
    record->not_a_lock.store(true, std::memory_order_relaxed);
    record = nullptr;
  }
  if (record == nullptr) return wait();
  if (attempt == Attempt::kTry) {
    const int result = wait();
    if (result != 0) return result;
    acquire(*context, record, {.attempt = attempt}, ip);
    t_held[t_held_count++] = record;
    return result;
  }
  acquire(*context, record, {.attempt = attempt}, ip);
  const int saved = errno;
  const int result = take(*context, record, ip, try_it, wait, [](int code) { return code == 0; });
  if (result == 0) {
    errno = saved;
    t_held[t_held_count++] = record;
  }
  return result;
}

}  // namespace

LOCKDEP_HOOK int sem_init(sem_t* semaphore, int shared, unsigned value) {
  Context* context = watched();
  if (context != nullptr) {
    if (value == 1) {
      lock_made(*context, semaphore, Kind::kSemaphore, LOCKDEP_CALLER_IP);
    } else if (Record* old = find_record(reinterpret_cast<uintptr_t>(semaphore))) {
      retire_record(*old);
    }
  }
  return real().sem_init(semaphore, shared, value);
}

LOCKDEP_HOOK int sem_destroy(sem_t* semaphore) {
  if (Context* context = watched()) {
    if (t_held_count != 0) drop_posted(*context, LOCKDEP_CALLER_IP);
    Record* record = find_record(reinterpret_cast<uintptr_t>(semaphore));
    // Held or not is nobody's concern: a semaphore may be destroyed at any value.
    if (record != nullptr && record->site->kind == Kind::kSemaphore) {
      if (forget_held(record)) release(*context, record, LOCKDEP_CALLER_IP);
      retire_record(*record);
    }
  }
  return real().sem_destroy(semaphore);
}

LOCKDEP_HOOK int sem_wait(sem_t* semaphore) {
  return wait_for(
      semaphore, Attempt::kBlocking, LOCKDEP_CALLER_IP,
      [semaphore] { return real().sem_trywait(semaphore); },
      [semaphore] { return real().sem_wait(semaphore); });
}

LOCKDEP_HOOK int sem_trywait(sem_t* semaphore) {
  const auto try_it = [semaphore] { return real().sem_trywait(semaphore); };
  return wait_for(semaphore, Attempt::kTry, LOCKDEP_CALLER_IP, try_it, try_it);
}

LOCKDEP_HOOK int sem_timedwait(sem_t* semaphore, const timespec* until) {
  return wait_for(
      semaphore, Attempt::kTimed, LOCKDEP_CALLER_IP,
      [semaphore] { return real().sem_trywait(semaphore); },
      [=] { return real().sem_timedwait(semaphore, until); });
}

LOCKDEP_HOOK int sem_clockwait(sem_t* semaphore, clockid_t clock, const timespec* until) {
  return wait_for(
      semaphore, Attempt::kTimed, LOCKDEP_CALLER_IP,
      [semaphore] { return real().sem_trywait(semaphore); },
      [=] { return real().sem_clockwait(semaphore, clock, until); });
}

LOCKDEP_HOOK int sem_post(sem_t* semaphore) {
  Context* context = watched();
  Record* record = context == nullptr ? nullptr : lock_like(semaphore);
  if (record != nullptr) {
    if (forget_held(record)) {
      release(*context, record, LOCKDEP_CALLER_IP);
    } else {
      record->not_a_lock.store(true, std::memory_order_relaxed);
    }
  }
  return real().sem_post(semaphore);
}

}  // namespace netfs::lockdep_preload
