// COPY_FILE_RANGE: the origin copies, and no byte comes here.  Where it cannot, EOPNOTSUPP, and the
// kernel reads and writes as cp does.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "vfs/kept_files.h"

namespace netfs::vfs {

// A file as the origin knows it now: by the handle that keeps it alive, or by its path.
Result<FileRef> FileSystem::file_ref(fuse::NodeId id) {
  // Without a wait: this may be a thread that answers.
  if (writer_ != nullptr) TRY(KeptFiles::revive(*this, id, Deadline{clock_.now()}));
  Ref<WritableFile> live;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    if (node == nullptr) return Error(ESTALE, "vfs.node");
    if (!node->is_live()) {
      if (!InodeTable::is_current(*node) && !node->hidden) return Error(ESTALE, "vfs.node");
      return FileRef{.path = InodeTable::path_of(*node), .open = nullptr};
    }
    live = node->open->live;
  }
  return live->as_ref();
}

void FileSystem::copy(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  // The kernel remembers ENOSYS and asks no more.
  if (!writer_->capabilities().copies) return reply.error(ENOSYS);
  const auto& wanted = std::get<fuse::CopyRequest>(request.body);
  if (wanted.flags != 0) return reply.error(EINVAL);
  constexpr auto kEnd = static_cast<uint64_t>(INT64_MAX);
  if (wanted.from_offset > kEnd || wanted.to_offset > kEnd) return reply.error(EINVAL);
  const Copying what{.from_offset = wanted.from_offset,
                     .to = {wanted.to_offset, std::min(wanted.length, kEnd - wanted.to_offset)}};
  Result<FileRef> source = file_ref(request.header.node);
  if (!source.ok()) return reply.error(source.code());
  Result<LiveHandle> target = live_handle(wanted.to, wanted.to_node);
  if (!target.ok()) return reply.error(target.code());
  // The kernel does not say whether the caller may keep set-ID bits: who is not root may not.
  const bool strips = request.header.uid != 0;
  const uint32_t gid = request.header.gid;
  const bool wide = request.header.opcode == fuse::Opcode::kCopyFileRange64;
  // The target is written in turn.
  change_landed(request.header.node, std::move(reply),
                [this, id = target.value().node, live = std::move(target.value().file), what,
                 strips, gid, wide, from = std::move(source).value(),
                 source_id = request.header.node](Pending& pending, Deadline until) mutable {
                  const Result<void> there = revive_if_lost(id, live, until);
                  if (!there.ok()) return pending.error(there.code());
                  const Result<void> stripped =
                      strips ? strip_set_id(id, until, gid) : Result<void>();
                  if (!stripped.ok()) return pending.error(stripped.code());
                  const KnownVersion known = known_of(source_id);
                  Result<CopiedFile> copied = live->copy_from(from, what, until);
                  const bool refused = copied.is_error(EOPNOTSUPP) || copied.is_error(EXDEV);
                  note_outcome(refused ? 0 : copied.code());
                  if (refused) return pending.error(EOPNOTSUPP);
                  if (!copied.ok()) {
                    // Some of it may be there all the same.
                    take_change(id, {}, InodeTable::Changed::kBytes);
                    return pending.error(copied.code());
                  }
                  // What was copied of another version is written over by the kernel, which reads
                  // with care.
                  if (!from.open && !is_still(from.path, known.validator, until)) {
                    take_change(id, {}, InodeTable::Changed::kBytes);
                    return pending.error(EOPNOTSUPP);
                  }
                  const uint64_t bytes = copied.value().bytes;
                  take_change(id, std::move(copied.value().witnessed), InodeTable::Changed::kBytes);
                  pending.answer([&](fuse::Reply& to) {
                    if (wide) return to.value(fuse::proto::CopyFileRangeOut{.bytes_copied = bytes});
                    to.value(fuse::write_out(static_cast<uint32_t>(bytes)));
                  });
                });
}

bool FileSystem::is_still(const std::string& path, const Validator& version, Deadline until) {
  const Result<NodeInfo> now = origin_.stat(path, until);
  return now.ok() && now.value().validator == version;
}

}  // namespace netfs::vfs
