// RELEASE and RELEASEDIR: a handle's last close.  Of a file that was handed out it is not the last
// use: a mapping may live on, and keeps the cache's file by itself.

#include "vfs/locking.h"

namespace netfs::vfs {

void FileSystem::close_handle(fuse::HandleId id) {
  Graveyard graveyard;
  fuse::NodeId handed_out;
  {
    sync::MutexLock lock(table_.mutex);
    const Handle* handle = table_.handle(id);
    if (handle == nullptr) return;
    const NodeRecord& record = table_.record(*handle->node);
    if (record.open_mode == static_cast<uint32_t>(OpenMode::kHandedOut)) {
      handed_out = fuse::NodeId(record.node_id);
    }
    table_.close_handle(id, graveyard);
  }
  if (handed_out.value != 0) backing_->release(handed_out);
  bury(std::move(graveyard));
}

// The handle goes before the answer: whoever has seen the answer may count the handles.  It stays
// until what was written is at the origin: stores into a mapping come after the last FLUSH.  Locks
// that end with it end behind that.
void FileSystem::release(const fuse::Request& request, fuse::Reply reply) {
  const fuse::HandleId id = std::get<fuse::ReleaseRequest>(request.body).handle;
  const fuse::NodeId node = request.header.node;
  const bool locked = locking_ && locking_->has(node, id);
  fuse::NodeId dirty;
  if (keeps_writes_) {
    sync::MutexLock lock(table_.mutex);
    const Handle* handle = table_.handle(id);
    const bool wrote = handle != nullptr && handle->writable;
    if (wrote && (handle->node->is_dirty() || handle->node->is_written())) {
      dirty = table_.id(*handle->node);
    }
  }
  if (dirty.value == 0 && !locked) {
    close_handle(id);
    return reply.ok();
  }
  Ref<Pending> pending = pending_.add(std::move(reply), Interrupts::kIgnored);
  after_landing(locked ? node : dirty, [this, id, node, locked, pending] {
    const auto close = [this, id, pending] {
      close_handle(id);
      pending->answer([](fuse::Reply& to) { to.ok(); });
    };
    if (!locked) return close();
    locking_->give_back(node, id, close);
  });
}

void FileSystem::release_directory(const fuse::Request& request, fuse::Reply reply) {
  close_handle(std::get<fuse::ReleasedirRequest>(request.body).handle);
  reply.ok();
}

}  // namespace netfs::vfs
