// sigaction, signal and the signal masks: what is locked in a handler is not taken under what the
// interrupted code holds, and may be found held by it.
//
// A handler of the program's is called by one of ours.  What the program reads back is its own.

#include <cstring>

#include "lockdep_preload/real.h"
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

void handle(int signal, siginfo_t* info, void* machine) {
  const auto handler = g_wanted[signal].handler.load(std::memory_order_acquire);
  if (handler == nullptr) return;
  // Only a thread that is known already: to begin one is not for handlers.  Who sets a handler is,
  // and who was created.
  Context* context = lockdep::t_inside == 0 ? t_context : nullptr;
  if (context != nullptr) validator().signal_enter(*context, signal);
  if (g_wanted[signal].with_info.load(std::memory_order_relaxed)) {
    handler(signal, info, machine);
  } else {
    reinterpret_cast<void (*)(int)>(reinterpret_cast<void*>(handler))(signal);
  }
  if (context != nullptr) validator().signal_leave(*context, signal);
}

bool is_handler(const struct sigaction& action) {
  return action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN;
}

template <class Real>
int change_mask(Real real_change, int how, const sigset_t* set, sigset_t* old, uintptr_t ip) {
  const int result = real_change(how, set, old);
  Context* context = t_context;
  if (result != 0 || set == nullptr || context == nullptr || lockdep::t_inside != 0) return result;
  const KeepErrno keep;
  sigset_t now;
  if (real().pthread_sigmask(SIG_BLOCK, nullptr, &now) == 0) {
    validator().set_blocked_signals(*context, bits(now), ip);
  }
  return result;
}

}  // namespace

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
    if (is_handler(ours)) {
      wanted.with_info.store((ours.sa_flags & SA_SIGINFO) != 0, std::memory_order_relaxed);
      wanted.handler.store(ours.sa_sigaction, std::memory_order_release);
      ours.sa_sigaction = handle;
      ours.sa_flags |= SA_SIGINFO;
    }
  }
  const int result = real().sigaction(signal, action == nullptr ? nullptr : &ours, &was);
  if (result != 0) return result;
  if (was.sa_sigaction == handle) {
    was.sa_sigaction = before;
    if (!before_with_info) was.sa_flags &= ~SA_SIGINFO;
  }
  if (old != nullptr) *old = was;
  return result;
}

// As glibc's: restarts what it interrupts.
LOCKDEP_HOOK sighandler_t signal(int number, sighandler_t handler) {
  struct sigaction action {};
  struct sigaction old {};
  if (handler == SIG_ERR) {
    errno = EINVAL;
    return SIG_ERR;
  }
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  ::sigaddset(&action.sa_mask, number);
  if (netfs::lockdep_preload::sigaction(number, &action, &old) != 0) return SIG_ERR;
  return old.sa_handler;
}

LOCKDEP_HOOK int pthread_sigmask(int how, const sigset_t* set, sigset_t* old) {
  return change_mask(real().pthread_sigmask, how, set, old, LOCKDEP_CALLER_IP);
}

LOCKDEP_HOOK int sigprocmask(int how, const sigset_t* set, sigset_t* old) {
  return change_mask(real().sigprocmask, how, set, old, LOCKDEP_CALLER_IP);
}

}  // namespace netfs::lockdep_preload
