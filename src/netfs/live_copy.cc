// What a live file does at the origin besides reads and writes: names and copies.

#include <cerrno>
#include <utility>

#include "netfs/live_file.h"
#include "netfs/live_turn.h"

namespace netfs {

// By the handle where it outlives names; else by the path it has now.
FileRef LiveFile::as_ref() const {
  FileRef source;
  sync::MutexLock lock(mutex_);
  source.path = path_;
  if (!writer_.write_capabilities().files_outlive_names) return source;
  source.open = read_handle_ ? read_handle_ : write_handle_;
  return source;
}

std::shared_ptr<OriginFile> LiveFile::open_by() const {
  sync::MutexLock lock(mutex_);
  return write_handle_ ? write_handle_ : read_handle_;
}

Result<NodeInfo> LiveFile::link(const std::string& to, Deadline deadline) {
  const FileRef self = as_ref();
  // Its name is another file's by now, and it cannot be linked without one.
  if (!self.open) return Error(ESTALE, "netfs.link");
  core_->stats.changes.issued.add();
  Result<NodeInfo> linked = writer_.link(self.at(), to, deadline);
  (linked.ok() ? core_->stats.changes.done : core_->stats.changes.failed).add();
  if (linked.ok()) core_->forget_stored(to, ForgetScope::kFile);
  return linked;
}

Result<CopiedFile> LiveFile::copy_from(const FileRef& from, const Copying& what,
                                       Deadline deadline) {
  Turn turn(*this);
  TRY(turn.take(deadline));
  core_->stats.changes.issued.add();
  Result<Copied> copied = Error(ENOTCONN, "netfs.copy");
  // The connection that the handle was of may be gone: once more by another.
  for (int attempt = 0; attempt < 2 && copied.is_error(ENOTCONN); ++attempt) {
    const std::shared_ptr<OriginFile> handle = TRY(write_handle(deadline));
    copied = writer_.copy(from.at(), *handle, what, deadline);
    sync::MutexLock lock(mutex_);
    if (copied.is_error(ENOTCONN) && write_handle_ == handle) write_handle_ = nullptr;
  }
  (copied.ok() ? core_->stats.changes.done : core_->stats.changes.failed).add();
  const bool refused = copied.is_error(EOPNOTSUPP) || copied.is_error(EXDEV);
  // Also of what failed: nobody may know how much was carried out.
  if (copied.ok() ? copied.value().bytes > 0 : !refused) forget_stored();
  if (!copied.ok()) return std::move(copied).error();
  sync::MutexLock lock(mutex_);
  return CopiedFile{copied.value().bytes,
                    witness_locked(std::move(copied.value().seen), turns_.kept_count())};
}

}  // namespace netfs
