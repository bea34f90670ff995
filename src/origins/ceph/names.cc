#include "origins/ceph/names.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>

#include "netfs/file_mode.h"

namespace netfs::origins::ceph {

namespace {

constexpr unsigned kAll = CEPH_STATX_ALL_STATS;

void append(std::string& out, const void* data, size_t size) {
  out.append(static_cast<const char*>(data), size);
}

Timestamp time_of(const timespec& time) {
  return {time.tv_sec, static_cast<uint32_t>(time.tv_nsec)};
}

Result<Found> look_up_in(const Node& directory, const std::string& name, unsigned wanted) {
  Session& session = directory.session();
  Inode* inode = nullptr;
  struct ceph_statx stx {};
  const int asked = ::ceph_ll_lookup(session.mount(), directory.inode(), name.c_str(), &inode, &stx,
                                     wanted, AT_SYMLINK_NOFOLLOW, session.user());
  if (asked < 0) return session.error(asked, "ceph.lookup");
  Found found{Node(directory.session_ref(), inode), info_of(stx)};
  if (wanted == kAll && (stx.stx_mask & kAll) != kAll) found.info = TRY(look_at(found.node));
  return found;
}

Result<Node> root_of(const Ref<Session>& session) {
  Inode* root = nullptr;
  const int asked = ::ceph_ll_lookup_root(session->mount(), &root);
  if (asked < 0) return session->error(asked, "ceph.root");
  return Node(session, root);
}

// Down by all names of it; none of those may be a link.
Result<Node> walk(const Ref<Session>& session, const std::string& path) {
  Node at = TRY(root_of(session));
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    Found next = TRY(look_up_in(at, path.substr(begin, end - begin), CEPH_STATX_MODE));
    if (next.info.attributes.type != FileType::kDirectory) return Error(ENOTDIR, "ceph.lookup");
    at = std::move(next.node);
    begin = end + 1;
  }
  return at;
}

// The bytes of a file are the same while all of this is.  The version alone moves with each change
// that a client tells; what one that died had not told shows in the times of what it wrote.
Validator validator_of(const struct ceph_statx& stx) {
  Validator validator;
  validator.strength = ValidatorStrength::kStrong;
  append(validator.bytes, &stx.stx_version, sizeof stx.stx_version);
  append(validator.bytes, &stx.stx_size, sizeof stx.stx_size);
  append(validator.bytes, &stx.stx_mtime.tv_sec, sizeof stx.stx_mtime.tv_sec);
  append(validator.bytes, &stx.stx_mtime.tv_nsec, sizeof stx.stx_mtime.tv_nsec);
  append(validator.bytes, &stx.stx_ino, sizeof stx.stx_ino);
  append(validator.bytes, &stx.stx_dev, sizeof stx.stx_dev);
  validator.changed_at = std::max(time_of(stx.stx_mtime), time_of(stx.stx_ctime));
  return validator;
}

}  // namespace

NodeInfo info_of(const struct ceph_statx& stx) {
  NodeInfo info;
  Attributes& a = info.attributes;
  a.type = file_type_of(stx.stx_mode);
  a.permissions = stx.stx_mode & 07777;
  a.uid = stx.stx_uid;
  a.gid = stx.stx_gid;
  a.link_count = stx.stx_nlink;
  a.size_bytes = stx.stx_size;
  a.allocated_bytes = stx.stx_blocks * 512;
  a.atime = time_of(stx.stx_atime);
  a.mtime = time_of(stx.stx_mtime);
  a.ctime = time_of(stx.stx_ctime);
  a.device = stx.stx_rdev;
  info.validator = validator_of(stx);
  // A number is never given again; of what a snapshot shows, stx_dev says which one.
  append(info.identity, &stx.stx_ino, sizeof stx.stx_ino);
  append(info.identity, &stx.stx_dev, sizeof stx.stx_dev);
  return info;
}

Result<Found> find(const Ref<Session>& session, const std::string& path) {
  if (path.empty()) {
    Node root = TRY(root_of(session));
    NodeInfo info = TRY(look_at(root));
    return Found{std::move(root), std::move(info)};
  }
  const Place place = TRY(find_place(session, path));
  return look_up(place);
}

Result<Found> find(const Ref<Sessions>& sessions, const std::string& path) {
  const Ref<Session> session = TRY(sessions->acquire());
  return find(session, path);
}

Result<Place> find_place(const Ref<Session>& session, const std::string& path) {
  if (path.empty()) return Error(EBUSY, "ceph.name");
  const size_t slash = path.rfind('/');
  Place place;
  place.directory = TRY(walk(session, slash == std::string::npos ? "" : path.substr(0, slash)));
  place.name = slash == std::string::npos ? path : path.substr(slash + 1);
  return place;
}

Result<Place> find_place(const Ref<Sessions>& sessions, const std::string& path) {
  const Ref<Session> session = TRY(sessions->acquire());
  return find_place(session, path);
}

Result<Found> look_up(const Place& place) {
  return look_up_in(place.directory, place.name, kAll);
}

Result<NodeInfo> look_at(const Node& node) {
  Session& session = node.session();
  struct ceph_statx stx {};
  const int asked = ::ceph_ll_getattr(session.mount(), node.inode(), &stx, kAll, 0, session.user());
  if (asked < 0) return session.error(asked, "ceph.getattr");
  return info_of(stx);
}

}  // namespace netfs::origins::ceph
