#pragma once
// mount_state: what a worker asks its supervisor to remember of a mount, for the next worker. Pure.
//
// Text, JSON.  Errors of decode: EPROTO with the field's name.

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "daemon/options.h"
#include "fuse/negotiate.h"
#include "netfs/late_origin.h"

namespace netfs::daemon {

struct MountState {
  std::string url;
  std::string mount_point;
  OptionMap options;
  std::optional<fuse::Negotiated> negotiated;
  std::optional<KnownOrigin> origin;  // absent: it has to be reached before it is served
};

std::string encode(const MountState& state);
Result<MountState> decode_mount_state(std::string_view text);

}  // namespace netfs::daemon
