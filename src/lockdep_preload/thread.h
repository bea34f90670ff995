#pragma once
// The threads of the program: a context each, its end, its stack, the signal handlers it is in.

#include <cstdint>

#include "lockdep_preload/hook.h"

namespace netfs::lockdep_preload {

// At our beginning, once.
void threads_begin();

// Gives the calling thread, which has no context yet, one; null: it has ended.
Context* begin_context();

// A bit for each signal that the calling thread blocks, that of signal 1 the lowest.
uint64_t blocked_signals();

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

// The thread with that id looks up before its next event (see watched_slowly).
void call_attention(int thread_id);
// The thread itself does: it jumps, perhaps out of signal handlers.
void call_own_attention();

// Around fork: no thread comes or goes.  The child has one.
void lock_contexts();
void unlock_contexts();
void contexts_after_fork_in_child();
// The calling thread's context, whoever called its attention; null: it has none.
Context* own_context();

// Around fork: no thread is made or joined (create.cc).
void lock_threads();
void unlock_threads();

// Of a thread that ends: semaphores and barriers that it has are not held by it.
void drop_semaphores(Context& context);
void drop_barriers(Context& context);
// Nor does it know any more what was initialised.
void drop_onces();

// Handlers that the thread has jumped out of have ended (signals.cc).
void end_left_handlers(Context& context);

}  // namespace netfs::lockdep_preload
