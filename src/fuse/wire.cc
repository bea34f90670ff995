#include "fuse/wire.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "fuse/wire_cursor.h"

namespace netfs::fuse {

namespace {

Timestamp timestamp(uint64_t seconds, uint32_t nanoseconds) {
  return {static_cast<int64_t>(seconds), nanoseconds};
}

Decoded decode_init(Cursor in) {
  proto::InitIn raw{};
  if (!in.take(raw, proto::kInitInOldBytes)) return {};
  uint64_t flags = raw.flags;
  if ((flags & proto::kInitExt) != 0) flags |= uint64_t{raw.flags2} << 32;
  return InitRequest{raw.major, raw.minor, raw.max_readahead, flags};
}

Decoded decode_lookup(Cursor in) {
  LookupRequest out;
  if (!in.take_name(out.name)) return {};
  return out;
}

Decoded decode_forget(Cursor in) {
  proto::ForgetIn raw{};
  if (!in.take(raw)) return {};
  return ForgetRequest{raw.nlookup};
}

Decoded decode_batch_forget(Cursor in) {
  proto::BatchForgetIn raw{};
  if (!in.take(raw)) return {};
  if (raw.count > in.rest().size() / sizeof(proto::ForgetOne)) return {};
  return BatchForgetRequest{raw.count, in.rest().data()};
}

Decoded decode_getattr(Cursor in) {
  proto::GetattrIn raw{};
  if (!in.take(raw)) return {};
  return GetattrRequest{(raw.getattr_flags & proto::kGetattrFh) != 0, HandleId(raw.fh)};
}

Decoded decode_statx(Cursor in) {
  proto::StatxIn raw{};
  if (!in.take(raw)) return {};
  return StatxRequest{(raw.getattr_flags & proto::kGetattrFh) != 0, HandleId(raw.fh), raw.sx_flags,
                      raw.sx_mask};
}

Decoded decode_setattr(Cursor in) {
  proto::SetattrIn raw{};
  if (!in.take(raw)) return {};
  return SetattrRequest{.valid = raw.valid,
                        .handle = HandleId(raw.fh),
                        .size_bytes = raw.size,
                        .atime = timestamp(raw.atime, raw.atimensec),
                        .mtime = timestamp(raw.mtime, raw.mtimensec),
                        .ctime = timestamp(raw.ctime, raw.ctimensec),
                        .mode = raw.mode,
                        .uid = raw.uid,
                        .gid = raw.gid};
}

Decoded decode_open(Cursor in) {
  proto::OpenIn raw{};
  if (!in.take(raw)) return {};
  return OpenRequest{raw.flags, (raw.open_flags & proto::kOpenKillSuidgid) != 0};
}

Decoded decode_opendir(Cursor in) {
  proto::OpenIn raw{};
  if (!in.take(raw)) return {};
  return OpendirRequest{raw.flags};
}

Decoded decode_read(Cursor in) {
  proto::ReadIn raw{};
  if (!in.take(raw)) return {};
  // The end of a range must not overflow; no file reaches beyond 2^63.
  if (raw.offset > static_cast<uint64_t>(INT64_MAX) - raw.size) return {};
  return ReadRequest{HandleId(raw.fh), {raw.offset, raw.size}, raw.flags};
}

Decoded decode_readdir(Cursor in, Opcode opcode) {
  proto::ReadIn raw{};
  if (!in.take(raw)) return {};
  return ReaddirRequest{HandleId(raw.fh), raw.offset, raw.size, opcode == Opcode::kReaddirplus};
}

Decoded decode_release(Cursor in, Opcode opcode) {
  proto::ReleaseIn raw{};
  if (!in.take(raw)) return {};
  if (opcode == Opcode::kReleasedir) return ReleasedirRequest{HandleId(raw.fh)};
  return ReleaseRequest{HandleId(raw.fh), raw.flags, raw.lock_owner};
}

Decoded decode_flush(Cursor in) {
  proto::FlushIn raw{};
  if (!in.take(raw)) return {};
  return FlushRequest{HandleId(raw.fh), raw.lock_owner};
}

Decoded decode_fsync(Cursor in, Opcode opcode) {
  proto::FsyncIn raw{};
  if (!in.take(raw)) return {};
  const bool data_only = (raw.fsync_flags & proto::kFsyncDatasync) != 0;
  if (opcode == Opcode::kFsyncdir) return FsyncdirRequest{HandleId(raw.fh), data_only};
  return FsyncRequest{HandleId(raw.fh), data_only};
}

Decoded decode_access(Cursor in) {
  proto::AccessIn raw{};
  if (!in.take(raw)) return {};
  return AccessRequest{raw.mask};
}

Decoded decode_interrupt(Cursor in) {
  proto::InterruptIn raw{};
  if (!in.take(raw)) return {};
  return InterruptRequest{raw.unique};
}

Decoded decode_getxattr(Cursor in) {
  proto::GetxattrIn raw{};
  if (!in.take(raw)) return {};
  GetxattrRequest out;
  out.size_bytes = raw.size;
  if (!in.take_text(out.name)) return {};
  return out;
}

Decoded decode_listxattr(Cursor in) {
  proto::GetxattrIn raw{};
  if (!in.take(raw)) return {};
  return ListxattrRequest{raw.size};
}

Decoded decode_bmap(Cursor in) {
  proto::BmapIn raw{};
  if (!in.take(raw)) return {};
  return BmapRequest{raw.block, raw.blocksize};
}

Decoded decode_lseek(Cursor in) {
  proto::LseekIn raw{};
  if (!in.take(raw)) return {};
  return LseekRequest{HandleId(raw.fh), raw.offset, raw.whence};
}

Decoded decode_ioctl(Cursor in) {
  proto::IoctlIn raw{};
  if (!in.take(raw)) return {};
  if (raw.in_size > in.rest().size()) return {};
  return IoctlRequest{HandleId(raw.fh), raw.flags, raw.cmd, raw.arg, in.rest().first(raw.in_size),
                      raw.out_size};
}

Decoded decode_poll(Cursor in) {
  proto::PollIn raw{};
  if (!in.take(raw)) return {};
  return PollRequest{HandleId(raw.fh), raw.kh, raw.flags, raw.events};
}

Decoded decode_lock(Cursor in) {
  proto::LkIn raw{};
  if (!in.take(raw)) return {};
  return LockRequest{HandleId(raw.fh), raw.owner,  raw.lk.start, raw.lk.end,
                     raw.lk.type,      raw.lk.pid, raw.lk_flags};
}

Decoded decode_file_body(Opcode opcode, Cursor in) {
  switch (opcode) {
    case Opcode::kOpen:
      return decode_open(in);
    case Opcode::kOpendir:
      return decode_opendir(in);
    case Opcode::kRead:
      return decode_read(in);
    case Opcode::kReaddir:
    case Opcode::kReaddirplus:
      return decode_readdir(in, opcode);
    case Opcode::kRelease:
    case Opcode::kReleasedir:
      return decode_release(in, opcode);
    case Opcode::kFlush:
      return decode_flush(in);
    case Opcode::kFsync:
    case Opcode::kFsyncdir:
      return decode_fsync(in, opcode);
    case Opcode::kBmap:
      return decode_bmap(in);
    case Opcode::kLseek:
      return decode_lseek(in);
    case Opcode::kIoctl:
      return decode_ioctl(in);
    case Opcode::kPoll:
      return decode_poll(in);
    case Opcode::kGetlk:
    case Opcode::kSetlk:
    case Opcode::kSetlkw:
      return decode_lock(in);
    default:
      return UnknownRequest{};
  }
}

Decoded decode_body(Opcode opcode, Cursor in) {
  switch (opcode) {
    case Opcode::kInit:
      return decode_init(in);
    case Opcode::kDestroy:
      return DestroyRequest{};
    case Opcode::kLookup:
      return decode_lookup(in);
    case Opcode::kForget:
      return decode_forget(in);
    case Opcode::kBatchForget:
      return decode_batch_forget(in);
    case Opcode::kGetattr:
      return decode_getattr(in);
    case Opcode::kStatx:
      return decode_statx(in);
    case Opcode::kSetattr:
      return decode_setattr(in);
    case Opcode::kReadlink:
      return ReadlinkRequest{};
    case Opcode::kStatfs:
      return StatfsRequest{};
    case Opcode::kAccess:
      return decode_access(in);
    case Opcode::kInterrupt:
      return decode_interrupt(in);
    case Opcode::kGetxattr:
      return decode_getxattr(in);
    case Opcode::kListxattr:
      return decode_listxattr(in);
    case Opcode::kSymlink:
    case Opcode::kMknod:
    case Opcode::kMkdir:
    case Opcode::kUnlink:
    case Opcode::kRmdir:
    case Opcode::kRename:
    case Opcode::kRename2:
    case Opcode::kLink:
    case Opcode::kWrite:
    case Opcode::kSetxattr:
    case Opcode::kRemovexattr:
    case Opcode::kCreate:
    case Opcode::kFallocate:
    case Opcode::kCopyFileRange:
    case Opcode::kCopyFileRange64:
    case Opcode::kTmpfile:
    case Opcode::kSyncfs:
      return decode_change(opcode, in);
    default:
      return decode_file_body(opcode, in);
  }
}

bool header_fits(const proto::InHeader& raw, size_t message_bytes) {
  if (raw.len != message_bytes) return false;
  return sizeof(raw) + size_t{raw.total_extlen} * 8 <= message_bytes;
}

Header header_of(const proto::InHeader& raw) {
  return {.unique = raw.unique,
          .opcode = static_cast<Opcode>(raw.opcode),
          .node = NodeId(raw.nodeid),
          .uid = raw.uid,
          .gid = raw.gid,
          .pid = raw.pid};
}

}  // namespace

BatchForgetRequest::One BatchForgetRequest::at(uint32_t index) const {
  NETFS_ASSERT(index < count);
  proto::ForgetOne raw;
  std::memcpy(&raw, entries + size_t{index} * sizeof raw, sizeof raw);
  return {NodeId(raw.nodeid), raw.nlookup};
}

Result<Header> decode_header(std::span<const std::byte> message) {
  proto::InHeader raw{};
  if (message.size() < sizeof raw) return Error(EPROTO, "fuse.decode_header");
  std::memcpy(&raw, message.data(), sizeof raw);
  if (!header_fits(raw, message.size())) return Error(EPROTO, "fuse.decode_header");
  return header_of(raw);
}

Result<Request> decode_request(std::span<const std::byte> message) {
  proto::InHeader raw{};
  if (message.size() < sizeof raw) return Error(EPROTO, "fuse.decode_header");
  std::memcpy(&raw, message.data(), sizeof raw);
  if (!header_fits(raw, message.size())) return Error(EPROTO, "fuse.decode_header");
  // Extensions (security context, supplementary group) follow the body; we asked for none.
  const size_t body_bytes = message.size() - sizeof raw - size_t{raw.total_extlen} * 8;
  Request request{.header = header_of(raw), .body = UnknownRequest{}};
  Decoded body =
      decode_body(request.header.opcode, Cursor(message.subspan(sizeof raw, body_bytes)));
  if (!body) return Error(EINVAL, "fuse.decode_request");
  request.body = *body;
  return request;
}

std::string_view opcode_name(Opcode opcode) {
  static constexpr std::array<std::string_view, 54> kNames = {
      "UNKNOWN",      "LOOKUP",        "FORGET",      "GETATTR",  "SETATTR",  "READLINK",
      "SYMLINK",      "UNKNOWN",       "MKNOD",       "MKDIR",    "UNLINK",   "RMDIR",
      "RENAME",       "LINK",          "OPEN",        "READ",     "WRITE",    "STATFS",
      "RELEASE",      "UNKNOWN",       "FSYNC",       "SETXATTR", "GETXATTR", "LISTXATTR",
      "REMOVEXATTR",  "FLUSH",         "INIT",        "OPENDIR",  "READDIR",  "RELEASEDIR",
      "FSYNCDIR",     "GETLK",         "SETLK",       "SETLKW",   "ACCESS",   "CREATE",
      "INTERRUPT",    "BMAP",          "DESTROY",     "IOCTL",    "POLL",     "NOTIFY_REPLY",
      "BATCH_FORGET", "FALLOCATE",     "READDIRPLUS", "RENAME2",  "LSEEK",    "COPY_FILE_RANGE",
      "SETUPMAPPING", "REMOVEMAPPING", "SYNCFS",      "TMPFILE",  "STATX",    "COPY_FILE_RANGE_64"};
  const auto number = static_cast<uint32_t>(opcode);
  return number < kNames.size() ? kNames[number] : kNames[0];
}

bool takes_reply(Opcode opcode) {
  return opcode != Opcode::kForget && opcode != Opcode::kBatchForget &&
         opcode != Opcode::kNotifyReply;
}

}  // namespace netfs::fuse
