#pragma once
// run_row: takes one row's figures, its sides interleaved.
//
// A round runs every side once; every second round runs them in the opposite order, so that neither
// side always follows the other.  A ratio is the median of the rounds' own ratios, first side over
// the other: it holds within this run only.  CPU seconds are the jobs' and those of the process
// trees that a side names; load and clock are taken at both ends of the row.
//
// A side that fails is out of the row from then on, with its reason; the others go on.  No figure
// is judged.

#include <functional>
#include <limits>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.h"
#include "harness/jobs.h"

namespace netfs::bench {

struct Side {
  std::string name;                       // "netfs", "native", "sshfs"
  std::string how;                        // version and options, for the reader
  std::function<Result<void>()> prepare;  // before each run, untimed; may be null
  std::function<Result<Work>()> run;
  std::function<void()> finish;                   // after each run, untimed; may be null
  std::function<std::vector<pid_t>()> processes;  // whose CPU counts too; may be null
  // A slow peer may sit out later rounds: from this one on, or those that would bring its runs, as
  // long as the last one each, beyond so many seconds.  Its first round it always has.
  unsigned rounds_max = ~0U;
  double seconds_max = std::numeric_limits<double>::infinity();
};

struct RowSpec {
  std::string name;   // "sealed/sequential/warm"
  std::string what;   // one line for the table
  std::string unit;   // of the figure: "MB/s", "reads/s", "round trips"
  double scale = 1;   // figure = units per second / scale
  std::string reach;  // what is to be reached, in words
  bool less_is_better = false;
};

struct Sample {
  Work work;
  double figure = 0;
  double daemon_cpu_seconds = 0;
  double load = 0;
};

struct SideResult {
  std::string name;
  std::string how;
  std::vector<Sample> samples;
  std::string failure;  // empty: none
  double median = 0, min = 0, max = 0;
  double cpu_seconds = 0;         // median, of the jobs
  double daemon_cpu_seconds = 0;  // median
  // First side over this one: median, min, max of the rounds' ratios; 0 where there is none.
  double ratio = 0, ratio_min = 0, ratio_max = 0;
};

struct RowResult {
  RowSpec spec;
  std::vector<SideResult> sides;
  std::vector<std::string> notes;
  double load_before = 0, load_after = 0;
  double clock_ghz_before = 0, clock_ghz_after = 0;
  [[nodiscard]] bool failed() const;
};

RowResult run_row(const RowSpec& spec, std::vector<Side> sides, unsigned rounds);

double median_of(std::vector<double> values);

}  // namespace netfs::bench
