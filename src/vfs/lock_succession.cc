// What of locks outlives this process, and how a process after this one holds them on.
//
// What is saved of an owner is never more than he holds at the origin: it is taken back before the
// origin is asked for less, and added once that has given more, which is before the kernel is told.
// So what is claimed again was his; what was under way, the kernel asks for again.

#include <algorithm>
#include <atomic>
#include <utility>

#include "telemetry/log.h"
#include "vfs/lock_ask.h"
#include "vfs/lock_table.h"

namespace netfs::vfs {

namespace {

// Of what somebody has, as much as stays his if he asks for that.
void add_what_is_left(const LockedRange& has, LockKind kind, const LockedRange& asked,
                      std::vector<LockedRange>& left) {
  const bool of_range = kind == LockKind::kRange;
  const bool stays = !has.span.overlaps(asked.span) || has.mode == asked.mode ||
                     (of_range && asked.mode == LockMode::kExclusive);
  if (stays) return left.push_back(has);
  LockedRange part = has;
  if (has.span.first < asked.span.first) {
    part.span.last = asked.span.first - 1;
    left.push_back(part);
  }
  if (of_range && asked.mode == LockMode::kShared) {
    part.mode = LockMode::kShared;
    part.span = {std::max(has.span.first, asked.span.first),
                 std::min(has.span.last, asked.span.last)};
    left.push_back(part);
  }
  if (has.span.last > asked.span.last) {
    part = has;
    part.span.first = asked.span.last + 1;
    left.push_back(part);
  }
}

void tell_of_one_not_kept() {
  static std::atomic<bool> told{false};
  if (told.exchange(true)) return;
  telemetry::log_warn("vfs",
                      "a lock's descriptor cannot be kept for a process after this one: the lock "
                      "ends with this process, and who holds it is told then; 'netfs status' "
                      "counts such locks");
}

}  // namespace

// Its holder gets a number, and its descriptor is kept, before it holds anything.  One that cannot
// be kept locks all the same, and is tried again when its owner locks more; until then it is lost
// with this process, and the next one says so.
void LockTable::keep(LockedFile& file, const LockedFile::OwnerKey& key) {
  uint64_t number = 0;
  int descriptor = -1;
  {
    sync::MutexLock lock(mutex_);
    const Holder& holder = file.holders[key];
    number = holder.number;
    if (parts_.keeper != nullptr && !holder.kept) descriptor = holder.lock->descriptor();
  }
  if (number == 0) {
    number = parts_.saved.new_number();
    sync::MutexLock lock(mutex_);
    file.holders[key].number = number;
  }
  if (descriptor < 0) return;
  const bool kept = parts_.keeper->keep(key_of(key.first, number), descriptor);
  {
    sync::MutexLock lock(mutex_);
    file.holders[key].kept = kept;
  }
  if (kept) return;
  parts_.counters.locks_not_kept.add();
  tell_of_one_not_kept();
}

// As it is.
void LockTable::save(LockedFile& file, const LockedFile::OwnerKey& key) {
  const auto [kind, owner] = key;
  uint64_t number = 0;
  SavedLocks::Owner who{.kind = kind, .owner = owner};
  std::vector<LockedRange> ranges;
  {
    sync::MutexLock lock(mutex_);
    const Holder& holder = file.holders[key];
    number = holder.number;
    who.node = holder.node;
    who.handle = holder.handle;
    who.lost = holder.lost.count() > 0;
    who.lost_now = holder.lost_now;
    ranges = who.lost ? holder.lost.of(owner) : file.of(kind).of(owner);
  }
  parts_.saved.set(number, who, ranges);
}

// As much of what an owner has as is his whichever way the origin is asked next, and whatever it
// says.  flock(2) may lose all that is to be changed.
void LockTable::save_what_is_left(LockedFile& file, const Wanted& wanted) {
  const LockedRange& asked = wanted.range;
  uint64_t number = 0;
  SavedLocks::Owner who{.kind = wanted.kind, .owner = asked.owner};
  std::vector<LockedRange> left;
  {
    sync::MutexLock lock(mutex_);
    const Holder& holder = file.holders[{wanted.kind, asked.owner}];
    number = holder.number;
    who.node = holder.node;
    who.handle = holder.handle;
    for (const LockedRange& range : file.of(wanted.kind).of(asked.owner)) {
      add_what_is_left(range, wanted.kind, asked, left);
    }
  }
  if (number != 0) parts_.saved.set(number, who, left);
}

LockTable::Gone LockTable::extract_locked(LockedFile& file, const LockedFile::OwnerKey& key) {
  Gone gone = file.holders.extract(key);
  if (!gone) return gone;
  --holders_;
  if (gone.mapped().lost.count() > 0) --lost_;
  return gone;
}

// Without a lock.  It is forgotten first: nobody claims what is given back.
void LockTable::let_go(Gone gone) {
  if (!gone) return;
  Holder& holder = gone.mapped();
  if (holder.number != 0) parts_.saved.forget(holder.number);
  holder.lock.reset();
  if (holder.kept) {
    parts_.keeper->drop(key_of(gone.key().first, holder.number));
  }
}

// What the process before had asked for and not yet noted nobody was told of.
Result<void> LockTable::give_back_gaps(OriginLock& lock, const SavedLocks::Left& left,
                                       Deadline until) {
  if (left.owner.kind == LockKind::kWhole) return {};
  std::vector<LockSpan> held;
  for (const LockedRange& range : left.ranges) held.push_back(range.span);
  std::sort(held.begin(), held.end(),
            [](const LockSpan& a, const LockSpan& b) { return a.first < b.first; });
  uint64_t next = 0;
  for (const LockSpan& span : held) {
    if (span.first > next) {
      TRY(parts_.origin.set(lock, LockMode::kNone, {next, span.first - 1}, until));
    }
    if (span.last >= kLockEnd) return {};
    next = span.last + 1;
  }
  return parts_.origin.set(lock, LockMode::kNone, {next, kLockEnd}, until);
}

Result<std::unique_ptr<OriginLock>> LockTable::claim(const SavedLocks::Left& left, const Heir& heir,
                                                     UniqueFd kept, Deadline until) {
  std::unique_ptr<OriginLock> lock;
  bool is_anothers = false;
  // What was kept is held, however late it is.
  if (kept) until = Deadline::after(parts_.clock, parts_.timeout);
  if (kept) {
    Result<OriginLocks::Opened> taken = parts_.origin.take_over(std::move(kept), left.owner.kind);
    if (taken.ok()) {
      const std::string& identity = taken.value().info.identity;
      const bool both_tell = !identity.empty() && !heir.identity.empty();
      is_anothers = both_tell && identity != heir.identity;
      lock = std::move(taken.value().lock);
    }
  }
  // What was kept of it is given back by that.
  if (left.owner.lost) return Error(EIO, "vfs.lock");
  // A netfs between that knew nothing of what a service manager keeps has left it there.
  if (is_anothers) return Error(EIO, "vfs.lock", "what was kept of it is of another file");
  if (!heir.has_handle) return Error(ESTALE, "vfs.lock", "what it was taken through is damaged");
  if (!lock && parts_.ends_with_process) {
    return Error(EIO, "vfs.lock", "it has ended with the process before this one");
  }
  if (!lock && until.passed(parts_.clock.now())) return Error(ETIMEDOUT, "vfs.lock");
  if (lock) TRY(give_back_gaps(*lock, left, until));
  if (!lock) {
    lock = TRY(parts_.open({.node = left.owner.node,
                            .identity = heir.identity,
                            .handle = left.owner.handle,
                            .kind = left.owner.kind}));
    // Where a descriptor holds it and nobody had that, somebody else may have had the lock since,
    // and given it back.
    const bool lapsed = parts_.keeper != nullptr && lock->descriptor() >= 0;
    if (lapsed) return Error(EIO, "vfs.lock", "nobody held it when the process before this died");
  }
  for (const LockedRange& range : left.ranges) {
    TRY(parts_.origin.set(*lock, range.mode, range.span, until));
  }
  return lock;
}

void LockTable::take_over(const SavedLocks::Left& left, const Heir& heir, UniqueFd kept,
                          Deadline until) {
  const auto [node, handle, kind, owner, was_lost, was_lost_now] = left.owner;
  const bool was_kept = bool(kept);
  Result<std::unique_ptr<OriginLock>> claimed = claim(left, heir, std::move(kept), until);
  const bool holds = claimed.ok();
  if (!holds && !was_lost) {
    parts_.counters.locks_lost.add();
    telemetry::log_warn("vfs", "a lock of process {} is lost: {}", left.ranges.front().pid,
                        claimed.error().message());
  }
  const LockedFile::OwnerKey key{kind, owner};
  Ref<LockedFile> file;
  {
    sync::MutexLock lock(mutex_);
    file = file_of_locked({.node = node, .identity = heir.identity});
    Holder& holder = file->holders[key];
    holder.node = node;
    holder.handle = handle;
    holder.number = left.number;
    holder.lost_now = !holds && (!was_lost || was_lost_now);
    LockRanges& ranges = holds ? file->of(kind) : holder.lost;
    ranges.add(left.ranges);
    if (holds) holder.lock = std::move(claimed).value();
    holder.kept = holds && was_kept;
    ++holders_;
    if (!holds) ++lost_;
  }
  save(*file, key);
  if (!holds && was_kept) parts_.keeper->drop(key_of(kind, left.number));
}

// Whom the origin has taken away what he held is one who has lost it; who held nothing yet gets
// another holder.
void LockTable::note_what_is_taken_away(LockedFile& file) {
  std::vector<LockedFile::OwnerKey> lost;
  std::vector<Gone> gone;
  {
    sync::MutexLock lock(mutex_);
    for (auto one = file.holders.begin(); one != file.holders.end();) {
      const auto next = std::next(one);
      auto& [key, holder] = *one;
      if (holder.lock != nullptr && holder.lock->is_lost()) {
        const auto [kind, owner] = key;
        const std::vector<LockedRange> had = file.of(kind).of(owner);
        if (had.empty()) {
          gone.push_back(extract_locked(file, key));
        } else {
          file.of(kind).set({owner, LockMode::kNone, {}, 0});
          holder.lost.add(had);
          ++lost_;
          lost.push_back(key);
        }
      }
      one = next;
    }
  }
  for (Gone& one : gone) let_go(std::move(one));
  for (const LockedFile::OwnerKey& key : lost) lose(file, key);
  if (!lost.empty()) wake(file);
}

void LockTable::lose(LockedFile& file, const LockedFile::OwnerKey& key) {
  std::unique_ptr<OriginLock> holder;
  uint64_t number = 0;
  bool kept = false;
  uint32_t pid = 0;
  {
    sync::MutexLock lock(mutex_);
    Holder& loser = file.holders[key];
    holder = std::move(loser.lock);
    number = loser.number;
    kept = std::exchange(loser.kept, false);
    pid = loser.lost.of(key.second).front().pid;
  }
  save(file, key);
  parts_.counters.locks_lost.add();
  telemetry::log_warn("vfs", "a lock of process {} is lost: the origin has taken it away", pid);
  if (kept) parts_.keeper->drop(key_of(key.first, number));
}

// Of what is saved each time: a process that is killed before this leaves it to the next one.
void LockTable::forget_lost_now() {
  if (!has_lost()) return;
  std::vector<std::pair<Ref<LockedFile>, LockedFile::OwnerKey>> settled;
  {
    sync::MutexLock lock(mutex_);
    for (const auto& [pointer, file] : files_) {
      for (auto& [key, holder] : file->holders) {
        if (std::exchange(holder.lost_now, false)) settled.emplace_back(file, key);
      }
    }
  }
  for (const auto& [file, key] : settled) save(*file, key);
}

// By an unlock, not by its close: the kernel asks again for what was under way, and must not be
// refused because of a copy that is still to be dropped.
void LockTable::give_back_left(uint64_t key, UniqueFd kept) {
  const auto kind = static_cast<LockKind>((key >> kLockKindShift) & 1);
  (void)parts_.origin.take_over(std::move(kept), kind);
  if (parts_.keeper != nullptr) parts_.keeper->drop(key);
}

}  // namespace netfs::vfs
