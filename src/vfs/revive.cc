// What this process takes over from the one before it: files that are open for writing, opened at
// the origin again by whoever needs them first, and the writes that one had kept, brought there at
// once.

#include <cerrno>
#include <string>
#include <utility>

#include "sync/cond_var.h"
#include "telemetry/log.h"
#include "vfs/locking.h"

namespace netfs::vfs {

// For handles that a process before this one has opened: nothing to do for any other.
Result<void> FileSystem::revive_if_lost(fuse::NodeId id, Ref<WritableFile>& live, Deadline until) {
  if (live) return {};
  Ref<WritableFile> opened = TRY(live_file(id, until));
  std::vector<InodeTable::Moved> moved;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node == nullptr) return Error(ESTALE, "vfs.open");
    OpenState& state = node->open_state();
    const bool first = !state.live;
    live = first ? opened : state.live;
    if (first && state.writers > 0) {
      state.live = opened;
      watch_landings(id, *opened);
      table_.add_where_it_is_now(id, moved);
    }
  }
  tell_moved(moved);
  return {};
}

namespace {

// Until a write is answered, which is at once where it is kept.
struct Answered : RefCounted<Answered> {
  sync::Mutex mutex{kRevivalLock};
  sync::CondVar changed;
  bool done GUARDED_BY(mutex) = false;
  int error GUARDED_BY(mutex) = 0;

  void set(int code) {
    sync::MutexLock lock(mutex);
    done = true;
    error = code;
    changed.notify_all();
  }
  int wait() {
    sync::MutexLock lock(mutex);
    while (!done) changed.wait(mutex);
    return error;
  }
};

}  // namespace

Result<void> FileSystem::write_again(const KeptWrites::Left& left, Deadline until) {
  Ref<WritableFile> live;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(left.node);
    if (node != nullptr && node->is_live()) live = node->open->live;
  }
  if (left.node.value == 0) return Error(EIO, "vfs.revive", "their record is damaged");
  const Ref<Buffer> buffer = writer_->buffer(left.range.length_bytes);
  if (!kept_.copy(left, buffer->writable().first(left.range.length_bytes))) {
    return Error(EIO, "vfs.revive", "they are damaged");
  }
  TRY(revive_if_lost(left.node, live, until));
  const Ref<Answered> answered = make_ref<Answered>();
  kept_.begin_again(left);
  live->write(left.range, {buffer, 0, left.range.length_bytes}, WritePieces::kTogether,
              sync::Context(), [answered](const Result<Written>& written) {
                answered->set(written.ok() ? written.value().stopped_by : written.code());
              });
  const bool kept = kept_.end_again();
  if (const int error = answered->wait(); error != 0) return Error(error, "vfs.revive");
  if (!kept) kept_.remove(left.number);  // it is at the origin
  take_kept(left.node, left.range.end_bytes());
  return {};
}

// In the order in which they were written; what cannot be brought in time is told to who wrote it.
void FileSystem::revive_kept() {
  const Deadline until = deadline();
  for (const KeptWrites::Left& left : kept_.left()) {
    // Whoever has got the lock under which it may have been written may have written there since.
    const bool unlocked = locking_ && locking_->has_lost_now(left.node);
    const Result<void> again = writer_ == nullptr ? Error(EROFS, "vfs.revive")
                               : unlocked         ? Error(EIO, "vfs.revive", "its lock is lost")
                                                  : write_again(left, until);
    if (again.ok()) continue;
    counters_.bytes_lost.add(left.range.length_bytes);
    std::string path = "no file that is still known";
    {
      sync::MutexLock lock(table_.mutex);
      if (const Node* node = table_.find(left.node)) path = InodeTable::path_of(*node);
      table_.note_lost(left.node, EIO, /*by_us=*/true);
    }
    telemetry::log_warn("vfs", "{} bytes of {} that were written before a restart are lost: {}",
                        left.range.length_bytes, path, again.error().message());
    kept_.remove(left.number);
  }
  // Of what is written from now on none is under a lock that was lost before.
  if (locking_) locking_->kept_is_settled();
}

}  // namespace netfs::vfs
