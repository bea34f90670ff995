#pragma once
// lockdep: the process-wide validator and this thread's context, for src/sync.
//
// Both may be used before main and after static destructors.  A thread's context comes into being
// at its first event and ends with the thread; what it still holds then is reported.  Events that
// come later, from other thread-local destructors or static ones, are ignored: this_context() is
// null.
//
//   lockdep::acquire(instance_, {}, LOCKDEP_CALLER);
//
// All functions are thread-safe, and safe in signal handlers once the thread has a context.

#include "lockdep/validator.h"

// The address to which the function that says this returns.
#define LOCKDEP_CALLER reinterpret_cast<uintptr_t>(__builtin_return_address(0))

namespace netfs::lockdep {

// Never destroyed.
Validator& process();

extern __thread Context* t_context __attribute__((tls_model("initial-exec")));
Context* begin_this_context();

// Null once the thread has ended.
inline Context* this_context() {
  return t_context != nullptr ? t_context : begin_this_context();
}

// Gives this thread's context a name (its first 23 bytes) and the segment that its creator
// published; for a new thread, before its first lock.
void thread_begins(const char* name, Segment created);
// What the joiner observes; the thread's last event.
Segment thread_ends();

// For pthread_atfork: Validator::before_fork and so on, of the process-wide one and this thread.
void before_fork();
void after_fork_in_parent();
void after_fork_in_child();

inline void acquire(const Instance& instance, const How& how, uintptr_t ip) {
  if (Context* context = this_context()) process().acquire(*context, instance, how, ip);
}
inline void contended(const Instance& instance) {
  if (Context* context = this_context()) process().contended(*context, instance);
}
inline void acquired(const Instance& instance) {
  if (Context* context = this_context()) process().acquired(*context, instance);
}
inline void acquire_failed(const Instance& instance, uintptr_t ip) {
  if (Context* context = this_context()) process().acquire_failed(*context, instance, ip);
}
inline void release(const Instance& instance, uintptr_t ip) {
  if (Context* context = this_context()) process().release(*context, instance, ip);
}
inline void sync(const Instance& instance, const How& how, uintptr_t ip) {
  if (Context* context = this_context()) process().sync(*context, instance, how, ip);
}
inline void destroy(const Instance& instance, uintptr_t ip) {
  if (Context* context = this_context()) process().destroy(*context, instance, ip);
}
inline void wait_begins(const Instance& mutex, uintptr_t ip) {
  if (Context* context = this_context()) process().wait_begins(*context, mutex, ip);
}
inline void wait_ends(const Instance& mutex, uintptr_t ip) {
  if (Context* context = this_context()) process().wait_ends(*context, mutex, ip);
}

}  // namespace netfs::lockdep
