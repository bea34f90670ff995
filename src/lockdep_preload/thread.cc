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

void end_context(void* value) {
  if (t_round++ < kRounds) {
    ::pthread_setspecific(g_key, value);
    return;
  }
  const KeepErrno keep;
  t_ended = true;
  Context* context = t_context;
  if (context == nullptr) return;
  drop_semaphores(*context);
  context->~Context();
  t_context = nullptr;
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  if (t_stack_top > here && t_stack_top - here < uintptr_t{1} << 30) {
    memory_goes(here - 4096, t_stack_top, 0);
  }
}

uint64_t blocked_signals() {
  sigset_t blocked;
  if (real().pthread_sigmask == nullptr ||
      real().pthread_sigmask(SIG_BLOCK, nullptr, &blocked) != 0)
    return 0;
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &blocked, sizeof bits);
  return bits;
}

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
  }
  validator().set_blocked_signals(*context, blocked_signals(), 0);
  t_context = context;
  return context;
}

Context* watched_slowly() {
  const Stage stage = g_stage.load(std::memory_order_acquire);
  if (stage == Stage::kNone) begin();
  if (g_stage.load(std::memory_order_acquire) != Stage::kWatching) return nullptr;
  return begin_context();
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
