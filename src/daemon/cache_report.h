#pragma once
// cache_report: what `netfs cache` asks of a cache, as JSON; the same from daemon and command.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "cachefiles/cache_files.h"

namespace netfs::daemon {

// {"objects": [{"volume", "path", "size_bytes", "stored_bytes", "state", ...}]}
Result<nlohmann::json> cache_list(cachefiles::CacheFiles& cache);
// The fields of "cache" in `netfs status --json`.
nlohmann::json cache_usage(const cachefiles::CacheFiles& cache);
// {"dropped_objects"}
Result<nlohmann::json> cache_drop(cachefiles::CacheFiles& cache, const std::string& volume,
                                  const std::string& path);

}  // namespace netfs::daemon
