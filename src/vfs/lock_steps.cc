// What becomes of a call about locks when its turn has come.

#include <algorithm>
#include <cerrno>
#include <unordered_set>
#include <utility>

#include "vfs/limits.h"
#include "vfs/lock_ask.h"
#include "vfs/lock_table.h"

namespace netfs::vfs {

namespace {

constexpr LockSpan kAll{};

}  // namespace

void LockTable::carry_out(LockedFile& file, const Ref<Ask>& ask) {
  note_what_is_taken_away(file);
  switch (ask->what) {
    case Ask::What::kSet:
      if (ask->wanted.range.mode == LockMode::kNone) return unlock_now(file, ask);
      return lock_now(file, ask);
    case Ask::What::kFind:
      return find_now(file, ask);
    case Ask::What::kCloseHandle:
      return close_now(file, ask);
    case Ask::What::kTidy:
      return end(file, ask, std::optional<LockedRange>());
  }
}

// The owner's holder; opened if there is none.
Result<OriginLock*> LockTable::holder_of(LockedFile& file, const Wanted& wanted) {
  const LockedFile::OwnerKey key{wanted.kind, wanted.range.owner};
  {
    sync::MutexLock lock(mutex_);
    const auto found = file.holders.find(key);
    if (found != file.holders.end()) return found->second.lock.get();
    if (holders_ >= kLockHoldersMax) return Error(ENOLCK, "vfs.lock");
  }
  std::unique_ptr<OriginLock> opened = TRY(parts_.open(wanted));
  OriginLock* const made = opened.get();
  sync::MutexLock lock(mutex_);
  Holder& holder = file.holders[key];
  holder.lock = std::move(opened);
  holder.node = wanted.node;
  holder.handle = wanted.handle;
  ++holders_;
  return made;
}

// Whether its owner has lost what he had of the file, and has not given it back yet.
bool LockTable::is_lost(const LockedFile& file, const Wanted& wanted) {
  sync::MutexLock lock(mutex_);
  const auto found = file.holders.find({wanted.kind, wanted.range.owner});
  return found != file.holders.end() && found->second.lost.count() > 0;
}

// What it may lose is not saved meanwhile, and what it brings is when it has.
Result<void> LockTable::set_at_origin(LockedFile& file, const Wanted& wanted, OriginLock& lock) {
  const LockedFile::OwnerKey key{wanted.kind, wanted.range.owner};
  keep(file, key);
  save_what_is_left(file, wanted);
  const Result<void> set =
      parts_.origin.set(lock, wanted.range.mode, wanted.range.span, deadline());
  const bool whole_is_gone = wanted.kind == LockKind::kWhole && set.is_error(EAGAIN);
  if (set.ok()) {
    sync::MutexLock guard(mutex_);
    file.of(wanted.kind).set(wanted.range);
    if (wanted.range.mode != LockMode::kNone) {
      Holder& mine = file.holders[key];
      mine.node = wanted.node;
      mine.handle = wanted.handle;
      mine.closing = false;
    }
  }
  if (!whole_is_gone) save(file, key);
  return set;
}

void LockTable::lock_now(LockedFile& file, const Ref<Ask>& ask) {
  const Wanted& wanted = ask->wanted;
  if (is_lost(file, wanted)) return end(file, ask, Error(EIO, "vfs.lock"));
  bool ours = false;
  bool full = parts_.saved.count() >= kLockedRangesOfMountMax;
  {
    sync::MutexLock lock(mutex_);
    const LockRanges& ranges = file.of(wanted.kind);
    ours = ranges.in_the_way(wanted.range).has_value();
    full = full || ranges.count() >= kLockedRangesMax;
  }
  if (full) return end(file, ask, Error(ENOLCK, "vfs.lock"));
  if (ours && wait_for_close(file, ask)) return;
  if (ours) {
    if (wanted.kind == LockKind::kWhole) lose_whole(file, wanted);
    return wait_or_refuse(file, ask, Behind::kOurs);
  }
  const Result<OriginLock*> holder = holder_of(file, wanted);
  // Somebody's lease on it: as his lock would be.
  if (holder.is_error(EAGAIN)) return wait_or_refuse(file, ask, Behind::kTheirs);
  if (!holder.ok()) return end(file, ask, holder.error());
  const Result<void> set = set_at_origin(file, wanted, *holder.value());
  if (set.is_error(EAGAIN)) {
    if (wanted.kind == LockKind::kWhole) lose_whole(file, wanted);
    return wait_or_refuse(file, ask, Behind::kTheirs);
  }
  if (!set.ok()) return end(file, ask, set.error());
  end(file, ask, std::optional<LockedRange>());
  wake(file);  // less than it was lets others in
}

// flock(2) gives back what it has before it waits for another mode: so two who share, and both want
// it for themselves, do not wait for each other.
void LockTable::lose_whole(LockedFile& file, const Wanted& wanted) {
  const LockedFile::OwnerKey key{wanted.kind, wanted.range.owner};
  OriginLock* holder = nullptr;
  {
    sync::MutexLock lock(mutex_);
    LockRanges& ranges = file.of(wanted.kind);
    if (!ranges.has_any(wanted.range.owner)) return;
    ranges.set({wanted.range.owner, LockMode::kNone, kAll, 0});
    holder = file.holders[key].lock.get();
  }
  save(file, key);
  (void)parts_.origin.set(*holder, LockMode::kNone, kAll, deadline());
  wake(file);
}

void LockTable::unlock_now(LockedFile& file, const Ref<Ask>& ask) {
  if (unlock_lost(file, ask)) return;
  const Wanted& wanted = ask->wanted;
  const LockedFile::OwnerKey key{wanted.kind, wanted.range.owner};
  OriginLock* holder = nullptr;
  Gone gone;
  {
    sync::MutexLock lock(mutex_);
    const auto found = file.holders.find(key);
    if (found == file.holders.end()) {
      // Nothing is held.
    } else if (wanted.range.span == kAll) {
      // By letting go of it all: that cannot fail.
      file.of(wanted.kind).set(wanted.range);
      gone = extract_locked(file, key);
    } else {
      holder = found->second.lock.get();
    }
  }
  let_go(std::move(gone));
  if (holder != nullptr) {
    const Result<void> set = set_at_origin(file, wanted, *holder);
    if (!set.ok()) return end(file, ask, set.error());
  }
  end(file, ask, std::optional<LockedRange>());
  wake(file);
}

// Who gives back what he has lost hears of it then, and has none of it any more.
bool LockTable::unlock_lost(LockedFile& file, const Ref<Ask>& ask) {
  const LockedFile::OwnerKey key{ask->wanted.kind, ask->wanted.range.owner};
  Gone gone;
  {
    sync::MutexLock lock(mutex_);
    const auto found = file.holders.find(key);
    if (found == file.holders.end() || found->second.lost.count() == 0) return false;
    LockRanges left = found->second.lost;
    left.set(ask->wanted.range);
    if (left.count() == 0) {
      gone = extract_locked(file, key);
    } else {
      found->second.lost = std::move(left);
    }
  }
  if (gone) {
    let_go(std::move(gone));
  } else {
    save(file, key);
  }
  end(file, ask, Error(EIO, "vfs.lock"));
  return true;
}

void LockTable::find_now(LockedFile& file, const Ref<Ask>& ask) {
  const Wanted& wanted = ask->wanted;
  if (is_lost(file, wanted)) return end(file, ask, Error(EIO, "vfs.lock"));
  std::optional<LockedRange> ours;
  {
    sync::MutexLock lock(mutex_);
    ours = file.of(wanted.kind).in_the_way(wanted.range);
  }
  if (ours && wait_for_close(file, ask)) return;
  if (ours) return end(file, ask, ours);
  const Result<OriginLock*> holder = holder_of(file, wanted);
  if (!holder.ok()) return end(file, ask, holder.error());
  end(file, ask,
      parts_.origin.find(*holder.value(), wanted.range.mode, wanted.range.span, deadline()));
}

void LockTable::close_now(LockedFile& file, const Ref<Ask>& ask) {
  std::vector<Gone> gone;
  {
    sync::MutexLock lock(mutex_);
    for (auto one = file.holders.begin(); one != file.holders.end();) {
      const auto next = std::next(one);
      if (one->second.handle == ask->wanted.handle) {
        const auto [kind, owner] = one->first;
        file.of(kind).set({owner, LockMode::kNone, kAll, 0});
        gone.push_back(extract_locked(file, one->first));
      }
      one = next;
    }
  }
  for (Gone& one : gone) let_go(std::move(one));
  end(file, ask, std::optional<LockedRange>());
  wake(file);
}

// Whether it would wait for somebody who waits, perhaps through others, for its own owner.
bool LockTable::closes_circle_locked(const LockedFile& file, const Ask& ask) {
  const LockedRange& mine = ask.wanted.range;
  std::vector<uint64_t> todo;
  std::unordered_set<uint64_t> seen;
  const auto add = [&](const LockedFile& in, const LockedRange& wanted) {
    // Each of those who share it: he may be the last to give it back.
    for (const uint64_t owner : in.of(LockKind::kRange).owners_in_the_way(wanted)) {
      if (seen.insert(owner).second) todo.push_back(owner);
    }
  };
  add(file, mine);
  while (!todo.empty() && !seen.contains(mine.owner)) {
    const uint64_t owner = todo.back();
    todo.pop_back();
    for (const auto& [pointer, other] : files_) {
      for (const Ref<Ask>& waits : other->blocked) {
        const bool theirs = waits->state == Ask::State::kBehindOurs && waits->wanted.waits &&
                            waits->wanted.kind == LockKind::kRange &&
                            waits->wanted.range.owner == owner;
        if (theirs) add(*other, waits->wanted.range);
      }
    }
  }
  return seen.contains(mine.owner);
}

void LockTable::wait_or_refuse(LockedFile& file, const Ref<Ask>& ask, Behind whom) {
  int code = 0;
  Duration pause{};
  {
    sync::MutexLock lock(mutex_);
    const bool ranges = ask->wanted.kind == LockKind::kRange;
    if (!ask->wanted.waits) {
      code = EAGAIN;
    } else if (ask->interrupted) {
      code = EINTR;
    } else if (waiting_ >= kLockWaitersMax) {
      code = ENOLCK;
    } else if (whom == Behind::kOurs && ranges && closes_circle_locked(file, *ask)) {
      code = EDEADLK;
    } else {
      ask->state = whom == Behind::kOurs ? Ask::State::kBehindOurs : Ask::State::kBehindTheirs;
      file.blocked.push_back(ask);
      ++waiting_;
      if (!std::exchange(ask->counted, true)) parts_.counters.locks_waited.add();
      pause = std::exchange(ask->pause, std::min(ask->pause * 2, kLockPauseMax));
    }
  }
  if (code != 0) return end(file, ask, Error(code, "vfs.lock"));
  if (whom == Behind::kOurs) return;
  (void)workers_.post_at(Clock::system().now() + pause, [this, ask] { ask_again(ask); });
}

// Who would be refused, or told, because of somebody whose handle was closed a moment ago, waits a
// little, once: FUSE tells of a last close behind the back of who closes.
bool LockTable::wait_for_close(LockedFile& file, const Ref<Ask>& ask) {
  const Wanted& wanted = ask->wanted;
  {
    sync::MutexLock lock(mutex_);
    if (wanted.waits || ask->graced) return false;
    const std::optional<LockedRange> theirs = file.of(wanted.kind).in_the_way(wanted.range);
    if (!theirs) return false;
    const auto holder = file.holders.find({wanted.kind, theirs->owner});
    if (holder == file.holders.end() || !holder->second.closing) return false;
    ask->graced = true;
    ask->state = Ask::State::kBehindOurs;
    file.blocked.push_back(ask);
    ++waiting_;
  }
  const MonoTime over = Clock::system().now() + parts_.close_grace;
  (void)workers_.post_at(over, [this, ask] { ask_again(ask); });
  return true;
}

void LockTable::ask_again(const Ref<Ask>& ask) {
  Ref<LockedFile> idle;
  {
    sync::MutexLock lock(mutex_);
    const bool waits =
        ask->state == Ask::State::kBehindOurs || ask->state == Ask::State::kBehindTheirs;
    if (!waits) return;
    std::erase(ask->file->blocked, ask);
    --waiting_;
    idle = queue_locked(ask);
  }
  begin(std::move(idle));
}

// Those whom nobody here is in the way of any more, in the order in which they came.
void LockTable::wake(LockedFile& file) {
  sync::MutexLock lock(mutex_);
  std::vector<Ref<Ask>> still;
  for (Ref<Ask>& ask : file.blocked) {
    const bool goes = ask->state == Ask::State::kBehindOurs &&
                      !file.of(ask->wanted.kind).in_the_way(ask->wanted.range);
    if (!goes) {
      still.push_back(std::move(ask));
      continue;
    }
    ask->state = Ask::State::kQueued;
    file.queue.push_back(std::move(ask));
    --waiting_;
  }
  file.blocked = std::move(still);
}

}  // namespace netfs::vfs
