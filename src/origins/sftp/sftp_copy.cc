// SftpWriter, copies at the server: OpenSSH's copy-data.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "origins/sftp/sftp_writer.h"
#include "origins/sftp/write_job.h"

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
  const OpenedFile source = TRY(open_on(*connection, from.path, kOpenRead, {}, deadline));
  const uint64_t size = source.info.attributes.size_bytes;
  Copied copied;
  copied.seen.before = TRY(stat_handle(*connection, target.handle(), deadline)).validator;
  if (what.from_offset < size) {
    copied.bytes = std::min({what.to.length_bytes, size - what.from_offset, kCopyBytesMax});
    Call call;
    TRY(call.submit(*connection, [&](Packet& out, uint32_t id) {
      append_copy_data(out, id,
                       {.from_handle = static_cast<SftpWriteFile&>(*source.file).handle(),
                        .from_offset = what.from_offset,
                        .to_handle = target.handle(),
                        .to_offset = what.to.offset_bytes,
                        .length = copied.bytes});
    }));
    const Result<void> done = expect_ok(TRY(call.wait(deadline)), "sftp.copy");
    if (!done.ok()) {
      Error why = explain(done.error(), from.path, deadline);
      // OpenSSH does not copy within one file, and says no more than that it failed.  If there is
      // another reason, reading and writing will meet it.
      return why.code() == EIO ? Error(EOPNOTSUPP, "sftp.copy") : std::move(why);
    }
  }
  copied.seen.after = TRY(stat_handle(*connection, target.handle(), deadline));
  return copied;
}

}  // namespace netfs::origins::sftp
