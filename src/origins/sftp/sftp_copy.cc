// SftpWriter, copies at the server: OpenSSH's copy-data.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "origins/sftp/sftp_writer.h"

namespace netfs::origins::sftp {

// On the connection of the file that is written to: handles of another mean nothing there.  While
// the server copies it does nothing else for that connection, so it gets little at a time.
Result<Copied> SftpWriter::copy(const FileAt& from, OriginFile& to, const Copying& what,
                                Deadline deadline) {
  constexpr uint64_t kCopyBytesMax = 8 << 20;
  const auto& target = static_cast<SftpWriteFile&>(to);
  const Ref<Connection> connection = target.connection();
  if (!connection) return Error(ENOTCONN, "sftp.copy");
  if (!connection->greeting().version.copy_data) return Error(EOPNOTSUPP, "sftp.copy");
  Opening opened = TRY(open_on(*connection, {.path = from.path, .flags = kOpenRead}, deadline));
  const std::unique_ptr<SftpWriteFile> source = TRY(std::move(opened.file));
  const auto ask_stat = [&](Batch& batch, const SftpWriteFile& of) {
    batch.ask([&](Packet& out, uint32_t id) {
      append_handle_request(out, PacketType::kFstat, id, of.handle());
    });
  };
  Batch looks(*connection);
  ask_stat(looks, *source);
  ask_stat(looks, target);
  const uint64_t size = TRY(info_of(looks.answer(deadline), "sftp.copy")).attributes.size_bytes;
  NodeInfo before = TRY(info_of(looks.answer(deadline), "sftp.copy"));
  Copied copied;
  copied.seen.before = before.validator;
  copied.seen.after = std::move(before);
  if (what.from_offset < size) {
    copied.bytes = std::min({what.to.length_bytes, size - what.from_offset, kCopyBytesMax});
    Batch batch(*connection);
    batch.ask([&](Packet& out, uint32_t id) {
      append_copy_data(out, id,
                       {.from_handle = source->handle(),
                        .from_offset = what.from_offset,
                        .to_handle = target.handle(),
                        .to_offset = what.to.offset_bytes,
                        .length = copied.bytes});
    });
    ask_stat(batch, target);
    const Result<void> done = expect_ok(TRY(batch.answer(deadline)), "sftp.copy");
    if (!done.ok()) {
      Error why = explain(done.error(), from.path, deadline);
      // OpenSSH does not copy within one file, and says no more than that it failed.  If there is
      // another reason, reading and writing will meet it.
      return why.code() == EIO ? Error(EOPNOTSUPP, "sftp.copy") : std::move(why);
    }
    copied.seen.after = TRY(info_of(batch.answer(deadline), "sftp.copy"));
  }
  return copied;
}

}  // namespace netfs::origins::sftp
