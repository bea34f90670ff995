// FLUSH, FSYNC, FSYNCDIR and SYNCFS.  Nothing is dirty here: what was answered is at the origin, so
// a close has nothing to do, and a sync is the origin's own.

#include <cerrno>
#include <utility>

#include "vfs/file_system.h"

namespace netfs::vfs {

void FileSystem::flush(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return refuse_unsupported(request, std::move(reply));
  reply.ok();
}

void FileSystem::sync(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return refuse_unsupported(request, std::move(reply));
  if (std::holds_alternative<fuse::SyncfsRequest>(request.body)) {
    return change_on_worker(std::move(reply), [this](Pending& pending, Deadline until) {
      const Result<void> synced = writer_->sync_all(until);
      if (!synced.ok()) return pending.error(synced.code());
      pending.answer([](fuse::Reply& to) { to.ok(); });
    });
  }
  SyncKind kind = SyncKind::kAll;
  if (const auto* file = std::get_if<fuse::FsyncRequest>(&request.body)) {
    if (file->data_only) kind = SyncKind::kData;
  }
  const fuse::NodeId id = request.header.node;
  Ref<WritableFile> live;
  std::string path;
  int error = 0;
  bool nameless = false;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    if (node == nullptr) {
      error = ESTALE;
    } else {
      if (node->is_live()) live = node->open->live;
      nameless = !InodeTable::is_current(*node) && !node->hidden;
      path = InodeTable::path_of(*node);
    }
  }
  if (error != 0) return reply.error(error);
  if (!live && nameless) return reply.ok();  // it is gone, and nobody will ask for it
  change_on_worker(std::move(reply), [this, live, kind, path = std::move(path)](Pending& pending,
                                                                                Deadline until) {
    const Result<void> synced = live ? live->sync(kind, until) : writer_->sync(path, kind, until);
    note_outcome(synced.code());
    if (!synced.ok()) return pending.error(synced.code());
    pending.answer([](fuse::Reply& to) { to.ok(); });
  });
}

}  // namespace netfs::vfs
