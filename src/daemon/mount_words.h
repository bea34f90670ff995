#pragma once
// mount_words: the comma-separated list after -o, as mount(8) and fstab write it.  Pure.
//
// "ro,allow_other,cache_dir=/c,x-systemd.automount,known_hosts=/k" becomes an OptionMap.  '_' and
// '-' are one in our own names; words of mount(8) that concern a read-only network file system not
// at all are dropped (x-*, _netdev, nofail, user, sync, ...); a word nobody here knows is the
// origin's, which refuses what it does not know either.  '\' keeps the next character, and double
// quotes keep what is between them, so that a value may hold a comma.  A later word wins.
//
// Errors: EINVAL with a sentence that names the word.
//
//   OptionMap map = TRY(parse_mount_words("ro,timeout=10s")).options;

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "daemon/options.h"

namespace netfs::daemon {

struct MountWords {
  OptionMap options;
  bool remount = false;
  std::vector<std::string> kernel;  // words that a remount hands to the kernel, in order
};

Result<MountWords> parse_mount_words(std::string_view list);

}  // namespace netfs::daemon
