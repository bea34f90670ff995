#include "netfs/late_locks.h"

#include <cerrno>
#include <utility>

#include "netfs/lock_descriptor.h"

namespace netfs {

namespace {

// One of the origin's, or a descriptor that was one's and came before the origin did.
struct LateLock final : OriginLock {
  explicit LateLock(std::unique_ptr<OriginLock> its) : inner(std::move(its)) {}
  LateLock(UniqueFd its, LockKind sort) : kept(std::move(its)), kind(sort) {}
  // By its close alone others would hold it on, who have copies.
  ~LateLock() override {
    if (kept) (void)set_lock_by_descriptor(kept.get(), kind, LockMode::kNone, {}).ok();
  }
  [[nodiscard]] int descriptor() const override {
    return inner != nullptr ? inner->descriptor() : kept.get();
  }
  [[nodiscard]] bool is_lost() const override { return inner != nullptr && inner->is_lost(); }

  const std::unique_ptr<OriginLock> inner;  // then the origin is there
  const UniqueFd kept;
  const LockKind kind = LockKind::kRange;
};

}  // namespace

Result<OriginLocks::Opened> LateLocks::open(const FileAt& file, LockKind kind, Deadline deadline) {
  OriginLocks* locks = TRY(origin_.reach(deadline))->locks();
  if (locks == nullptr) return Error(ENOLCK, "lock");
  Opened opened = TRY(locks->open(file, kind, deadline));
  opened.lock = std::make_unique<LateLock>(std::move(opened.lock));
  return opened;
}

Result<OriginLocks::Opened> LateLocks::take_over(UniqueFd descriptor, LockKind kind) {
  Origin* there = origin_.there_.load();
  Opened taken;
  if (there == nullptr) {
    taken.lock = std::make_unique<LateLock>(std::move(descriptor), kind);
    return taken;
  }
  if (there->locks() == nullptr) return Error(ENOTSUP, "lock.take_over");
  taken = TRY(there->locks()->take_over(std::move(descriptor), kind));
  taken.lock = std::make_unique<LateLock>(std::move(taken.lock));
  return taken;
}

Result<void> LateLocks::set(OriginLock& lock, LockMode mode, const LockSpan& span,
                            Deadline deadline) {
  const auto& late = static_cast<const LateLock&>(lock);
  if (late.inner == nullptr) return set_lock_by_descriptor(late.kept.get(), late.kind, mode, span);
  return origin_.there_.load()->locks()->set(*late.inner, mode, span, deadline);
}

Result<std::optional<LockedRange>> LateLocks::find(OriginLock& lock, LockMode mode,
                                                   const LockSpan& span, Deadline deadline) {
  const auto& late = static_cast<const LateLock&>(lock);
  if (late.inner == nullptr) return find_lock_by_descriptor(late.kept.get(), mode, span);
  return origin_.there_.load()->locks()->find(*late.inner, mode, span, deadline);
}

}  // namespace netfs
