#include "lockdep_preload/begin.h"

#include <cstring>
#include <new>
#include <pthread.h>
#include <string>
#include <unistd.h>

#include "lockdep/stack_capture.h"
#include "lockdep_preload/cxx_library.h"
#include "lockdep_preload/hook.h"
#include "lockdep_preload/large_stack.h"
#include "lockdep_preload/memory.h"
#include "lockdep_preload/options.h"
#include "lockdep_preload/other_runs.h"
#include "lockdep_preload/plain_symbolizer.h"
#include "lockdep_preload/real.h"
#include "lockdep_preload/record.h"
#include "lockdep_preload/report_sink.h"
#include "lockdep_preload/thread.h"
#include "lockdep_preload/timing.h"
#include "lockdep_preload/watchdog.h"

// Lets a debugger, or `lockdep`, see which library a process has.
extern "C" __attribute__((visibility("default"))) const char lockdep_preload_version[] = "1";

namespace netfs::lockdep_preload {

constinit std::atomic<Stage> g_stage{Stage::kNone};

constinit Forever<lockdep::Validator> g_validator;

namespace {

constinit Forever<lockdep::Arena> g_arena;

// Without our own frames: those of the hook, and that of a thread's function which calls the
// program's.
size_t capture(void*, uintptr_t* frames, size_t max) {
  constexpr size_t kOwnMax = 16;
  uintptr_t all[64];
  const size_t wanted = std::min(max + kOwnMax, std::size(all));
  const size_t count = lockdep::capture_unwind_tables({all, wanted});
  dl_find_object own;
  if (::_dl_find_object(reinterpret_cast<void*>(&capture), &own) != 0) return 0;
  const auto begin = reinterpret_cast<uintptr_t>(own.dlfo_map_start);
  const auto end = reinterpret_cast<uintptr_t>(own.dlfo_map_end);
  size_t kept = 0;
  for (size_t i = 0; i < count && kept < max; ++i) {
    if (all[i] < begin || all[i] >= end) frames[kept++] = all[i];
  }
  return kept;
}

// False: the fork is in a signal handler that interrupted one of our events, which may have any of
// our locks; the child gets what there is.
__thread bool t_forking = false;

// In the order in which they are taken under each other: who shows a report takes all the others.
void before_fork() {
  t_forking = lockdep::t_inside == 0;
  if (!t_forking) return;
  ++lockdep::t_inside;
  lock_reports();
  validator().before_fork();
  lock_threads();
  lock_contexts();
  lock_records();
  lock_sites();
  arena().before_fork();
}
void after_fork() {
  arena().after_fork();
  unlock_sites();
  unlock_records();
  unlock_contexts();
  unlock_threads();
}
void after_fork_in_parent() {
  if (!t_forking) return;
  after_fork();
  validator().after_fork_in_parent();
  unlock_reports();
  --lockdep::t_inside;
}
void after_fork_in_child() {
  if (t_forking) {
    after_fork();
    contexts_after_fork_in_child();
    validator().after_fork_in_child(own_context(), static_cast<uint64_t>(::getpid()));
    unlock_reports();
    --lockdep::t_inside;
  }
  watchdog_after_fork_in_child();
}

// valgrind redirects operator new by its name, ours as well, and not our operator delete: nothing
// of ours may run that allocates.
bool is_under_valgrind() {
  const char* list = ::getenv(kPreloadVariable);
  return list != nullptr && std::strstr(list, "/vgpreload_") != nullptr;
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
  find_allocators();
  find_cxx_library();
  if (g_stage.load(std::memory_order_acquire) != Stage::kWatching) return;
  (void)::pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  if (options().children == Children::kLeft) leave_environment();
}

[[gnu::destructor(101)]] void destructor() {
  if (g_stage.load(std::memory_order_acquire) != Stage::kWatching) return;
  g_stage.store(Stage::kEnded, std::memory_order_release);
  // What is done from here on is not watched, on this thread at least.
  ++lockdep::t_inside;
  on_large_stack([] { other_runs_end(); });  // a thread with little stack may call exit
  reports_end();
}

}  // namespace

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
  if (is_under_valgrind()) {
    constexpr std::string_view kLine = "lockdep: not under valgrind: this process is not watched\n";
    (void)!::write(STDERR_FILENO, kLine.data(), kLine.size());
    g_stage.store(Stage::kEnded, std::memory_order_release);
    return;
  }
  const char* text = ::getenv(kOptionsVariable);
  reports_begin(text == nullptr ? "" : text);
  validator().configure(
      {.sink = report_sink, .stacks = capture, .match = lockdep::Validator::Match::kExact});
  g_timing = options().histograms;
  threads_begin();
  other_runs_begin();
  g_stage.store(Stage::kWatching, std::memory_order_release);
}

}  // namespace netfs::lockdep_preload
