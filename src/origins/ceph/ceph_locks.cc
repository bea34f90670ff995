#include "origins/ceph/ceph_locks.h"

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <sys/file.h>
#include <unistd.h>
#include <utility>

#include "origins/ceph/ceph_file.h"
#include "origins/ceph/names.h"

namespace netfs::origins::ceph {

namespace {

// For who gives back a lock, and whoever asks for it next.
constexpr Duration kGiveBackTimeout = std::chrono::seconds(1);
// For writes whose callers were told ETIMEDOUT: threads of calls wait for them.
constexpr Duration kLateWriteTimeout = std::chrono::seconds(5);

short type_of(LockMode mode) {
  return mode == LockMode::kNone ? F_UNLCK : mode == LockMode::kShared ? F_RDLCK : F_WRLCK;
}

struct flock range_of(LockMode mode, const LockSpan& span) {
  struct flock range {};
  range.l_type = type_of(mode);
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(span.first);
  // 0: to the end, however far that is.
  range.l_len = span.last == kLockEnd ? 0 : static_cast<off_t>(span.last - span.first + 1);
  range.l_pid = ::getpid();
  return range;
}

int operation_of(LockMode mode) {
  const int operation = mode == LockMode::kNone     ? LOCK_UN
                        : mode == LockMode::kShared ? LOCK_SH
                                                    : LOCK_EX;
  return operation | LOCK_NB;
}

// What a holder has open: a handle for ranges, a descriptor for all of a file.  On the threads of
// Calls alone; a call that is late may still be at work when all is given back.
class Holding final : public RefCounted<Holding> {
 public:
  Holding(Ref<OpenHandle> file, uint64_t owner)
      : session_(file->node().session_ref()), file_(std::move(file)), owner_(owner) {}
  Holding(Ref<Session> session, int descriptor, uint64_t owner)
      : session_(std::move(session)), descriptor_(descriptor), owner_(owner) {}
  ~Holding() {
    if (!given_back_) give_back();
    if (descriptor_ >= 0) (void)::ceph_close(session_->mount(), descriptor_);
  }

  [[nodiscard]] const Session& session() const { return *session_; }
  Result<void> set(LockMode mode, const LockSpan& span) {
    if (session_->is_gone()) return Error(ENOTCONN, "ceph.lock");
    touched_ = true;
    const int answer = ask(mode, span);
    if (answer < 0) return session_->error(answer, "ceph.lock");
    if (given_back_) (void)ask(LockMode::kNone, {});
    return {};
  }
  void give_back() {
    given_back_ = true;
    if (touched_ && !session_->is_gone()) (void)ask(LockMode::kNone, {});
  }
  Result<std::optional<LockedRange>> find(LockMode mode, const LockSpan& span) {
    if (!file_) return Error(EINVAL, "ceph.lock");
    if (session_->is_gone()) return Error(ENOTCONN, "ceph.lock");
    struct flock range = range_of(mode, span);
    const int answer = ::ceph_ll_getlk(session_->mount(), file_->get(), &range, owner_);
    if (answer < 0) return session_->error(answer, "ceph.lock");
    if (range.l_type == F_UNLCK) return std::optional<LockedRange>();
    LockedRange found;
    found.mode = range.l_type == F_RDLCK ? LockMode::kShared : LockMode::kExclusive;
    found.span.first = static_cast<uint64_t>(range.l_start);
    if (range.l_len > 0) {
      found.span.last = found.span.first + static_cast<uint64_t>(range.l_len) - 1;
    }
    found.pid = range.l_pid > 0 ? static_cast<uint32_t>(range.l_pid) : 0;
    return std::optional<LockedRange>(found);
  }

 private:
  int ask(LockMode mode, const LockSpan& span) {
    if (!file_) {
      return ::ceph_flock(session_->mount(), descriptor_, operation_of(mode), owner_);
    }
    struct flock range = range_of(mode, span);
    return ::ceph_ll_setlk(session_->mount(), file_->get(), &range, owner_, 0);
  }

  const Ref<Session> session_;
  const Ref<OpenHandle> file_;  // of ranges; perhaps that by which others read and write
  const int descriptor_ = -1;   // of whole files
  const uint64_t owner_;
  std::atomic<bool> touched_{false};  // it may hold something
  std::atomic<bool> given_back_{false};
};

class CephLock final : public OriginLock {
 public:
  CephLock(Ref<Holding> holding, Calls& calls, std::atomic<bool>& answers)
      : holding_(std::move(holding)), calls_(calls), answers_(answers) {}
  // Who is told that it is given back is to find it free; but not if nobody answers.
  ~CephLock() override {
    const bool waits = answers_.load() && !is_lost();
    // A write that is late was made under it, and is to be there before somebody else has it.
    auto end = [holding = std::move(holding_), late = calls_.late_changes()]() -> Result<void> {
      (void)late->wait_for_none(Deadline::within(kLateWriteTimeout));
      holding->give_back();
      return {};
    };
    if (!waits) {
      (void)calls_.post([end = std::move(end)]() mutable { (void)end(); });
      return;
    }
    const Result<void> ended =
        calls_.run(Calls::Kind::kLook, Deadline::within(kGiveBackTimeout), std::move(end));
    if (ended.is_error(ETIMEDOUT)) answers_.store(false);
  }
  CephLock(const CephLock&) = delete;
  CephLock& operator=(const CephLock&) = delete;

