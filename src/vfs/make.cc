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
  FileType type = FileType::kUnknown;
  uint32_t mode = 0;
  uint32_t umask = 0;
  std::string_view target;
  uint64_t device = 0;
};

Making making_of(const fuse::Body& body) {
  if (const auto* directory = std::get_if<fuse::MkdirRequest>(&body)) {
    return {.name = directory->name,
            .type = FileType::kDirectory,
            .mode = directory->mode,
            .umask = directory->umask};
  }
  if (const auto* link = std::get_if<fuse::SymlinkRequest>(&body)) {
    return {.name = link->name, .type = FileType::kSymlink, .mode = 0777, .target = link->target};
  }
  const auto& node = std::get<fuse::MknodRequest>(body);
  // A mode without a type means a regular file, as for mknod(2).
  const FileType type = (node.mode & S_IFMT) == 0 ? FileType::kRegular : file_type_of(node.mode);
  return {
      .name = node.name, .type = type, .mode = node.mode, .umask = node.umask, .device = node.rdev};
}

}  // namespace

void FileSystem::make(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  const Making making = making_of(request.body);
  if (making.type == FileType::kUnknown) return reply.error(EINVAL);
  Result<Place> place = place_of(request.header.node, making.name);
  if (!place.ok()) return reply.error(place.code());
  NewNode wanted = new_node(making.type, making.mode, making.umask);
  wanted.target = making.target;
  wanted.device = making.device;
  wanted.owner = owner_of_new(request.header.node, request.header);
  change_on_worker(
      std::move(reply), [this, at = std::move(place).value(), what = std::move(wanted),
                         resent = request.header.resent()](Pending& pending, Deadline until) {
        const MonoTime began = clock_.now();
        Result<NodeInfo> made = writer_->make(at.path, what, until);
        note_outcome(made.code());
        const bool is_new = made.ok() && what.type == FileType::kDirectory;
        // The kernel asks again what a worker before this one may have done.
        if (resent && made.is_error(EEXIST)) {
          Result<NodeInfo> there = origin_.stat(at.path, until);
          if (there.ok() && there.value().attributes.type == what.type) made = std::move(there);
        }
        if (!made.ok()) return pending.error(made.code());
        const Result<fuse::Entry> entry = take_made(at, std::move(made).value(), {});
        if (!entry.ok()) return pending.error(entry.code());
        if (is_new) {
          // What is not known of it is not there.
          sync::MutexLock lock(table_.mutex);
          const Node* node = table_.find(entry.value().node);
          if (node != nullptr && node->directory) node->directory->whole_since = began;
        }
        pending.answer([&](fuse::Reply& to) { to.value(fuse::entry_out(entry.value())); });
      });
}

}  // namespace netfs::vfs
