// WRITE: bytes that are at the origin when this is answered.  Each comes from a program's write(),
// or from the kernel's own pages: a shared mapping that is written back.

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <utility>

#include "telemetry/log.h"
#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

Result<LiveHandle> FileSystem::live_handle(fuse::HandleId id) {
  sync::MutexLock lock(table_.mutex);
  const Handle* handle = table_.handle(id);
  // Of a process before this one.
  if (handle == nullptr) return Error(ESTALE, "vfs.handle");
  if (!handle->writable || !handle->node->is_live()) return Error(EBADF, "vfs.handle");
  return LiveHandle{table_.id(*handle->node), handle->node->open->live};
}

void FileSystem::write(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  const auto& wanted = std::get<fuse::WriteRequest>(request.body);
  if (wanted.data.size() > kWriteBytesMax) return reply.error(EINVAL);
  Result<LiveHandle> handle = live_handle(wanted.handle);
  if (!handle.ok()) return reply.error(handle.code());
  const fuse::NodeId id = handle.value().node;
  const Ref<WritableFile> live = std::move(handle.value().file);
  if (wanted.data.empty()) return reply.value(fuse::write_out(0));
  // The request's bytes are the channel's again when this returns.
  Ref<Buffer> buffer = writer_->buffer(wanted.data.size());
  std::memcpy(buffer->writable().data(), wanted.data.data(), wanted.data.size());
  BufferSlice data{std::move(buffer), 0, wanted.data.size()};
  const std::optional<uint32_t> strip =
      wanted.kill_suidgid ? stripped_permissions(id) : std::nullopt;
  const ByteRange range{wanted.offset, wanted.data.size()};
  const WritePieces pieces = (wanted.flags & O_DIRECT) != 0 && !wanted.from_cache
                                 ? WritePieces::kOneByOne
                                 : WritePieces::kTogether;
  Ref<Pending> pending = pending_.add(std::move(reply), Interrupts::kIgnored);
  const auto shortfall = wanted.from_cache ? Shortfall::kIsAnError : Shortfall::kIsTold;
  if (!strip) return write_now(id, live, range, pieces, std::move(data), shortfall, pending);
  on_worker([this, id, live, range, pieces, strip, shortfall, until = deadline(),
             data = std::move(data), pending]() mutable {
    sync::ContextScope scope(pending->context());
    Result<Witnessed> set = set_now(id, {.permissions = strip}, until);
    if (!set.ok()) return pending->error(set.code());
    take_change(id, std::move(set).value(), InodeTable::Changed::kAttributes);
    // After a direct write the kernel goes on to show the mode that it knows.
    if (notifier_ != nullptr && !notifier_->inval_attributes(id)) {
      telemetry::log_warn("vfs", "the kernel could not be told that set-ID bits went");
    }
    write_now(id, live, range, pieces, std::move(data), shortfall, pending);
  });
}

void FileSystem::write_now(fuse::NodeId id, const Ref<WritableFile>& live, ByteRange range,
                           WritePieces pieces, BufferSlice data, Shortfall shortfall,
                           const Ref<Pending>& pending) {
  live->write(range, std::move(data), pieces, pending->context(),
              [this, id, range, shortfall, pending](Result<Written> written) {
                note_outcome(written.code());
                if (!written.ok()) {
                  // Some of it may be there all the same.
                  take_change(id, {}, InodeTable::Changed::kBytes);
                  return pending->error(written.code());
                }
                const auto bytes = static_cast<uint32_t>(written.value().bytes);
                take_change(id, std::move(written.value().witnessed), InodeTable::Changed::kBytes);
                // The kernel asks of its own pages whether the write failed, not how far it came.
                if (bytes < range.length_bytes && shortfall == Shortfall::kIsAnError) {
                  return pending->error(written.value().stopped_by);
                }
                pending->answer([&](fuse::Reply& to) { to.value(fuse::write_out(bytes)); });
              });
}

}  // namespace netfs::vfs
