#include "vfs/file_system.h"

#include <cerrno>

#include "fuse/negotiate.h"
#include "telemetry/log.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

uint16_t epoch_from(const Clock& clock) {
  const Timestamp now = clock.wall();
  const uint64_t mixed = (static_cast<uint64_t>(now.seconds) * 1'000'003 + now.nanoseconds / 1000) *
                         0x9e3779b97f4a7c15;
  const auto epoch = static_cast<uint16_t>(mixed >> 48);
  return epoch == 0 ? 1 : epoch;
}

Options completed(Options options, const Clock& clock) {
  if (options.epoch == 0) options.epoch = epoch_from(clock);
  return options;
}

}  // namespace

Result<std::unique_ptr<FileSystem>> FileSystem::create(Parts parts) {
  NodeInfo root = TRY(parts.origin.stat("", Deadline::after(parts.clock, parts.options.timeout)));
  if (root.attributes.type != FileType::kDirectory) {
    return Error(ENOTDIR, "vfs.create", "the remote path is not a directory; name its directory");
  }
  return std::unique_ptr<FileSystem>(new FileSystem(std::move(parts), root));
}

FileSystem::FileSystem(Parts parts, const NodeInfo& root)
    : origin_(parts.origin),
      library_(parts.library),
      options_(completed(parts.options, parts.clock)),
      clock_(parts.clock),
      table_(parts.origin.volume_key(), root, options_.epoch, parts.clock.now(), counters_),
      metadata_({.name = "netfs-meta", .threads = kMetadataThreads}) {}

FileSystem::~FileSystem() {
  stop();
}

void FileSystem::started(const fuse::Negotiated& negotiated) {
  passthrough_ = negotiated.passthrough && backing_ != nullptr && !options_.immutable;
}

void FileSystem::stop() {
  stopping_ = true;
  pending_.fail_all(ECONNABORTED);
  metadata_.stop();
  pending_.fail_all(ECONNABORTED);
}

void FileSystem::on_worker(sync::WorkQueue::Work work) {
  if (!metadata_.post(std::move(work))) {
    // Stopping: the request is listed as pending, and stop() answers it.
    telemetry::log_debug("vfs", "a request came while the file system stops");
  }
}

void FileSystem::bury(Graveyard graveyard) {
  for (const Ref<File>& file : graveyard.superseded) file->supersede();
}

FileSystem::Sizes FileSystem::sizes() {
  sync::MutexLock lock(table_.mutex);
  return {.nodes = table_.node_count(),
          .handles = table_.handle_count(),
          .waiting = pending_.count(),
          .ino_collisions = table_.ino_collisions()};
}

}  // namespace netfs::vfs
