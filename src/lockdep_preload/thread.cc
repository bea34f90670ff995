#include "lockdep_preload/thread.h"

#include <csignal>
#include <new>
#include <sys/prctl.h>
#include <unistd.h>
#include <unwind.h>

#include "lockdep/hash.h"
#include "lockdep_preload/begin.h"
#include "lockdep_preload/memory.h"
#include "lockdep_preload/real.h"
#include "lockdep_preload/record.h"

extern "C" void* __libc_stack_end;

namespace netfs::lockdep_preload {

__thread Context* t_context = nullptr;

namespace {

// Destructors of the program's own keys come in the same rounds: ours is the last.
constexpr int kRounds = 2;

pthread_key_t g_key;
alignas(Context) __thread char t_storage[sizeof(Context)];
__thread bool t_ended = false;
__thread int t_round = 0;
__thread uintptr_t t_stack_top = 0;
__thread Context* t_own = nullptr;

// Where another thread finds t_context of this one.
struct Slot {
  Slot* previous;
  Slot* next;
  Context** context;
  int thread_id;
};
__thread Slot t_slot;
lockdep::SpinLock g_slots_lock;
Slot* g_slots = nullptr;

void enlist(Slot& slot) {
  const lockdep::SpinGuard guard(g_slots_lock);
  slot.previous = nullptr;
  slot.next = g_slots;
  if (g_slots != nullptr) g_slots->previous = &slot;
  g_slots = &slot;
}

void delist(Slot& slot) {
  const Inside inside;
  const lockdep::SpinGuard guard(g_slots_lock);
  (slot.previous == nullptr ? g_slots : slot.previous->next) = slot.next;
  if (slot.next != nullptr) slot.next->previous = slot.previous;
}

// Locks of this thread's that another one unlocked are not held any more.
void give_up_what_was_taken(Context& context) {
  constexpr size_t kHeldMax = 64;
  const lockdep::Instance* held[kHeldMax];
  const size_t count = lockdep::Validator::held(context, held, kHeldMax);
  for (size_t i = 0; i < count; ++i) {
    int own = t_slot.thread_id;
    if (record_of(held[i])->taken_from.compare_exchange_strong(own, 0)) {
      (void)validator().release(context, *held[i], 0);
    }
  }
}

void end_context(void* value) {
  if (t_round++ < kRounds) {
    ::pthread_setspecific(g_key, value);
    return;
  }
  const KeepErrno keep;
  t_ended = true;
  Context* context = t_own;
  if (context == nullptr) return;
  give_up_what_was_taken(*context);
  end_left_handlers(*context);
  drop_semaphores(*context);
  drop_barriers(*context);
  drop_onces();
  delist(t_slot);
  context->~Context();
  t_own = nullptr;
  __atomic_store_n(&t_context, nullptr, __ATOMIC_RELAXED);
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  if (t_stack_top > here && t_stack_top - here < uintptr_t{1} << 30) {
    memory_goes(here - 4096, t_stack_top, 0);
  }
}

}  // namespace

uint64_t blocked_signals() {
  sigset_t blocked;
  if (real().pthread_sigmask == nullptr ||
      real().pthread_sigmask(SIG_BLOCK, nullptr, &blocked) != 0)
    return 0;
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &blocked, sizeof bits);
  return bits;
}

namespace {

struct FrameSearch {
  uintptr_t address;
  uintptr_t low = 0;       // the stack pointer of the frame before
  uintptr_t function = 0;  // and its function
  StackFrame found;
};

// The unwinder tells a frame by its stack pointer: the address lies in the last one below it.
_Unwind_Reason_Code visit(_Unwind_Context* frame, void* argument) {
  auto& search = *static_cast<FrameSearch*>(argument);
  const uintptr_t low = _Unwind_GetCFA(frame);
  const uintptr_t function = _Unwind_GetRegionStart(frame);
  if (low > search.address) {
    search.found.function = search.function;
    search.found.identity =
        lockdep::mix(lockdep::mix(lockdep::mix(1, search.low), search.function), function);
    return _URC_END_OF_STACK;
  }
  search.low = low;
  search.function = function;
  return _URC_NO_REASON;
}

}  // namespace

void threads_begin() {
  (void)::pthread_key_create(&g_key, end_context);
}

void stack_begins(uintptr_t top) {
  t_stack_top = top;
}

Context* begin_context() {
  if (t_ended) return nullptr;
  const KeepErrno keep;
  Context* context = nullptr;
  {
    const Inside inside;
    char name[16] = {};
    ::prctl(PR_GET_NAME, name);
    const auto id = static_cast<uint64_t>(::gettid());
    if (t_stack_top == 0 && ::getpid() == static_cast<pid_t>(id)) {
      t_stack_top = reinterpret_cast<uintptr_t>(__libc_stack_end);
    }
    context = new (t_storage) Context(validator(), name, lockdep::ContextKind::kThread, id);
    (void)::pthread_setspecific(g_key, context);
    t_own = context;
    t_slot = {.previous = nullptr,
              .next = nullptr,
              .context = &t_context,
              .thread_id = static_cast<int>(id)};
    enlist(t_slot);
  }
  validator().set_blocked_signals(*context, blocked_signals(), 0);
  __atomic_store_n(&t_context, context, __ATOMIC_RELAXED);
  return context;
}

void call_attention(int thread_id) {
  const Inside inside;
  const lockdep::SpinGuard guard(g_slots_lock);
  for (Slot* slot = g_slots; slot != nullptr; slot = slot->next) {
    if (slot->thread_id == thread_id) __atomic_store_n(slot->context, nullptr, __ATOMIC_RELAXED);
  }
}

void call_own_attention() {
  __atomic_store_n(&t_context, nullptr, __ATOMIC_RELAXED);
}

void lock_contexts() {
  g_slots_lock.lock();
}

void unlock_contexts() {
  g_slots_lock.unlock();
}

void contexts_after_fork_in_child() {
  g_slots = nullptr;
  if (t_own == nullptr) return;
  t_slot.thread_id = ::gettid();
  enlist(t_slot);
}

Context* own_context() {
  return t_own;
}

Context* watched_if_known() {
  return t_own == nullptr ? nullptr : watched();
}

Context* watched_slowly() {
  const Stage stage = g_stage.load(std::memory_order_acquire);
  if (stage == Stage::kNone) begin();
  if (g_stage.load(std::memory_order_acquire) != Stage::kWatching) return nullptr;
  if (t_own == nullptr) return begin_context();
  const KeepErrno keep;
  __atomic_store_n(&t_context, t_own, __ATOMIC_RELAXED);  // first: it may be called again meanwhile
  give_up_what_was_taken(*t_own);
  end_left_handlers(*t_own);
  return t_own;
}

bool on_own_stack(uintptr_t address) {
  return address < t_stack_top &&
         address >= reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
}

StackFrame stack_frame(uintptr_t address) {
  const Inside inside;
  FrameSearch search{.address = address, .found = {}};
  _Unwind_Backtrace(visit, &search);
  if (search.found.identity == 0) search.found.identity = 1;
  return search.found;
}

}  // namespace netfs::lockdep_preload
