#include "vfs/file_system.h"

#include <cerrno>

#include "base/drawn.h"
#include "telemetry/log.h"
#include "vfs/limits.h"

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
  NodeInfo root = TRY(parts.origin.stat("", Deadline::after(parts.clock, parts.options.timeout)));
  if (root.attributes.type != FileType::kDirectory) {
    return Error(ENOTDIR, "vfs.create", "the remote path is not a directory; name its directory");
  }
  std::unique_ptr<FileSystem> made(new FileSystem(std::move(parts), root));
  if (!made->info_is_allowed("", root)) {
    return Error(EIO, "vfs.create", "the origin says of its root what no directory can be");
  }
  return made;
}

FileSystem::FileSystem(Parts parts, const NodeInfo& root)
    : origin_(parts.origin),
      library_(parts.library),
      options_(completed(std::move(parts.options))),
      clock_(parts.clock),
      writer_(options_.write == Options::Write::kNo ? nullptr : parts.library.writer()),
      names_(writer_ == nullptr && keeps_names(options_) ? parts.names : nullptr),
      keeps_writes_(writer_ != nullptr && options_.write == Options::Write::kClose),
      hidden_names_(options_.hiding),
      files_ahead_(parts.origin.capabilities().files_ahead, options_, counters_, parts.clock),
      table_(parts.origin.volume_key(), root, options_.epoch, parts.clock.now(), counters_,
             writer_ == nullptr ? Options::Write::kNo : options_.write),
      ahead_({.name = "netfs-ahead", .threads = kAheadUnderWayMax}),
      behind_({.name = "netfs-behind", .threads = kBehindThreads}),
      files_({.name = "netfs-files", .threads = kAheadFileThreads}),
      metadata_({.name = "netfs-meta", .threads = kMetadataThreads}) {}

FileSystem::~FileSystem() {
  stop();
}

void FileSystem::started(const fuse::Negotiated& negotiated) {
  no_open_ = options_.immutable && negotiated.has(fuse::proto::kNoOpenSupport);
  acls_ = negotiated.has(fuse::proto::kPosixAcl);
  no_opendir_ = options_.immutable && negotiated.has(fuse::proto::kNoOpendirSupport);
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
  ahead_.stop();
  behind_.stop();
  files_.stop();
  metadata_.stop();
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
  for (std::string& path : graveyard.hidden) remove_hidden(std::move(path));
  if (backing_ == nullptr) return;
  for (const fuse::NodeId node : graveyard.backed) backing_->forget(node);
}

Sizes FileSystem::sizes() {
  const size_t waiting = pending_.count();
  sync::MutexLock lock(table_.mutex);
  files_ahead_.expire();
  return {.nodes = table_.node_count(),
          .handles = table_.handle_count(),
          .idle_files = table_.idle_file_count(),
          .waiting = waiting,
          .ino_collisions = table_.ino_collisions()};
}

}  // namespace netfs::vfs
