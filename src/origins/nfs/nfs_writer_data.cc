// NfsWriter: bytes; nfs_writer_commit.cc has how they become durable.

#include <algorithm>
#include <cerrno>
#include <spdlog/spdlog.h>
#include <utility>

#include "origins/nfs/nfs_writer.h"
#include "origins/nfs/write_answer.h"

namespace netfs::origins::nfs {

namespace {

// Held of one file, this is enough to make it durable without being asked; held of all, the next
// writes are stable ones.
constexpr uint64_t kCommitBytes = 32 << 20;
constexpr uint64_t kHeldMax = 256 << 20;

Result<const WRITE3resok*> answered(const Result<void*>& answer, stable_how how, size_t sent) {
  if (!answer.ok()) return answer.error();
  return wrote_of(*static_cast<const WRITE3res*>(answer.value()), how, sent);
}

}  // namespace

NfsWriter::NfsWriter(Caller& caller, Names& names, const ServerLimits& limits, Duration timeout)
    : caller_(caller),
      names_(names),
      limits_(limits),
      timeout_(timeout),
      capabilities_{.write_bytes_max = limits.write_bytes_max,
                    .files_outlive_names = false,
                    .validator_can_be_set = false},
      unstable_(kHeldMax),
      committers_({.name = "netfs-nfs-commit", .threads = 2}),
      timers_({.name = "netfs-nfs-timer", .threads = 1}) {}

NfsWriter::~NfsWriter() {
  stopping_ = true;
  committers_.stop();
  timers_.stop();
  const Result<void> synced = sync_all(Deadline::after(Clock::system(), timeout_));
  if (!synced.ok()) {
    spdlog::error("nfs: {} bytes that were written may not outlive a restart of the server: {}",
                  unstable_.held_bytes(), synced.error().message());
  }
}

void NfsWriter::issue_write(WriteSubrequest& subrequest) {
  const auto& file = static_cast<NfsFile&>(subrequest.file());
  const MonoTime until = subrequest.deadline().at;
  if (!unstable_.begin_write(file.handle(), subrequest)) {
    // It may be begun, and ended, by now.
    if (until != MonoTime::max()) (void)timers_.post_at(until, [this] { end_overdue(); });
    return;
  }
  if (!subrequest.wants().before || tells_before_) return submit_write(subrequest, std::nullopt);
  // Ganesha does not say what the file was like before a WRITE: that is asked first.
  const Handle handle = file.handle();
  Connection* connection = caller_.pool().try_acquire();
  const bool taken = connection != nullptr &&
                     connection->submit(
                         [handle](rpc_context* rpc, rpc_cb answered, void* call) {
                           GETATTR3args args{.object = to_wire(handle)};
                           return ::rpc_nfs3_getattr_async(rpc, answered, &args, call);
                         },
                         [this, &subrequest](Result<void*> answer) {
                           if (!answer.ok())
                             return write_ended(subrequest, answer.error(), std::nullopt);
                           const auto& is = *static_cast<const GETATTR3res*>(answer.value());
                           std::optional<Validator> before;
                           if (is.status == NFS3_OK) {
                             before = info_of(is.GETATTR3res_u.resok.obj_attributes).validator;
                           }
                           submit_write(subrequest, std::move(before));
                         },
                         subrequest.deadline());
  if (!taken) write_ended(subrequest, Error(ENOTCONN, "nfs.write"), std::nullopt);
}

// While a file is written again, what waits for that does not wait beyond its time.
void NfsWriter::end_overdue() {
  for (WriteSubrequest* write : unstable_.take_overdue(Clock::system().now())) {
    write->terminated({.transferred_bytes = Error(ETIMEDOUT, "nfs.write"), .seen = {}});
  }
}

void NfsWriter::submit_write(WriteSubrequest& subrequest, std::optional<Validator> before) {
  const Handle handle = static_cast<NfsFile&>(subrequest.file()).handle();
  const stable_how how = unstable_.is_full() ? FILE_SYNC : UNSTABLE;
  Connection* connection = caller_.pool().try_acquire();
  const std::span<const std::byte> bytes = subrequest.source().first(
      std::min<uint64_t>(subrequest.source().size(), limits_.write_bytes_max));
  const uint64_t offset = subrequest.range().offset_bytes;
  const bool taken =
      connection != nullptr &&
      connection->submit(
          [handle, how, bytes, offset](rpc_context* rpc, rpc_cb answered, void* call) {
            WRITE3args args{};
            args.file = to_wire(handle);
            args.offset = offset;
            args.count = static_cast<count3>(bytes.size());
            args.stable = how;
            args.data.data_len = static_cast<u_int>(bytes.size());
            args.data.data_val = const_cast<char*>(reinterpret_cast<const char*>(bytes.data()));
            return ::rpc_nfs3_write_async(rpc, answered, &args, call);
          },
          [this, &subrequest, before, how, sent = bytes.size()](Result<void*> answer) {
            Result<const WRITE3resok*> wrote = answered(answer, how, sent);
            write_ended(subrequest, std::move(wrote), before);
          },
          subrequest.deadline(), Connection::Kind::kOrdered);
  // None up: the library waits and tries again, within its own limits.
  if (!taken) write_ended(subrequest, Error(ENOTCONN, "nfs.write"), std::nullopt);
}

void NfsWriter::write_ended(WriteSubrequest& subrequest, Result<const WRITE3resok*> answer,
                            std::optional<Validator> before) {
  const auto& file = static_cast<NfsFile&>(subrequest.file());
  const Handle handle = file.handle();
  WriteOutcome outcome;
  if (!answer.ok()) {
    outcome.transferred_bytes = answer.error();
  } else {
    const WRITE3resok& wrote = *answer.value();
    const uint64_t count = wrote.count;
    unstable_.wrote(handle, subrequest.range().offset_bytes, subrequest.source().first(count),
                    verifier_of(wrote.verf), wrote.committed != UNSTABLE);
    outcome.transferred_bytes = count;
    outcome.seen = seen_of(wrote.file_wcc, file.fileid());
    tells_before_ = outcome.seen.before.has_value();
    if (!outcome.seen.before) outcome.seen.before = std::move(before);
  }
  unstable_.end_write(handle);
  if (unstable_.held_bytes(handle) >= kCommitBytes) commit_later(handle, Duration(0));
  bring_down();
  subrequest.terminated(std::move(outcome));
}

Result<Seen> NfsWriter::allocate(OriginFile& /*file*/, uint32_t /*mode*/, ByteRange /*range*/,
                                 Deadline /*deadline*/) {
  return Error(EOPNOTSUPP, "nfs.allocate");
}

}  // namespace netfs::origins::nfs
