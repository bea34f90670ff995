// The formats of this netfs.  Whoever changes one of them changes its number here, or what it is
// made of.

#include "cachefiles/format_version.h"
#include "daemon/formats.h"
#include "daemon/supervisor_message.h"
#include "daemon/supervisor_state.h"
#include "daemon/version.h"
#include "journal/journal_format.h"
#include "vfs/inode_table.h"

namespace netfs::daemon {

Formats our_formats() {
  const auto only = [](uint64_t number) { return Format{.writes = number, .reads = {number}}; };
  return {.version = kVersion,
          .each = {{"arena", only(vfs::InodeTable::kLayout)},
                   {"cache", only(cachefiles::kFormatVersion)},
                   {"journal", only(journal::kFormatVersion)},
                   {"link", only(kLinkVersion)},
                   {"supervisor", only(kSupervisorStateVersion)}}};
}

}  // namespace netfs::daemon
