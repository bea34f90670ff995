// STATFS: the origin's free space, remembered for a moment.

#include <cerrno>

#include "vfs/file_system.h"
#include "vfs/in_time.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

fuse::FsStat to_kernel(const FileSystemStats& stats) {
  return {.blocks = stats.blocks,
          .blocks_free = stats.blocks_free,
          .blocks_available = stats.blocks_available,
          .files = stats.files,
          .files_free = stats.files_free,
          .block_size = static_cast<uint32_t>(stats.block_bytes),
          .name_max = stats.name_length_max};
}

}  // namespace

void FileSystem::stat_file_system(const fuse::Request&, fuse::Reply reply) {
  FileSystemStats known;
  bool fresh = false;
  {
    sync::MutexLock lock(statfs_mutex_);
    fresh = statfs_at_ != MonoTime::min() && clock_.now() - statfs_at_ < kStatFileSystemTtl;
    known = statfs_;
  }
  if (fresh) return reply.value(fuse::statfs_out(to_kernel(known)));
  if (!statfs_flights_.join("", pending_.add(std::move(reply)))) return;
  on_worker([this, until = deadline()] {
    Result<FileSystemStats> stats = in_time(origin_.stat_file_system(until), counters_);
    note_outcome(stats.is_error(EOPNOTSUPP) ? 0 : stats.code());
    {
      sync::MutexLock lock(statfs_mutex_);
      if (stats.ok()) {
        statfs_ = stats.value();
        statfs_at_ = clock_.now();
      } else if (stats.is_error(EOPNOTSUPP)) {
        stats = FileSystemStats{};  // an origin that cannot tell: df shows zeroes
      } else if (options_.on_error == OnError::kStale && statfs_at_ != MonoTime::min()) {
        stats = statfs_;
      }
    }
    for (const Ref<Pending>& pending : statfs_flights_.land("")) {
      pending->answer([&](fuse::Reply& to) {
        if (!stats.ok()) return to.error(stats.code());
        to.value(fuse::statfs_out(to_kernel(stats.value())));
      });
    }
  });
}

}  // namespace netfs::vfs
