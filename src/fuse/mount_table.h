#pragma once
// mount_table: what /proc/self/mountinfo says about one mount point.
//
// Reading it asks no file system anything, so it works beside a mount whose daemon hangs or is
// gone.

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace netfs::fuse {

struct MountEntry {
  std::string device;  // "MAJOR:MINOR"
  std::string mount_point;
  std::string type;
  std::string source;
  std::string options;  // of the mount, then of the super block, comma-separated
};

// One line of mountinfo; empty when it is not one.
std::optional<MountEntry> parse_mount_line(std::string_view line);
// The topmost mount at `path`, which is absolute; empty when nothing is mounted right there.
Result<std::optional<MountEntry>> find_mount(std::string_view path);

}  // namespace netfs::fuse
