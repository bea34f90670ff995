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
// Stands for the stack frame in which `address` lies, and those around it.  Never 0.
uintptr_t frame_identity(uintptr_t address, uintptr_t ip);

// Where the thread's stack began, for a thread of ours: the address of a local variable.
void stack_begins(uintptr_t top);

}  // namespace netfs::lockdep_preload
