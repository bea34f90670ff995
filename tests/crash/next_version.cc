// What netfs-next, a netfs as the next release may be, has in the place of ours: its version, and
// an arena with an addition that ours does not know.  All else is the same.

#include "daemon/version.h"
#include "vfs/arena_form.h"
#include "vfs/inode_table.h"

namespace netfs {

namespace daemon {

const char* const kVersion = "next";

}  // namespace daemon

namespace vfs {

constexpr uint8_t kAdded[] = {250};
constinit const ArenaForm kArenaForm{InodeTable::kLayout, kAdded};

}  // namespace vfs
}  // namespace netfs
