#pragma once
// config_file: defaults for every mount, in TOML.
//
// Keys are the names of long flags, with '-' or '_'; the table [origin] holds the origin's own
// options.  /etc/netfs/netfs.toml is read first, then $XDG_CONFIG_HOME/netfs/netfs.toml (or
// ~/.config/netfs/netfs.toml), which wins; flags win over both.  A file that is not there is empty.
//
//   cache-size = "20G"
//   metadata-ttl = "1m"
//   allow-other = true
//   [origin]
//   known_hosts = "/etc/netfs/known_hosts"
//
// Errors: EINVAL, with file, line and what to do, for what is not TOML, for unknown keys and for
// bad values; EACCES and the like where the file cannot be read.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "daemon/options.h"

namespace netfs::daemon {

// `name` stands in messages.
Result<OptionMap> parse_config(std::string_view text, const std::string& name);
Result<OptionMap> read_config(const std::string& path);
// The files above, in the order in which they are read.
std::vector<std::string> config_paths();

}  // namespace netfs::daemon
