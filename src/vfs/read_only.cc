// Every operation that would change something: EROFS.

#include <cerrno>

#include "vfs/file_system.h"

namespace netfs::vfs {

void FileSystem::refuse_modifying(const fuse::Request&, fuse::Reply reply) {
  reply.error(EROFS);
}

}  // namespace netfs::vfs
