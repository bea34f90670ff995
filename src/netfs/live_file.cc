#include "netfs/live_file.h"

#include <utility>

#include "netfs/live_turn.h"
#include "netfs/read_stream.h"

namespace netfs {

LiveFile::LiveFile(Ref<LibraryCore> core, OriginWriter& writer, FileVersion version,
                   OpenedFile opened, std::unique_ptr<OriginFile> reader, Ref<File> before)
    : core_(std::move(core)),
      writer_(writer),
      version_(std::move(version)),
      before_(std::move(before)),
      path_(version_.path),
      last_seen_(version_.validator),
      turns_(core_->window) {
  const bool readable = opened.readable;
  write_handle_ = std::move(opened.file);
  if (reader) {
    read_handle_ = std::move(reader);
  } else if (readable) {
    read_handle_ = write_handle_;
  }
}

LiveFile::~LiveFile() = default;

std::unique_ptr<ReadStream> LiveFile::open_stream() {
  return std::make_unique<ReadStream>();
}

std::optional<size_t> LiveFile::read_at_once(ReadStream* /*stream*/, ByteRange /*range*/,
                                             std::span<std::byte> /*to*/) {
  return std::nullopt;
}

Result<UniqueFd> LiveFile::hand_out() {
  return Error(EBUSY, "netfs.hand_out");
}

std::string LiveFile::path() const {
  sync::MutexLock lock(mutex_);
  return path_;
}

void LiveFile::moved(const std::string& path) {
  std::shared_ptr<OriginFile> closed;  // destroyed without the lock
  sync::MutexLock lock(mutex_);
  if (path_ == path) return;
  path_ = path;
  // A handle that opens more of its kind by path would go on with the old one.
  if (!writer_.write_capabilities().files_outlive_names && read_handle_ != write_handle_) {
    closed = std::move(read_handle_);
    read_handle_ = nullptr;
  }
  lock.unlock();
}

// The cache's part of every change, once: what is stored of the version before is of no use.
void LiveFile::forget_stored() {
  if (changed_.exchange(true)) return;
  if (before_) before_->supersede();
  core_->forget_stored(path(), ForgetScope::kFile);
}

// `others`: writes that are kept besides what it was seen by.
Witnessed LiveFile::witness_locked(Seen seen, size_t others) {
  Witnessed witnessed;
  witnessed.keeps = keeps_.load();
  witnessed.foreign = seen.before && last_seen_ && !(*seen.before == *last_seen_);
  last_seen_.reset();
  if (seen.after) last_seen_ = seen.after->validator;
  if (others == 0) witnessed.info = std::move(seen.after);
  return witnessed;
}

void LiveFile::end_turn() {
  {
    sync::MutexLock lock(mutex_);
    turns_.waiter_ended();
  }
  next_turn();
}

void LiveFile::end_turn(const WriteRequest& request) {
  {
    sync::MutexLock lock(mutex_);
    turns_.ended(request, core_->now() - request.turn_began, core_->options.timeout);
  }
  next_turn();
}

// Whoever is next begins; writes on this thread, others on their own.
void LiveFile::next_turn() {
  for (;;) {
    Ref<WriteRequest> write;
    WriteTurns::Next next;  // destroyed without the lock
    {
      sync::MutexLock lock(mutex_);
      next = turns_.next();
      if (next.waiter != nullptr) turn_granted_.notify_all();
      if (next.writes.empty()) return;
      write = together(next.writes);
      write->turn_began = core_->now();
      turns_.begun(next.writes, write);
      kept_writes_.store(turns_.kept_count());
    }
    begin_write(write);
  }
}

// The open handle, opened again if it was lost.
Result<std::shared_ptr<OriginFile>> LiveFile::write_handle(Deadline deadline) {
  std::string path;
  {
    sync::MutexLock lock(mutex_);
    if (write_handle_) return write_handle_;
    path = path_;
  }
  OpenedFile opened = TRY(writer_.open_for_writing(path, deadline));
  const std::string& identity = opened.info.identity;
  if (!identity.empty() && identity != version_.identity) {
    return Error(ESTALE, "netfs.write", "the path names another file now");
  }
  std::shared_ptr<OriginFile> handle = std::move(opened.file);
  sync::MutexLock lock(mutex_);
  write_handle_ = handle;
  return handle;
}

Result<Witnessed> LiveFile::set_attributes(const AttributeChange& change, Deadline deadline) {
  Turn turn(*this);
  TRY(turn.take(deadline));
  core_->stats.changes.issued.add();
  FileAt at{.path = path()};
  // By the handle where a path may lead elsewhere or nowhere.  For the size it has to be there.
  std::shared_ptr<OriginFile> handle;
  {
    sync::MutexLock lock(mutex_);
    handle = write_handle_;
    const bool any_will_do = writer_.write_capabilities().files_outlive_names && !change.size_bytes;
    if (!handle && any_will_do) handle = read_handle_;
  }
  const WriteCapabilities& can = writer_.write_capabilities();
  const bool by_handle = change.size_bytes || can.files_outlive_names || can.changes_by_handle;
  if (by_handle) at.open = handle.get();
  Result<Seen> seen = writer_.set_attributes(at, change, deadline);
  // The connection that the handle was of is gone: once more by path.
  if (at.open != nullptr && !can.changes_by_handle && seen.is_error(ENOTCONN)) {
    at.open = nullptr;
    seen = writer_.set_attributes(at, change, deadline);
  }
  (seen.ok() ? core_->stats.changes.done : core_->stats.changes.failed).add();
  // Also of what failed: nobody may know whether it was carried out.
  if (change.size_bytes || change.mtime) forget_stored();
  if (!seen.ok()) return std::move(seen).error();
  sync::MutexLock lock(mutex_);
  return witness_locked(std::move(seen).value(), turns_.kept_count());
}

Result<Witnessed> LiveFile::allocate(uint32_t mode, ByteRange range, Deadline deadline) {
  Turn turn(*this);
  TRY(turn.take(deadline));
  core_->stats.changes.issued.add();
  const std::shared_ptr<OriginFile> handle = TRY(write_handle(deadline));
  Result<Seen> seen = writer_.allocate(*handle, mode, range, deadline);
  (seen.ok() ? core_->stats.changes.done : core_->stats.changes.failed).add();
  forget_stored();
  if (!seen.ok()) return std::move(seen).error();
  sync::MutexLock lock(mutex_);
  return witness_locked(std::move(seen).value(), turns_.kept_count());
}

Result<void> LiveFile::sync(SyncKind kind, Deadline deadline) {
  std::shared_ptr<OriginFile> handle;
  {
    sync::MutexLock lock(mutex_);
    handle = write_handle_ ? write_handle_ : read_handle_;
    // Of an origin where only the handle for writing can be used so.
    if (!writer_.write_capabilities().files_outlive_names) handle = write_handle_;
  }
  FileAt at{.path = path(), .open = handle.get()};
  Result<void> synced = writer_.sync(at, kind, deadline);
  if (at.open != nullptr && synced.is_error(ENOTCONN)) {
    at.open = nullptr;
    synced = writer_.sync(at, kind, deadline);
  }
  return synced;
}

}  // namespace netfs
