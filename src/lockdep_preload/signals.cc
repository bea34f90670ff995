// sigaction, signal and the signal masks: what is locked in a handler is not taken under what the
// interrupted code holds, and may be found held by it.
//
// That holds for what can arrive at any place.  A fault of the thread's own instruction comes at
// that instruction only: its handler is as if that had called it, and what it locks is taken under
// what is held there.
//
// A handler of the program's is called by one of ours.  What the program reads back is its own.
//
// A handler ends when it returns, throws or ends its thread; or it is jumped out of.  The jump
// itself says not where to.  At the thread's next event it is known by where the stack is: what
// lies below belongs to calls that are over.

#include <csetjmp>
#include <cstring>

#include "lockdep_preload/real.h"
#include "lockdep_preload/thread.h"
#include "lockdep_preload/watch.h"

namespace netfs::lockdep_preload {
namespace {

constexpr int kSignals = 65;

// How the program wants each signal handled; the pointer is swapped whole.
struct Wanted {
  std::atomic<void (*)(int, siginfo_t*, void*)> handler{nullptr};
  std::atomic<bool> with_info{false};
};
Wanted g_wanted[kSignals];

uint64_t bits(const sigset_t& set) {
  uint64_t out = 0;
  std::memcpy(&out, &set, sizeof out);
  return out;
}

// Whether it is the fault of the instruction that was interrupted; who sends one of these signals
// with kill or tgkill says so in the code.
bool is_own_fault(int signal, const siginfo_t* info) {
  if (info == nullptr || info->si_code <= 0) return false;
  switch (signal) {
    case SIGBUS:
      return info->si_code != BUS_MCEERR_AO;  // memory that has gone bad, of anybody
    case SIGSEGV:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGSYS:
      return true;
    default:
      return false;
  }
}

// A handler of this thread that runs.
struct Handling {
  int signal;
  bool own_fault;
  uintptr_t frame;
  uintptr_t stack_from;  // the alternate stack that it runs on; 0: the thread's own
  uintptr_t stack_to;
};
constexpr unsigned kHandlersMax = 16;
__thread Handling t_handling[kHandlersMax] __attribute__((tls_model("initial-exec")));
__thread unsigned t_handlers __attribute__((tls_model("initial-exec"))) = 0;
__thread bool t_jumped __attribute__((tls_model("initial-exec"))) = false;

// Whether the stack pointer `now` shows that the handler's frame is no more.
bool is_left(const Handling& handling, uintptr_t now, bool on_alternate) {
  if (handling.stack_from == 0) return !on_alternate && now > handling.frame;
  const bool there = now >= handling.stack_from && now < handling.stack_to;
  return !there || now > handling.frame;
}

// What is blocked from then on is asked for again by who calls this.
void leave(Context& context, const Handling& handling) {
  if (!handling.own_fault) validator().signal_leave(context, handling.signal);
}

class InHandler {
 public:
  InHandler(int signal, bool own_fault, uintptr_t frame, const void* machine) : machine_(machine) {
    const KeepErrno keep;
    // Only a thread that is known already: to begin one is not for handlers.  Who sets a handler
    // is, and who was created.
    context_ = watched_if_known();
    if (context_ == nullptr || t_handlers == kHandlersMax) {
      context_ = nullptr;
      return;
    }
    stack_t stack{};
    const bool alternate =
        ::sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & SS_ONSTACK) != 0;
    const auto from = alternate ? reinterpret_cast<uintptr_t>(stack.ss_sp) : 0;
    at_ = t_handlers;
    t_handling[at_] = {.signal = signal,
                       .own_fault = own_fault,
                       .frame = frame,
                       .stack_from = from,
                       .stack_to = from + (alternate ? stack.ss_size : 0)};
    if (!own_fault) validator().signal_enter(*context_, signal);
    t_handlers = at_ + 1;
    // What else is blocked meanwhile: sa_mask, and not the signal itself if SA_NODEFER says so.
    validator().set_blocked_signals(*context_, blocked_signals(), 0);
  }
  ~InHandler() {
    if (context_ == nullptr || t_handlers <= at_) return;
    const KeepErrno keep;
    while (t_handlers > at_) leave(*context_, t_handling[--t_handlers]);
    if (!t_handling[at_].own_fault) return;  // else the marker of signal_enter knew
    // The mask that the thread gets back when this returns.
    uint64_t mask = 0;
    std::memcpy(&mask, &static_cast<const ucontext_t*>(machine_)->uc_sigmask, sizeof mask);
    validator().set_blocked_signals(*context_, mask, 0);
  }
  InHandler(const InHandler&) = delete;
  InHandler& operator=(const InHandler&) = delete;

