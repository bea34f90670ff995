// ACCESS: asked only on mounts without default_permissions, which are one user's own.
//
// What may be read is the origin's to say, with the credentials of whoever mounted, so it is not
// refused here, and so with writing, where nothing is written unless the mount is writable.  A file
// is executable if its mode says so for anybody, as for root on a local file system.

#include <cerrno>
#include <sys/stat.h>
#include <unistd.h>

#include "vfs/file_system.h"

namespace netfs::vfs {

void FileSystem::access(const fuse::Request& request, fuse::Reply reply) {
  const uint32_t mask = std::get<fuse::AccessRequest>(request.body).mask;
  fuse::Attr attr;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(request.header.node);
    if (node != nullptr) attr = attr_of(*node);
  }
  if (attr.mode == 0) return reply.error(ESTALE);
  if ((mask & W_OK) != 0 && writer_ == nullptr) return reply.error(EROFS);
  if ((mask & X_OK) != 0 && S_ISREG(attr.mode) && (attr.mode & 0111) == 0) {
    return reply.error(EACCES);
  }
  reply.ok();
}

}  // namespace netfs::vfs
