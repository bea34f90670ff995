// FALLOCATE: what the origin can of it; EOPNOTSUPP for the rest.

#include <cerrno>
#include <utility>

#include "vfs/file_system.h"

namespace netfs::vfs {

void FileSystem::allocate(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  const auto& wanted = std::get<fuse::FallocateRequest>(request.body);
  Result<LiveHandle> handle = live_handle(wanted.handle, request.header.node);
  if (!handle.ok()) return reply.error(handle.code());
  const fuse::NodeId id = handle.value().node;
  Ref<WritableFile> live = std::move(handle.value().file);
  // The kernel does not say whether the caller may keep set-ID bits: who is not root may not.
  const bool strips = request.header.uid != 0;
  const uint32_t gid = request.header.gid;
  change_settled(id, std::move(reply),
                 [this, id, live = std::move(live), strips, gid, range = wanted.range,
                  mode = wanted.mode](Pending& pending, Deadline until) mutable {
                   const Result<void> there = revive_if_lost(id, live, until);
                   if (!there.ok()) return pending.error(there.code());
                   Result<Witnessed> allocated = live->allocate(mode, range, until);
                   note_outcome(allocated.is_error(EOPNOTSUPP) ? 0 : allocated.code());
                   if (!allocated.ok()) return pending.error(allocated.code());
                   take_change(id, std::move(allocated).value(), InodeTable::Changed::kBytes);
                   // Of a file that was left as it is they stay.  There is nothing new to run yet:
                   // what was allocated is zeroes.
                   const Result<void> stripped =
                       strips ? strip_set_id(id, until, gid) : Result<void>();
                   if (!stripped.ok()) return pending.error(stripped.code());
                   pending.answer([](fuse::Reply& to) { to.ok(); });
                 });
}

}  // namespace netfs::vfs
