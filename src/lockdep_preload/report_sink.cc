#include "lockdep_preload/report_sink.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lockdep/dwarf_symbolizer.h"
#include "lockdep/report_identity.h"
#include "lockdep/report_json.h"
#include "lockdep/report_text.h"
#include "lockdep/report_words.h"
#include "lockdep/saved_symbolizer.h"
#include "lockdep/spin_lock.h"
#include "lockdep_preload/class_words.h"
#include "lockdep_preload/high_descriptor.h"
#include "lockdep_preload/hook.h"
#include "lockdep_preload/large_stack.h"
#include "lockdep_preload/other_runs.h"
#include "lockdep_preload/plain_symbolizer.h"
#include "lockdep_preload/real.h"
#include "lockdep_preload/record.h"
#include "lockdep_preload/site.h"

namespace netfs::lockdep_preload {

namespace {

constexpr int kDescriptorWish = 200;  // above what programs use, below the usual limit

alignas(Options) char g_options[sizeof(Options)];
int g_fd = -1;
dev_t g_device = 0;
ino_t g_inode = 0;
std::atomic<bool> g_told_loss{false};
std::atomic<unsigned> g_sure{0};  // reports of LIKELY and PROVED
lockdep::SpinLock g_writing;      // one report at a time is made

// The stderr that the program began with; -1 once the program has made another file of it.
int first_stderr() {
  struct stat now {};
  if (g_fd < 0 || ::fstat(g_fd, &now) != 0) return -1;
  return now.st_dev == g_device && now.st_ino == g_inode ? g_fd : -1;
}

// False: not all of it could be written; errno says why.
bool write_all(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t wrote = ::write(fd, text.data() + done, text.size() - done);
    if (wrote < 0 && errno != EINTR) return false;
    if (wrote > 0) done += static_cast<size_t>(wrote);
  }
  return true;
}

// A report knows Instances; people know locks.
void translate(uint64_t& address) {
  if (address == 0) return;
  const auto* record = reinterpret_cast<const Record*>(address);
  const uintptr_t lock = record->shown.load(std::memory_order_relaxed);
  if (lock != 0) address = lock;
}

// Whether a lock of that kind is part of the circle.
bool has(const lockdep::Report& report, Kind kind) {
  for (const lockdep::ReportedEdge& edge : report.chain) {
    uint32_t number = 0;
    const Site* site = site_by_name(report.classes[edge.from.class_index].name.c_str(), &number);
    if (site != nullptr && site->kind == kind) return true;
  }
  return false;
}

void put_into_words(lockdep::Report& report, lockdep::Symbolizer& symbolizer) {
  const auto lock = [](lockdep::ReportedLock& one) { translate(one.address); };
  lock(report.taking);
  if (report.holding) lock(*report.holding);
  for (lockdep::ReportedLock& one : report.held) lock(one);
  for (lockdep::ReportedEdge& edge : report.chain) {
    lock(edge.from);
    lock(edge.to);
    for (lockdep::ReportedLock& gate : edge.gates) lock(gate);
  }
  if (report.freed_to - report.freed_from == sizeof(lockdep::Instance)) {
    const uint64_t size = report.freed_to - report.freed_from;
    translate(report.freed_from);
    report.freed_to = report.freed_from + size;
  }
  for (lockdep::ReportedClass& one : report.classes) {
    const std::string before = one.name;
    one.name = class_words(before.c_str(), symbolizer);
    const std::string quoted = "`" + before + "`";
    const size_t at = report.reason.find(quoted);
    if (at != std::string::npos) report.reason.replace(at, quoted.size(), "`" + one.name + "`");
  }
}

}  // namespace

int open_output(const std::string& path, int flags) {
  const int fd =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags, 0666);
  if (fd >= 0) (void)::fcntl(fd, F_SETFL, flags & O_APPEND);
  return fd;
}

void write_out(const std::string& text) {
  const std::string& path = options().output;
  if (path.empty()) {
    (void)write_all(first_stderr(), text);
    return;
  }
  const int fd = open_output(path, O_APPEND);
  const bool whole = fd >= 0 && write_all(fd, text);
  const int why = errno;
  if (fd >= 0) ::close(fd);
  if (whole || g_told_loss.exchange(true)) return;
  (void)write_all(first_stderr(),
                  "lockdep: " + path + ": " + std::strerror(why) + "; reports are lost\n");
}

void lock_reports() {
  g_writing.lock();
}

