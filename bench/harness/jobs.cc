#include "harness/jobs.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/unique_fd.h"

namespace netfs::bench {

namespace {

// What a job tells its parent; lies in a mapping shared by both.
struct Slot {
  double started = 0;
  double ended = 0;
  double cpu_seconds = 0;
  uint64_t units = 0;
  int code = ECHILD;  // until the job has said otherwise
  char message[400] = "the job died";
};

class PipeGate : public Gate {
 public:
  PipeGate(int ready, int start) : ready_(ready), start_(start) {}
  void wait() override {
    report_ready();
    char byte;
    while (::read(start_, &byte, 1) < 0 && errno == EINTR) {
    }
    started_ = monotonic_seconds();
    cpu_ = own_cpu_seconds();
  }
  // A job that failed on its way here must not keep the others waiting.
  void report_ready() {
    char byte = 1;
    if (!std::exchange(reported_, true)) NETFS_ASSERT(::write(ready_, &byte, 1) == 1);
  }
  [[nodiscard]] double started() const { return started_; }
  [[nodiscard]] double cpu() const { return cpu_; }

 private:
  int ready_;
  int start_;
  bool reported_ = false;
  double started_ = 0;
  double cpu_ = 0;
};

void run_one(const Job& job, unsigned number, PipeGate& gate, Slot& slot) {
  Result<uint64_t> units = job(number, gate);
  slot.ended = monotonic_seconds();
  gate.report_ready();
  slot.cpu_seconds = own_cpu_seconds() - gate.cpu();
  slot.started = gate.started();
  slot.code = units.code();
  if (units.ok()) {
    slot.units = units.value();
  } else {
    std::string text = units.error().message();
    size_t length = std::min(text.size(), sizeof slot.message - 1);
    std::memcpy(slot.message, text.data(), length);
    slot.message[length] = 0;
  }
}

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("bench.pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Result<Work> sum_up(const Slot* slots, unsigned count) {
  Work work;
  double started = slots[0].started;
  double ended = slots[0].ended;
  for (unsigned i = 0; i < count; ++i) {
    if (slots[i].code != 0) return Error(slots[i].code, "bench.job", slots[i].message);
    started = std::min(started, slots[i].started);
    ended = std::max(ended, slots[i].ended);
    work.units += slots[i].units;
    work.cpu_seconds += slots[i].cpu_seconds;
  }
  work.seconds = ended - started;
  return work;
}

}  // namespace

Result<Work> run_jobs(unsigned count, const Job& job) {
  NETFS_ASSERT(count > 0);
  size_t length = count * sizeof(Slot);
  void* memory = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return Error::from_errno("bench.mmap");
  Slot* slots = new (memory) Slot[count];
  Pipe ready = TRY(make_pipe());
  Pipe start = TRY(make_pipe());
  ::fflush(nullptr);  // Else each child would print what is buffered once more.
  std::vector<pid_t> children;
  for (unsigned i = 0; i < count; ++i) {
    pid_t pid = ::fork();
    if (pid < 0) break;
    if (pid == 0) {
      start.write_end.reset();
      ready.read_end.reset();
      PipeGate gate(ready.write_end.get(), start.read_end.get());
      run_one(job, i, gate, slots[i]);
      ::_exit(0);
    }
    children.push_back(pid);
  }
  ready.write_end.reset();
  // One byte a job that is ready; the end of the pipe when one died before.
  for (unsigned i = 0; i < count; ++i) {
    char byte;
    ssize_t got;
    while ((got = ::read(ready.read_end.get(), &byte, 1)) < 0 && errno == EINTR) {
    }
    if (got <= 0) break;
  }
  start.write_end.reset();  // The gate opens for all at once.
  for (pid_t child : children) {
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  Result<Work> work = sum_up(slots, count);
  ::munmap(memory, length);
  return work;
}

double own_cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  rusage children{};
  ::getrusage(RUSAGE_CHILDREN, &children);
  timeval user = children.ru_utime;
  timeval system = children.ru_stime;
  return static_cast<double>(time.tv_sec + user.tv_sec + system.tv_sec) +
         static_cast<double>(time.tv_nsec) / 1e9 +
         static_cast<double>(user.tv_usec + system.tv_usec) / 1e6;
}

double monotonic_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

}  // namespace netfs::bench
