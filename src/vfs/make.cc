// MKNOD, MKDIR and SYMLINK: a new name for something that is not open.

#include <cerrno>
#include <sys/stat.h>
#include <utility>

#include "netfs/file_mode.h"
#include "vfs/by_path.h"
#include "vfs/intent.h"

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
  if (Intent::answered_before(*this, request, reply)) return;
  const Making making = making_of(request.body);
  if (making.type == FileType::kUnknown) return reply.error(EINVAL);
  NewNode wanted = new_node(making.type, making.mode, making.umask);
  wanted.target = making.target;
  wanted.device = making.device;
  know_place(wanted, making.name, request.header);
  ByPath::change(
      *this, {{request.header.node, std::string(making.name)}}, std::move(reply),
      [this, what = std::move(wanted)](const Places& places, Pending& pending, Deadline until) {
        const Place& at = places[0];
        const Intent intent(*this, pending, at, until);
        const MonoTime began = clock_.now();
        Result<NodeInfo> made = intent.made_before(at.path, what, until);
        bool before = made.ok();
        if (!before) {
          made = writer_->make(at.path, what, until);
          note_outcome(made.code());
        }
        if (made.is_error(EEXIST) && intent.again()) {
          Result<NodeInfo> late = intent.made_before(at.path, what, until);
          before = late.ok();
          if (before) made = std::move(late);
        }
        if (made.is_error(EEXIST)) ByPath::is_taken(*this, at);
        if (!made.ok()) return answer_change(pending, made.code());
        const bool is_new = !before && what.type == FileType::kDirectory;
        const Result<fuse::Entry> entry = take_made(at, std::move(made).value(), {});
        if (!entry.ok()) return answer_change(pending, entry.code());
        if (is_new) {
          // What is not known of it is not there.
          sync::MutexLock lock(table_.mutex);
          const Node* node = table_.find(entry.value().node);
          if (node != nullptr && node->directory) node->directory->whole_since = began;
        }
        const auto out = fuse::entry_out(entry.value());
        answer_change(pending, 0, fuse::bytes_of(out));
      });
}

}  // namespace netfs::vfs
