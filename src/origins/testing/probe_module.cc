// A module for tests: its open() fails with what it sees of the program that loaded it.

#include <spdlog/fmt/fmt.h>

#include "origins/module.h"
#include "sync/context.h"

namespace {

namespace origins = netfs::origins;

// Addresses of things of which a process must have one.
netfs::Result<std::unique_ptr<netfs::Origin>> open(const origins::OriginRequest& request) {
  return netfs::Error(
      ENOTSUP, "probe",
      fmt::format("{} {} {}", static_cast<const void*>(&netfs::Clock::system()),
                  static_cast<const void*>(netfs::sync::Context::current()), request.url.path));
}

constexpr netfs::origins::OriginTraits kTraits = {.on = "nothing: it is for tests",
                                                  .versions = "none",
                                                  .identity = "none",
                                                  .changes = "none",
                                                  .locks = "here only"};
const char* const kOptions[] = {"color", "one that it takes", nullptr};

}  // namespace

NETFS_ORIGIN_MODULE("probe", "0.1.0", kTraits, kOptions, &open)
