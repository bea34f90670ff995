#include "origins/nfs/wire.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/sysmacros.h>

namespace netfs::origins::nfs {

namespace {

FileType type_of(ftype3 type) {
  switch (type) {
    case NF3REG:
      return FileType::kRegular;
    case NF3DIR:
      return FileType::kDirectory;
    case NF3BLK:
      return FileType::kBlockDevice;
    case NF3CHR:
      return FileType::kCharDevice;
    case NF3LNK:
      return FileType::kSymlink;
    case NF3SOCK:
      return FileType::kSocket;
    case NF3FIFO:
      return FileType::kFifo;
  }
  return FileType::kUnknown;
}

Timestamp time_of(const nfstime3& time) {
  return {.seconds = static_cast<int64_t>(time.seconds),
          .nanoseconds = std::min(time.nseconds, 999'999'999U)};
}

nfstime3 to_wire(const Timestamp& time) {
  nfstime3 wire{};
  wire.seconds = static_cast<u_int>(std::clamp<int64_t>(time.seconds, 0, UINT32_MAX));
  wire.nseconds = time.nanoseconds;
  return wire;
}

Validator make_validator(const nfstime3& mtime, const nfstime3& ctime, uint64_t size,
                         uint64_t fileid) {
  Validator validator{.strength = ValidatorStrength::kWeak, .bytes = "n"};
  append(validator.bytes, mtime.seconds);
  append(validator.bytes, mtime.nseconds);
  append(validator.bytes, ctime.seconds);
  append(validator.bytes, ctime.nseconds);
  append(validator.bytes, size);
  append(validator.bytes, fileid);
  // Users can set the one, and into the future; the other says when it changed.
  const bool is_told = ctime.seconds != 0 || ctime.nseconds != 0;
  validator.changed_at = time_of(is_told ? ctime : mtime);
  return validator;
}

}  // namespace

int errno_of(nfsstat3 status) {
  switch (status) {
    case NFS3_OK:
      return 0;
    case NFS3ERR_PERM:
      return EPERM;
    case NFS3ERR_NOENT:
      return ENOENT;
    case NFS3ERR_IO:
      return EIO;
    case NFS3ERR_NXIO:
      return ENXIO;
    case NFS3ERR_ACCES:
      return EACCES;
    case NFS3ERR_EXIST:
      return EEXIST;
    case NFS3ERR_XDEV:
      return EXDEV;
    case NFS3ERR_NODEV:
      return ENODEV;
    case NFS3ERR_NOTDIR:
      return ENOTDIR;
    case NFS3ERR_ISDIR:
      return EISDIR;
    case NFS3ERR_INVAL:
      return EINVAL;
    case NFS3ERR_FBIG:
      return EFBIG;
    case NFS3ERR_NOSPC:
      return ENOSPC;
    case NFS3ERR_ROFS:
      return EROFS;
    case NFS3ERR_MLINK:
      return EMLINK;
    case NFS3ERR_NAMETOOLONG:
      return ENAMETOOLONG;
    case NFS3ERR_NOTEMPTY:
      return ENOTEMPTY;
    case NFS3ERR_DQUOT:
      return EDQUOT;
    case NFS3ERR_STALE:
      return ESTALE;
    case NFS3ERR_BADHANDLE:
      return ESTALE;
    case NFS3ERR_NOTSUPP:
      return EOPNOTSUPP;
    case NFS3ERR_BADTYPE:
      return EOPNOTSUPP;
    case NFS3ERR_JUKEBOX:
      return EAGAIN;
    case NFS3ERR_REMOTE:
    case NFS3ERR_NOT_SYNC:
    case NFS3ERR_BAD_COOKIE:
    case NFS3ERR_TOOSMALL:
    case NFS3ERR_SERVERFAULT:
      return EIO;
  }
  return EIO;
}

int errno_of(mountstat3 status) {
  switch (status) {
    case MNT3_OK:
      return 0;
    case MNT3ERR_PERM:
    case MNT3ERR_ACCES:
      return EACCES;
    case MNT3ERR_NOENT:
      return ENOENT;
    case MNT3ERR_NOTDIR:
      return ENOTDIR;
    case MNT3ERR_INVAL:
      return EINVAL;
    case MNT3ERR_NAMETOOLONG:
      return ENAMETOOLONG;
    case MNT3ERR_NOTSUPP:
      return EOPNOTSUPP;
    case MNT3ERR_IO:
    case MNT3ERR_SERVERFAULT:
      return EIO;
  }
  return EIO;
}

int errno_of_refusal(std::string_view says) {
  const auto has = [&](std::string_view words) { return says.find(words) != says.npos; };
  if (says.empty() || has("reconnect")) return ENOTCONN;
  if (has("not accepted") || has("denied") || has("AUTH")) return EACCES;
  if (has("System Error")) return EAGAIN;
  if (has("not available") || has("version mismatch")) return EOPNOTSUPP;
  return EIO;
}

NodeInfo info_of(const fattr3& from) {
  NodeInfo info;
  Attributes& to = info.attributes;
  to.type = type_of(from.type);
  to.permissions = from.mode & 07777;
  to.uid = from.uid;
  to.gid = from.gid;
  to.link_count = from.nlink;
  to.size_bytes = from.size;
  to.allocated_bytes = from.used;
  to.atime = time_of(from.atime);
  to.mtime = time_of(from.mtime);
  to.ctime = time_of(from.ctime);
  if (to.type == FileType::kCharDevice || to.type == FileType::kBlockDevice) {
    to.device = ::makedev(from.rdev.specdata1, from.rdev.specdata2);
  }
  info.validator = make_validator(from.mtime, from.ctime, from.size, from.fileid);
  append(info.identity, from.fileid);
  append(info.identity, from.fsid);
  return info;
}

std::optional<NodeInfo> info_of(const post_op_attr& attributes) {
  if (attributes.attributes_follow == 0) return std::nullopt;
  return info_of(attributes.post_op_attr_u.attributes);
}

std::optional<Validator> validator_of(const pre_op_attr& before, uint64_t fileid) {
  if (before.attributes_follow == 0) return std::nullopt;
  const wcc_attr& attributes = before.pre_op_attr_u.attributes;
  return make_validator(attributes.mtime, attributes.ctime, attributes.size, fileid);
}

Seen seen_of(const wcc_data& wcc, uint64_t fileid) {
  return {.before = validator_of(wcc.before, fileid), .after = info_of(wcc.after)};
}

uint64_t fileid_of(const NodeInfo& info) {
  uint64_t fileid = 0;
  if (info.identity.size() >= sizeof fileid) {
    std::memcpy(&fileid, info.identity.data(), sizeof fileid);
  }
  return fileid;
}

Verifier verifier_of(const char* bytes) {
  Verifier verifier;
  std::copy_n(bytes, verifier.size(), verifier.begin());
  return verifier;
}

nfs_fh3 to_wire(const Handle& handle) {
  nfs_fh3 wire{};
  wire.data.data_len = static_cast<u_int>(handle.size());
  wire.data.data_val = const_cast<char*>(handle.data());
  return wire;
}

diropargs3 to_wire(const Handle& directory, const std::string& name) {
  return {.dir = to_wire(directory), .name = const_cast<char*>(name.c_str())};
}

Handle handle_of(const nfs_fh3& handle) {
  return Handle(handle.data.data_val, handle.data.data_len);
}

sattr3 to_wire(const AttributeChange& change) {
  sattr3 wire{};
  if (change.permissions) {
    wire.mode.set_it = 1;
    wire.mode.set_mode3_u.mode = *change.permissions & 07777;
  }
  if (change.uid) {
    wire.uid.set_it = 1;
    wire.uid.set_uid3_u.uid = *change.uid;
  }
  if (change.gid) {
    wire.gid.set_it = 1;
    wire.gid.set_gid3_u.gid = *change.gid;
  }
  if (change.size_bytes) {
    wire.size.set_it = 1;
    wire.size.set_size3_u.size = *change.size_bytes;
  }
  if (change.atime) {
    wire.atime.set_it = change.atime->now ? SET_TO_SERVER_TIME : SET_TO_CLIENT_TIME;
    wire.atime.set_atime_u.atime = to_wire(change.atime->time);
  }
  if (change.mtime) {
    wire.mtime.set_it = change.mtime->now ? SET_TO_SERVER_TIME : SET_TO_CLIENT_TIME;
    wire.mtime.set_mtime_u.mtime = to_wire(change.mtime->time);
  }
  return wire;
}

}  // namespace netfs::origins::nfs
