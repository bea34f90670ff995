#pragma once
// What a run brings from others and leaves for them: saved graphs, suppressions, figures; and the
// watchdog, with all that it needs of us.

#include <cstdint>

#include "lockdep/report.h"
#include "lockdep/saved_graph.h"
#include "lockdep/symbolizer.h"

namespace netfs::lockdep_preload {

// After the validator was configured.  A file that cannot be used costs a line, nothing else.
void other_runs_begin();
// At the program's end: adds to the saved graph, writes figures, names unused suppressions.
void other_runs_end();

// What was seeded; empty if nothing was.
const lockdep::SavedGraph& graph_before();
// Whether a report, its classes in words, is known.  Under lock_reports().
bool suppressed(const lockdep::Report& report, lockdep::Symbolizer& symbolizer);

// The program starts a thread: from now on somebody looks whether it hangs.
void watch_for_hangs();
// The code that gives a thread its role: its function, or who made it where that is a library's
// (std::thread).
uintptr_t maker_of(uintptr_t function);

}  // namespace netfs::lockdep_preload
