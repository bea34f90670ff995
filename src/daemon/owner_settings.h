#pragma once
// owner_settings: what a daemon is started with, by its first mount; its supervisor gives it to
// every worker.  Pure.
//
// Text, JSON: the options of the first mount, of which the daemon takes cache, memory and log.

#include <string>
#include <string_view>

#include "base/result.h"
#include "daemon/options.h"

namespace netfs::daemon {

struct OwnerSettings {
  MountOptions options;
  std::string log_file;  // empty: standard error
};

std::string encode_owner_settings(const OptionMap& options, const std::string& log_file);
Result<OwnerSettings> decode_owner_settings(std::string_view text);

}  // namespace netfs::daemon
