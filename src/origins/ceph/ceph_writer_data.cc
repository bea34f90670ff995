// CephWriter: the bytes of files, what makes them durable, and extended attributes that are read.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <utility>

#include "origins/ceph/ceph_writer.h"
#include "origins/ceph/held.h"
#include "origins/ceph/names.h"

namespace netfs::origins::ceph {

namespace {

// A write under way: its bytes are taken, and then it may become late, or not begin any more.
class Outgoing final : public RefCounted<Outgoing> {
 public:
  Outgoing(WriteSubrequest& subrequest, Ref<LateChanges> late)
      : late_(std::move(late)), subrequest_(subrequest) {}

  // Null: its time is up.
  std::unique_ptr<char[]> begin() EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    if (state_ != State::kQueued) return nullptr;
    state_ = State::kRunning;
    auto bytes = std::make_unique_for_overwrite<char[]>(subrequest_.source().size());
    if (!subrequest_.source().empty()) {
      std::memcpy(bytes.get(), subrequest_.source().data(), subrequest_.source().size());
    }
    return bytes;
  }
  // At its deadline.
  void leave() EXCLUDES(mutex_) {
    {
      sync::MutexLock lock(mutex_);
      if (state_ == State::kRunning) late_->begins();
      state_ = State::kLeft;
    }
    subrequest_.terminated({.transferred_bytes = Error(ETIMEDOUT, "ceph.write")});
  }
  // Of one that was left.
  void ended_late() { late_->ended(); }
  [[nodiscard]] WriteSubrequest& subrequest() const { return subrequest_; }

 private:
  enum class State : uint8_t { kQueued, kRunning, kLeft };

  const Ref<LateChanges> late_;
  WriteSubrequest& subrequest_;
  sync::Mutex mutex_{kTransferLock};
  State state_ GUARDED_BY(mutex_) = State::kQueued;
};

WriteOutcome write_range(const OpenHandle& file, ByteRange range, const char* from,
                         WantsSeen wants) {
  WriteOutcome outcome;
  if (Result<void> usable = file.usable(); !usable.ok()) {
    outcome.transferred_bytes = usable.error();
    return outcome;
  }
  if (wants.before) {
    if (Result<NodeInfo> before = look_at(file.node()); before.ok()) {
      outcome.seen.before = std::move(before.value().validator);
    }
  }
  uint64_t done = 0;
  while (done < range.length_bytes) {
    const int n = ::ceph_ll_write(file.session().mount(), file.get(),
                                  static_cast<int64_t>(range.offset_bytes + done),
                                  range.length_bytes - done, from + done);
    // What came before a full pool is written: the next attempt hears of the pool.
    if (n <= 0) {
      if (done > 0) break;
      outcome.transferred_bytes =
          n == 0 ? Error(EIO, "ceph.write") : file.session().error(n, "ceph.write");
      return outcome;
    }
    done += static_cast<uint64_t>(n);
  }
  outcome.transferred_bytes = done;
  if (wants.after) {
    if (Result<NodeInfo> after = look_at(file.node()); after.ok()) {
      outcome.seen.after = std::move(after).value();
    }
  }
  return outcome;
}

// Calls `ask(buffer, bytes)` with more and more room until the answer fits.
template <class Ask>
Result<std::string> ask_growing(Session& session, Ask ask, const char* context) {
  std::string room;
  for (int attempt = 0; attempt < 16; ++attempt) {
    const int wanted = ask(nullptr, 0);
    if (wanted < 0) return session.error(wanted, context);
    room.resize(static_cast<size_t>(wanted));
    if (wanted == 0) return room;
    const int got = ask(room.data(), room.size());
    if (got >= 0) {
      room.resize(static_cast<size_t>(got));
      return room;
    }
    if (got != -ERANGE) return session.error(got, context);
  }
  return Error(EAGAIN, context);
}

}  // namespace

