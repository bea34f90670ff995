#pragma once
// sd_notify: tells systemd (Type=notify) how far we are, over $NOTIFY_SOCKET.
//
// Does nothing where the variable is not set.  "READY=1" once mounted, "STOPPING=1" when ending.

#include <string_view>

namespace netfs::daemon {

void sd_notify(std::string_view state);

}  // namespace netfs::daemon