 private:
  Context* context_ = nullptr;
  const void* machine_;
  unsigned at_ = 0;
};

void handle(int signal, siginfo_t* info, void* machine) {
  const auto handler = g_wanted[signal].handler.load(std::memory_order_acquire);
  if (handler == nullptr) return;
  const InHandler in_handler(signal, is_own_fault(signal, info),
                             reinterpret_cast<uintptr_t>(__builtin_frame_address(0)), machine);
  if (g_wanted[signal].with_info.load(std::memory_order_relaxed)) {
    handler(signal, info, machine);
  } else {
    reinterpret_cast<void (*)(int)>(reinterpret_cast<void*>(handler))(signal);
  }
}

void jump() {
  if (t_handlers == 0) return;
  t_jumped = true;
  call_own_attention();
}

bool is_handler(const struct sigaction& action) {
  return action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN;
}

// What the kernel says of a signal it says only to who has asked for it.
void ask_for_info(int signal) {
  struct sigaction action {};
  if (real().sigaction(signal, nullptr, &action) != 0 || action.sa_sigaction != handle) return;
  action.sa_flags |= SA_SIGINFO;
  (void)real().sigaction(signal, &action, nullptr);
}

// signal() and its kin.  The kernel gives a handler of theirs all three arguments as well.
sighandler_t set_handler(sighandler_t (*real_set)(int, sighandler_t), int number,
                         sighandler_t handler) {
  const bool plain = number <= 0 || number >= kSignals ||
                     g_stage.load(std::memory_order_acquire) != Stage::kWatching;
  if (plain) return real_set(number, handler);
  (void)watched();  // begins this thread's context
  Wanted& wanted = g_wanted[number];
  const auto before = wanted.handler.load(std::memory_order_acquire);
  const auto ours = reinterpret_cast<sighandler_t>(reinterpret_cast<void*>(&handle));
  const bool is_one =
      handler != SIG_DFL && handler != SIG_IGN && handler != SIG_ERR && handler != SIG_HOLD;
  if (is_one) {
    wanted.with_info.store(false, std::memory_order_relaxed);
    wanted.handler.store(
        reinterpret_cast<void (*)(int, siginfo_t*, void*)>(reinterpret_cast<void*>(handler)),
        std::memory_order_release);
  }
  const sighandler_t was = real_set(number, is_one ? ours : handler);
  if (is_one) {
    const KeepErrno keep;
    ask_for_info(number);
  }
  return was == ours ? reinterpret_cast<sighandler_t>(reinterpret_cast<void*>(before)) : was;
}

template <class Real>
int change_mask(Real real_change, int how, const sigset_t* set, sigset_t* old, uintptr_t ip) {
  const int result = real_change(how, set, old);
  if (result != 0 || set == nullptr) return result;
  const KeepErrno keep;
  Context* context = watched_if_known();
  if (context == nullptr) return result;
  sigset_t now;
  if (real().pthread_sigmask(SIG_BLOCK, nullptr, &now) == 0) {
    validator().set_blocked_signals(*context, bits(now), ip);
  }
  return result;
}

}  // namespace