void CephWriter::issue_write(WriteSubrequest& subrequest) {
  auto outgoing = make_ref<Outgoing>(subrequest, calls_.late_changes());
  const Deadline deadline = subrequest.deadline();
  const Overdue::Ticket ticket = overdue_->add(deadline, [outgoing] { outgoing->leave(); });
  const bool posted =
      transfers_.post([overdue = overdue_, late = calls_.late_changes(), outgoing, ticket, deadline,
                       range = subrequest.range(), wants = subrequest.wants(),
                       file = static_cast<CephFile&>(subrequest.file()).handle()]() mutable {
        // Past its deadline there is nobody to be told.
        if (!late->wait_for_none(deadline).ok()) return;
        const std::unique_ptr<char[]> bytes = outgoing->begin();
        if (!bytes) return;
        WriteOutcome outcome = write_range(*file, range, bytes.get(), wants);
        file = nullptr;
        if (overdue->claim(ticket)) return outgoing->subrequest().terminated(std::move(outcome));
        outgoing->ended_late();
      });
  if (!posted && overdue_->claim(ticket)) {
    subrequest.terminated({.transferred_bytes = Error(ENOTCONN, "ceph.write")});
  }
}

Result<void> CephWriter::sync(const FileAt& file, SyncKind kind, Deadline deadline) {
  return calls_.run(
      Calls::Kind::kLook, deadline, [held = Held(sessions_, file), kind]() mutable -> Result<void> {
        const Node* const node = TRY(held.node());
        Session& session = node->session();
        const int data_only = kind == SyncKind::kData ? 1 : 0;
        const int synced = held.open() != nullptr
                               ? ::ceph_ll_fsync(session.mount(), held.open()->get(), data_only)
                               : ::ceph_ll_sync_inode(session.mount(), node->inode(), data_only);
        if (synced < 0) return session.error(synced, "ceph.sync");
        return {};
      });
}

Result<void> CephWriter::sync_all(Deadline deadline) {
  return calls_.run(Calls::Kind::kLook, deadline, [sessions = sessions_]() -> Result<void> {
    const Ref<Session> session = TRY(sessions->acquire());
    const int synced = ::ceph_sync_fs(session->mount());
    if (synced < 0) return session->error(synced, "ceph.sync");
    return {};
  });
}

Result<Seen> CephWriter::allocate(OriginFile& file, uint32_t mode, ByteRange range,
                                  Deadline deadline) {
  return calls_.run(
      Calls::Kind::kChange, deadline,
      [held = Held(sessions_, {.path = "", .open = &file}), mode, range]() mutable -> Result<Seen> {
        const Node* const node = TRY(held.node());
        Session& session = node->session();
        Seen seen;
        seen.before = TRY(look_at(*node)).validator;
        const int allocated = ::ceph_ll_fallocate(
            session.mount(), held.open()->get(), static_cast<int>(mode),
            static_cast<int64_t>(range.offset_bytes), static_cast<int64_t>(range.length_bytes));
        if (allocated < 0) return session.error(allocated, "ceph.allocate");
        seen.after = TRY(look_at(*node));
        return seen;
      });
}

Result<std::string> CephWriter::get_xattr(const FileAt& file, const std::string& name,
                                          Deadline deadline) {
  return calls_.run(Calls::Kind::kLook, deadline,
                    [held = Held(sessions_, file), name]() mutable -> Result<std::string> {
                      const Node* const node = TRY(held.node());
                      Session& session = node->session();
                      return ask_growing(
                          session,
                          [&](char* to, size_t bytes) {
                            return ::ceph_ll_getxattr(session.mount(), node->inode(), name.c_str(),
                                                      to, bytes, session.user());
                          },
                          "ceph.get_xattr");
                    });
}

Result<std::vector<std::string>> CephWriter::list_xattrs(const FileAt& file, Deadline deadline) {
  return calls_.run(Calls::Kind::kLook, deadline,
                    [held = Held(sessions_, file)]() mutable -> Result<std::vector<std::string>> {
                      const Node* const node = TRY(held.node());
                      Session& session = node->session();
                      const std::string all = TRY(ask_growing(
                          session,
                          [&](char* to, size_t bytes) {
                            size_t length = 0;
                            const int listed = ::ceph_ll_listxattr(
                                session.mount(), node->inode(), to, bytes, &length, session.user());
                            return listed < 0 ? listed : static_cast<int>(length);
                          },
                          "ceph.list_xattrs"));
                      std::vector<std::string> names;
                      for (size_t at = 0; at < all.size();) {
                        names.emplace_back(all.c_str() + at);
                        at += names.back().size() + 1;
                      }
                      return names;
                    });
}

}  // namespace netfs::origins::ceph
