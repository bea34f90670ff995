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

#include <string>

namespace netfs::sync {

// Thread-safe with respect to nothing: call it first in main.
void set_lock_report_folder(const std::string& folder);

// Writes the learnt orders now; a process that ends by _exit calls it before.
void write_lock_graph();

}  // namespace netfs::sync
