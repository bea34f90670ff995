#pragma once
// status: what `netfs status --json` shows, as JSON.
//
// docs/status.md lists the fields.  Every value is read from counters; nothing here waits for a
// disk or an origin.  Names of fields are part of the interface: scripts read them.

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/clock.h"
#include "fuse/session.h"
#include "netfs/cache.h"
#include "netfs/library.h"
#include "netfs/library_stats.h"
#include "telemetry/counter.h"
#include "telemetry/histogram.h"
#include "vfs/file_system.h"

namespace netfs::daemon {

nlohmann::json to_json(const telemetry::Triplet& triplet);
// {"count", "p50_us", "p90_us", "p99_us"}
nlohmann::json to_json(const telemetry::LatencyHistogram& histogram);
nlohmann::json to_json(const CacheUsage& usage);
nlohmann::json to_json(const OffloadStats& stats);

// Adds "hits", "misses", "bytes", "reads", "errors", "readahead", "latency".
void add_library(nlohmann::json& mount, const LibraryStats& stats);
// Adds "transport", "features", "operations".
void add_session(nlohmann::json& mount, const fuse::Session& session,
                 const fuse::KernelChannel& channel);
// Adds "names", "opens", "refused_names".
void add_file_system(nlohmann::json& mount, vfs::FileSystem& file_system);
// Adds "requests" (of the kernel) and "library_requests", with age and what each waits for.
void add_live(nlohmann::json& mount, const fuse::Session* session, const Library& library);

std::string_view operation_name(uint32_t opcode);
// Bytes of memory this process has now; 0 where /proc does not say.
uint64_t resident_bytes();

}  // namespace netfs::daemon
