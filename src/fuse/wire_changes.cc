// Decoders of what changes something.

#include "fuse/wire_cursor.h"

namespace netfs::fuse {

namespace {

Decoded decode_mknod(Cursor in) {
  proto::MknodIn raw{};
  MknodRequest out;
  if (!in.take(raw) || !in.take_name(out.name)) return {};
  out.mode = raw.mode;
  out.rdev = raw.rdev;
  out.umask = raw.umask;
  return out;
}

Decoded decode_mkdir(Cursor in) {
  proto::MkdirIn raw{};
  MkdirRequest out;
  if (!in.take(raw) || !in.take_name(out.name)) return {};
  out.mode = raw.mode;
  out.umask = raw.umask;
  return out;
}

Decoded decode_remove(Cursor in, Opcode opcode) {
  RemoveRequest out{.directory = opcode == Opcode::kRmdir, .name = {}};
  if (!in.take_name(out.name)) return {};
  return out;
}

Decoded decode_rename(Cursor in, Opcode opcode) {
  RenameRequest out;
  if (opcode == Opcode::kRename2) {
    proto::Rename2In raw{};
    if (!in.take(raw)) return {};
    out.new_parent = NodeId(raw.newdir);
    out.flags = raw.flags;
  } else {
    proto::RenameIn raw{};
    if (!in.take(raw)) return {};
    out.new_parent = NodeId(raw.newdir);
  }
  if (!in.take_name(out.name) || !in.take_name(out.new_name)) return {};
  return out;
}

Decoded decode_link(Cursor in) {
  proto::LinkIn raw{};
  LinkRequest out;
  if (!in.take(raw) || !in.take_name(out.name)) return {};
  out.node = NodeId(raw.oldnodeid);
  return out;
}

Decoded decode_symlink(Cursor in) {
  SymlinkRequest out;
  if (!in.take_name(out.name) || !in.take_text(out.target, kTargetMax)) return {};
  return out;
}

Decoded decode_create(Cursor in) {
  proto::CreateIn raw{};
  CreateRequest out;
  if (!in.take(raw) || !in.take_name(out.name)) return {};
  out.flags = raw.flags;
  out.mode = raw.mode;
  out.kill_suidgid = (raw.open_flags & proto::kOpenKillSuidgid) != 0;
  out.umask = raw.umask;
  return out;
}

// As CREATE; what stands for the name is of no use, and is "/".
Decoded decode_tmpfile(Cursor in) {
  proto::CreateIn raw{};
  std::string_view no_name;
  if (!in.take(raw) || !in.take_text(no_name)) return {};
  return TmpfileRequest{.flags = raw.flags, .mode = raw.mode, .umask = raw.umask};
}

Decoded decode_write(Cursor in) {
  proto::WriteIn raw{};
  if (!in.take(raw)) return {};
  if (raw.size != in.rest().size()) return {};
  // The end of a range must not overflow; no file reaches beyond 2^63.
  if (raw.offset > static_cast<uint64_t>(INT64_MAX) - raw.size) return {};
  return WriteRequest{.handle = HandleId(raw.fh),
                      .offset = raw.offset,
                      .data = in.rest(),
                      .flags = raw.flags,
                      .from_cache = (raw.write_flags & proto::kWriteCache) != 0,
                      .kill_suidgid = (raw.write_flags & proto::kWriteKillSuidgid) != 0};
}

// The bytes themselves tell the two layouts apart: read as the short one, the long one has no name,
// or more bytes than its value.
Decoded decode_setxattr(Cursor in) {
  proto::SetxattrIn raw{};
  SetxattrRequest out;
  const Cursor begin = in;
  if (in.take(raw) && in.take_text(out.name) && raw.size == in.rest().size()) {
    out.value = in.rest();
    out.flags = raw.flags;
    return out;
  }
  in = begin;
  proto::SetxattrExtIn more{};
  if (!in.take(more) || !in.take_text(out.name)) return {};
  if (more.size != in.rest().size()) return {};
  out.value = in.rest();
  out.flags = more.flags;
  out.kill_sgid = (more.setxattr_flags & proto::kSetxattrAclKillSgid) != 0;
  return out;
}

Decoded decode_removexattr(Cursor in) {
  RemovexattrRequest out;
  if (!in.take_text(out.name)) return {};
  return out;
}

Decoded decode_fallocate(Cursor in) {
  proto::FallocateIn raw{};
  if (!in.take(raw)) return {};
  const auto limit = static_cast<uint64_t>(INT64_MAX);
  if (raw.offset > limit || raw.length > limit - raw.offset) return {};
  return FallocateRequest{HandleId(raw.fh), {raw.offset, raw.length}, raw.mode};
}

Decoded decode_copy(Cursor in) {
  proto::CopyFileRangeIn raw{};
  if (!in.take(raw)) return {};
  return CopyRequest{.from = HandleId(raw.fh_in),
                     .from_offset = raw.off_in,
                     .to_node = NodeId(raw.nodeid_out),
                     .to = HandleId(raw.fh_out),
                     .to_offset = raw.off_out,
                     .length = raw.len,
                     .flags = raw.flags};
}

}  // namespace

Decoded decode_change(Opcode opcode, Cursor in) {
  switch (opcode) {
    case Opcode::kSymlink:
      return decode_symlink(in);
    case Opcode::kMknod:
      return decode_mknod(in);
    case Opcode::kMkdir:
      return decode_mkdir(in);
    case Opcode::kUnlink:
    case Opcode::kRmdir:
      return decode_remove(in, opcode);
    case Opcode::kRename:
    case Opcode::kRename2:
      return decode_rename(in, opcode);
    case Opcode::kLink:
      return decode_link(in);
    case Opcode::kWrite:
      return decode_write(in);
    case Opcode::kSetxattr:
      return decode_setxattr(in);
    case Opcode::kRemovexattr:
      return decode_removexattr(in);
    case Opcode::kCreate:
      return decode_create(in);
    case Opcode::kTmpfile:
      return decode_tmpfile(in);
    case Opcode::kFallocate:
      return decode_fallocate(in);
    case Opcode::kCopyFileRange:
    case Opcode::kCopyFileRange64:
      return decode_copy(in);
    case Opcode::kSyncfs:
      return SyncfsRequest{};
    default:
      return UnknownRequest{};
  }
}

}  // namespace netfs::fuse
