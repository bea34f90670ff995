#pragma once
// Jobs: the same work done by N forked processes at once, timed from a common start to the last
// end.
//
// A job opens its files, calls gate.wait(), does the timed work and returns the units done.  Its
// CPU time is counted from the gate on.  Fork and exit are outside of the timing.
//
//   Work work = TRY(run_jobs(4, [&](unsigned job, Gate& gate) -> Result<uint64_t> {
//     UniqueFd fd = TRY(open_it());
//     gate.wait();
//     return read_randomly(fd, job);
//   }));
//
// The caller must have no other threads.

#include <cstdint>
#include <functional>
#include <limits>
#include <string>

#include "base/result.h"

namespace netfs::bench {

// One run of a side's work.
struct Work {
  double seconds = 0;
  uint64_t units = 0;      // what the row counts: bytes, reads, files
  double cpu_seconds = 0;  // of the jobs themselves
  // The row's figure where it is not units per second (a median latency, ...); else NaN.
  double figure = std::numeric_limits<double>::quiet_NaN();
};

class Gate {
 public:
  virtual ~Gate() = default;
  virtual void wait() = 0;
};

using Job = std::function<Result<uint64_t>(unsigned job, Gate& gate)>;

// The first job's error, if any failed.
Result<Work> run_jobs(unsigned count, const Job& job);

// Processor time this process and its ended children have used, in seconds.
double own_cpu_seconds();
double monotonic_seconds();

}  // namespace netfs::bench
