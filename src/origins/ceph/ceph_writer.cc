// Names and attributes; what concerns the bytes of files is in ceph_writer_data.cc.

#include "origins/ceph/ceph_writer.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <sys/stat.h>
#include <utility>

#include "netfs/file_mode.h"
#include "origins/ceph/held.h"
#include "origins/ceph/names.h"

namespace netfs::origins::ceph {

namespace {

constexpr unsigned kAllStats = CEPH_STATX_ALL_STATS;

// As whom something is made: root makes it for its owner.
class Maker {
 public:
  Maker(const Session& session, const NewNode& what) : user_(session.user()) {
    if (!session.is_root() || !what.owner) return;
    own_ = ::ceph_userperm_new(what.owner->uid, what.owner->gid, 0, nullptr);
    if (own_ != nullptr) user_ = own_;
  }
  ~Maker() {
    if (own_ != nullptr) ::ceph_userperm_destroy(own_);
  }
  Maker(const Maker&) = delete;
  Maker& operator=(const Maker&) = delete;
  [[nodiscard]] const UserPerm* get() const { return user_; }

 private:
  const UserPerm* user_;
  UserPerm* own_ = nullptr;
};

// Whether the directory itself says what new files in it allow.
bool has_default_acl(const Node& directory, const NewNode& what) {
  if (!what.unmasked || what.type == FileType::kSymlink) return false;
  const Session& session = directory.session();
  return ::ceph_ll_getxattr(session.mount(), directory.inode(), "system.posix_acl_default", nullptr,
                            0, session.user()) > 0;
}

// What it got by itself, from a directory with the set-group-ID bit for one, is brought to what was
// asked.  Owners that we may not give stay ours.
Result<NodeInfo> finish_new(const Node& node, NodeInfo info, const NewNode& what, bool by_acl) {
  if (what.type == FileType::kSymlink && !what.owner) return info;
  Session& session = node.session();
  const Attributes& is = info.attributes;
  struct ceph_statx wanted {};
  int mask = 0;
  if (session.is_root() && what.owner && is.uid != what.owner->uid) {
    wanted.stx_uid = what.owner->uid;
    mask |= CEPH_SETATTR_UID;
  }
  if (session.is_root() && what.owner && is.gid != what.owner->gid) {
    wanted.stx_gid = what.owner->gid;
    mask |= CEPH_SETATTR_GID;
  }
  const uint32_t inherited = what.type == FileType::kDirectory ? is.permissions & S_ISGID : 0;
  uint32_t permissions = what.permissions | inherited;
  if (by_acl) permissions = (is.permissions & 0777) | (what.permissions & 07000) | inherited;
  const bool is_link = what.type == FileType::kSymlink;
  if (!is_link && (is.permissions != permissions || mask != 0)) {
    wanted.stx_mode = static_cast<uint16_t>(permissions);
    mask |= CEPH_SETATTR_MODE;
  }
  if (mask == 0) return info;
  const int set = ::ceph_ll_setattr(session.mount(), node.inode(), &wanted, mask, session.user());
  if (set < 0) return session.error(set, "ceph.make");
  return look_at(node);
}

Result<NodeInfo> make_in(const Place& place, const NewNode& what) {
  Session& session = place.directory.session();
  const Maker maker(session, what);
  const bool by_acl = has_default_acl(place.directory, what);
  const uint32_t mode = (by_acl ? *what.unmasked : what.permissions) & 07777;
  ceph_mount_info* const mount = session.mount();
  Inode* const parent = place.directory.inode();
  const char* const name = place.name.c_str();
  Inode* inode = nullptr;
  struct ceph_statx stx {};
  int made = 0;
  if (what.type == FileType::kDirectory) {
    made = ::ceph_ll_mkdir(mount, parent, name, mode, &inode, &stx, kAllStats, 0, maker.get());
  } else if (what.type == FileType::kSymlink) {
    made = ::ceph_ll_symlink(mount, parent, name, what.target.c_str(), &inode, &stx, kAllStats, 0,
                             maker.get());
  } else {
    made = ::ceph_ll_mknod(mount, parent, name, type_bits_of(what.type) | mode, what.device, &inode,
                           &stx, kAllStats, 0, maker.get());
  }
  if (made < 0) return session.error(made, "ceph.make");
  const Node node(place.directory.session_ref(), inode);
  return finish_new(node, info_of(stx), what, by_acl);
}

struct Opened {
  Ref<OpenHandle> handle;
  NodeInfo info;
  bool readable = false;
};

Result<Opened> create_in(const Place& place, const NewNode& what) {
  Session& session = place.directory.session();
  const Maker maker(session, what);
  const bool by_acl = has_default_acl(place.directory, what);
  const uint32_t mode = (by_acl ? *what.unmasked : what.permissions) & 07777;
  Inode* inode = nullptr;
  Fh* handle = nullptr;
  struct ceph_statx stx {};
  const int made = ::ceph_ll_create(session.mount(), place.directory.inode(), place.name.c_str(),
                                    mode, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, &inode, &handle,
                                    &stx, kAllStats, 0, maker.get());
  if (made < 0) return session.error(made, "ceph.create");
  Opened opened;
  opened.handle = make_ref<OpenHandle>(Node(place.directory.session_ref(), inode), handle);
  opened.readable = true;
  opened.info = TRY(finish_new(opened.handle->node(), info_of(stx), what, by_acl));
  return opened;
}

Result<Ref<OpenHandle>> open_again(const Ref<Sessions>& sessions, const std::string& path) {
  Found found = TRY(find(sessions, path));
  return open_node(std::move(found), O_WRONLY);
}

Result<Opened> open_at(const Ref<Sessions>& sessions, const std::string& path) {
  Found found = TRY(find(sessions, path));
  Opened opened;
  opened.info = found.info;
  Result<Ref<OpenHandle>> both = open_node(std::move(found), O_RDWR);
  opened.readable = both.ok();
  if (both.is_error(EACCES)) both = open_again(sessions, path);
  opened.handle = TRY(std::move(both));
  return opened;
}

Result<OpenedFile> opened_file(Result<Opened> opened, Calls& calls) {
  Opened file = TRY(std::move(opened));
  return OpenedFile{.file = std::make_unique<CephFile>(std::move(file.handle), calls),
                    .readable = file.readable,
                    .info = std::move(file.info)};
}

Result<void> nothing_of(Session& session, int answer, const char* context) {
  if (answer < 0) return session.error(answer, context);
  return {};
}

Result<void> unlink_in(const Place& place) {
  Session& session = place.directory.session();
  return nothing_of(session,
                    ::ceph_ll_unlink(session.mount(), place.directory.inode(), place.name.c_str(),
                                     session.user()),
                    "ceph.unlink");
}

// libcephfs (16.2) leaves the new name locked within this client for ever, for each lookup of it,
// where it finds that there is nothing at the old one.  So that is looked at first; who loses the
// race gives up the client.
Result<void> rename_in(const Place& from, const Place& to) {
  const Found source = TRY(look_up(from));
  Session& session = from.directory.session();
  const int renamed = ::ceph_ll_rename(session.mount(), from.directory.inode(), from.name.c_str(),
                                       to.directory.inode(), to.name.c_str(), session.user());
  if (renamed == -ENOENT) {
    session.give_up();
    return Error(ENOENT, "ceph.rename");
  }
  return nothing_of(session, renamed, "ceph.rename");
}

Result<void> link_in(const Node& node, const Place& to) {
  Session& session = node.session();
  return nothing_of(session,
                    ::ceph_ll_link(session.mount(), node.inode(), to.directory.inode(),
                                   to.name.c_str(), session.user()),
                    "ceph.link");
}

Result<void> rename_without_replacing(const Place& from, const Place& to) {
  const Found source = TRY(look_up(from));
  if (source.info.attributes.type == FileType::kDirectory) {
    const Result<Found> there = look_up(to);
    if (there.ok()) return Error(EEXIST, "ceph.rename");
    if (!there.is_error(ENOENT)) return there.error();
    return rename_in(from, to);
  }
  TRY(link_in(source.node, to));
  Result<void> removed = unlink_in(from);
  if (removed.ok() || removed.is_error(ENOENT)) return {};
  if (!removed.is_error(ENOTCONN) && !removed.is_error(ETIMEDOUT)) (void)unlink_in(to).ok();
  return removed;
}

// Seconds are 32 bits without a sign on the wire: others would come out as anything.
timespec spec_of(const NewTime& time) {
  timespec spec{std::clamp<int64_t>(time.time.seconds, 0, UINT32_MAX),
                static_cast<long>(time.time.nanoseconds)};
  if (time.now) ::clock_gettime(CLOCK_REALTIME, &spec);
  return spec;
}

Result<void> resize(const Node& node, FileType type, uint64_t size) {
  if (type == FileType::kDirectory) return Error(EISDIR, "ceph.truncate");
  if (type != FileType::kRegular) return Error(EINVAL, "ceph.truncate");
  if (size > INT64_MAX) return Error(EFBIG, "ceph.truncate");
  Session& session = node.session();
  struct ceph_statx wanted {};
  wanted.stx_size = size;
  return nothing_of(
      session,
      ::ceph_ll_setattr(session.mount(), node.inode(), &wanted, CEPH_SETATTR_SIZE, session.user()),
      "ceph.truncate");
}

// What gets another owner or group loses them, as with Linux; libcephfs sees to regular files
// alone.
uint32_t without_set_ids(uint32_t permissions) {
  const uint32_t kept = permissions & ~static_cast<uint32_t>(S_ISUID);
  return (kept & S_IXGRP) != 0 ? kept & ~static_cast<uint32_t>(S_ISGID) : kept;
}

bool loses_set_ids(const Attributes& before, const AttributeChange& change) {
  if (!change.uid && !change.gid) return false;
  const bool may = before.type != FileType::kDirectory && before.type != FileType::kSymlink;
  return may && without_set_ids(before.permissions) != before.permissions;
}

// The size by itself, and first: the server gives a file that it makes longer or shorter its own
// time, whatever else it was asked for.
Result<void> set_all(const Node& node, const Attributes& before, const AttributeChange& change) {
  const FileType type = before.type;
  if (change.size_bytes) TRY(resize(node, type, *change.size_bytes));
  struct ceph_statx wanted {};
  int mask = 0;
  if (change.permissions) {
    if (type == FileType::kSymlink) return Error(EOPNOTSUPP, "ceph.chmod");
    wanted.stx_mode = static_cast<uint16_t>(*change.permissions & 07777);
    mask |= CEPH_SETATTR_MODE;
  } else if (loses_set_ids(before, change)) {
    wanted.stx_mode = static_cast<uint16_t>(without_set_ids(before.permissions));
    mask |= CEPH_SETATTR_MODE;
  }
  if (change.uid) {
    wanted.stx_uid = *change.uid;
    mask |= CEPH_SETATTR_UID;
  }
  if (change.gid) {
    wanted.stx_gid = *change.gid;
    mask |= CEPH_SETATTR_GID;
  }
  if (change.atime) {
    wanted.stx_atime = spec_of(*change.atime);
    mask |= CEPH_SETATTR_ATIME;
  }
  if (change.mtime) {
    wanted.stx_mtime = spec_of(*change.mtime);
    mask |= CEPH_SETATTR_MTIME;
  }
  if (mask == 0) return {};
  Session& session = node.session();
  return nothing_of(session,
                    ::ceph_ll_setattr(session.mount(), node.inode(), &wanted, mask, session.user()),
                    "ceph.setattr");
}

}  // namespace

CephWriter::CephWriter(Calls& calls, Calls& transfers, Ref<Overdue> overdue, Ref<Sessions> sessions)
    : calls_(calls),
      transfers_(transfers),
      overdue_(std::move(overdue)),
      sessions_(std::move(sessions)),
      capabilities_{.files_outlive_names = true,
                    .validator_can_be_set = false,
                    .extended_attributes = true,
                    .posix_acls = true} {}

Result<NodeInfo> CephWriter::make(const std::string& path, const NewNode& what, Deadline deadline) {
  return calls_.run(Calls::Kind::kChange, deadline,
                    [sessions = sessions_, path, what]() -> Result<NodeInfo> {
                      const Place place = TRY(find_place(sessions, path));
                      return make_in(place, what);
                    });
}

Result<OpenedFile> CephWriter::create(const std::string& path, const NewNode& what,
                                      Deadline deadline) {
  return opened_file(calls_.run(Calls::Kind::kChange, deadline,
                                [sessions = sessions_, path, what]() -> Result<Opened> {
                                  return create_in(TRY(find_place(sessions, path)), what);
                                }),
                     calls_);
}

Result<OpenedFile> CephWriter::open_for_writing(const std::string& path, Deadline deadline) {
  return opened_file(calls_.look(deadline,
                                 [sessions = sessions_, path]() -> Result<Opened> {
                                   return open_at(sessions, path);
                                 }),
                     calls_);
}

Result<void> CephWriter::remove(const std::string& path, RemoveKind kind, Deadline deadline) {
  return calls_.run(Calls::Kind::kChange, deadline,
                    [sessions = sessions_, path, kind]() -> Result<void> {
                      const Place place = TRY(find_place(sessions, path));
                      if (kind == RemoveKind::kFile) return unlink_in(place);
                      Session& session = place.directory.session();
                      return nothing_of(session,
                                        ::ceph_ll_rmdir(session.mount(), place.directory.inode(),
                                                        place.name.c_str(), session.user()),
                                        "ceph.rmdir");
                    });
}

Result<void> CephWriter::rename(const std::string& from, const std::string& to, RenameHow how,
                                Deadline deadline) {
  if (how != RenameHow::kReplace && how != RenameHow::kNoReplace) {
    return Error(EINVAL, "ceph.rename");
  }
  return calls_.run(Calls::Kind::kChange, deadline,
                    [sessions = sessions_, from, to, how]() -> Result<void> {
                      const Ref<Session> session = TRY(sessions->acquire());
                      const Place source = TRY(find_place(session, from));
                      const Place target = TRY(find_place(session, to));
                      return how == RenameHow::kReplace ? rename_in(source, target)
                                                        : rename_without_replacing(source, target);
                    });
}

Result<NodeInfo> CephWriter::link(const FileAt& from, const std::string& to, Deadline deadline) {
  return calls_.run(Calls::Kind::kChange, deadline,
                    [held = Held(sessions_, from), to]() mutable -> Result<NodeInfo> {
                      const Node* const node = TRY(held.node());
                      const Place place = TRY(find_place(node->session_ref(), to));
                      TRY(link_in(*node, place));
                      return look_at(*node);
                    });
}

template <class Change>
Result<Seen> CephWriter::seen_around(const FileAt& file, Deadline deadline, Change change) {
  return calls_.run(Calls::Kind::kChange, deadline,
                    [held = Held(sessions_, file), change]() mutable -> Result<Seen> {
                      const Node* const node = TRY(held.node());
                      const NodeInfo before = TRY(look_at(*node));
                      TRY(change(*node, before));
                      return Seen{.before = before.validator, .after = TRY(look_at(*node))};
                    });
}

Result<Seen> CephWriter::set_attributes(const FileAt& file, const AttributeChange& change,
                                        Deadline deadline) {
  return seen_around(file, deadline, [change](const Node& node, const NodeInfo& before) {
    return set_all(node, before.attributes, change);
  });
}

Result<Seen> CephWriter::set_xattr(const FileAt& file, const std::string& name,
                                   const std::string& value, uint32_t flags, Deadline deadline) {
  return seen_around(file, deadline, [name, value, flags](const Node& node, const NodeInfo&) {
    Session& session = node.session();
    return nothing_of(session,
                      ::ceph_ll_setxattr(session.mount(), node.inode(), name.c_str(), value.data(),
                                         value.size(), static_cast<int>(flags), session.user()),
                      "ceph.set_xattr");
  });
}

Result<Seen> CephWriter::remove_xattr(const FileAt& file, const std::string& name,
                                      Deadline deadline) {
  return seen_around(file, deadline, [name](const Node& node, const NodeInfo&) {
    Session& session = node.session();
    return nothing_of(
        session, ::ceph_ll_removexattr(session.mount(), node.inode(), name.c_str(), session.user()),
        "ceph.remove_xattr");
  });
}

}  // namespace netfs::origins::ceph
