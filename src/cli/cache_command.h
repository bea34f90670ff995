#pragma once
// cache_command: `netfs cache list|drop|usage`.
//
// Through the daemon that owns the cache directory if it runs, else on the directory itself, with
// the daemon's lock held meanwhile.

#include <string>

#include "cli/command.h"
#include "daemon/control_message.h"

namespace netfs::cli {

struct CacheArguments {
  daemon::Verb verb = daemon::Verb::kCacheUsage;
  std::string cache_dir;  // empty: the default one
  std::string path;       // of drop
  bool all = false;       // of drop
  bool as_json = false;
};

ExitCode run_cache(const CacheArguments& arguments);

}  // namespace netfs::cli
