#include "lockdep/lockdep.h"

#include <new>
#include <sys/prctl.h>
#include <unistd.h>

#include "lockdep/inside.h"

namespace netfs::lockdep {

__thread Context* t_context __attribute__((tls_model("initial-exec"))) = nullptr;

namespace {

// Built before main, by the compiler; never destroyed, for static destructors still lock.
union Forever {
  Validator validator;
  constexpr Forever() : validator() {}
  ~Forever() {}
};
constinit Forever the_validator;

__thread bool t_ended __attribute__((tls_model("initial-exec"))) = false;
alignas(Context) __thread char t_storage[sizeof(Context)];

// Ends the thread's context with the thread.
struct ThreadEnd {
  ~ThreadEnd() {
    t_ended = true;
    if (t_context == nullptr) return;
    t_context->~Context();
    t_context = nullptr;
  }
};
thread_local ThreadEnd t_end;

Context* begin(const char* name) {
  const Inside inside;
  t_context = new (t_storage)
      Context(process(), name, ContextKind::kThread, static_cast<uint64_t>(::gettid()));
  (void)&t_end;  // its first use has it destroyed at the thread's end
  return t_context;
}

}  // namespace

Validator& process() {
  return the_validator.validator;
}

Context* begin_this_context() {
  if (t_ended) return nullptr;
  char name[16] = {};
  ::prctl(PR_GET_NAME, name);
  return begin(name);
}

void thread_begins(const char* name, Segment created) {
  if (t_ended) return;
  if (t_context == nullptr) begin(name);
  process().observe(*t_context, created);
}

Segment thread_ends() {
  return t_context == nullptr ? 0 : process().publish(*t_context);
}

void before_fork() {
  process().before_fork();
}

void after_fork_in_parent() {
  process().after_fork_in_parent();
}

void after_fork_in_child() {
  process().after_fork_in_child(t_context, static_cast<uint64_t>(::gettid()));
}

}  // namespace netfs::lockdep
