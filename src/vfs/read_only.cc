// What would change something and is not done: EROFS on a mount that is not writable; else ENOSYS,
// and the kernel does it in another way (copy_file_range) or says EOPNOTSUPP (O_TMPFILE).

#include <cerrno>

#include "vfs/file_system.h"

namespace netfs::vfs {

void FileSystem::refuse_modifying(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  reply.error(request.header.opcode == fuse::Opcode::kTmpfile ? EOPNOTSUPP : ENOSYS);
}

}  // namespace netfs::vfs