void end_left_handlers(Context& context) {
  if (!t_jumped) return;
  stack_t stack{};
  const bool on_alternate =
      ::sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & SS_ONSTACK) != 0;
  const auto now = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const unsigned before = t_handlers;
  while (t_handlers != 0 && is_left(t_handling[t_handlers - 1], now, on_alternate)) {
    leave(context, t_handling[--t_handlers]);
  }
  // A handler on another stack hides where the jump went: we look again when it has ended.
  t_jumped = on_alternate && t_handlers != 0;
  if (t_handlers != before) validator().set_blocked_signals(context, blocked_signals(), 0);
}

LOCKDEP_HOOK void longjmp(jmp_buf where, int value) {
  jump();
  real().longjmp(where, value);
  __builtin_unreachable();
}

LOCKDEP_HOOK void _longjmp(jmp_buf where, int value) {
  jump();
  real()._longjmp(where, value);
  __builtin_unreachable();
}

LOCKDEP_HOOK void siglongjmp(sigjmp_buf where, int value) {
  jump();
  real().siglongjmp(where, value);
  __builtin_unreachable();
}

// What the three are where the program was built with -D_FORTIFY_SOURCE.
LOCKDEP_HOOK void __longjmp_chk(jmp_buf where, int value) {
  jump();
  real().__longjmp_chk(where, value);
  __builtin_unreachable();
}

LOCKDEP_HOOK int sigaction(int signal, const struct sigaction* action, struct sigaction* old) {
  if (signal <= 0 || signal >= kSignals ||
      g_stage.load(std::memory_order_acquire) != Stage::kWatching) {
    return real().sigaction(signal, action, old);
  }
  (void)watched();  // begins this thread's context
  Wanted& wanted = g_wanted[signal];
  const auto before = wanted.handler.load(std::memory_order_acquire);
  const bool before_with_info = wanted.with_info.load(std::memory_order_relaxed);
  struct sigaction ours {};
  struct sigaction was {};
  if (action != nullptr) {
    ours = *action;
    // Of none as well: it is read back.
    wanted.with_info.store((ours.sa_flags & SA_SIGINFO) != 0, std::memory_order_relaxed);
    if (is_handler(ours)) {
      wanted.handler.store(ours.sa_sigaction, std::memory_order_release);
      ours.sa_sigaction = handle;
      ours.sa_flags |= SA_SIGINFO;
    }
  }
  const int result = real().sigaction(signal, action == nullptr ? nullptr : &ours, &was);
  if (result != 0) return result;
  // With SA_RESETHAND the flag stays when the handler has gone.
  const bool was_ours = was.sa_sigaction == handle;
  if (before != nullptr && !before_with_info && (was_ours || was.sa_handler == SIG_DFL)) {
    was.sa_flags &= ~SA_SIGINFO;
  }
  if (was_ours) was.sa_sigaction = before;
  if (old != nullptr) *old = was;
  return result;
}

LOCKDEP_HOOK sighandler_t signal(int number, sighandler_t handler) {
  return set_handler(real().signal, number, handler);
}
LOCKDEP_HOOK sighandler_t bsd_signal(int number, sighandler_t handler) {
  return set_handler(real().signal, number, handler);
}
LOCKDEP_HOOK sighandler_t ssignal(int number, sighandler_t handler) {
  return set_handler(real().signal, number, handler);
}
LOCKDEP_HOOK sighandler_t __sysv_signal(int number, sighandler_t handler) {
  return set_handler(real().__sysv_signal, number, handler);
}
LOCKDEP_HOOK sighandler_t sysv_signal(int number, sighandler_t handler) {
  return set_handler(real().__sysv_signal, number, handler);
}
LOCKDEP_HOOK sighandler_t sigset(int number, sighandler_t handler) {
  return set_handler(real().sigset, number, handler);
}

LOCKDEP_HOOK int pthread_sigmask(int how, const sigset_t* set, sigset_t* old) {
  return change_mask(real().pthread_sigmask, how, set, old, LOCKDEP_CALLER_IP);
}

LOCKDEP_HOOK int sigprocmask(int how, const sigset_t* set, sigset_t* old) {
  return change_mask(real().sigprocmask, how, set, old, LOCKDEP_CALLER_IP);
}

}  // namespace netfs::lockdep_preload
