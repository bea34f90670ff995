#include "lockdep_preload/watchdog.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <poll.h>
#include <pthread.h>
#include <string_view>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

#include "base/unique_fd.h"
#include "lockdep/graph_snapshot.h"
#include "lockdep/inside.h"
#include "lockdep/spin_lock.h"
#include "lockdep/stat_text.h"
#include "lockdep_preload/control.h"

namespace netfs::lockdep_preload {
namespace {

// 32 and 33: the C library waits until every thread has handled them.
constexpr uint64_t kLibrarySignals = uint64_t{3} << 31;

constexpr int kNobodyMs = 250;  // how long the process outlives the last thread of its program

lockdep::SpinLock starting;  // around a start and an end
bool running = false;
ControlSocket::Identity the_socket;   // of the thread that runs
uint64_t program_mask = 0;            // of who started it
std::atomic<int> program_threads{0};  // besides the first
Watchdog the_watchdog;                // written before the thread starts, once a process

void put_into_words(lockdep::ReportedClass& one) {
  if (the_watchdog.class_words == nullptr) return;
  one.name = the_watchdog.class_words(one.name, the_watchdog.symbolizer());
}

// What is locked meanwhile is ours and nobody else's business.
std::string answer(std::string_view word) {
  lockdep::Validator& validator = *the_watchdog.validator;
  if (word == "dump") {
    std::vector<lockdep::Report> waits = validator.waits();
    const lockdep::Inside inside;
    the_watchdog.lock();
    for (lockdep::Report& wait : waits) {
      for (lockdep::ReportedClass& one : wait.classes) put_into_words(one);
    }
    std::string text = waits_text(waits, the_watchdog.symbolizer());
    the_watchdog.unlock();
    return text;
  }
  if (word == "stat") {
    const std::string text = statistics_text(validator.statistics()) + "\n";
    lockdep::GraphSnapshot graph = take_snapshot(validator);
    const lockdep::Inside inside;
    the_watchdog.lock();
    for (lockdep::GraphClass& one : graph.classes) put_into_words(one.identity);
    std::string more;
    if (the_watchdog.more_figures != nullptr) {
      more = the_watchdog.more_figures(the_watchdog.symbolizer());
    }
    the_watchdog.unlock();
    if (!more.empty()) more.insert(0, "\n");
    return text + classes_text(graph) + more;
  }
  return "lockdep: a word that is not known\n";
}

// Says who waits for whom, the first time that some wait in a circle.
void look(bool& told) {
  const size_t stuck = the_watchdog.validator->scan_waits();
  if (stuck == 0) {
    told = false;
    return;
  }
  if (told) return;
  told = true;
  if (the_watchdog.print != nullptr) the_watchdog.print(answer("dump"));
}

using Control = std::optional<ControlSocket>;

// False: the program has threads, or has some again.
bool ends(Control& control) {
  const lockdep::Inside inside;
  const lockdep::SpinGuard guard(starting);
  if (program_threads.load(std::memory_order_acquire) > 0) return false;
  control.reset();  // first: the next one will have that address
  the_socket = {};
  running = false;
  return true;
}

// Whether main has left by pthread_exit: then the exit handlers run in the thread that ends last.
bool first_thread_is_gone() {
  char path[64];
  char text[256];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", ::getpid());
  const UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
  const ssize_t size = file ? ::read(file.get(), text, sizeof text) : 0;
  if (size <= 0) return false;
  const std::string_view all(text, static_cast<size_t>(size));
  return all.substr(std::min(all.rfind(')'), all.size())).substr(0, 3) == ") Z";
}

void* watch(void* argument) {
  (void)::prctl(PR_SET_NAME, "lockdep", 0, 0, 0);
  Control control;
  {
    const lockdep::Inside inside;
    const std::unique_ptr<Control> given(static_cast<Control*>(argument));
    control = std::move(*given);
  }
  bool told = false;
  int waited_ms = 0;
  while (!ends(control)) {
    if (control) {
      const lockdep::Inside inside;
      control->serve(kNobodyMs, answer);
    } else {
      ::poll(nullptr, 0, kNobodyMs);
    }
    waited_ms += kNobodyMs;
    if (the_watchdog.interval_ms == 0 || waited_ms < the_watchdog.interval_ms) continue;
    waited_ms = 0;
    look(told);
  }
  const lockdep::Inside inside;
  if (first_thread_is_gone()) {
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &program_mask, nullptr, sizeof program_mask);
  }
  return nullptr;
}

}  // namespace

void start_watchdog(const Watchdog& watchdog) {
  const lockdep::Inside inside;
  {
    const lockdep::SpinGuard guard(starting);
    if (running) return;
    running = true;
  }
  const int before = errno;
  the_watchdog = watchdog;
  // The thread inherits the mask: no signal of the program may find its handler there.
  const uint64_t all = ~kLibrarySignals;
  uint64_t own = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &own, sizeof all);
  auto control = std::make_unique<Control>();
  Result<ControlSocket> opened = ControlSocket::open(::getpid());
  if (opened.ok()) control->emplace(std::move(opened).value());
  {
    const lockdep::SpinGuard guard(starting);
    the_socket = *control ? (*control)->identity() : ControlSocket::Identity();
    program_mask = own;
  }
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  ::pthread_attr_setstacksize(&attributes, size_t{1} << 20);
  pthread_t thread{};
  if (the_watchdog.create(&thread, &attributes, watch, control.get()) == 0) {
    (void)control.release();  // the thread's
  } else {
    control.reset();
    const lockdep::SpinGuard guard(starting);
    the_socket = {};
    running = false;
  }
  ::pthread_attr_destroy(&attributes);
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &own, nullptr, sizeof own);
  errno = before;
}

void program_thread_begins() {
  program_threads.fetch_add(1, std::memory_order_relaxed);
}
void program_thread_ends() {
  program_threads.fetch_sub(1, std::memory_order_release);
}

void watchdog_after_fork_in_child() {
  program_threads.store(0, std::memory_order_relaxed);
  starting.unlock();
  running = false;
  // The address is the parent's: whoever starts anew there could not have it while we listen.
  ControlSocket::close_if_there(std::exchange(the_socket, {}));
}

}  // namespace netfs::lockdep_preload
