#pragma once
// given_up: why a mount has nobody who serves it, where its supervisor could still say so: the log
// of a daemon that ended badly stays in the runtime directory.
//
//   std::string why = why_given_up("/mnt/a");   // empty: nothing is known

#include <string>

namespace netfs::cli {

std::string why_given_up(const std::string& mount_point);

}  // namespace netfs::cli
