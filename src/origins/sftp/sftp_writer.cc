#include "origins/sftp/sftp_writer.h"

#include <algorithm>
#include <utility>

#include "origins/sftp/sftp_file.h"
#include "origins/sftp/write_job.h"

namespace netfs::origins::sftp {

namespace {

uint32_t seconds_of(const NewTime& time) {
  const int64_t seconds = time.now ? Clock::system().wall().seconds : time.time.seconds;
  return static_cast<uint32_t>(std::clamp<int64_t>(seconds, 0, UINT32_MAX));
}

// What goes in pairs is filled up with what there was.
SetAttributes to_wire(const AttributeChange& change, const Attributes& before) {
  SetAttributes wire;
  wire.size_bytes = change.size_bytes;
  wire.permissions = change.permissions;
  if (change.uid || change.gid) {
    wire.owner = {.uid = change.uid.value_or(before.uid), .gid = change.gid.value_or(before.gid)};
  }
  if (change.atime || change.mtime) {
    wire.times = {
        .atime_seconds = seconds_of(change.atime.value_or(NewTime{.time = before.atime})),
        .mtime_seconds = seconds_of(change.mtime.value_or(NewTime{.time = before.mtime}))};
  }
  return wire;
}

}  // namespace

// A request that is answered by STATUS; what it says of a failure is made better.
template <class Encode>
Result<void> SftpWriter::change(const std::string& path, Deadline deadline, bool& lost,
                                Encode encode) {
  const Answer answer = TRY(asker_.ask_to_change(deadline, lost, encode));
  Result<void> done = expect_ok(answer, "sftp.change");
  if (done.ok()) return {};
  return explain(std::move(done).error(), path, deadline);
}

bool SftpWriter::exists(const std::string& path, Deadline deadline) {
  return asker_.stat(path, deadline).ok();
}

// Of "failure": whether the disk is full or read-only; of a bad message, whether a name is too
// long.
Error SftpWriter::explain(Error error, const std::string& path, Deadline deadline) {
  if (error.code() != EIO) return for_path(std::move(error), path);
  const Result<Ref<Connection>> connection = asker_.pool().acquire(deadline);
  if (!connection.ok() || !connection.value()->greeting().version.statvfs) return error;
  const Result<Answer> answer = asker_.ask(deadline, [&](Packet& out, uint32_t id) {
    append_extended(out, id, "statvfs@openssh.com", asker_.root());
  });
  if (!answer.ok() || answer.value().type != PacketType::kExtendedReply) return error;
  const int code = why_full(answer.value().reader());
  return code == 0 ? error : Error(code, error.context());
}

// Owner and permissions as they were asked for: the server's umask took some away, and giving a
// file away may take set-ID bits.
Result<NodeInfo> SftpWriter::finish_new(const std::string& path, const NewNode& what,
                                        Deadline deadline) {
  NodeInfo info = TRY(asker_.stat(path, deadline));
  SetAttributes more;
  const Attributes& got = info.attributes;
  if (what.owner && may_give_away_.load() &&
      (got.uid != what.owner->uid || got.gid != what.owner->gid)) {
    more.owner = {.uid = what.owner->uid, .gid = what.owner->gid};
  }
  const bool is_link = what.type == FileType::kSymlink;
  const uint32_t wanted =
      what.permissions | (what.type == FileType::kDirectory ? got.permissions & 02000 : 0);
  if (!is_link && (got.permissions != wanted || more.owner)) more.permissions = wanted;
  if (!more.owner && !more.permissions) return info;
  if (more.owner) {
    SetAttributes owner;
    owner.owner = more.owner;
    const Result<void> given = set({.path = path}, what.type, owner, deadline);
    if (given.is_error(EACCES) || given.is_error(EPERM)) may_give_away_ = false;
    if (!given.ok() && !given.is_error(EACCES) && !given.is_error(EPERM) &&
        !given.is_error(EOPNOTSUPP) && !given.is_error(EIO)) {
      return given.error();
    }
  }
  if (more.permissions) {
    SetAttributes permissions;
    permissions.permissions = more.permissions;
    TRY(set({.path = path}, what.type, permissions, deadline));
  }
  return asker_.stat(path, deadline);
}

Result<NodeInfo> SftpWriter::make(const std::string& path, const NewNode& what, Deadline deadline) {
  const std::string full = asker_.absolute(path);
  bool lost = false;
  Result<void> made;
  switch (what.type) {
    case FileType::kRegular: {
      TRY(create(path, what, deadline));
      return asker_.stat(path, deadline);
    }
    case FileType::kDirectory: {
      SetAttributes attributes;
      attributes.permissions = what.permissions;
      made = change(path, deadline, lost, [&](Packet& out, uint32_t id) {
        append_set(out, PacketType::kMkdir, id, full, attributes);
      });
      break;
    }
    case FileType::kSymlink:
      made = change(path, deadline, lost, [&](Packet& out, uint32_t id) {
        append_two_paths(out, PacketType::kSymlink, id, what.target, full);
      });
      break;
    default:
      return Error(EPERM, "sftp.make");
  }
  if (!made.ok()) {
    const Result<NodeInfo> there = asker_.stat(path, deadline);
    if (there.ok() && lost && there.value().attributes.type == what.type) {
      return finish_new(path, what, deadline);
    }
    if (there.ok()) return Error(EEXIST, "sftp.make");
    return std::move(made).error();
  }
  return finish_new(path, what, deadline);
}

Result<NodeInfo> SftpWriter::stat_handle(Connection& connection, const std::string& handle,
                                         Deadline deadline) {
  Call call;
  TRY(call.submit(connection, [&](Packet& out, uint32_t id) {
    append_handle_request(out, PacketType::kFstat, id, handle);
  }));
  const Answer answer = TRY(call.wait(deadline));
  TRY(expect(answer, PacketType::kAttrs, "sftp.fstat"));
  return answer.reader().attributes();
}

Result<OpenedFile> SftpWriter::open_on(Connection& connection, const std::string& path,
                                       uint32_t flags, const SetAttributes& attributes,
                                       Deadline deadline) {
  const std::string full = asker_.absolute(path);
  Handles::make_room(connection);
  const auto ask_handle = [&]() -> Result<std::string> {
    Call call;
    TRY(call.submit(connection, [&](Packet& out, uint32_t id) {
      append_open(out, id, full, flags, attributes);
    }));
    const Answer answer = TRY(call.wait(deadline));
    TRY(expect(answer, PacketType::kHandle, "sftp.open"));
    return decode_handle(answer.reader());
  };
  Result<std::string> handle = ask_handle();
  if (!handle.ok()) {
    connection.handles().refused();
    return std::move(handle).error();
  }
  connection.handles().opened(make_ref<Handles>(full), handle.value());
  OpenedFile opened;
  // From here on the handle is closed on every way out.
  opened.file = std::make_unique<SftpWriteFile>(asker_.pool(), connection, handle.value());
  opened.info = TRY(stat_handle(connection, handle.value(), deadline));
  return opened;
}

Result<OpenedFile> SftpWriter::open_handle(const std::string& path, uint32_t flags,
                                           const SetAttributes& attributes, unsigned& attempts,
                                           Deadline deadline) {
  return asker_.on_connection(deadline, [&](Connection& connection) {
    ++attempts;
    return open_on(connection, path, flags, attributes, deadline);
  });
}

Result<OpenedFile> SftpWriter::create(const std::string& path, const NewNode& what,
                                      Deadline deadline) {
  SetAttributes attributes;
  attributes.permissions = what.permissions & 07777;
  unsigned attempts = 0;
  Result<OpenedFile> opened = open_handle(
      path, kOpenRead | kOpenWrite | kOpenCreate | kOpenExclusive, attributes, attempts, deadline);
  if (opened.is_error(EIO)) {
    const Result<NodeInfo> there = asker_.stat(path, deadline);
    if (there.ok()) {
      // An empty file that is there after an attempt was lost is what that attempt has made.
      const Attributes& is = there.value().attributes;
      const bool ours = attempts > 1 && is.type == FileType::kRegular && is.size_bytes == 0;
      if (!ours) return Error(EEXIST, "sftp.create");
      opened = open_handle(path, kOpenRead | kOpenWrite, {}, attempts, deadline);
    }
  }
  if (!opened.ok()) return explain(std::move(opened).error(), path, deadline);
  opened.value().info = TRY(finish_new(path, what, deadline));
  return opened;
}

Result<OpenedFile> SftpWriter::open_for_writing(const std::string& path, Deadline deadline) {
  // OPEN follows links; version 3 cannot say otherwise.
  const NodeInfo info = TRY(asker_.stat(path, deadline));
  const FileType type = info.attributes.type;
  if (type == FileType::kDirectory) return Error(EISDIR, "sftp.open");
  if (type == FileType::kSymlink) return Error(ELOOP, "sftp.open");
  if (type != FileType::kRegular && type != FileType::kUnknown) return Error(EINVAL, "sftp.open");
  unsigned attempts = 0;
  Result<OpenedFile> opened = open_handle(path, kOpenWrite, {}, attempts, deadline);
  if (!opened.ok()) return explain(std::move(opened).error(), path, deadline);
  return opened;
}

Result<void> SftpWriter::remove(const std::string& path, RemoveKind kind, Deadline deadline) {
  const bool directory = kind == RemoveKind::kDirectory;
  const PacketType type = directory ? PacketType::kRmdir : PacketType::kRemove;
  const std::string full = asker_.absolute(path);
  bool lost = false;
  Result<void> removed = change(path, deadline, lost, [&](Packet& out, uint32_t id) {
    append_path_request(out, type, id, full);
  });
  if (removed.ok() || (lost && removed.is_error(ENOENT))) return {};
  const Result<NodeInfo> there = asker_.stat(path, deadline);
  if (there.ok()) {
    const bool is_directory = there.value().attributes.type == FileType::kDirectory;
    if (directory && !is_directory) return Error(ENOTDIR, "sftp.remove");
    if (!directory && is_directory) return Error(EISDIR, "sftp.remove");
    if (directory && removed.is_error(EIO)) return Error(ENOTEMPTY, "sftp.remove");
  }
  return removed;
}

Result<void> SftpWriter::rename(const std::string& from, const std::string& to, RenameHow how,
                                Deadline deadline) {
  if (how != RenameHow::kReplace && how != RenameHow::kNoReplace) {
    return Error(EINVAL, "sftp.rename");
  }
  const std::string source = asker_.absolute(from);
  const std::string target = asker_.absolute(to);
  const Ref<Connection> connection = TRY(asker_.pool().acquire(deadline));
  const bool replace = how == RenameHow::kReplace;
  const bool posix = connection->greeting().version.posix_rename;
  bool lost = false;
  Result<void> renamed = change(to, deadline, lost, [&](Packet& out, uint32_t id) {
    if (replace && posix) {
      append_extended_two(out, id, "posix-rename@openssh.com", source, target);
    } else {
      append_two_paths(out, PacketType::kRename, id, source, target);
    }
  });
  if (renamed.ok()) return {};
  const Result<NodeInfo> there = asker_.stat(to, deadline);
  if (lost && renamed.is_error(ENOENT) && there.ok() && !exists(from, deadline)) return {};
  if (!renamed.is_error(EIO) || !there.ok()) return renamed;
  if (!replace) return Error(EEXIST, "sftp.rename");
  if (!posix) return Error(EOPNOTSUPP, "sftp.rename");
  const bool is_directory = there.value().attributes.type == FileType::kDirectory;
  return is_directory ? Error(ENOTEMPTY, "sftp.rename") : std::move(renamed).error();
}

Result<NodeInfo> SftpWriter::link(const FileAt& from, const std::string& to, Deadline deadline) {
  const Ref<Connection> connection = TRY(asker_.pool().acquire(deadline));
  if (!connection->greeting().version.hardlink) return Error(EPERM, "sftp.link");
  const std::string source = asker_.absolute(from.path);
  const std::string target = asker_.absolute(to);
  bool lost = false;
  Result<void> linked = change(to, deadline, lost, [&](Packet& out, uint32_t id) {
    append_extended_two(out, id, "hardlink@openssh.com", source, target);
  });
  if (!linked.ok()) {
    const bool there = linked.is_error(EIO) && exists(to, deadline);
    if (there && !lost) return Error(EEXIST, "sftp.link");
    if (!there) return std::move(linked).error();
  }
  return asker_.stat(to, deadline);
}

// By path, a link itself where the server can; the size by the handle where there is one.
Result<void> SftpWriter::set(const FileAt& file, FileType type, const SetAttributes& attributes,
                             Deadline deadline) {
  bool lost = false;
  if (file.open != nullptr) {
    const auto& open = static_cast<SftpWriteFile&>(*file.open);
    const Ref<Connection> connection = open.connection();
    if (!connection) return Error(ENOTCONN, "sftp.set");
    Call call;
    TRY(call.submit(*connection, [&](Packet& out, uint32_t id) {
      append_set(out, PacketType::kFsetstat, id, open.handle(), attributes);
    }));
    Result<void> done = expect_ok(TRY(call.wait(deadline)), "sftp.set");
    return done.ok() ? done : explain(std::move(done).error(), file.path, deadline);
  }
  const std::string full = asker_.absolute(file.path);
  const Ref<Connection> connection = TRY(asker_.pool().acquire(deadline));
  const bool by_link = connection->greeting().version.lsetstat && !attributes.size_bytes;
  if (type == FileType::kSymlink && (!by_link || attributes.permissions)) {
    return Error(EOPNOTSUPP, "sftp.set");
  }
  return change(file.path, deadline, lost, [&](Packet& out, uint32_t id) {
    if (by_link) {
      append_extended_set(out, id, full, attributes);
    } else {
      append_set(out, PacketType::kSetstat, id, full, attributes);
    }
  });
}

Result<Seen> SftpWriter::set_attributes(const FileAt& file, const AttributeChange& change,
                                        Deadline deadline) {
  const NodeInfo before = TRY(asker_.stat(file.path, deadline));
  const SetAttributes wire = to_wire(change, before.attributes);
  // Permissions last: giving a file away takes set-ID bits from them; the server itself sets
  // them before the owner.
  SetAttributes first = wire;
  first.permissions.reset();
  SetAttributes last;
  last.permissions = wire.permissions;
  const FileType type = before.attributes.type;
  if (first.size_bytes || first.owner || first.times) TRY(set(file, type, first, deadline));
  if (last.permissions) TRY(set(file, type, last, deadline));
  Seen seen;
  seen.before = before.validator;
  seen.after = TRY(asker_.stat(file.path, deadline));
  return seen;
}

void SftpWriter::issue_write(WriteSubrequest& subrequest) {
  const auto& file = static_cast<SftpWriteFile&>(subrequest.file());
  Ref<Connection> connection = file.connection();
  // The handle went with its connection: the library opens the file again.
  if (!connection) {
    return subrequest.terminated({.transferred_bytes = Error(ENOTCONN, "sftp.write")});
  }
  make_ref<WriteJob>(subrequest, std::move(connection), file.handle(), asker_.root())->run();
}

Result<void> SftpWriter::sync(const FileAt& file, SyncKind /*kind*/, Deadline deadline) {
  OpenedFile opened;
  OriginFile* open = file.open;
  if (open == nullptr) {
    unsigned attempts = 0;
    Result<OpenedFile> made = open_handle(file.path, kOpenRead, {}, attempts, deadline);
    if (!made.ok()) {
      // A directory has no handle of this kind; what was done in it was answered.
      const Result<NodeInfo> info = asker_.stat(file.path, deadline);
      const bool directory = info.ok() && info.value().attributes.type == FileType::kDirectory;
      return directory ? Result<void>() : std::move(made).error();
    }
    opened = std::move(made).value();
    open = opened.file.get();
  }
  const auto& handle = static_cast<SftpWriteFile&>(*open);
  const Ref<Connection> connection = handle.connection();
  if (!connection) return Error(ENOTCONN, "sftp.sync");
  // A server that cannot say has what was written, and nobody knows more.
  if (!connection->greeting().version.fsync) return {};
  Call call;
  TRY(call.submit(*connection, [&](Packet& out, uint32_t id) {
    append_extended(out, id, "fsync@openssh.com", handle.handle());
  }));
  return expect_ok(TRY(call.wait(deadline)), "sftp.sync");
}

Result<void> SftpWriter::sync_all(Deadline /*deadline*/) {
  return {};
}

Result<Seen> SftpWriter::allocate(OriginFile& /*file*/, uint32_t /*mode*/, ByteRange /*range*/,
                                  Deadline /*deadline*/) {
  return Error(EOPNOTSUPP, "sftp.allocate");
}

}  // namespace netfs::origins::sftp
