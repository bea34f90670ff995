// TMPFILE: a file that is open and has no name (O_TMPFILE); a later link may give it one.

#include <cerrno>
#include <utility>

#include "vfs/by_path.h"
#include "vfs/intent.h"

namespace netfs::vfs {

Result<Created> FileSystem::create_nameless_now(fuse::NodeId parent_id, const NewNode& what,
                                                OpenHow how, Deadline until) {
  std::string path;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* parent = table_.find(parent_id);
    if (parent == nullptr) return Error(ESTALE, "vfs.nameless");
    if (!InodeTable::is_current(*parent)) return Error(ENOENT, "vfs.nameless");
    if (!parent->directory) return Error(ENOTDIR, "vfs.nameless");
    path = InodeTable::path_of(*parent);
  }
  TreeWriter::Opened made = TRY(writer_->create_nameless(path, what, until));
  if (!info_is_allowed(path, made.info)) return Error(EIO, "vfs.nameless");
  Created created;
  {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(parent_id);
    if (parent == nullptr || !parent->directory) return Error(ESTALE, "vfs.nameless");
    created.entry = entry_of(table_.nameless(*parent, std::move(made.info), clock_.now()));
  }
  created.opened = TRY(open_handle(created.entry.node, std::move(made.file), how));
  return created;
}

void FileSystem::create_nameless(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  if (!writer_->capabilities().nameless_files) return reply.error(EOPNOTSUPP);
  const auto& wanted = std::get<fuse::TmpfileRequest>(request.body);
  counters_.opens.add();
  if (request.header.resent()) Intent::forget_nameless(*this, request.header.unique);
  const OpenHow how{.flags = wanted.flags, .unique = request.header.unique};
  const fuse::NodeId parent = request.header.node;
  NewNode what = new_node(FileType::kRegular, wanted.mode, wanted.umask);
  know_place(what, "", request.header);
  ByPath::change(
      *this, {{parent}}, std::move(reply),
      [this, parent, what = std::move(what), how](const Places&, Pending& pending, Deadline until) {
        const Result<Created> created = create_nameless_now(parent, what, how, until);
        note_outcome(created.is_error(EOPNOTSUPP) ? 0 : created.code());
        if (!created.ok()) return pending.error(created.code());
        pending.answer([&](fuse::Reply& to) {
          to.value(fuse::create_out(created.value().entry, created.value().opened));
        });
      });
}

}  // namespace netfs::vfs
