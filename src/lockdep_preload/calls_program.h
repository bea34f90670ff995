#pragma once
// LOCKDEP_CALLS_PROGRAM: marks a function of ours that only calls one of the program's, or one on
// its behalf.  What is called may end in a jump to operator new: that finds such a function for its
// caller then, and is told by where it lies that it was the program (operator_new.cc).  The call
// must not be a jump itself: lockdep_came_back() after it.

#define LOCKDEP_CALLS_PROGRAM __attribute__((section("lockdep_calls_program"), noinline))

template <class T>
[[gnu::always_inline]] inline T lockdep_came_back(T result) {
  __asm__ volatile("" : "+r"(result));
  return result;
}
