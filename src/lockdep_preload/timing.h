#pragma once
// Waiting and holding times of the locks of each site, where `--histograms` asks for them.
//
// Thread-safe; nothing allocates from the heap but timing_text.  Off, it costs a look at a flag.

#include <cstdint>
#include <string>

#include "lockdep/symbolizer.h"
#include "lockdep_preload/record.h"

namespace netfs::lockdep_preload {

extern bool g_timing;  // written once, at our beginning

// How long the calling thread waited for a lock of that kind.
void time_waited(const Record& record, uint64_t ns);
// The calling thread has it from now on, and until now.
void hold_begins(const Record& record);
void hold_ends(const Record& record);

// A table, most waiting first; empty where nothing was asked for.
std::string timing_text(lockdep::Symbolizer& symbolizer);

}  // namespace netfs::lockdep_preload
