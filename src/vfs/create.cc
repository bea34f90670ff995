// CREATE: a new file and its first open in one call.  If somebody else made it meanwhile the kernel
// looks the name up again: it has not asked whether the caller may open that file.

#include <cerrno>
#include <fcntl.h>
#include <utility>

#include "vfs/file_system.h"

namespace netfs::vfs {

Result<Created> FileSystem::create_now(const Place& place, const NewNode& what, OpenHow how,
                                       bool resent, Deadline until) {
  DirectoryAfter after;
  {
    sync::MutexLock lock(table_.mutex);
    after.began_in = table_.serial();
  }
  Result<TreeWriter::Opened> made = writer_->create(place.path, what, until);
  note_outcome(made.code());
  if (made.ok()) {
    Created created;
    after.info = std::move(made.value().directory);
    created.entry = TRY(take_made(place, made.value().info, std::move(after)));
    created.opened = TRY(open_handle(created.entry.node, std::move(made).value().file, how.flags));
    return created;
  }
  // The kernel also asks again what a worker before this one may have done.
  const bool may_be_there = (how.flags & O_EXCL) == 0 || resent;
  if (!made.is_error(EEXIST) || !may_be_there) return std::move(made).error();
  NodeInfo there = TRY(origin_.stat(place.path, until));
  const bool made_before = resent && there.attributes.type == FileType::kRegular;
  Created created;
  created.entry = TRY(take_made(place, std::move(there), {}));
  Result<fuse::Opened> opened = Error(ESTALE, "vfs.create");
  if (made_before) opened = open_existing(created.entry.node, how, until);
  if (!opened.ok()) {
    // The kernel never learns of the entry, so it does not forget it either.
    Graveyard graveyard;
    {
      sync::MutexLock lock(table_.mutex);
      table_.forget(created.entry.node, 1, graveyard);
    }
    bury(std::move(graveyard));
    return std::move(opened).error();
  }
  created.opened = std::move(opened).value();
  return created;
}

Result<fuse::Opened> FileSystem::open_existing(fuse::NodeId id, OpenHow how, Deadline until) {
  const bool writes = (how.flags & O_ACCMODE) != O_RDONLY || (how.flags & O_TRUNC) != 0;
  return writes ? open_for_writing_now(id, how, until) : open_handle(id, nullptr, how.flags);
}

void FileSystem::create(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  const auto& wanted = std::get<fuse::CreateRequest>(request.body);
  Result<Place> place = place_of(request.header.node, wanted.name);
  if (!place.ok()) return reply.error(place.code());
  counters_.opens.add();
  const OpenHow how{.flags = wanted.flags, .kill_set_ids = wanted.kill_suidgid};
  NewNode what = new_node(FileType::kRegular, wanted.mode, wanted.umask);
  what.owner = owner_of_new(request.header.node, request.header);
  what.with_directory = options_.asks_for_directories;
  change_on_worker(std::move(reply),
                   [this, at = std::move(place).value(), what = std::move(what), how,
                    resent = request.header.resent()](Pending& pending, Deadline until) {
                     const Result<Created> created = create_now(at, what, how, resent, until);
                     if (!created.ok()) return pending.error(created.code());
                     pending.answer([&](fuse::Reply& to) {
                       to.value(fuse::create_out(created.value().entry, created.value().opened));
                     });
                   });
}

}  // namespace netfs::vfs