void unlock_reports() {
  g_writing.unlock();
}

const Options& options() {
  return *reinterpret_cast<const Options*>(g_options);
}

void reports_begin(const char* options_text) {
  Result<Options> decoded = decode(options_text);
  new (g_options) Options(decoded.ok() ? decoded.value() : Options());
  if (!decoded.ok()) {
    const std::string line = "lockdep: " + decoded.error().message() + " is not understood\n";
    (void)!::write(STDERR_FILENO, line.data(), line.size());
  }
  g_fd = high_descriptor(STDERR_FILENO, kDescriptorWish);
  struct stat status {};
  if (g_fd < 0 || ::fstat(g_fd, &status) != 0) return;
  g_device = status.st_dev;
  g_inode = status.st_ino;
}

// What a guess of ours made of a report, and how much of it is shown.
enum class Show { kNothing, kNote, kAll };

Show weigh(lockdep::Report& report) {
  const bool order_only = options().order_only;
  // Whoever brings a saved graph asks for circles of several runs, sure or not.
  if (report.verdict == lockdep::Verdict::kOrderOnly) {
    return order_only || report.joined ? Show::kAll : Show::kNothing;
  }
  if (report.verdict == lockdep::Verdict::kProved) return Show::kAll;
  if (report.kind != lockdep::ReportKind::kCircular) return Show::kAll;
  if (has(report, Kind::kSemaphore)) {
    report.verdict = lockdep::Verdict::kOrderOnly;
    report.reason = "semaphores, which others may post: " + report.reason;
    return order_only ? Show::kAll : Show::kNote;
  }
  if (has(report, Kind::kBarrier)) {
    report.verdict = lockdep::Verdict::kOrderOnly;
    report.reason = "a barrier, to which others may come: " + report.reason;
    return order_only ? Show::kAll : Show::kNothing;
  }
  if (has(report, Kind::kThread)) {
    // Who joins under a lock often knows by that lock that the thread has done its part.
    report.verdict = lockdep::Verdict::kOrderOnly;
    report.reason = "a joined thread, which may be done with its locks: " + report.reason;
    return order_only ? Show::kAll : Show::kNothing;
  }
  return Show::kAll;
}

// False when a suppression says that nobody wants to see it.
bool put_out(lockdep::Report& report, lockdep::Symbolizer& live, Show show) {
  lockdep::SavedSymbolizer symbolizer(graph_before(), live);
  put_into_words(report, symbolizer);
  if (suppressed(report, symbolizer)) return false;
  const lockdep::ReportIdentity identity = lockdep::own_identity("");
  if (options().format == Format::kJson) {
    write_out(lockdep::report_json(report, symbolizer, identity) + "\n");
  } else if (show == Show::kNote) {
    write_out(lockdep::summary_line(report) + " (" + report.reason + ")\n");
  } else {
    write_out(lockdep::report_text(report, symbolizer, {.identity = identity}));
  }
  return true;
}

// Names and lines of code take memory by the megabyte, and what reads them does not look whether it
// was given any.
bool has_room() {
  constexpr size_t kBytes = size_t{128} << 20;
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return true;
  void* room =
      ::mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return false;
  ::syscall(SYS_munmap, room, kBytes);  // not our own hook's
  return true;
}

// False when it was not shown.
bool show(lockdep::Report& report, bool may_allocate) {
  const Show show = weigh(report);
  if (show == Show::kNothing) return false;
  const lockdep::SpinGuard guard(g_writing);
  if (!may_allocate) {
    PlainSymbolizer symbolizer;
    return put_out(report, symbolizer, show);
  }
  lockdep::DwarfSymbolizer symbolizer;
  return put_out(report, symbolizer, show);
}

void report_sink(void*, const lockdep::Report& found) {
  const KeepErrno keep;
  bool sure = false;
  const bool may_allocate = !foreign_malloc() && !in_allocator() && has_room();
  on_large_stack([&found, &sure, may_allocate] {
    lockdep::Report report = found;
    sure = show(report, may_allocate) && report.verdict != lockdep::Verdict::kOrderOnly;
  });
  if (!sure) return;
  g_sure.fetch_add(1, std::memory_order_relaxed);
  if (options().abort) std::abort();
}

void reports_end() {
  if (!options().exit_code || g_sure.load(std::memory_order_relaxed) == 0) return;
  std::fflush(nullptr);
  ::_exit(*options().exit_code);
}

}  // namespace netfs::lockdep_preload
