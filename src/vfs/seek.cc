// LSEEK: where data and holes are, as the origin tells.  ENOSYS where it cannot: the kernel then
// takes every file for data without a hole, and asks no more.

#include <cerrno>
#include <unistd.h>
#include <utility>

#include "vfs/file_system.h"

namespace netfs::vfs {

void FileSystem::seek(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr || !writer_->capabilities().tells_holes) {
    return refuse_unsupported(request, std::move(reply));
  }
  const auto& wanted = std::get<fuse::LseekRequest>(request.body);
  if (wanted.whence != SEEK_DATA && wanted.whence != SEEK_HOLE) return reply.error(EINVAL);
  if (wanted.offset > static_cast<uint64_t>(INT64_MAX)) return reply.error(ENXIO);
  const SeekFor what = wanted.whence == SEEK_DATA ? SeekFor::kData : SeekFor::kHole;
  Result<FileRef> file = file_ref(request.header.node);
  if (!file.ok()) return reply.error(file.code());
  change_settled(
      request.header.node, std::move(reply),
      [this, what, offset = wanted.offset, file = std::move(file).value()](Pending& pending,
                                                                           Deadline until) {
        const Result<uint64_t> found = writer_->seek(file, what, offset, until);
        if (!found.ok()) return pending.error(found.code());
        pending.answer([&](fuse::Reply& to) { to.value(fuse::lseek_out(found.value())); });
      });
}

}  // namespace netfs::vfs
