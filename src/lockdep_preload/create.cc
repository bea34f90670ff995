// Threads are made and joined.  While a thread runs it holds a pseudo-lock of its own, which who
// joins it waits for; creation and joining order what was done before and after.

#include <new>

#include "lockdep_preload/calls_program.h"
#include "lockdep_preload/memory.h"
#include "lockdep_preload/other_runs.h"
#include "lockdep_preload/real.h"
#include "lockdep_preload/thread.h"
#include "lockdep_preload/thread_start.h"
#include "lockdep_preload/watch.h"
#include "lockdep_preload/watchdog.h"

namespace netfs::lockdep_preload {
namespace {

constexpr size_t kBuckets = 1024;
constexpr How kRuns{.mode = Mode::kRead};

// A thread from its creation until it is joined, or has ended detached.
struct Thread {
  Thread(Site& site, lockdep::Segment segment) : record(site, 0), created(segment) {}
  Record record;
  lockdep::Segment created;
  std::atomic<lockdep::Segment> ended{0};
  std::atomic<int> users{2};  // the thread, and who may join it
  pthread_t id{};
  Thread* next = nullptr;
  void* (*function)(void*) = nullptr;
  int (*c11_function)(void*) = nullptr;
  uintptr_t made_by = 0;  // the code that has its role
  void* argument = nullptr;
};

lockdep::SpinLock g_lock;
Thread* g_threads[kBuckets];

Thread*& bucket(pthread_t id) {
  return g_threads[(id >> 12) % kBuckets];
}

void drop(Thread& thread) {
  const Inside inside;
  if (thread.users.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  arena().release(&thread, sizeof thread);
}

Thread* make(Context& context, uintptr_t function, void* argument) {
  const KeepErrno keep;
  const lockdep::Segment created = validator().publish(context);
  const Inside inside;
  function = thread_start(function, argument);
  Site* site = site_of(Kind::kThread, {.origin = Origin::kStart, .at = function});
  void* memory = site == nullptr ? nullptr : arena().allocate(sizeof(Thread));
  if (memory == nullptr) return nullptr;
  auto* thread = new (memory) Thread(*site, created);
  thread->argument = argument;
  thread->made_by = maker_of(function);
  program_thread_begins();
  watch_for_hangs();
  return thread;
}

// One who may join it knows it by its id from here on.
void enlist(Thread& thread, pthread_t id) {
  const Inside inside;
  const lockdep::SpinGuard guard(g_lock);
  thread.id = id;
  // A detached thread's id may have come again.
  Thread** link = &bucket(id);
  while (*link != nullptr && (*link)->id != id) link = &(*link)->next;
  if (*link != nullptr) {
    Thread* old = *link;
    *link = old->next;
    drop(*old);
  }
  thread.next = bucket(id);
  bucket(id) = &thread;
}

Thread* find(pthread_t id) {
  const Inside inside;
  const lockdep::SpinGuard guard(g_lock);
  Thread* thread = bucket(id);
  while (thread != nullptr && thread->id != id) thread = thread->next;
  if (thread != nullptr) thread->users.fetch_add(1, std::memory_order_relaxed);
  return thread;
}

// Nobody joins it any more.
void delist(Thread& thread) {
  const Inside inside;
  {
    const lockdep::SpinGuard guard(g_lock);
    Thread** link = &bucket(thread.id);
    while (*link != nullptr && *link != &thread) link = &(*link)->next;
    if (*link == nullptr) return;
    *link = thread.next;
  }
  drop(thread);
}

// In the new thread, around its function: ends when it returns, exits or is cancelled.
class Running {
 public:
  explicit Running(Thread& thread) : thread_(thread) {
    Context* context = watched();
    if (context == nullptr) return;
    validator().born(*context, thread.made_by);
    validator().observe(*context, thread.created);
    validator().acquire(*context, thread.record.instance, kRuns, 0);
  }
  ~Running() {
    if (Context* context = watched()) {
      validator().release(*context, thread_.record.instance, 0);
      thread_.ended.store(validator().publish(*context), std::memory_order_release);
    }
    drop(thread_);
    // Who has forked is the first thread of the child, and not counted there.
    if (::gettid() != ::getpid()) program_thread_ends();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  Thread& thread_;
};

LOCKDEP_CALLS_PROGRAM void* call(void* (*function)(void*), void* argument) {
  return lockdep_came_back(function(argument));
}
LOCKDEP_CALLS_PROGRAM int call_c11(int (*function)(void*), void* argument) {
  return lockdep_came_back(function(argument));
}

void* run(void* argument) {
  auto& thread = *static_cast<Thread*>(argument);
  stack_begins(reinterpret_cast<uintptr_t>(__builtin_frame_address(0)));
  const auto function = thread.function;
  void* its_argument = thread.argument;
  const Running running(thread);
  return call(function, its_argument);
}

int run_c11(void* argument) {
  auto& thread = *static_cast<Thread*>(argument);
  stack_begins(reinterpret_cast<uintptr_t>(__builtin_frame_address(0)));
  const auto function = thread.c11_function;
  void* its_argument = thread.argument;
  const Running running(thread);
  return call_c11(function, its_argument);
}

// What we need of a thread's stack: 4 KiB of thread-locals, and as much for the first sight of a
// stack.  A thread that was given little gets it on top; not one whose stack is the program's own.
const pthread_attr_t* with_room(const pthread_attr_t* wanted, pthread_attr_t& larger) {
  constexpr size_t kLittle = size_t{1} << 20;
  constexpr size_t kRoom = size_t{16} << 10;
  void* low = nullptr;
  size_t bytes = 0;
  if (wanted == nullptr || ::pthread_attr_getstack(wanted, &low, &bytes) != 0) return wanted;
  if (bytes == 0 || bytes > kLittle || reinterpret_cast<uintptr_t>(low) + bytes != 0) return wanted;
  larger = *wanted;  // shares what it points at: it is never destroyed
  return ::pthread_attr_setstacksize(&larger, bytes + kRoom) == 0 ? &larger : wanted;
}

// A join takes what the thread holds, for as long as it waits.
template <class Real>
int join(pthread_t id, Attempt attempt, uintptr_t ip, Real real_join) {
  Context* context = watched();
  Thread* thread = context == nullptr ? nullptr : find(id);
  if (thread == nullptr) return real_join();
  const lockdep::Instance& map = thread->record.instance;
  if (attempt != Attempt::kTry) {
    validator().acquire(*context, map, {.attempt = attempt}, ip);
    validator().contended(*context, map);
  }
  const int result = real_join();
  if (attempt != Attempt::kTry) validator().acquire_failed(*context, map, ip);
  if (result == 0) {
    validator().observe(*context, thread->ended.load(std::memory_order_acquire));
    delist(*thread);
  }
  drop(*thread);
  return result;
}

}  // namespace

void lock_threads() {
  g_lock.lock();
}

void unlock_threads() {
  g_lock.unlock();
}

LOCKDEP_HOOK int pthread_create(pthread_t* id, const pthread_attr_t* attributes,
                                void* (*function)(void*), void* argument) {
  Context* context = watched();
  Thread* thread = context == nullptr
                       ? nullptr
                       : make(*context, reinterpret_cast<uintptr_t>(function), argument);
  if (thread == nullptr) return real().pthread_create(id, attributes, function, argument);
  thread->function = function;
  pthread_attr_t larger;
  const int result = real().pthread_create(id, with_room(attributes, larger), run, thread);
  if (result != 0) {
    drop(*thread);
    drop(*thread);
    program_thread_ends();
    return result;
  }
  int detached = PTHREAD_CREATE_JOINABLE;
  if (attributes != nullptr) ::pthread_attr_getdetachstate(attributes, &detached);
  if (detached == PTHREAD_CREATE_DETACHED) {
    drop(*thread);
  } else {
    enlist(*thread, *id);
  }
  return result;
}

LOCKDEP_HOOK int thrd_create(thrd_t* id, int (*function)(void*), void* argument) {
  Context* context = watched();
  Thread* thread = context == nullptr
                       ? nullptr
                       : make(*context, reinterpret_cast<uintptr_t>(function), argument);
  if (thread == nullptr) return real().thrd_create(id, function, argument);
  thread->c11_function = function;
  const int result = real().thrd_create(id, run_c11, thread);
  if (result != thrd_success) {
    drop(*thread);
    drop(*thread);
    program_thread_ends();
    return result;
  }
  enlist(*thread, *id);
  return result;
}

LOCKDEP_HOOK int pthread_join(pthread_t id, void** value) {
  return join(id, Attempt::kBlocking, LOCKDEP_CALLER_IP,
              [=] { return real().pthread_join(id, value); });
}

LOCKDEP_HOOK int pthread_tryjoin_np(pthread_t id, void** value) {
  return join(id, Attempt::kTry, LOCKDEP_CALLER_IP,
              [=] { return real().pthread_tryjoin_np(id, value); });
}

LOCKDEP_HOOK int pthread_timedjoin_np(pthread_t id, void** value, const timespec* until) {
  return join(id, Attempt::kTimed, LOCKDEP_CALLER_IP,
              [=] { return real().pthread_timedjoin_np(id, value, until); });
}

LOCKDEP_HOOK int pthread_clockjoin_np(pthread_t id, void** value, clockid_t clock,
                                      const timespec* until) {
  return join(id, Attempt::kTimed, LOCKDEP_CALLER_IP,
              [=] { return real().pthread_clockjoin_np(id, value, clock, until); });
}

LOCKDEP_HOOK int thrd_join(thrd_t id, int* value) {
  return join(id, Attempt::kBlocking, LOCKDEP_CALLER_IP,
              [=] { return real().thrd_join(id, value); });
}

LOCKDEP_HOOK int pthread_detach(pthread_t id) {
  if (watched() != nullptr) {
    if (Thread* thread = find(id)) {
      delist(*thread);
      drop(*thread);
    }
  }
  return real().pthread_detach(id);
}

}  // namespace netfs::lockdep_preload
