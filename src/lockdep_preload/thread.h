#pragma once
// The threads of the program: a context each, its end, its stack, the signal handlers it is in.

#include <cstdint>

#include "lockdep_preload/hook.h"

namespace netfs::lockdep_preload {

// At our beginning, once.
void threads_begin();

// Gives the calling thread, which has no context yet, one; null: it has ended.
Context* begin_context();

// Between the stack pointer and where the thread's stack began.
bool on_own_stack(uintptr_t address);
struct StackFrame {
  uintptr_t identity = 0;  // of this very frame, by its place and the functions around; never 0
  uintptr_t function = 0;  // where the function begins whose frame it is; 0: unknown
};
// The frame in which `address`, on this thread's own stack, lies.
StackFrame stack_frame(uintptr_t address);

// Where the thread's stack began, for a thread of ours: the address of a local variable.
void stack_begins(uintptr_t top);

// Of a thread that ends: semaphores that it has are not held by it (semaphore.cc).
void drop_semaphores(Context& context);

}  // namespace netfs::lockdep_preload
