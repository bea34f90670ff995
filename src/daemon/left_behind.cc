#include "daemon/left_behind.h"

#include <spdlog/fmt/fmt.h>

#include "daemon/quantity.h"

namespace netfs::daemon {

std::string LeftBehind::line() const {
  std::string said;
  const auto add = [&said](const std::string& sentence) {
    said += (said.empty() ? "" : "; ") + sentence;
  };
  if (changes > 0) {
    add(
        fmt::format("not at {}: {} change{}, {}{}; they wait in {} for the next mount with "
                    "--write=back",
                    url, changes, changes == 1 ? "" : "s", format_bytes(bytes),
                    why.empty() ? "" : " (" + why + ")", journal));
  }
  if (lost_bytes > 0) {
    add(
        fmt::format("not at {}, and lost since its worker started: {} of what was written; the log "
                    "says of which "
                    "files",
                    url, format_bytes(lost_bytes)));
  }
  if (!troubles.empty()) {
    std::string more;
    if (troubles.size() > 1)
      more = fmt::format(", and {} more, which the log names", troubles.size() - 1);
    add("not all is there as it was made here: " + troubles.front() + more);
  }
  return said.empty() ? said : mount_point + ": " + said;
}

}  // namespace netfs::daemon
