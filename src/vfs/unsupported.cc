// Operations that the kernel does better without us: it remembers ENOSYS and asks no more.
//
// So FLUSH and FSYNC succeed at once on a tree that has nothing to flush, holes are found by the
// size, locks are kept for this machine where the origin has none, and there are no extended
// attributes (EOPNOTSUPP to the user).

#include <cerrno>

#include "vfs/file_system.h"

namespace netfs::vfs {

void FileSystem::refuse_unsupported(const fuse::Request&, fuse::Reply reply) {
  reply.error(ENOSYS);
}

void FileSystem::refuse_ioctl(const fuse::Request&, fuse::Reply reply) {
  reply.error(ENOTTY);
}

}  // namespace netfs::vfs
