// WRITE: bytes that are at the origin when this is answered, or kept here and on their way there.
// Each comes from a program's write(), or from the kernel's own pages: a shared mapping that is
// written back.

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <utility>

#include "fuse/ring_channel.h"
#include "telemetry/log.h"
#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

// What was stored into a mapping: the kernel does not write it once more, and whoever stored it may
// be gone.  A line a second: a large mapping comes in a request for each MiB, or for each page.
void tell_of_lost_pages(const WritableFile& file, uint64_t bytes, const Error& error) {
  static std::atomic<uint64_t> untold{0};
  static std::atomic<MonoTime> silent_until{MonoTime::min()};
  untold += bytes;
  const MonoTime now = Clock::system().now();
  MonoTime until = silent_until;
  if (now < until || !silent_until.compare_exchange_strong(until, now + std::chrono::seconds(1))) {
    return;
  }
  telemetry::log_warn("vfs",
                      "{} bytes that were stored into mappings were not written, the last of them "
                      "of {}: {}",
                      untold.exchange(0), file.as_ref().path, error.message());
}

}  // namespace

Result<LiveHandle> FileSystem::live_handle(fuse::HandleId id, fuse::NodeId opened) {
  sync::MutexLock lock(table_.mutex);
  const Handle* handle = table_.handle(id, opened);
  // Of a process before this one that left nothing, or something damaged.
  if (handle == nullptr) return Error(ESTALE, "vfs.handle");
  if (!handle->writable) return Error(EBADF, "vfs.handle");
  return LiveHandle{table_.id(*handle->node), handle->node->open->live};
}

void FileSystem::write(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  const auto& wanted = std::get<fuse::WriteRequest>(request.body);
  if (wanted.data.size() > kWriteBytesMax) return reply.error(EINVAL);
  Result<LiveHandle> handle = live_handle(wanted.handle, request.header.node);
  if (!handle.ok()) return reply.error(handle.code());
  if (wanted.data.empty()) return reply.value(fuse::write_out(0));
  // The request's bytes are the channel's again when this returns.
  Ref<Buffer> buffer = writer_->buffer(wanted.data.size());
  std::memcpy(buffer->writable().data(), wanted.data.data(), wanted.data.size());
  BufferSlice data{std::move(buffer), 0, wanted.data.size()};
  Writing writing{.node = handle.value().node,
                  .file = std::move(handle.value().file),
                  .range = {wanted.offset, wanted.data.size()}};
  // Where a change is at the origin when it is answered, fsync asks no more than that either.
  const bool is_back = options_.write == Options::Write::kBack;
  writing.durable = is_back && !wanted.from_cache && (wanted.flags & O_DSYNC) != 0;
  if (wanted.from_cache) {
    writing.shortfall = Shortfall::kIsAnError;
  } else if ((wanted.flags & O_DIRECT) != 0) {
    writing.pieces = WritePieces::kOneByOne;
  }
  const bool strips = wanted.kill_suidgid && stripped_permissions(writing.node).has_value();
  Ref<Pending> pending = pending_.add(std::move(reply), Interrupts::kIgnored);
  if (!strips && writing.file) return write_now(writing, std::move(data), pending);
  after_settling(writing.node, [this, writing, strips, data = std::move(data), pending]() mutable {
    on_worker(
        [this, writing, strips, until = deadline(), data = std::move(data), pending]() mutable {
          sync::ContextScope scope(pending->context());
          const Result<void> stripped = strips ? strip_set_id(writing.node, until) : Result<void>();
          if (!stripped.ok()) return pending->error(stripped.code());
          const Result<void> there = revive_if_lost(writing.node, writing.file, until);
          if (!there.ok()) return pending->error(there.code());
          write_now(writing, std::move(data), pending);
        });
  });
}

// What a write by an ordinary user takes from a file, where the kernel does not do it by itself.
Result<void> FileSystem::strip_set_id(fuse::NodeId id, Deadline until,
                                      std::optional<uint32_t> gid) {
  const std::optional<uint32_t> permissions = stripped_permissions(id, gid);
  if (!permissions) return {};
  take_change(id, TRY(set_now(id, {.permissions = permissions}, until)),
              InodeTable::Changed::kAttributes);
  // The kernel, which did not ask for this, goes on to show the mode that it knows.
  if (notifier_ != nullptr && !notifier_->inval_attributes(id)) {
    telemetry::log_warn("vfs", "the kernel could not be told that set-ID bits went");
  }
  return {};
}

void FileSystem::write_now(const Writing& writing, BufferSlice data, const Ref<Pending>& pending) {
  writing.file->write(writing.range, std::move(data), writing.pieces, pending->context(),
                      [this, writing, pending](Result<Written> written) {
                        take_written(writing, std::move(written), pending);
                      });
}

void FileSystem::take_written(const Writing& writing, Result<Written> written,
                              const Ref<Pending>& pending) {
  if (!written.ok() || !written.value().kept) note_outcome(written.code());
  if (!written.ok()) {
    // Some of it may be there all the same.
    take_change(writing.node, {}, InodeTable::Changed::kBytes);
    if (writing.shortfall == Shortfall::kIsAnError) {
      tell_of_lost_pages(*writing.file, writing.range.length_bytes, written.error());
    }
    return pending->error(written.code());
  }
  const auto bytes = static_cast<uint32_t>(written.value().bytes);
  const auto answer = [this, writing, pending, bytes] {
    const auto say = [pending, bytes] {
      pending->answer([&](fuse::Reply& to) { to.value(fuse::write_out(bytes)); });
    };
    if (!writing.durable) return say();
    on_worker([file = writing.file, until = deadline(), pending, say] {
      sync::ContextScope scope(pending->context());
      const Result<void> synced = file->sync(SyncKind::kData, until);
      if (!synced.ok()) return pending->error(synced.code());
      say();
    });
  };
  if (written.value().kept) {
    take_kept(writing.node, writing.range.end_bytes());
    return answer();
  }
  take_change(writing.node, std::move(written.value().witnessed), InodeTable::Changed::kBytes);
  take_end(writing.node, writing.range.offset_bytes + bytes);
  // The kernel asks of its own pages whether the write failed, not how far it came.
  if (bytes < writing.range.length_bytes && writing.shortfall == Shortfall::kIsAnError) {
    tell_of_lost_pages(*writing.file, writing.range.length_bytes - bytes,
                       Error(written.value().stopped_by, "origin"));
    return pending->error(written.value().stopped_by);
  }
  // A buffered read may have brought older bytes into the kernel's pages since that dropped them,
  // before it sent the write; an asynchronous direct one does not drop them again once it is done.
  bool drop = false;
  if (writing.pieces == WritePieces::kOneByOne && notifier_ != nullptr) {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(writing.node);
    drop = node != nullptr && node->open && node->open->was_read;
  }
  if (!drop) return answer();
  // The notifier waits for the pages, their readers may wait for one of the kernel's places for
  // asynchronous requests, and each answer that is held back keeps such a place: few are.
  static_assert(kHeldAnswersMax < fuse::RingChannel::kEntriesMin, "nor all places of a ring");
  const bool hold = held_answers_.fetch_add(1) < kHeldAnswersMax;
  const auto answer_held = [this, answer] {
    held_answers_.fetch_sub(1);
    answer();
  };
  if (hold && notifier_->inval_inode(writing.node, writing.range, answer_held)) return;
  if (!hold) (void)notifier_->inval_inode(writing.node, writing.range);
  answer_held();
}

}  // namespace netfs::vfs
