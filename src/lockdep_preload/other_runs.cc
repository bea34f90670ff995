#include "lockdep_preload/other_runs.h"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <pthread.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "lockdep/dwarf_symbolizer.h"
#include "lockdep/graph_snapshot.h"
#include "lockdep/module_of.h"
#include "lockdep/saved_graph_file.h"
#include "lockdep/saved_symbolizer.h"
#include "lockdep/stack_capture.h"
#include "lockdep/stat_text.h"
#include "lockdep/suppression_list.h"
#include "lockdep_preload/class_words.h"
#include "lockdep_preload/hook.h"
#include "lockdep_preload/real.h"
#include "lockdep_preload/report_sink.h"
#include "lockdep_preload/timing.h"
#include "lockdep_preload/watchdog.h"

namespace netfs::lockdep_preload {
namespace {

// On the heap and never destroyed: static destructors of the program still lock.
struct OtherRuns {
  lockdep::SavedGraph before;
  lockdep::SuppressionList suppressions;
  lockdep::SavedRun run;
  bool save_is_refused = false;  // what the file has is damaged, which has been said
};
OtherRuns* g_runs = nullptr;

void complain(const std::string& why) {
  write_out("lockdep: " + why + "\n");
}

Result<std::string> read_small(const std::string& path) {
  constexpr size_t kBytesMax = size_t{16} << 20;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Error::from_errno("suppressions");
  std::string text;
  char piece[4096];
  while (text.size() < kBytesMax) {
    const ssize_t got = ::read(fd.get(), piece, sizeof piece);
    if (got < 0) return Error::from_errno("suppressions");
    if (got == 0) break;
    text.append(piece, static_cast<size_t>(got));
  }
  return text;
}

void load_suppressions(OtherRuns& runs) {
  const std::string& path = options().suppressions;
  if (path.empty()) return;
  const Result<std::string> text = read_small(path);
  if (!text.ok()) return complain(path + ": " + text.error().message());
  Result<lockdep::SuppressionList> list = lockdep::SuppressionList::parse(text.value(), path);
  if (!list.ok()) return complain(list.error().message());
  runs.suppressions = std::move(list).value();
}

void load_graph(OtherRuns& runs) {
  const std::string& path = options().save;
  struct stat status {};
  // What is not there has nothing, and neither has a pipe or a device.
  if (path.empty() ||
      (::stat(path.c_str(), &status) == 0 ? !S_ISREG(status.st_mode) : errno == ENOENT)) {
    return;
  }
  Result<lockdep::SavedGraph> graph = lockdep::read_saved_graph(path);
  if (graph.ok()) {
    runs.before = std::move(graph).value();
    validator().seed(runs.before);
    return;
  }
  // `lockdep run` makes the file, empty, to know that it can.
  if (status.st_size == 0) return;
  runs.save_is_refused = true;
  complain(graph.error().message());
}

std::string words(const std::string& name, lockdep::Symbolizer& symbolizer) {
  return class_words(name.c_str(), symbolizer);
}

void save_graph(OtherRuns& runs) {
  if (options().save.empty() || runs.save_is_refused) return;
  runs.run.process = ::getpid();
  lockdep::SavedGraph graph = validator().save(runs.run);
  lockdep::DwarfSymbolizer symbolizer;
  for (lockdep::SavedGraph::Class& one : graph.classes) one.name = words(one.name, symbolizer);
  const Result<> added = lockdep::add_to_saved_graph(options().save, graph);
  if (!added.ok()) complain(added.error().message());
}

void write_statistics() {
  if (options().stat.empty()) return;
  lockdep::GraphSnapshot graph = take_snapshot(validator());
  lockdep::DwarfSymbolizer symbolizer;
  for (lockdep::GraphClass& one : graph.classes) {
    one.identity.name = words(one.identity.name, symbolizer);
  }
  std::string text = statistics_text(validator().statistics()) + "\n" + classes_text(graph);
  const std::string times = timing_text(symbolizer);
  if (!times.empty()) text += "\n" + times;
  const UniqueFd fd(open_output(options().stat, O_TRUNC));
  const bool wrote =
      fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (!wrote) complain(options().stat + ": " + std::strerror(errno));
}

int create_thread(void* thread, const void* attributes, Watchdog::Start start, void* argument) {
  return real().pthread_create(static_cast<pthread_t*>(thread),
                               static_cast<const pthread_attr_t*>(attributes), start, argument);
}

// One for all dumps; used by the watchdog's thread alone.
lockdep::Symbolizer& dump_symbolizer() {
  static auto& live = *new lockdep::DwarfSymbolizer;
  static auto& symbolizer = *new lockdep::SavedSymbolizer(graph_before(), live);
  return symbolizer;
}

}  // namespace

void other_runs_begin() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  auto* runs = new OtherRuns;
  runs->run = {.program = program_invocation_short_name,
               .process = ::getpid(),
               .time_ns = now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec};
  g_runs = runs;
  load_suppressions(*runs);
  load_graph(*runs);
}

void other_runs_end() {
  if (g_runs == nullptr) return;
  save_graph(*g_runs);
  write_statistics();
  for (const std::string& entry : g_runs->suppressions.unused()) {
    complain("suppression that matched nothing: " + entry);
  }
}

const lockdep::SavedGraph& graph_before() {
  static const lockdep::SavedGraph& kNothing = *new lockdep::SavedGraph;
  return g_runs == nullptr ? kNothing : g_runs->before;
}

bool suppressed(const lockdep::Report& report, lockdep::Symbolizer& symbolizer) {
  return g_runs != nullptr && g_runs->suppressions.matches(report, symbolizer);
}

void watch_for_hangs() {
  start_watchdog({.interval_ms = options().watchdog_seconds * 1000,
                  .create = create_thread,
                  .validator = &validator(),
                  .symbolizer = dump_symbolizer,
                  .lock = lock_reports,
                  .unlock = unlock_reports,
                  .class_words = words,
                  .more_figures = timing_text,
                  .print = [](std::string_view text) { write_out(std::string(text)); }});
}

uintptr_t maker_of(uintptr_t function) {
  const auto of_library = [](uintptr_t address) {
    lockdep::Module module;
    return !lockdep::module_of(address, module) ||
           std::strstr(module.path, "/libstdc++.so") != nullptr ||
           std::strstr(module.path, "/libc++.so") != nullptr ||
           std::strstr(module.path, "/lockdep_preload.so") != nullptr;
  };
  if (!of_library(function)) return function;
  uintptr_t frames[24];
  const size_t count = lockdep::capture_unwind_tables(frames);
  for (size_t i = 0; i < count; ++i) {
    if (!of_library(frames[i])) return frames[i];
  }
  return function;
}

}  // namespace netfs::lockdep_preload
