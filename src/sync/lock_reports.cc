#include "sync/lock_reports.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <pthread.h>
#include <span>
#include <string>
#include <unistd.h>

#include "base/unique_fd.h"
#include "lockdep/dwarf_symbolizer.h"
#include "lockdep/graph_snapshot.h"
#include "lockdep/lockdep.h"
#include "lockdep/report_identity.h"
#include "lockdep/report_text.h"
#include "lockdep/stack_capture.h"
#include "sync/context.h"
#include "sync/standing_lock.h"

namespace netfs::sync {

namespace {

std::string& folder() {
  static auto* value = new std::string(NETFS_LOCKDEP_FOLDER);
  return *value;
}

void write_all(int fd, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = ::write(fd, text.data() + done, text.size() - done);
    if (wrote < 0 && errno != EINTR) return;
    if (wrote > 0) done += static_cast<size_t>(wrote);
  }
}

void write_file(const char* kind, const std::string& rest, const std::string& text) {
  if (folder().empty()) return;
  const std::string path = folder() + "/" + kind + "-" + program_invocation_short_name + "-" +
                           std::to_string(::getpid()) + rest + ".txt";
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file) write_all(file.get(), text);
}

void show(void*, const lockdep::Report& report) {
  if (report.verdict == lockdep::Verdict::kOrderOnly) return;
  static std::atomic<unsigned> count{0};
  lockdep::DwarfSymbolizer symbolizer;
  const std::string text =
      lockdep::report_text(report, symbolizer, {.identity = lockdep::own_identity("")});
  write_all(STDERR_FILENO, text);
  write_file("report", "-" + std::to_string(count.fetch_add(1)), text);
}

size_t capture(void*, uintptr_t* frames, size_t max) {
  return lockdep::capture_stack(std::span(frames, max));
}

// Registered before any other, so that a program's own handlers, which may take its locks, come
// before ours at the fork and after ours in parent and child.
void watch_forks() {
  const auto prepare = [] {
    stop_making_standing_locks();
    lockdep::before_fork();
  };
  const auto parent = [] {
    lockdep::after_fork_in_parent();
    go_on_making_standing_locks();
  };
  const auto child = [] {
    lockdep::after_fork_in_child();
    go_on_making_standing_locks();
  };
  // Without memory for it (nothing else can fail here) forks are as they were.
  (void)::pthread_atfork(prepare, parent, child);
}

// The founding rule as an order: the write side of the cache may come before a fault (who writes
// may fault on what he writes from), so a fault may never come before the write side.
[[gnu::constructor]] void begin() {
  lockdep::Validator& validator = lockdep::process();
  validator.configure({.sink = show, .stacks = capture});
  watch_forks();
  validator.declare_order(kCacheSbWriters, lockdep::Mode::kRead, kFuseFault, lockdep::Mode::kRead);
}

[[gnu::destructor]] void end() {
  write_lock_graph();
}

}  // namespace

// Named to the linker (CMakeLists.txt), so that every program has this file.
extern "C" void netfs_lock_reports() {}

void set_lock_report_folder(const std::string& to) {
  folder() = to;
}

void write_lock_graph() {
  const lockdep::GraphSnapshot graph = lockdep::take_snapshot(lockdep::process());
  std::string text;
  for (const lockdep::GraphEdge& edge : graph.edges) {
    if (edge.declared) continue;
    text +=
        graph.classes[edge.from].identity.name + "\t" + graph.classes[edge.to].identity.name + "\n";
  }
  if (!text.empty()) write_file("graph", "", text);
}

}  // namespace netfs::sync
