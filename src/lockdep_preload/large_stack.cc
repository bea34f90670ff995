#include "lockdep_preload/large_stack.h"

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lockdep_preload/real.h"

namespace netfs::lockdep_preload {
namespace {

constexpr size_t kBytes = size_t{1} << 20;
constexpr size_t kGuardBytes = 4096;

// The C library waits until every thread has handled it (a change of user).
constexpr uint64_t kSetUserSignal = uint64_t{1} << 32;

// Of its own: it must not be inlined where the compiler keeps something below the stack pointer.
__attribute__((noinline)) void call_on(char* top, void (*function)(void*), void* argument) {
#if defined(__x86_64__)
  __asm__ volatile(
      "movq %%rsp, %%rbx\n\t"
      "movq %[top], %%rsp\n\t"
      "callq *%[function]\n\t"
      "movq %%rbx, %%rsp"
      : "+D"(argument)
      : [top] "r"(top), [function] "r"(function)
      : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3",
        "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
        "xmm15", "memory", "cc");
#elif defined(__aarch64__)
  register void* first __asm__("x0") = argument;
  __asm__ volatile(
      "mov x19, sp\n\t"
      "mov sp, %[top]\n\t"
      "blr %[function]\n\t"
      "mov sp, x19"
      : "+r"(first)
      : [top] "r"(top), [function] "r"(function)
      : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
        "x15", "x16", "x17", "x18", "x19", "x30", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7",
        "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20",
        "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31", "memory",
        "cc");
#else
#error "an architecture without a change of stacks here"
#endif
}

class Undisturbed {
 public:
  Undisturbed() {
    ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_);
    const uint64_t all = ~kSetUserSignal;
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask_, sizeof mask_);
    had_broken_pipe_ = broken_pipe_is_pending();
  }
  // No destructor: a cancellation that waits acts here, and begins to unwind the thread.
  void end() const {
    // Where nobody reads our words any more, that is no reason for the program to end.
    if (!had_broken_pipe_ && broken_pipe_is_pending()) {
      const timespec at_once{};
      ::syscall(SYS_rt_sigtimedwait, &kBrokenPipe, nullptr, &at_once, sizeof kBrokenPipe);
    }
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask_, nullptr, sizeof mask_);
    ::pthread_setcancelstate(cancel_, nullptr);
  }
  Undisturbed(const Undisturbed&) = delete;
  Undisturbed& operator=(const Undisturbed&) = delete;

 private:
  static constexpr uint64_t kBrokenPipe = uint64_t{1} << (SIGPIPE - 1);
  static bool broken_pipe_is_pending() {
    uint64_t pending = 0;
    ::syscall(SYS_rt_sigpending, &pending, sizeof pending);
    return (pending & kBrokenPipe) != 0;
  }

  int cancel_ = PTHREAD_CANCEL_ENABLE;
  uint64_t mask_ = 0;
  bool had_broken_pipe_ = false;
};

void run_on_large_stack(void (*function)(void*), void* argument) {
  void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) return function(argument);
  (void)::mprotect(memory, kGuardBytes, PROT_NONE);
  call_on(static_cast<char*>(memory) + kBytes, function, argument);
  ::syscall(SYS_munmap, memory, kBytes);  // not our own hook's
}

}  // namespace

void on_large_stack(void (*function)(void*), void* argument) {
  const Undisturbed undisturbed;
  run_on_large_stack(function, argument);
  undisturbed.end();
}

}  // namespace netfs::lockdep_preload
