// NfsWriter: how what was written becomes durable.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <spdlog/spdlog.h>

#include "origins/nfs/nfs_writer.h"
#include "origins/nfs/write_answer.h"

namespace netfs::origins::nfs {

namespace {

constexpr unsigned kRounds = 4;
constexpr Duration kRest = std::chrono::seconds(2);
constexpr Duration kLongestRest = std::chrono::seconds(60);

bool is_away(const Error& error) {
  return error.code() == ENOTCONN || error.code() == ETIMEDOUT;
}

}  // namespace

NfsWriter::Alone::Alone(NfsWriter& writer, const Handle& file, Deadline deadline)
    : writer_(writer), file_(file), begun_(writer.unstable_.begin_alone(file, deadline, parked_)) {}

NfsWriter::Alone::~Alone() {
  if (begun_.ok()) parked_ = writer_.unstable_.end_alone(file_);
  for (WriteSubrequest* write : parked_) writer_.issue_write(*write);
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
template <class WriteAgain>
Result<void> NfsWriter::commit_by(const Handle& file, Deadline deadline, WriteAgain write_again) {
  const auto rounds = [&]() -> Result<void> {
    for (unsigned round = 0; round < kRounds; ++round) {
      const uint64_t mark = unstable_.mark();
      const Verifier verifier = TRY(ask_commit(file, deadline));
      if (unstable_.committed(file, mark, verifier)) return {};
      spdlog::info(
          "nfs: the server was restarted before it had made durable what was written; it is "
          "written again");
      TRY(write_again(mark, verifier));
    }
    return Error(EIO, "nfs.commit", "the server is restarted again and again");
  };
  Result<void> done = rounds();
  if (done.ok()) return done;
  const int code = done.code();
  if (is_away(done.error()) || code == ESTALE || code == ENOSPC || code == EDQUOT) return done;
  // What is not held is durable, whatever else the server does not let one do.
  if (unstable_.held_bytes(file) == 0) {
    if (code == EACCES || code == EPERM || code == EROFS) return {};
    if (code == EOPNOTSUPP) return done;
  }
  // Bytes may be lost by it: it is no word for what was not begun.
  return Error(EIO, "nfs.commit", done.error().message());
}

Result<void> NfsWriter::commit(const Handle& file, Deadline deadline) {
  return commit_by(file, deadline, [&](uint64_t mark, const Verifier& verifier) -> Result<void> {
    const Alone alone(*this, file, deadline);
    TRY(alone.begun());
    return write_lost(file, mark, verifier, deadline);
  });
}

Result<void> NfsWriter::commit_alone(const Handle& file, Deadline deadline) {
  return commit_by(file, deadline, [&](uint64_t mark, const Verifier& verifier) {
    return write_lost(file, mark, verifier, deadline);
  });
}

// What the server will not take does not keep back the rest.
Result<void> NfsWriter::write_lost(const Handle& file, uint64_t mark, const Verifier& verifier,
                                   Deadline deadline) {
  Result<void> done;
  uint64_t from = 0;
  while (const std::optional<Unstable::Lost> lost =
             unstable_.next_lost(file, mark, verifier, from, limits_.write_bytes_max)) {
    const Result<uint32_t> wrote = write_stable(file, lost->offset_bytes, lost->bytes, deadline);
    const uint64_t stored = wrote.ok() ? wrote.value() : 0;
    if (stored > 0) {
      unstable_.stored(file, lost->offset_bytes, stored);
      from = lost->offset_bytes + stored;
      continue;
    }
    Error error = wrote.ok() ? Error(EIO, "nfs.write") : wrote.error();
    if (is_away(error) || error.code() == ESTALE) return error;
    if (done.ok()) done = std::move(error);
    from = lost->offset_bytes + lost->bytes.size();
  }
  TRY(set_lost_time(file, deadline));
  return done;
}

// A time that the server does not let one set any more is left as it is.
Result<void> NfsWriter::set_lost_time(const Handle& file, Deadline deadline) {
  if (const std::optional<Timestamp> time = unstable_.lost_time(file)) {
    const Result<Seen> set_again = set(file, 0, {.mtime = NewTime{.time = *time}}, deadline);
    const bool later =
        !set_again.ok() && (is_away(set_again.error()) || set_again.is_error(ESTALE));
    if (later) return set_again.error();
  }
  unstable_.forget_time(file);
  return {};
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
      deadline, {.kind = Connection::Kind::kOrdered});
}

Result<void> NfsWriter::sync(const FileAt& file, SyncKind /*kind*/, Deadline deadline) {
  Handle handle;
  if (file.open != nullptr) {
    handle = static_cast<NfsFile&>(*file.open).handle();
  } else {
    Found found = TRY(names_.find(file.path, deadline));
    // What is done to names is durable when it is answered.
    if (found.info.attributes.type != FileType::kRegular) return {};
    handle = std::move(found.handle);
  }
  if (unstable_.take_given_up(handle)) {
    return Error(EIO, "nfs.sync", "bytes that were written before are lost");
  }
  return commit(handle, deadline);
}

Result<void> NfsWriter::sync_all(Deadline deadline) {
  Result<void> all;
  for (const Handle& file : unstable_.files()) {
    Result<void> one = commit(file, deadline);
    if (!one.ok() && all.ok()) all = std::move(one);
  }
  if (unstable_.take_given_up() && all.ok()) {
    return Error(EIO, "nfs.sync", "bytes that were written before are lost");
  }
  return all;
}

void NfsWriter::closed(const Handle& handle) {
  if (unstable_.is_owed(handle)) commit_later(handle, Duration(0));
}

// Until it is done: nobody else asks for it.
void NfsWriter::commit_later(const Handle& handle, Duration after) {
  if (stopping_ || !unstable_.wants_commit(handle)) return;
  (void)committers_.post_at(Clock::system().now() + after, [this, handle] {
    unstable_.commit_begins(handle);
    if (stopping_ || !unstable_.is_owed(handle)) return;
    const Result<void> done = commit(handle, Deadline::after(Clock::system(), timeout_));
    if (!done.ok()) commit_later(handle, pause_after(handle, done.error()));
  });
}

Duration NfsWriter::pause_after(const Handle& handle, const Error& error) {
  if (is_away(error)) return kRest;
  const Unstable::Failing failing =
      unstable_.commit_failed(handle, error.code(), Clock::system().now());
  if (error.code() == ESTALE) {
    // A server that is up before its disk is says so of everything.
    if (!names_.find("", Deadline::after(Clock::system(), timeout_)).ok()) {
      unstable_.not_stale(handle);
      return kRest;
    }
    if (failing.stale >= 2 * timeout_) {
      spdlog::error(
          "nfs: a file is gone at the server, and {} bytes that were written to it "
          "and not made durable with it",
          unstable_.give_up(handle));
    }
  } else if (failing.failures == 1) {
    spdlog::error("nfs: {} bytes that were written cannot be made durable: {}; it is tried again",
                  unstable_.held_bytes(handle), error.message());
  }
  const unsigned doublings = std::clamp(failing.failures, 1U, 6U) - 1;
  return std::min<Duration>(kRest * (1U << doublings), kLongestRest);
}

// At half of what may be held, and what is held for as long as a wait may take.
void NfsWriter::bring_down() {
  const uint64_t held = unstable_.held_bytes();
  if (held >= unstable_.bytes_max() / 2 && !stopping_ && !relieving_.exchange(true)) {
    (void)committers_.post([this] { relieve(); });
  }
  if (held > 0 && !stopping_ && !watching_age_.exchange(true)) {
    (void)timers_.post_at(Clock::system().now() + timeout_, [this] { commit_old(); });
  }
}

void NfsWriter::relieve() {
  for (const Handle& file : unstable_.files()) {
    if (stopping_ || unstable_.held_bytes() < unstable_.bytes_max() / 2) break;
    const Result<void> done = commit(file, Deadline::after(Clock::system(), timeout_));
    if (!done.ok() && is_away(done.error())) break;
    if (!done.ok()) commit_later(file, pause_after(file, done.error()));
  }
  relieving_ = false;
}

void NfsWriter::commit_old() {
  watching_age_ = false;
  const MonoTime then = Clock::system().now() - timeout_;
  for (const Handle& file : unstable_.files_held_since(then)) commit_later(file, Duration(0));
  bring_down();
}

}  // namespace netfs::origins::nfs
