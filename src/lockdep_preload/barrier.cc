// pthread_barrier_*: who waits at a barrier waits for all others that are to come.
//
// Who comes is not known beforehand.  A thread that has come back to a barrier is taken to come
// back again: from its second wait on it holds the barrier, to read, until it is there once more.
// What is found of it is ORDER-ONLY, for another thread may come in its place (report_sink.cc).

#include "lockdep_preload/real.h"
#include "lockdep_preload/thread.h"
#include "lockdep_preload/watch.h"

namespace netfs::lockdep_preload {
namespace {

constexpr size_t kKnownMax = 4;  // barriers that a thread comes back to and that we keep count of

struct Known {
  Record* record;
  uintptr_t address;
  bool held;
};
__thread Known t_known[kKnownMax] __attribute__((tls_model("initial-exec")));
__thread unsigned t_known_count __attribute__((tls_model("initial-exec"))) = 0;

Known* known(const Record* record, uintptr_t address) {
  for (unsigned i = 0; i < t_known_count; ++i) {
    if (t_known[i].record == record && t_known[i].address == address) return &t_known[i];
  }
  return nullptr;
}

void give_up(Context& context, Known& one, uintptr_t ip) {
  if (one.held) (void)release(context, one.record, ip);
  one.held = false;
}

// Those that were destroyed meanwhile are not held any more.
void forget_gone(Context& context, uintptr_t ip) {
  for (unsigned i = t_known_count; i > 0; --i) {
    Known& one = t_known[i - 1];
    if (one.record->address.load(std::memory_order_relaxed) == one.address) continue;
    give_up(context, one, ip);
    one = t_known[--t_known_count];
  }
}

int wait_for(Context& context, Record* record, pthread_barrier_t* barrier, uintptr_t ip) {
  const auto address = reinterpret_cast<uintptr_t>(barrier);
  constexpr How kWaits{.mode = Mode::kRead};
  forget_gone(context, ip);
  Known* before = known(record, address);
  if (before != nullptr) give_up(context, *before, ip);
  acquire(context, record, kWaits, ip);
  validator().contended(context, record->instance);
  const int result = real().pthread_barrier_wait(barrier);
  validator().acquire_failed(context, record->instance, ip);
  if (result != 0 && result != PTHREAD_BARRIER_SERIAL_THREAD) return result;
  if (before != nullptr) {
    acquire(context, record, kWaits, ip);
    before->held = true;
  } else if (t_known_count < kKnownMax) {
    t_known[t_known_count++] = {.record = record, .address = address, .held = false};
  }
  return result;
}

}  // namespace

void drop_barriers(Context& context) {
  while (t_known_count != 0) give_up(context, t_known[--t_known_count], 0);
}

LOCKDEP_HOOK int pthread_barrier_init(pthread_barrier_t* barrier,
                                      const pthread_barrierattr_t* attributes, unsigned count) {
  Context* context = watched();
  if (context != nullptr) {
    const uintptr_t ip = LOCKDEP_CALLER_IP;
    if (Record* old = find_record(reinterpret_cast<uintptr_t>(barrier))) retire_record(*old);
    forget_gone(*context, ip);
    lock_made(*context, barrier, Kind::kBarrier, ip);
  }
  return real().pthread_barrier_init(barrier, attributes, count);
}

LOCKDEP_HOOK int pthread_barrier_destroy(pthread_barrier_t* barrier) {
  Context* context = watched();
  if (context != nullptr) {
    Record* record = find_record(reinterpret_cast<uintptr_t>(barrier));
    if (record != nullptr && record->site->kind == Kind::kBarrier) retire_record(*record);
    forget_gone(*context, LOCKDEP_CALLER_IP);
  }
  return real().pthread_barrier_destroy(barrier);
}

LOCKDEP_HOOK int pthread_barrier_wait(pthread_barrier_t* barrier) {
  Context* context = watched();
  if (context == nullptr) return real().pthread_barrier_wait(barrier);
  const uintptr_t ip = LOCKDEP_CALLER_IP;
  Record* record = record_at(barrier, Kind::kBarrier, ip);
  if (record == nullptr) return real().pthread_barrier_wait(barrier);
  return wait_for(*context, record, barrier, ip);
}

}  // namespace netfs::lockdep_preload
