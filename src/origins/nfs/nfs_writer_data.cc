// NfsWriter: bytes, and how they become durable.

#include <algorithm>
#include <cerrno>
#include <spdlog/spdlog.h>
#include <utility>

#include "origins/nfs/nfs_writer.h"

namespace netfs::origins::nfs {

namespace {

// Held of one file, this is enough to make it durable without being asked; held of all, the next
// writes are stable ones.
constexpr uint64_t kCommitBytes = 32 << 20;
constexpr uint64_t kHeldMax = 256 << 20;
constexpr unsigned kRounds = 4;
constexpr Duration kRest = std::chrono::seconds(2);

// What a server says of `sent` bytes that were to be as stable as `how`, if it may say so.
Result<const WRITE3resok*> wrote_of(const WRITE3res& answer, stable_how how, size_t sent) {
  if (answer.status != NFS3_OK) return Error(errno_of(answer.status), "nfs.write");
  const WRITE3resok& wrote = answer.WRITE3res_u.resok;
  if (wrote.count > sent) return Error(EIO, "nfs.write", "more was written than was sent");
  if (how != UNSTABLE && wrote.committed == UNSTABLE) {
    return Error(EIO, "nfs.write", "it was not made stable");
  }
  return &wrote;
}

// In data calls "later" is said as "not connected": the library waits a while and asks again.
Result<const WRITE3resok*> wrote_of(Result<void*> answer, stable_how how, size_t sent) {
  if (!answer.ok()) return answer.error();
  auto wrote = wrote_of(*static_cast<const WRITE3res*>(answer.value()), how, sent);
  return wrote.is_error(EAGAIN) ? Error(ENOTCONN, "nfs.write") : wrote;
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
            Result<const WRITE3resok*> wrote = wrote_of(std::move(answer), how, sent);
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
  subrequest.terminated(std::move(outcome));
}

Result<Verifier> NfsWriter::ask_commit(const Handle& file, Deadline deadline) {
  return caller_.ask<COMMIT3res>(
      [file](rpc_context* rpc, rpc_cb answered, void* call) {
        COMMIT3args args{.file = to_wire(file), .offset = 0, .count = 0};
        return ::rpc_nfs3_commit_async(rpc, answered, &args, call);
      },
      [](const COMMIT3res& answer) -> Result<Verifier> {
        if (answer.status != NFS3_OK) return Error(errno_of(answer.status), "nfs.commit");
        return verifier_of(answer.COMMIT3res_u.resok.verf);
      },
      deadline);
}

// A server that is restarted again and again meanwhile is given up on: what is held stays held.
Result<void> NfsWriter::commit(const Handle& file, Deadline deadline) {
  for (unsigned round = 0; round < kRounds; ++round) {
    const uint64_t mark = unstable_.mark();
    const Result<Verifier> verifier = ask_commit(file, deadline);
    if (verifier.is_error(ESTALE)) unstable_.forget(file);  // nobody can read it any more
    if (!verifier.ok()) return verifier.error();
    if (unstable_.committed(file, mark, verifier.value())) return {};
    TRY(write_again(file, mark, verifier.value(), deadline));
  }
  return Error(EIO, "nfs.commit", "the server is restarted again and again");
}

Result<void> NfsWriter::write_again(const Handle& file, uint64_t mark, const Verifier& verifier,
                                    Deadline deadline) {
  spdlog::info(
      "nfs: the server was restarted before it had made durable what was written; it is "
      "written again");
  std::vector<WriteSubrequest*> parked;
  Result<void> done = unstable_.begin_rewrite(file, deadline, parked);
  if (!done.ok()) {
    for (WriteSubrequest* write : parked) issue_write(*write);
    return done;
  }
  for (const Unstable::Lost& lost : unstable_.lost(file, mark, verifier)) {
    for (uint64_t at = 0; done.ok() && at < lost.bytes.size();) {
      const Result<uint32_t> wrote = write_stable(
          file, lost.offset_bytes + at, lost.bytes.substr(at, limits_.write_bytes_max), deadline);
      if (wrote.ok() && wrote.value() > 0) {
        unstable_.stored(file, lost.offset_bytes + at, wrote.value());
        at += wrote.value();
      } else {
        done = wrote.ok() ? Error(EIO, "nfs.write") : wrote.error();
      }
    }
  }
  for (WriteSubrequest* write : unstable_.end_rewrite(file)) issue_write(*write);
  if (done.is_error(ESTALE)) unstable_.forget(file);
  return done;
}

Result<uint32_t> NfsWriter::write_stable(const Handle& file, uint64_t offset,
                                         const std::string& bytes, Deadline deadline) {
  return caller_.ask<WRITE3res>(
      [file, offset, bytes](rpc_context* rpc, rpc_cb answered, void* call) {
        WRITE3args args{};
        args.file = to_wire(file);
        args.offset = offset;
        args.count = static_cast<count3>(bytes.size());
        args.stable = FILE_SYNC;
        args.data.data_len = static_cast<u_int>(bytes.size());
        args.data.data_val = const_cast<char*>(bytes.data());
        return ::rpc_nfs3_write_async(rpc, answered, &args, call);
      },
      [sent = bytes.size()](const WRITE3res& answer) -> Result<uint32_t> {
        return uint32_t{TRY(wrote_of(answer, FILE_SYNC, sent))->count};
      },
      deadline, nullptr, Connection::Kind::kOrdered);
}

Result<void> NfsWriter::sync(const FileAt& file, SyncKind /*kind*/, Deadline deadline) {
  if (file.open != nullptr) return commit(static_cast<NfsFile&>(*file.open).handle(), deadline);
  const Found found = TRY(names_.find(file.path, deadline));
  // What is done to names is durable when it is answered.
  if (found.info.attributes.type != FileType::kRegular) return {};
  return commit(found.handle, deadline);
}

Result<void> NfsWriter::sync_all(Deadline deadline) {
  Result<void> all;
  for (const Handle& file : unstable_.files()) {
    Result<void> one = commit(file, deadline);
    if (!one.ok() && !one.is_error(ESTALE) && all.ok()) all = std::move(one);
  }
  return all;
}

void NfsWriter::closed(const Handle& handle) {
  if (unstable_.held_bytes(handle) > 0) commit_later(handle, Duration(0));
}

// Until it is done: nobody else asks for it.
void NfsWriter::commit_later(const Handle& handle, Duration after) {
  if (stopping_ || !unstable_.wants_commit(handle)) return;
  (void)committers_.post_at(Clock::system().now() + after, [this, handle] {
    unstable_.commit_begins(handle);
    if (stopping_ || unstable_.held_bytes(handle) == 0) return;
    const Result<void> done = commit(handle, Deadline::after(Clock::system(), timeout_));
    if (!done.ok() && !done.is_error(ESTALE)) commit_later(handle, kRest);
  });
}

Result<Seen> NfsWriter::allocate(OriginFile& /*file*/, uint32_t /*mode*/, ByteRange /*range*/,
                                 Deadline /*deadline*/) {
  return Error(EOPNOTSUPP, "nfs.allocate");
}

}  // namespace netfs::origins::nfs
