#include "vfs/file_system.h"

#include <cerrno>

#include "base/drawn.h"
#include "netfs/read_retry.h"
#include "telemetry/log.h"
#include "vfs/backing_log.h"
#include "vfs/hidden_files.h"
#include "vfs/intent.h"
#include "vfs/kept_files.h"
#include "vfs/late_targets.h"
#include "vfs/limits.h"
#include "vfs/locking.h"
#include "vfs/possible_info.h"

namespace netfs::vfs {

namespace {

Options completed(Options options) {
  if (options.epoch == 0) options.epoch = drawn<uint16_t>();
  while (options.remote_root.size() > 1 && options.remote_root.ends_with('/')) {
    options.remote_root.pop_back();
  }
  return options;
}

}  // namespace

Result<std::unique_ptr<FileSystem>> FileSystem::create(Parts parts) {
  std::optional<NodeInfo> left;
  if (parts.memory) left = InodeTable::root_left_in(parts.memory);
  Result<NodeInfo> seen = Error(ENOTCONN, "vfs.create");
  if (!left || !parts.origin_is_away) {
    seen = parts.origin.stat("", Deadline::after(parts.clock, parts.options.timeout));
  }
  // It may go at that very moment: what was left counts then.
  const bool is_away = is_unreachable(seen.code()) || seen.is_error(ETIMEDOUT);
  const bool is_old = left && is_away;
  if (!seen.ok() && !is_old) return std::move(seen).error();
  const NodeInfo root = is_old ? *left : std::move(seen).value();
  if (root.attributes.type != FileType::kDirectory) {
    return Error(ENOTDIR, "vfs.create", "the remote path is not a directory; name its directory");
  }
  if (!is_possible(root)) {
    return Error(EIO, "vfs.create", "the origin says of its root what no directory can be");
  }
  Ref<ArenaMemory> memory = std::move(parts.memory);
  if (!memory) memory = TRY(ArenaMemory::create(kArenaForm));
  std::unique_ptr<FileSystem> made(new FileSystem(std::move(parts), std::move(memory), root));
  if (is_old) {
    sync::MutexLock lock(made->table_.mutex);
    made->table_.root().doubted = true;
  }
  return made;
}

FileSystem::FileSystem(Parts parts, Ref<ArenaMemory> memory, const NodeInfo& root)
    : origin_(parts.origin),
      library_(parts.library),
      options_(completed(std::move(parts.options))),
      clock_(parts.clock),
      writer_(options_.write == Options::Write::kNo ? nullptr : parts.library.writer()),
      names_(writer_ == nullptr && keeps_names(options_) ? parts.names : nullptr),
      keeps_writes_(writer_ != nullptr && options_.write == Options::Write::kClose),
      keeper_(parts.keeper),
      hidden_names_(options_.hiding),
      files_ahead_(parts.origin.capabilities().files_ahead, options_, counters_, parts.clock),
      memory_(std::move(memory)),
      kept_(memory_),
      intents_(memory_, parts.memory_is_lost),
      late_targets_(names_ == nullptr ? nullptr : std::make_unique<LateTargets>(*this)),
      table_(memory_, parts.origin.volume_key(), root, options_.epoch, parts.clock.now(), counters_,
             writer_ == nullptr ? Options::Write::kNo : options_.write),
      ahead_({.name = "netfs-ahead", .threads = kAheadUnderWayMax}),
      behind_({.name = "netfs-behind", .threads = kBehindThreads}),
      files_({.name = "netfs-files", .threads = kAheadFileThreads}),
      metadata_({.name = "netfs-meta", .threads = kMetadataThreads}) {
  OriginLocks* const locks = writer_ == nullptr ? nullptr : origin_.locks();
  if (locks != nullptr) locking_ = std::make_unique<Locking>(*this, *locks, keeper_);
  sync::MutexLock lock(table_.mutex);
  for (std::string& name : table_.hidden_names()) HiddenNames::keep(std::move(name));
}

FileSystem::~FileSystem() {
  stop();
}

void FileSystem::attach(fuse::BackingIds* backing, fuse::Notifier* notifier) {
  backing_ = backing;
  notifier_ = notifier;
  if (const size_t damaged = table_.restored().damaged; damaged > 0) {
    telemetry::log_warn("vfs",
                        "{} nodes and handles that a process before this one left are damaged: who "
                        "has them open is told ESTALE",
                        damaged);
  }
  if (backing != nullptr) {
    const Ref<BackingLog> log = make_ref<BackingLog>(memory_);
    std::vector<fuse::BackingIds::Known> known;
    {
      sync::MutexLock lock(table_.mutex);
      known = table_.handed_out();
    }
    backing->adopt(log, known, log->all());
  }
  std::map<uint64_t, UniqueFd> left;
  if (keeper_ != nullptr) left = keeper_->take();
  KeptFiles::take(*this, left);
  // By their names, which a rename that is finished first may change; and before what was kept is
  // written, which is not if the lock is lost under which it was.
  Intent::finish(*this);
  if (locking_) locking_->take_over(std::move(left));
  revive_kept();
  HiddenFiles::remove_left(*this);
}

void FileSystem::started(const fuse::Negotiated& negotiated) {
  no_open_ = options_.immutable && negotiated.has(fuse::proto::kNoOpenSupport);
  acls_ = negotiated.has(fuse::proto::kPosixAcl);
  no_opendir_ = options_.immutable && negotiated.has(fuse::proto::kNoOpendirSupport);
  if (locking_) locking_->started(negotiated);
  // The kernel would go on to show what it reads by itself while it is written to through us.
  passthrough_ = negotiated.passthrough && backing_ != nullptr && !no_open_ && writer_ == nullptr;
}

bool FileSystem::has_acls() const {
  const bool as_is = !options_.uid && !options_.gid && !options_.umask;
  return as_is && writer_ != nullptr && writer_->capabilities().posix_acls;
}

void FileSystem::stop() {
  stopping_ = true;
  // Closed, not just emptied: a request that is being handled now may find that it has to wait only
  // after this.
  pending_.close(ECONNABORTED);
  behind_.stop();
  files_.stop();
  metadata_.stop();
  if (locking_) locking_->stop();  // what was written is at the origin, or given up
  if (late_targets_) late_targets_->stop();
  ahead_.stop();  // last: names that the others have listed are left to the cache there
}

void FileSystem::on_worker(sync::WorkQueue::Work work) {
  if (!metadata_.post(std::move(work))) {
    // Stopping: the table of pending requests is closed, so the request was answered.
    telemetry::log_debug("vfs", "a request came while the file system stops");
  }
}

// Without a lock.
void FileSystem::bury(Graveyard graveyard) {
  for (const Ref<File>& file : graveyard.superseded) file->supersede();
  for (const fuse::NodeId node : graveyard.foreign) {
    const auto gone = [this, node] {
      sync::MutexLock lock(table_.mutex);
      table_.pages_are_gone(node);
    };
    if (notifier_ == nullptr || !notifier_->inval_inode(node, {0, 0}, gone)) gone();
  }
  for (const fuse::NodeId node : graveyard.leaving) HiddenFiles::remove(*this, node);
  for (const fuse::NodeId node : graveyard.kept) KeptFiles::drop(*this, node);
  if (backing_ == nullptr) return;
  for (const fuse::NodeId node : graveyard.backed) backing_->forget(node);
}

Sizes FileSystem::sizes() {
  const size_t waiting = pending_.count();
  const size_t looks_behind = behind_.unfinished();
  const LockTable::Sizes locks = locking_ ? locking_->sizes() : LockTable::Sizes();
  sync::MutexLock lock(table_.mutex);
  files_ahead_.expire();
  return {.nodes = table_.node_count(),
          .handles = table_.handle_count(),
          .idle_files = table_.idle_file_count(),
          .waiting = waiting,
          .looks_behind = looks_behind,
          .ino_collisions = table_.ino_collisions(),
          .locked_files = locks.files,
          .lock_owners = locks.holders,
          .lock_waiters = locks.waiting};
}

}  // namespace netfs::vfs
