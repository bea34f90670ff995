#pragma once
// command: what all netfs commands share: how they speak to the user, and how they end.

#include <string>
#include <string_view>

#include "base/error.h"
#include "daemon/control_message.h"
#include "daemon/exit_code.h"

namespace netfs::cli {

using daemon::ExitCode;

// One line on standard error, "netfs mount: ..."; the answer is what to end with.
ExitCode complain(std::string_view command, const Error& error);
ExitCode complain(std::string_view command, const daemon::Response& response);

// A path made absolute from the working directory, without "." and "..", by its text alone: asking
// the file system could hang on a mount whose daemon is gone.
std::string absolute_path(std::string_view path);
// The same, with the links of the folder that holds it resolved.
std::string mount_point_path(std::string_view path);

// Where cached data lives if nobody says: /var/cache/netfs for root, else $XDG_CACHE_HOME/netfs or
// ~/.cache/netfs; empty when there is no home either.
std::string default_cache_dir();

}  // namespace netfs::cli
