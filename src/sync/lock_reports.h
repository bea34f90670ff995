#pragma once
// What becomes of the validator's reports in a build with NETFS_LOCKDEP, made for tests.
//
// From before main on, the process-wide validator has a sink: each LIKELY or PROVED report goes to
// stderr and to a file of its own, `report-PROGRAM-PID-N.txt`; ORDER-ONLY ones are left out.  At
// exit the orders that the process has learnt go to `graph-PROGRAM-PID.txt`, a dependency a line:
// `FROM<tab>TO`.  The program goes on, whatever it was.  `tools/lockdep_check` fails when a report
// lies in the folder, and compares the graphs with docs/locks.md.
//
// The folder is `lockdep/` of the build tree, or what set_lock_report_folder() says.  Where it
// cannot be written, stderr is all there is.

// In a build without NETFS_LOCKDEP nothing is found and nothing written.

#include <string>

namespace netfs::sync {

#ifdef NETFS_LOCKDEP

// Where reports and orders go from now on; empty: reports to stderr only, for what is provoked on
// purpose.  Not thread-safe.
void set_lock_report_folder(const std::string& folder);

// Writes the learnt orders now; a process that ends by _exit calls it before.
void write_lock_graph();

#else

inline void set_lock_report_folder(const std::string&) {}
inline void write_lock_graph() {}

#endif

}  // namespace netfs::sync
