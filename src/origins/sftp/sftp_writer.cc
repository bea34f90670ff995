#include "origins/sftp/sftp_writer.h"

#include <utility>

namespace netfs::origins::sftp {

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

Result<NodeInfo> SftpWriter::make(const std::string& path, const NewNode& what, Deadline deadline) {
  if (what.type == FileType::kRegular) return TRY(create(path, what, deadline)).info;
  if (what.type != FileType::kDirectory && what.type != FileType::kSymlink) {
    return Error(EPERM, "sftp.make");
  }
  const std::string full = asker_.absolute(path);
  bool lost = false;
  const Asker::Changed made =
      TRY(asker_.change_and_look(path, deadline, lost, [&](Packet& out, uint32_t id) {
        if (what.type == FileType::kDirectory) {
          SetAttributes attributes;
          attributes.permissions = what.permissions;
          append_set(out, PacketType::kMkdir, id, full, attributes);
        } else {
          append_two_paths(out, PacketType::kSymlink, id, what.target, full);
        }
      }));
  Result<void> done = expect_ok(made.answer, "sftp.make");
  // What is there after an attempt was lost is what that attempt has made.
  const bool ours =
      done.ok() || (lost && made.seen.ok() && made.seen.value().attributes.type == what.type);
  if (!ours && made.seen.ok()) return Error(EEXIST, "sftp.make");
  if (!ours) return explain(std::move(done).error(), path, deadline);
  if (!made.seen.ok()) return made.seen.error();
  return finish_new({.path = path}, what, made.seen.value(), deadline);
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
  Asker::Changed linked =
      TRY(asker_.change_and_look(to, deadline, lost, [&](Packet& out, uint32_t id) {
        append_extended_two(out, id, "hardlink@openssh.com", source, target);
      }));
  Result<void> done = expect_ok(linked.answer, "sftp.link");
  if (done.ok()) return std::move(linked.seen);
  if (!done.is_error(EIO) || !linked.seen.ok()) {
    return explain(std::move(done).error(), to, deadline);
  }
  if (!lost) return Error(EEXIST, "sftp.link");
  return std::move(linked.seen);
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
  std::unique_ptr<SftpWriteFile> opened;
  OriginFile* open = file.open;
  if (open == nullptr) {
    unsigned attempts = 0;
    Opening made = TRY(open_anywhere({.path = file.path, .flags = kOpenRead}, attempts, deadline));
    if (!made.file.ok()) {
      // A directory has no handle of this kind; what was done in it was answered.
      const bool directory =
          made.seen.ok() && made.seen.value().attributes.type == FileType::kDirectory;
      return directory ? Result<void>() : std::move(made.file).error();
    }
    opened = std::move(made.file).value();
    open = opened.get();
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
