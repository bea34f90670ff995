// SftpWriter, files that are made or opened for writing.

#include <cerrno>
#include <utility>

#include "origins/sftp/sftp_file.h"
#include "origins/sftp/sftp_writer.h"

namespace netfs::origins::sftp {

namespace {

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

}  // namespace

Result<NodeInfo> SftpWriter::stat_handle(Connection& connection, const std::string& handle,
                                         Deadline deadline) {
  Call call;
  TRY(call.submit(connection, [&](Packet& out, uint32_t id) {
    append_handle_request(out, PacketType::kFstat, id, handle);
  }));
  return info_of(call.wait(deadline), "sftp.fstat");
}

// The name is looked at behind the OPEN without waiting for it: of a file that is made that is what
// it is like, and of one that cannot be opened it says why.
Result<SftpWriter::Opening> SftpWriter::open_on(Connection& connection, const Asking& asking,
                                                Deadline deadline) {
  const std::string& path = asking.path;
  const std::string full = asker_.absolute(path);
  Handles::make_room(connection);
  Batch batch(connection);
  batch.ask([&](Packet& out, uint32_t id) {
    append_open(out, id, full, asking.flags, asking.attributes);
  });
  batch.ask(asker_.look_at(path));
  if (asking.with_directory) batch.ask(asker_.look_at(directory_of(path)));
  const auto handle_of = [](const Result<Answer>& answer) -> Result<std::string> {
    if (!answer.ok()) return answer.error();
    TRY(expect(answer.value(), PacketType::kHandle, "sftp.open"));
    return decode_handle(answer.value().reader());
  };
  Result<std::string> handle = handle_of(batch.answer(deadline));
  if (!handle.ok()) {
    connection.handles().refused();
    if (handle.is_error(ENOTCONN) || handle.is_error(ETIMEDOUT)) return std::move(handle).error();
    Opening refused{.file = std::move(handle).error(),
                    .seen = Asker::info_at(path, batch.answer(deadline))};
    if (refused.seen.is_error(ENOTCONN)) refused.seen = asker_.stat(path, deadline);
    return refused;
  }
  connection.handles().opened(make_ref<Handles>(full), handle.value());
  // From here on the handle is closed on every way out.
  auto file = std::make_unique<SftpWriteFile>(asker_.pool(), connection, std::move(handle).value());
  Result<NodeInfo> seen = Asker::info_at(path, batch.answer(deadline));
  // The handle went with the connection: once more on another one.
  if (seen.is_error(ENOTCONN) || seen.is_error(ETIMEDOUT)) return std::move(seen).error();
  Opening opening{.file = std::move(file), .seen = std::move(seen)};
  if (asking.with_directory) opening.directory = Asker::info_at(path, batch.answer(deadline));
  return opening;
}

Result<SftpWriter::Opening> SftpWriter::open_anywhere(const Asking& asking, unsigned& attempts,
                                                      Deadline deadline) {
  return asker_.on_connection(deadline, [&](Connection& connection) {
    ++attempts;
    return open_on(connection, asking, deadline);
  });
}

Result<OpenedFile> SftpWriter::create(const std::string& path, const NewNode& what,
                                      Deadline deadline) {
  Asking asking{.path = path,
                .flags = kOpenRead | kOpenWrite | kOpenCreate | kOpenExclusive,
                .with_directory = what.with_directory};
  asking.attributes.permissions = what.permissions & 07777;
  unsigned attempts = 0;
  Opening made = TRY(open_anywhere(asking, attempts, deadline));
  if (made.file.is_error(EIO) && made.seen.ok()) {
    // An empty file that is there after an attempt was lost is what that attempt has made.
    const Attributes& is = made.seen.value().attributes;
    const bool ours = attempts > 1 && is.type == FileType::kRegular && is.size_bytes == 0;
    if (!ours) return Error(EEXIST, "sftp.create");
    made = TRY(open_anywhere({.path = path, .flags = kOpenRead | kOpenWrite}, attempts, deadline));
  }
  if (!made.file.ok()) return explain(std::move(made.file).error(), path, deadline);
  OpenedFile opened{.file = std::move(made.file).value()};
  // A name that does not show a new file was given to another one meanwhile: then by the handle.
  const bool is_new = made.seen.ok() && made.seen.value().attributes.type == FileType::kRegular &&
                      made.seen.value().attributes.size_bytes == 0;
  const FileAt file{.path = path, .open = opened.file.get()};
  opened.info = is_new ? std::move(made.seen).value() : TRY(look(file, deadline));
  opened.info = TRY(finish_new(file, what, opened.info, deadline));
  // Nothing promises the order of looks at two files.  The directory had its time from the file's
  // making: one that is older was seen before that.
  if (made.directory && made.directory->ok() &&
      made.directory->value().attributes.mtime.seconds >= opened.info.attributes.mtime.seconds) {
    opened.directory = std::move(*made.directory).value();
  }
  return opened;
}

// OPEN follows links, and version 3 cannot say otherwise: what the name is, is asked in the same
// breath, and what was opened by its handle.  For reading as well, for then a server does not wait
// for the other end of a FIFO; where that is not allowed, for writing alone, once it is known to be
// none.
Result<OpenedFile> SftpWriter::open_existing(Connection& connection, const std::string& path,
                                             Deadline deadline) {
  Opening opening =
      TRY(open_on(connection, {.path = path, .flags = kOpenRead | kOpenWrite}, deadline));
  if (!opening.seen.ok()) return std::move(opening.seen).error();
  const FileType type = opening.seen.value().attributes.type;
  if (type == FileType::kDirectory) return Error(EISDIR, "sftp.open");
  if (type == FileType::kSymlink) return Error(ELOOP, "sftp.open");
  if (type != FileType::kRegular && type != FileType::kUnknown) return Error(EINVAL, "sftp.open");
  if (!opening.file.ok()) {
    opening = TRY(open_on(connection, {.path = path, .flags = kOpenWrite}, deadline));
  }
  OpenedFile opened;
  std::unique_ptr<SftpWriteFile> file = TRY(std::move(opening.file));
  opened.info = TRY(stat_handle(connection, file->handle(), deadline));
  opened.file = std::move(file);
  return opened;
}

Result<OpenedFile> SftpWriter::open_for_writing(const std::string& path, Deadline deadline) {
  Result<OpenedFile> opened = asker_.on_connection(
      deadline, [&](Connection& connection) { return open_existing(connection, path, deadline); });
  if (!opened.ok()) return explain(std::move(opened).error(), path, deadline);
  return opened;
}

}  // namespace netfs::origins::sftp
