// FLUSH, FSYNC, FSYNCDIR and SYNCFS: what is kept here lands first; then a sync is the origin's
// own. A failure of what was kept is told once to each handle, by whichever of them comes first.

#include <cerrno>
#include <utility>

#include "vfs/kept_files.h"
#include "vfs/locking.h"

namespace netfs::vfs {

namespace {

void answer(int error, fuse::Reply& reply) {
  if (error != 0) {
    reply.error(error);
  } else {
    reply.ok();
  }
}

// How a loss is told: whether it was.
auto by(fuse::Reply& reply) {
  return [&reply](int error) {
    reply.error(error);
    return true;
  };
}

auto by(Pending& pending) {
  return [&pending](int error) {
    bool told = false;
    pending.answer([&](fuse::Reply& reply) { told = by(reply)(error); });
    return told;
  };
}

}  // namespace

// Who only reads hears of it here for the sake of his locks alone; who has lost one is told.
void FileSystem::flush(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return refuse_unsupported(request, std::move(reply));
  const auto& closing = std::get<fuse::FlushRequest>(request.body);
  if (locking_) locking_->note_close(request.header.node, closing.handle);
  const bool locked = locking_ && locking_->has(request.header.node, closing.lock_owner);
  const fuse::HandleId id = closing.handle;
  const bool lost = locking_ && locking_->has_lost(request.header.node, id);
  if (!keeps_writes_ && !locked) return answer(lost ? EIO : 0, reply);
  const fuse::NodeId node = request.header.node;
  bool wrote = false;
  bool waits = locked;
  bool known = false;
  {
    sync::MutexLock lock(table_.mutex);
    if (const Handle* handle = table_.handle(id, node)) {
      known = true;
      wrote = keeps_writes_ && handle->writable;
      waits |= wrote && (handle->node->is_dirty() || handle->node->is_written());
    }
  }
  // Of a process before this one: what that had kept is lost, and nobody else will say so.
  if (!known) return reply.error(ESTALE);
  const auto say = [this, id, wrote, lost](int otherwise, fuse::Reply& to) {
    if (wrote && tell_write_error(id, by(to))) return;
    answer(lost ? EIO : otherwise, to);
  };
  if (!waits) return say(0, reply);
  Ref<Pending> pending = pending_.add(std::move(reply), Interrupts::kIgnored);
  after_landing(node, [this, node, locked, say, owner = closing.lock_owner, pending] {
    const auto end = [say, pending](const Result<void>& given_back) {
      pending->answer([&](fuse::Reply& to) { say(given_back.code(), to); });
    };
    if (!locked) return end({});
    locking_->give_back(node, owner, end);
  });
}

void FileSystem::sync(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return refuse_unsupported(request, std::move(reply));
  if (std::holds_alternative<fuse::SyncfsRequest>(request.body)) {
    return change_on_worker(std::move(reply), [this](Pending& pending, Deadline /*until*/) {
      // As long as some land.
      if (!writer_->settle_all(Deadline::never())) return pending.error(ETIMEDOUT);
      const Result<void> synced = writer_->sync_all(deadline());
      if (!synced.ok()) return pending.error(synced.code());
      pending.answer([](fuse::Reply& to) { to.ok(); });
    });
  }
  SyncKind kind = SyncKind::kAll;
  fuse::HandleId handle;
  if (const auto* file = std::get_if<fuse::FsyncRequest>(&request.body)) {
    if (file->data_only) kind = SyncKind::kData;
    handle = file->handle;
  }
  const fuse::NodeId id = request.header.node;
  Ref<WritableFile> live;
  std::string path;
  int error = 0;
  bool nameless = false;
  bool left = false;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    // What was written by a handle that is not known here nobody can tell of.
    const bool lost = handle.value != 0 && table_.handle(handle, id) == nullptr;
    if (node == nullptr || lost) {
      error = ESTALE;
    } else {
      if (node->is_live()) live = node->open->live;
      nameless = !InodeTable::is_current(*node) && !node->hidden;
      left = KeptFiles::is_left(*node);
      path = InodeTable::path_of(*node);
    }
  }
  if (error != 0) return reply.error(error);
  // It is gone, and nobody will ask for it.
  if (!live && nameless && !left) {
    if (!tell_write_error(handle, by(reply))) reply.ok();
    return;
  }
  change_landed(id, std::move(reply),
                [this, id, live, left, kind, handle, path = std::move(path)](Pending& pending,
                                                                             Deadline until) {
                  if (tell_write_error(handle, by(pending))) return;
                  Result<Ref<WritableFile>> held = live;
                  if (!live && left) held = KeptFiles::held(*this, id, until);
                  if (!held.ok()) return pending.error(held.code());
                  const Result<void> synced = held.value() ? held.value()->sync(kind, until)
                                                           : writer_->sync(path, kind, until);
                  note_outcome(synced.code());
                  if (!synced.ok()) return pending.error(synced.code());
                  pending.answer([](fuse::Reply& to) { to.ok(); });
                });
}

}  // namespace netfs::vfs
