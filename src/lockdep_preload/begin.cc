#include "lockdep_preload/begin.h"

#include <cstring>
#include <new>
#include <pthread.h>
#include <string>

#include "lockdep/stack_capture.h"
#include "lockdep_preload/hook.h"
#include "lockdep_preload/memory.h"
#include "lockdep_preload/options.h"
#include "lockdep_preload/other_runs.h"
#include "lockdep_preload/plain_symbolizer.h"
#include "lockdep_preload/real.h"
#include "lockdep_preload/record.h"
#include "lockdep_preload/report_sink.h"
#include "lockdep_preload/thread.h"
#include "lockdep_preload/watchdog.h"

// Lets a debugger, or `lockdep`, see which library a process has.
extern "C" __attribute__((visibility("default"))) const char lockdep_preload_version[] = "1";

namespace netfs::lockdep_preload {

constinit std::atomic<Stage> g_stage{Stage::kNone};

namespace {

// Built before any code runs; never destroyed, for static destructors still lock.
template <class T>
union Forever {
  T it;
  constexpr Forever() : it() {}
  ~Forever() {}
};
constinit Forever<lockdep::Validator> g_validator;
constinit Forever<lockdep::Arena> g_arena;

// Without our own frames: the first is that of who called the hook.
size_t capture(void*, uintptr_t* frames, size_t max) {
  constexpr size_t kOwnMax = 16;
  uintptr_t all[64];
  const size_t wanted = std::min(max + kOwnMax, std::size(all));
  const size_t count = lockdep::capture_unwind_tables({all, wanted});
  dl_find_object own;
  if (::_dl_find_object(reinterpret_cast<void*>(&capture), &own) != 0) return 0;
  size_t first = 0;
  const auto begin = reinterpret_cast<uintptr_t>(own.dlfo_map_start);
  const auto end = reinterpret_cast<uintptr_t>(own.dlfo_map_end);
  while (first < count && all[first] >= begin && all[first] < end) ++first;
  const size_t kept = std::min(max, count - first);
  std::memcpy(frames, all + first, kept * sizeof *frames);
  return kept;
}

void before_fork() {
  validator().before_fork();
  ++lockdep::t_inside;
  lock_records();
  lock_sites();
}
void after_fork() {
  unlock_sites();
  unlock_records();
  --lockdep::t_inside;
}
void after_fork_in_parent() {
  after_fork();
  validator().after_fork_in_parent();
}
void after_fork_in_child() {
  after_fork();
  validator().after_fork_in_child(t_context);
  watchdog_after_fork_in_child();
}

void leave_environment() {
  const char* list = ::getenv(kPreloadVariable);
  Dl_info own;
  if (list == nullptr || ::dladdr(lockdep_preload_version, &own) == 0) return;
  const std::string rest = without_library(list, own.dli_fname);
  if (rest.empty()) {
    ::unsetenv(kPreloadVariable);
  } else {
    ::setenv(kPreloadVariable, rest.c_str(), 1);
  }
  ::unsetenv(kOptionsVariable);
}

[[gnu::constructor(101)]] void constructor() {
  begin();
  // These may allocate, which the first event, in the midst of a malloc, must not.
  const Inside inside;
  (void)foreign_malloc();
  (void)::pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  if (options().children == Children::kLeft) leave_environment();
}

[[gnu::destructor(101)]] void destructor() {
  if (g_stage.load(std::memory_order_acquire) != Stage::kWatching) return;
  g_stage.store(Stage::kEnded, std::memory_order_release);
  // What is done from here on is not watched, on this thread at least.
  ++lockdep::t_inside;
  other_runs_end();
  reports_end();
}

}  // namespace

lockdep::Validator& validator() {
  return g_validator.it;
}

lockdep::Arena& arena() {
  return g_arena.it;
}

void begin() {
  Stage expected = Stage::kNone;
  if (!g_stage.compare_exchange_strong(expected, Stage::kBeginning, std::memory_order_acq_rel)) {
    return;
  }
  const KeepErrno keep;
  const Inside inside;
  find_real();
  const char* text = ::getenv(kOptionsVariable);
  reports_begin(text == nullptr ? "" : text);
  validator().configure(
      {.sink = report_sink, .stacks = capture, .match = lockdep::Validator::Match::kExact});
  threads_begin();
  other_runs_begin();
  g_stage.store(Stage::kWatching, std::memory_order_release);
}

}  // namespace netfs::lockdep_preload
