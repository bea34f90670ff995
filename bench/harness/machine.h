#pragma once
// Machine: what must stand beside every figure: which code, which kernel, how loaded, how fast.
//
// The clock is measured, not read: a virtual machine's /proc/cpuinfo says what it was sold as.

#include <string>

namespace netfs::bench {

struct Machine {
  std::string version;  // git describe of the source
  std::string kernel;
  std::string cpu;
  unsigned cpus = 0;
  std::string memory;
  std::string filesystem;  // of the work directory
  std::string date;        // UTC
  std::string servers;     // what the rows are read from
};

Machine describe_machine(const std::string& workdir);

// The one-minute load average.
double load_now();

// Dependent additions per second of one core, in GHz, over about 20 ms.
double clock_ghz_now();

}  // namespace netfs::bench
