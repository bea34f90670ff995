#include "lockdep/stack_capture.h"

#include <algorithm>
#include <array>
#include <errno.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>

namespace netfs::lockdep {
namespace {

using Frames = std::vector<uintptr_t>;
using Capture = size_t (*)(std::span<uintptr_t>);

__attribute__((noinline)) Frames captured_by(Capture capture, size_t most = 128) {
  Frames frames(most);
  frames.resize(capture(frames));
  return frames;
}

// Calls itself `depth` times, then captures.
__attribute__((noinline)) Frames captured_below(size_t depth, Capture capture, size_t most = 128) {
  Frames frames =
      depth == 0 ? captured_by(capture, most) : captured_below(depth - 1, capture, most);
  asm volatile("" ::: "memory");  // no tail call
  return frames;
}

// The longest run of one return address: that of the recursion.
size_t longest_run(const Frames& frames) {
  size_t longest = 0;
  size_t run = 0;
  for (size_t i = 0; i < frames.size(); ++i) {
    run = i > 0 && frames[i] == frames[i - 1] ? run + 1 : 1;
    longest = std::max(longest, run);
  }
  return longest;
}

bool lies_in(uintptr_t address, Frames (*function)(Capture, size_t)) {
  const auto begin = reinterpret_cast<uintptr_t>(function);
  return address > begin && address < begin + 4096;
}

void* run_in_thread(void* argument) {
  (*static_cast<void (**)()>(argument))();
  return nullptr;
}

void in_thread(void (*work)()) {
  pthread_t thread{};
  ASSERT_EQ(pthread_create(&thread, nullptr, run_in_thread, &work), 0);
  pthread_join(thread, nullptr);
}

TEST(StackCapture, BothWaysSeeTheSameRecursion) {
  const Capture as_source = [](std::span<uintptr_t> frames) {
    return capture_stack_source(nullptr, frames.data(), frames.size());
  };
  for (const Capture capture :
       {Capture{capture_frame_pointers}, Capture{capture_unwind_tables}, Capture{capture_stack}}) {
    const Frames frames = captured_below(20, capture);
    ASSERT_GT(frames.size(), 21U);
    EXPECT_TRUE(lies_in(frames[0], captured_by));
    EXPECT_GE(longest_run(frames), 19U);
  }
  EXPECT_GE(longest_run(captured_below(20, as_source)), 19U);
}

TEST(StackCapture, FramePointersSeeWhatTheTablesSee) {
  const Frames quick = captured_below(5, capture_stack);
  const Frames slow = captured_below(5, capture_unwind_tables);
  // The calls above differ by their return address in this function, nothing else does.
  ASSERT_GT(quick.size(), 8U);
  ASSERT_GE(slow.size(), quick.size());
  EXPECT_TRUE(std::equal(quick.begin(), quick.begin() + 6, slow.begin()));
  EXPECT_TRUE(std::equal(quick.begin() + 8, quick.end(), slow.begin() + 8));
}

TEST(StackCapture, ASmallSpanKeepsTheInnermostFrames) {
  const Frames few = captured_below(20, capture_stack, 4);
  ASSERT_EQ(few.size(), 4U);
  EXPECT_TRUE(lies_in(few[0], captured_by));
  EXPECT_EQ(capture_stack({}), 0U);
}

TEST(StackCapture, ErrnoIsLeftAlone) {
  in_thread([] {
    errno = EXDEV;
    EXPECT_GT(captured_below(1, capture_stack).size(), 2U);
    EXPECT_EQ(errno, EXDEV);
  });
}

TEST(StackCapture, AThreadsStackIsWalkedToItsBase) {
  in_thread([] {
    const Frames first = captured_below(10, capture_stack);
    const Frames again = captured_below(10, capture_stack);
    EXPECT_GE(longest_run(first), 9U);
    EXPECT_GE(longest_run(again), 9U);
    // The first came from the tables, which see as far as clone; frame pointers end in libc below
    // the thread's function.
    EXPECT_GE(first.size(), again.size());
    EXPECT_LE(first.size() - again.size(), 3U);
  });
}

Frames from_callback;
int compare_and_capture(const void* a, const void* b) {
  if (from_callback.empty()) from_callback = captured_below(3, capture_stack);
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

__attribute__((noinline)) void sort_two() {
  std::array<int, 2> two = {2, 1};
  qsort(two.data(), two.size(), sizeof two[0], compare_and_capture);
  asm volatile("" ::: "memory");
}

// qsort is libc's and has no frame pointers: the walk must go on to who called it.
TEST(StackCapture, CodeWithoutFramePointersIsPassedByTheTables) {
  from_callback.clear();
  sort_two();
  const auto begin = reinterpret_cast<uintptr_t>(&sort_two);
  EXPECT_TRUE(std::any_of(from_callback.begin(), from_callback.end(),
                          [&](uintptr_t at) { return at > begin && at < begin + 4096; }));
}

// A handler may not allocate, so it has its own room.
std::array<uintptr_t, 128> room_of_handler;
size_t count_of_handler = 0;

__attribute__((noinline)) size_t capture_into_room(size_t depth) {
  const size_t count = depth == 0 ? capture_stack(room_of_handler) : capture_into_room(depth - 1);
  asm volatile("" ::: "memory");  // no tail call
  return count;
}

void capture_in_handler(int) {
  count_of_handler = capture_into_room(3);
}

__attribute__((noinline)) void raise_below(size_t depth) {
  if (depth == 0) {
    raise(SIGUSR1);
  } else {
    raise_below(depth - 1);
  }
  asm volatile("" ::: "memory");
}

TEST(StackCapture, AnAlternateSignalStackLeadsBackToTheInterruptedOne) {
  std::vector<char> memory(256 * 1024);
  stack_t alternate{};
  alternate.ss_sp = memory.data();
  alternate.ss_size = memory.size();
  ASSERT_EQ(sigaltstack(&alternate, nullptr), 0);
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = capture_in_handler;
  action.sa_flags = SA_ONSTACK;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  raise_below(12);
  sigaction(SIGUSR1, &before, nullptr);
  alternate.ss_flags = SS_DISABLE;
  sigaltstack(&alternate, nullptr);
  const Frames from_handler(room_of_handler.begin(), room_of_handler.begin() + count_of_handler);
  EXPECT_GE(longest_run(from_handler), 11U);
}

Frames from_coroutine;
void coroutine() {
  from_coroutine = captured_below(10, capture_stack);
}

// Goal: no fault where the end of a foreign stack is the end of all mapped memory.  Method: a stack
// with nothing mapped around it, whose outermost frame pointer is what makecontext left.
TEST(StackCapture, AForeignStackIsWalkedWithinItsMapping) {
  constexpr size_t kBytes = 256 * 1024;
  constexpr size_t kGuard = 64 * 1024;
  void* memory = mmap(nullptr, kBytes + 2 * kGuard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  char* stack = static_cast<char*>(memory) + kGuard;
  ASSERT_EQ(mprotect(stack, kBytes, PROT_READ | PROT_WRITE), 0);
  ucontext_t other{};
  ucontext_t back{};
  ASSERT_EQ(getcontext(&other), 0);
  other.uc_stack.ss_sp = stack;
  other.uc_stack.ss_size = kBytes;
  other.uc_link = &back;
  makecontext(&other, coroutine, 0);
  ASSERT_EQ(swapcontext(&back, &other), 0);
  EXPECT_GE(longest_run(from_coroutine), 9U);
  munmap(memory, kBytes + 2 * kGuard);
}

// Goal: no frame pointer, however wrong, makes the walk fault.  Method: a function puts each of
// many values into its own frame, where the walk finds it.
__attribute__((noinline)) size_t frames_with_next(uintptr_t next) {
  volatile auto* frame = static_cast<volatile uintptr_t*>(__builtin_frame_address(0));
  const uintptr_t saved = *frame;
  *frame = next;
  std::array<uintptr_t, 64> frames{};
  const size_t count = capture_frame_pointers(frames);
  *frame = saved;
  return count;
}

TEST(StackCapture, AWrongFramePointerEndsTheWalk) {
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const std::array<uintptr_t, 9> wrong = {1,
                                          8,
                                          here - 65536,
                                          here + 1,
                                          here + (uintptr_t{1} << 40),
                                          ~uintptr_t{7},
                                          ~uintptr_t{0},
                                          0,
                                          uintptr_t{1} << 63};
  for (const uintptr_t next : wrong) EXPECT_EQ(frames_with_next(next), 2U) << std::hex << next;
}

}  // namespace
}  // namespace netfs::lockdep
