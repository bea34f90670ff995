// CREATE: a new file and its first open in one call.  If somebody else made it meanwhile the kernel
// looks the name up again: it has not asked whether the caller may open that file.

#include <cerrno>
#include <fcntl.h>
#include <utility>

#include "vfs/by_path.h"
#include "vfs/in_time.h"
#include "vfs/intent.h"

namespace netfs::vfs {

Result<Created> FileSystem::create_now(const Place& place, const NewNode& what, OpenHow how,
                                       const Intent& intent, Deadline until) {
  if (std::optional<Created> created = intent.created_before(how)) return std::move(*created);
  Result<NodeInfo> there = intent.made_before(place.path, what, until);
  if (there.ok()) {
    return take_created(place, std::move(there).value(), how, /*may_open=*/true, until);
  }
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
    created.opened = TRY(open_handle(created.entry.node, std::move(made).value().file, how));
    return created;
  }
  if (made.is_error(EEXIST) && intent.again()) {
    there = intent.made_before(place.path, what, until);
    if (there.ok()) {
      return take_created(place, std::move(there).value(), how, /*may_open=*/true, until);
    }
  }
  if (made.is_error(EEXIST)) ByPath::is_taken(*this, place);
  if (!made.is_error(EEXIST) || (how.flags & O_EXCL) != 0) return std::move(made).error();
  there = TRY(in_time(origin_.stat(place.path, until), counters_));
  return take_created(place, std::move(there).value(), how, /*may_open=*/false, until);
}

// A file that is there already: made by a process before this one, or by somebody else.
Result<Created> FileSystem::take_created(const Place& place, NodeInfo there, OpenHow how,
                                         bool may_open, Deadline until) {
  Created created;
  created.entry = TRY(take_made(place, std::move(there), {}));
  Result<fuse::Opened> opened = Error(ESTALE, "vfs.create");
  if (may_open) opened = open_existing(created.entry.node, how, until);
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
  return writes ? open_for_writing_now(id, how, until) : open_handle(id, nullptr, how);
}

void FileSystem::create(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  if (Intent::answered_before(*this, request, reply)) return;
  const auto& wanted = std::get<fuse::CreateRequest>(request.body);
  counters_.opens.add();
  const OpenHow how{
      .flags = wanted.flags, .kill_set_ids = wanted.kill_suidgid, .unique = request.header.unique};
  NewNode what = new_node(FileType::kRegular, wanted.mode, wanted.umask);
  know_place(what, wanted.name, request.header);
  what.with_directory = options_.asks_for_directories;
  ByPath::change(
      *this, {{request.header.node, std::string(wanted.name)}}, std::move(reply),
      [this, what = std::move(what), how](const Places& at, Pending& pending, Deadline until) {
        const Intent intent(*this, pending, at[0], until);
        const Result<Created> created = create_now(at[0], what, how, intent, until);
        if (!created.ok()) return answer_change(pending, created.code());
        const auto out = fuse::create_out(created.value().entry, created.value().opened);
        answer_change(pending, 0, fuse::bytes_of(out));
      });
}

}  // namespace netfs::vfs
