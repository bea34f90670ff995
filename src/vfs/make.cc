// MKNOD, MKDIR and SYMLINK: a new name for something that is not open.

#include <cerrno>
#include <sys/stat.h>
#include <utility>

#include "netfs/file_mode.h"
#include "vfs/file_system.h"

namespace netfs::vfs {

namespace {

struct Making {
  std::string_view name;
  NewNode what;
};

Making making_of(const fuse::Body& body) {
  if (const auto* directory = std::get_if<fuse::MkdirRequest>(&body)) {
    return {directory->name,
            {.type = FileType::kDirectory, .permissions = directory->mode & 07777}};
  }
  if (const auto* link = std::get_if<fuse::SymlinkRequest>(&body)) {
    return {link->name,
            {.type = FileType::kSymlink, .permissions = 0777, .target = std::string(link->target)}};
  }
  const auto& node = std::get<fuse::MknodRequest>(body);
  // A mode without a type means a regular file, as for mknod(2).
  const FileType type = (node.mode & S_IFMT) == 0 ? FileType::kRegular : file_type_of(node.mode);
  return {node.name, {.type = type, .permissions = node.mode & 07777, .device = node.rdev}};
}

}  // namespace

void FileSystem::make(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  Making making = making_of(request.body);
  if (making.what.type == FileType::kUnknown) return reply.error(EINVAL);
  Result<Place> place = place_of(request.header.node, making.name);
  if (!place.ok()) return reply.error(place.code());
  making.what.owner = owner_of_new(request.header.node, request.header);
  change_on_worker(
      std::move(reply), [this, at = std::move(place).value(), what = std::move(making.what),
                         resent = request.header.resent()](Pending& pending, Deadline until) {
        Result<NodeInfo> made = writer_->make(at.path, what, until);
        note_outcome(made.code());
        // The kernel asks again what a worker before this one may have done.
        if (resent && made.is_error(EEXIST)) {
          Result<NodeInfo> there = origin_.stat(at.path, until);
          if (there.ok() && there.value().attributes.type == what.type) made = std::move(there);
        }
        if (!made.ok()) return pending.error(made.code());
        const Result<fuse::Entry> entry = take_made(at, std::move(made).value());
        if (!entry.ok()) return pending.error(entry.code());
        pending.answer([&](fuse::Reply& to) { to.value(fuse::entry_out(entry.value())); });
      });
}

}  // namespace netfs::vfs
