// pthread_once, call_once and the guards of function-local statics: while one thread initialises,
// it holds what the others wait for.  What is initialised already waits for nobody; under a lock it
// would have, had it come first: that order counts, but not for a thread that has been there before
// and so never waits.  Else it costs a look.

#include "lockdep_preload/cxx_library.h"
#include "lockdep_preload/memory.h"
#include "lockdep_preload/real.h"
#include "lockdep_preload/thread.h"
#include "lockdep_preload/watch.h"

namespace netfs::lockdep_preload {
namespace {

// glibc's sign of a once that is done.
constexpr int kOnceDone = 2;

bool done(const void* control) {
  return (__atomic_load_n(static_cast<const int*>(control), __ATOMIC_ACQUIRE) & kOnceDone) != 0;
}

bool holds_locks(const Context& context) {
  const lockdep::Instance* held = nullptr;
  return lockdep::Validator::held(context, &held, 1) != 0 &&
         record_of(held)->site->kind != Kind::kThread;
}

// The onces that this thread knows to be done, by address: a hash table in our arena.  Full, it has
// them all: then an order is missed, and none is told that cannot be.
struct Passed {
  static constexpr size_t kFirst = 64;
  static constexpr size_t kMax = 8192;
  size_t capacity;
  size_t count;

  const void** slots() { return reinterpret_cast<const void**>(this + 1); }
  static size_t bytes(size_t capacity) { return sizeof(Passed) + capacity * sizeof(void*); }
  static Passed* make(size_t capacity) {
    auto* made = static_cast<Passed*>(arena().allocate(bytes(capacity)));
    if (made == nullptr) return nullptr;
    made->capacity = capacity;
    return made;
  }
  const void*& slot_of(const void* control) {
    size_t at = reinterpret_cast<uintptr_t>(control) * 0x9e3779b97f4a7c15 >> 40;
    while (slots()[at % capacity] != nullptr && slots()[at % capacity] != control) ++at;
    return slots()[at % capacity];
  }
  [[nodiscard]] bool is_full() const { return count * 2 >= capacity; }
};
__thread Passed* t_passed = nullptr;

bool has_passed(const void* control) {
  return t_passed != nullptr && (t_passed->slot_of(control) == control ||
                                 (t_passed->is_full() && t_passed->capacity == Passed::kMax));
}

void note_passed(const void* control) {
  if (has_passed(control)) return;
  const Inside inside;
  if (t_passed == nullptr || t_passed->is_full()) {
    Passed* larger = Passed::make(t_passed == nullptr ? Passed::kFirst : t_passed->capacity * 2);
    if (larger == nullptr) return;
    for (size_t i = 0; t_passed != nullptr && i < t_passed->capacity; ++i) {
      const void* known = t_passed->slots()[i];
      if (known != nullptr) larger->slot_of(known) = known;
    }
    larger->count = t_passed == nullptr ? 0 : t_passed->count;
    drop_onces();
    t_passed = larger;
  }
  t_passed->slot_of(control) = control;
  ++t_passed->count;
}

bool is_wait(const Context* context, const void* control) {
  return context != nullptr && (!done(control) || (holds_locks(*context) && !has_passed(control)));
}

// Ends also when the initialiser is cancelled or throws.
class Once {
 public:
  Once(Context* context, const void* control, uintptr_t ip)
      : context_(context),
        control_(control),
        record_(is_wait(context, control) ? record_at(control, Kind::kOnce, ip) : nullptr),
        ip_(ip) {
    if (record_ != nullptr) acquire(*context_, record_, {}, ip_);
  }
  ~Once() {
    if (record_ != nullptr) release(*context_, record_, ip_);
    if (context_ != nullptr && done(control_)) note_passed(control_);
  }
  Once(const Once&) = delete;
  Once& operator=(const Once&) = delete;

 private:
  Context* context_;
  const void* control_;
  Record* record_;
  uintptr_t ip_;
};

// The compilers' contract: the first byte of a guard says that it is done.
bool guard_done(const long long* guard) {
  return __atomic_load_n(reinterpret_cast<const char*>(guard), __ATOMIC_ACQUIRE) != 0;
}

}  // namespace

void drop_onces() {
  if (t_passed == nullptr) return;
  const Inside inside;
  Passed* passed = t_passed;
  t_passed = nullptr;
  arena().release(passed, Passed::bytes(passed->capacity));
}

LOCKDEP_HOOK int pthread_once(pthread_once_t* control, void (*initialise)()) {
  const Once once(watched(), control, LOCKDEP_CALLER_IP);
  return real().pthread_once(control, initialise);
}

LOCKDEP_HOOK void call_once(once_flag* flag, void (*initialise)()) {
  const Once once(watched(), flag, LOCKDEP_CALLER_IP);
  real().call_once(flag, initialise);
}

namespace {

// Known since our constructor; constructors of libraries may have come before.
template <class Function>
Function* guard_function(std::atomic<Function*>& known, const char* name) {
  Function* function = known.load(std::memory_order_relaxed);
  if (function == nullptr) {
    function = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
    known.store(function, std::memory_order_relaxed);
  }
  return function;
}

std::atomic<int (*)(long long*)> g_acquire{nullptr};
std::atomic<void (*)(long long*)> g_release{nullptr};
std::atomic<void (*)(long long*)> g_abort{nullptr};

void guard_ends(const long long* guard, uintptr_t ip) {
  Context* context = watched();
  if (context != nullptr) release(*context, find_record(reinterpret_cast<uintptr_t>(guard)), ip);
}

}  // namespace

bool find_guards() {
  (void)guard_function(g_release, "__cxa_guard_release");
  (void)guard_function(g_abort, "__cxa_guard_abort");
  return guard_function(g_acquire, "__cxa_guard_acquire") != nullptr;
}

// Our own C++ library calls these too, in programs that have no other.
LOCKDEP_HOOK int __cxa_guard_acquire(long long* guard) {
  auto* const real_acquire = guard_function(g_acquire, "__cxa_guard_acquire");
  if (real_acquire == nullptr) return guard_done(guard) ? 0 : 1;
  Context* context = watched();
  if (context == nullptr || guard_done(guard)) return real_acquire(guard);
  const uintptr_t ip = LOCKDEP_CALLER_IP;
  Record* record = record_at(guard, Kind::kGuard, ip);
  acquire(*context, record, {}, ip);
  const int result = real_acquire(guard);
  if (result == 0) release(*context, record, ip);
  return result;
}

LOCKDEP_HOOK void __cxa_guard_release(long long* guard) {
  auto* const real_release = guard_function(g_release, "__cxa_guard_release");
  if (real_release == nullptr) {
    __atomic_store_n(reinterpret_cast<char*>(guard), 1, __ATOMIC_RELEASE);
    return;
  }
  guard_ends(guard, LOCKDEP_CALLER_IP);
  real_release(guard);
}

LOCKDEP_HOOK void __cxa_guard_abort(long long* guard) {
  auto* const real_abort = guard_function(g_abort, "__cxa_guard_abort");
  if (real_abort == nullptr) return;
  guard_ends(guard, LOCKDEP_CALLER_IP);
  real_abort(guard);
}

}  // namespace netfs::lockdep_preload
