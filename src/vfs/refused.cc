// Operations that a read-only file system has one answer to.

#include <cerrno>

#include "vfs/file_system.h"

namespace netfs::vfs {

void FileSystem::answer_ok(const fuse::Request&, fuse::Reply reply) {
  reply.ok();
}

void FileSystem::refuse_modifying(const fuse::Request&, fuse::Reply reply) {
  reply.error(EROFS);
}

// The kernel remembers ENOSYS and does without: it checks access by mode bits, seeks data and holes
// by the size, and has no extended attributes.
void FileSystem::refuse_unsupported(const fuse::Request&, fuse::Reply reply) {
  reply.error(ENOSYS);
}

void FileSystem::refuse_ioctl(const fuse::Request&, fuse::Reply reply) {
  reply.error(ENOTTY);
}

}  // namespace netfs::vfs