  [[nodiscard]] bool is_lost() const override { return holding_->session().is_gone(); }
  [[nodiscard]] const Ref<Holding>& holding() const { return holding_; }

 private:
  Ref<Holding> holding_;
  Calls& calls_;
  std::atomic<bool>& answers_;
};

struct Begun {
  Ref<Holding> holding;
  NodeInfo info;
};

// By a handle that is open, unless its client is gone, or by its path.
Result<Begun> begin_ranges(const Ref<Sessions>& sessions, const std::string& path,
                           const Ref<OpenHandle>& open, uint64_t owner) {
  Ref<OpenHandle> file = open;
  if (!file || file->session().is_gone()) {
    Found found = TRY(find(sessions, path));
    Result<Ref<OpenHandle>> opened = open_node(std::move(found), O_RDONLY);
    if (opened.is_error(EACCES)) opened = open_node(TRY(find(sessions, path)), O_WRONLY);
    file = TRY(std::move(opened));
  }
  Begun begun;
  begun.info = TRY(look_at(file->node()));
  begun.holding = make_ref<Holding>(std::move(file), owner);
  return begun;
}

Result<Begun> begin_whole(const Ref<Sessions>& sessions, const std::string& path,
                          const Ref<OpenHandle>& open, uint64_t owner) {
  const bool by_handle = open && !open->session().is_gone();
  const Ref<Session> session = by_handle ? open->node().session_ref() : TRY(sessions->acquire());
  std::string wanted;
  if (by_handle) wanted = TRY(look_at(open->node())).identity;
  const std::string from_root = "/" + path;
  int descriptor = ::ceph_open(session->mount(), from_root.c_str(), O_RDONLY | O_NOFOLLOW, 0);
  if (descriptor == -EACCES) {
    descriptor = ::ceph_open(session->mount(), from_root.c_str(), O_WRONLY | O_NOFOLLOW, 0);
  }
  // Where it has no name any more, there is no other way to it.
  if (by_handle && descriptor == -ENOENT) return Error(ENOLCK, "ceph.lock");
  if (descriptor < 0) return session->error(descriptor, "ceph.lock");
  Begun begun;
  begun.holding = make_ref<Holding>(session, descriptor, owner);
  struct ceph_statx stx {};
  const int asked = ::ceph_fstatx(session->mount(), descriptor, &stx, CEPH_STATX_ALL_STATS, 0);
  if (asked < 0) return session->error(asked, "ceph.lock");
  begun.info = info_of(stx);
  if (by_handle && begun.info.identity != wanted) return Error(ENOLCK, "ceph.lock");
  return begun;
}

const Ref<Holding>& holding_of(OriginLock& lock) {
  return static_cast<const CephLock&>(lock).holding();
}

}  // namespace

CephLocks::CephLocks(Calls& calls, Ref<Sessions> sessions)
    : calls_(calls), sessions_(std::move(sessions)) {}

Result<OriginLocks::Opened> CephLocks::open(const FileAt& file, LockKind kind, Deadline deadline) {
  Ref<OpenHandle> handle;
  if (file.open != nullptr) handle = static_cast<CephFile*>(file.open)->handle();
  const uint64_t owner = ++last_owner_;
  Result<Begun> begun = calls_.look(deadline,
                                    [sessions = sessions_, path = file.path,
                                     handle = std::move(handle), kind, owner]() -> Result<Begun> {
                                      return kind == LockKind::kRange
                                                 ? begin_ranges(sessions, path, handle, owner)
                                                 : begin_whole(sessions, path, handle, owner);
                                    });
  Begun made = TRY(std::move(begun));
  return Opened{.lock = std::make_unique<CephLock>(std::move(made.holding), calls_, answers_),
                .info = std::move(made.info)};
}

Result<void> CephLocks::set(OriginLock& lock, LockMode mode, const LockSpan& span,
                            Deadline deadline) {
  Result<void> set =
      calls_.run(Calls::Kind::kChange, deadline,
                 [holding = holding_of(lock), mode, span] { return holding->set(mode, span); });
  if (set.ok() || set.is_error(EAGAIN)) answers_.store(true);
  return set;
}

Result<std::optional<LockedRange>> CephLocks::find(OriginLock& lock, LockMode mode,
                                                   const LockSpan& span, Deadline deadline) {
  return calls_.run(Calls::Kind::kLook, deadline,
                    [holding = holding_of(lock), mode, span] { return holding->find(mode, span); });
}

}  // namespace netfs::origins::ceph
