// SETATTR: mode, owner, times and size.

#include <cerrno>
#include <sys/stat.h>
#include <utility>

#include "vfs/by_path.h"
#include "vfs/kept_files.h"

namespace netfs::vfs {

namespace {

// As the kernel does it on a local file system: the set-group-ID bit of a file that its group may
// not execute is another thing (mandatory locking), and stays.
uint32_t stripped(uint32_t permissions) {
  permissions &= ~static_cast<uint32_t>(S_ISUID);
  if ((permissions & S_IXGRP) != 0) permissions &= ~static_cast<uint32_t>(S_ISGID);
  return permissions;
}

}  // namespace

std::optional<uint32_t> FileSystem::stripped_permissions(fuse::NodeId id,
                                                         std::optional<uint32_t> gid) {
  sync::MutexLock lock(table_.mutex);
  const Node* node = table_.find(id);
  if (node == nullptr || node->attributes.type != FileType::kRegular) return {};
  const uint32_t permissions = node->attributes.permissions;
  // Without group execution the bit is another one, which who is of the group may leave.
  const uint32_t foreign = gid && *gid != node->attributes.gid ? uint32_t{S_ISGID} : 0;
  if ((stripped(permissions) & ~foreign) == permissions) return {};
  return stripped(permissions) & ~foreign;
}

Result<AttributeChange> FileSystem::change_of(fuse::NodeId id, const fuse::SetattrRequest& wanted) {
  const uint32_t valid = wanted.valid;
  AttributeChange change;
  if ((valid & fuse::proto::kSetMode) != 0) change.permissions = wanted.mode & 07777;
  if ((valid & fuse::proto::kSetUid) != 0) change.uid = wanted.uid;
  if ((valid & fuse::proto::kSetGid) != 0) change.gid = wanted.gid;
  if ((valid & fuse::proto::kSetSize) != 0) change.size_bytes = wanted.size_bytes;
  if (change.size_bytes && *change.size_bytes > static_cast<uint64_t>(INT64_MAX)) {
    return Error(EFBIG, "vfs.set_attributes");
  }
  // The owner that is shown instead of the origin's cannot be given away.
  if (options_.uid && change.uid) {
    if (*change.uid != *options_.uid) return Error(EPERM, "vfs.set_attributes");
    change.uid.reset();
  }
  if (options_.gid && change.gid) {
    if (*change.gid != *options_.gid) return Error(EPERM, "vfs.set_attributes");
    change.gid.reset();
  }
  if ((valid & fuse::proto::kSetAtime) != 0) {
    change.atime = NewTime{.now = (valid & fuse::proto::kSetAtimeNow) != 0, .time = wanted.atime};
  }
  if ((valid & fuse::proto::kSetMtime) != 0) {
    change.mtime = NewTime{.now = (valid & fuse::proto::kSetMtimeNow) != 0, .time = wanted.mtime};
  }
  // Who changes the owner loses the set-ID bits, always; who changes the size, if the kernel says
  // so.
  const bool kills = change.uid || change.gid || (valid & fuse::proto::kSetKillSuidgid) != 0;
  if (kills && !change.permissions) change.permissions = stripped_permissions(id);
  return change;
}

// By the open handle where it is open for writing: in turn with what is written.
Result<Witnessed> FileSystem::set_now(fuse::NodeId id, const AttributeChange& change,
                                      Deadline until) {
  Ref<WritableFile> live;
  std::string path;
  Validator known;
  TRY(KeptFiles::revive(*this, id, until));
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    if (node == nullptr) return Error(ESTALE, "vfs.set_attributes");
    if (node->is_live()) live = node->open->live;
    if (!live && !InodeTable::is_current(*node) && !node->hidden) {
      return Error(ESTALE, "vfs.set_attributes");
    }
    path = InodeTable::path_of(*node);
    known = node->validator;
  }
  // A look must not take what we make of it for another file.
  if (!live) take_change(id, {}, InodeTable::Changed::kAttributes);
  Result<Witnessed> set = live ? live->set_attributes(change, until)
                               : writer_->set_attributes(path, change, known, until);
  note_outcome(set.code());
  return set;
}

void FileSystem::set_attributes(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  const fuse::NodeId id = request.header.node;
  const Result<AttributeChange> change =
      change_of(id, std::get<fuse::SetattrRequest>(request.body));
  if (!change.ok()) return reply.error(change.code());
  Settled then = ByPath::later(
      *this, {{id}}, std::move(reply),
      [this, id, wanted = change.value()](const Places&, Pending& pending, Deadline until) {
        Result<Witnessed> set = set_now(id, wanted, until);
        if (set.is_error(ENOENT)) return pending.error(ESTALE);
        if (!set.ok()) return pending.error(set.code());
        const auto what =
            wanted.size_bytes ? InodeTable::Changed::kBytes : InodeTable::Changed::kAttributes;
        take_change(id, std::move(set).value(), what);
        take_asked(id, wanted);
        fuse::proto::AttrOut out{};
        int error = 0;
        know_attributes(id, /*believe=*/true, out, error);
        pending.answer([&](fuse::Reply& to) {
          if (error != 0) return to.error(error);
          to.value(out);
        });
      });
  after_settling(id, std::move(then));
}

}  // namespace netfs::vfs
