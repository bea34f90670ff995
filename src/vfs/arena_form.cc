#include "vfs/arena_form.h"

#include "vfs/inode_table.h"

namespace netfs::vfs {

constinit const ArenaForm kArenaForm{InodeTable::kLayout};

}  // namespace netfs::vfs
