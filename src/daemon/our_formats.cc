// The formats of this netfs.  Whoever changes one of them changes its number here, or what it is
// made of.

#include "cachefiles/format_version.h"
#include "daemon/formats.h"
#include "daemon/supervisor_message.h"
#include "daemon/supervisor_state.h"
#include "daemon/version.h"
#include "journal/journal_format.h"
#include "vfs/arena_form.h"

namespace netfs::daemon {

namespace {

// One for each count of additions: of its layout it can go on with any.
Format arena() {
  const auto number = [](uint64_t additions) {
    return additions << 32 | uint64_t{vfs::kArenaForm.layout};
  };
  Format format{.writes = number(vfs::kArenaForm.additions()), .reads = {}};
  for (uint64_t i = 0; i <= vfs::ArenaForm::kAdditionsMax; ++i) format.reads.push_back(number(i));
  return format;
}

}  // namespace

Formats our_formats() {
  const auto only = [](uint64_t number) { return Format{.writes = number, .reads = {number}}; };
  return {.version = kVersion,
          .each = {{"arena", arena()},
                   {"cache", only(cachefiles::kFormatVersion)},
                   {"journal", only(journal::kFormatVersion)},
                   {"link", only(kLinkVersion)},
                   {"supervisor", only(kSupervisorStateVersion)}}};
}

}  // namespace netfs::daemon
