#pragma once
// sd_notify: tells systemd (Type=notify) how far we are, over $NOTIFY_SOCKET, and hands it what it
// is to keep for us (descriptor_store.h).
//
// Does nothing where the variable is not set.  "READY=1" once mounted, "STOPPING=1" when ending.

#include <cstddef>
#include <string_view>

#include "base/result.h"

namespace netfs::daemon {

void sd_notify(std::string_view state);

// Whether the service manager keeps descriptors for us: $FDSTORE says how many, which systemd sets
// from 254 on, and the unit for one before that.
bool has_descriptor_store();
// How many.
size_t descriptor_store_size();

// "FDSTORE=1\nFDNAME=..." with its descriptor, or what takes it out again (fd -1).  Does not wait:
// EAGAIN where the manager has not read yet what it was told before.  What it does with what it was
// told, it does not say.
Result<void> sd_notify_store(std::string_view state, int fd);

}  // namespace netfs::daemon
