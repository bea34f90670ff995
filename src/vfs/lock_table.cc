// Who asks, who is told, and in which turn; what is done then stands in lock_steps.cc.

#include "vfs/lock_table.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "vfs/limits.h"
#include "vfs/lock_ask.h"

namespace netfs::vfs {

LockTable::LockTable(Parts parts)
    : parts_(std::move(parts)), workers_({.name = "netfs-locks", .threads = kLockThreads}) {}

LockTable::~LockTable() {
  stop();
}

void LockTable::stop() {
  {
    sync::MutexLock lock(mutex_);
    stopped_ = true;
  }
  workers_.stop();
  std::vector<Ref<Ask>> left;
  std::unordered_map<LockedFile*, Ref<LockedFile>> files;
  {
    sync::MutexLock lock(mutex_);
    for (const auto& [pointer, file] : files_) {
      left.insert(left.end(), file->queue.begin(), file->queue.end());
      left.insert(left.end(), file->blocked.begin(), file->blocked.end());
      file->queue.clear();
      file->blocked.clear();
    }
    for (const auto& [unique, ask] : by_unique_) left.push_back(ask);
    by_unique_.clear();
    by_node_.clear();
    by_identity_.clear();
    files.swap(files_);
    holders_ = 0;
    lost_ = 0;
    waiting_ = 0;
    known_ = 0;
    for (const Ref<Ask>& ask : left) ask->file = nullptr;
  }
}

LockTable::LockedFile* LockTable::known_locked(fuse::NodeId node) {
  const auto found = by_node_.find(node.value);
  return found == by_node_.end() ? nullptr : found->second;
}

// By its node, or by its identity: a file with two names, or two versions, may be two nodes.
LockTable::LockedFile* LockTable::known_locked(fuse::NodeId node, const std::string& identity) {
  LockedFile* const file = known_locked(node);
  if (file != nullptr || identity.empty()) return file;
  const auto found = by_identity_.find(identity);
  return found == by_identity_.end() ? nullptr : found->second;
}

Ref<LockTable::LockedFile> LockTable::file_of_locked(const Wanted& wanted) {
  LockedFile* file = known_locked(wanted.node);
  if (file != nullptr) return Ref<LockedFile>(file);
  file = known_locked(wanted.node, wanted.identity);
  if (file == nullptr) {
    Ref<LockedFile> made = make_ref<LockedFile>();
    file = made.get();
    file->identity = wanted.identity;
    files_.emplace(file, std::move(made));
    if (!file->identity.empty()) by_identity_[file->identity] = file;
    known_ = files_.size();
  }
  file->nodes.push_back(wanted.node.value);
  by_node_[wanted.node.value] = file;
  return Ref<LockedFile>(file);
}

void LockTable::forget_if_unused_locked(LockedFile& file) {
  if (file.running || !file.queue.empty() || !file.blocked.empty() || !file.holders.empty()) return;
  for (const uint64_t node : file.nodes) by_node_.erase(node);
  if (!file.identity.empty()) by_identity_.erase(file.identity);
  files_.erase(&file);
  known_ = files_.size();
}

Ref<LockTable::Ask> LockTable::prepare(Wanted wanted) {
  Ref<Ask> ask = make_ref<Ask>(std::move(wanted));
  sync::MutexLock lock(mutex_);
  if (ask->wanted.waits && !stopped_) by_unique_[ask->wanted.unique] = ask;
  return ask;
}

void LockTable::set(const Ref<Ask>& ask, UniqueFunction<void(Result<void>)> done) {
  ask->what = Ask::What::kSet;
  ask->done = [done = std::move(done)](Found outcome) mutable {
    done(outcome.ok() ? Result<void>() : std::move(outcome).error());
  };
  enqueue(ask);
}

void LockTable::find(const Ref<Ask>& ask, UniqueFunction<void(Found)> done) {
  ask->what = Ask::What::kFind;
  ask->done = std::move(done);
  enqueue(ask);
}

void LockTable::give_back(const FileName& file, fuse::HandleId handle,
                          UniqueFunction<void()> done) {
  Ref<Ask> ask = prepare({.node = file.node, .identity = file.identity, .handle = handle});
  ask->what = Ask::What::kCloseHandle;
  ask->done = [done = std::move(done)](const Found&) mutable { done(); };
  enqueue(ask);
}

void LockTable::enqueue(const Ref<Ask>& ask) {
  Ref<LockedFile> idle;
  {
    sync::MutexLock lock(mutex_);
    if (stopped_) return;  // whoever asked has been answered
    ask->file = file_of_locked(ask->wanted);
    idle = queue_locked(ask);
  }
  begin(std::move(idle));
}

// Puts it at the end of its file's queue; the file, if nobody is at work on that.
Ref<LockTable::LockedFile> LockTable::queue_locked(const Ref<Ask>& ask) {
  ask->state = Ask::State::kQueued;
  ask->file->queue.push_back(ask);
  return std::exchange(ask->file->running, true) ? Ref<LockedFile>() : ask->file;
}

void LockTable::begin(Ref<LockedFile> idle) {
  if (idle) (void)workers_.post([this, idle = std::move(idle)] { run(idle); });
}

// One thread a file at a time.
void LockTable::run(const Ref<LockedFile>& file) {
  for (;;) {
    Ref<Ask> ask;
    {
      sync::MutexLock lock(mutex_);
      if (file->queue.empty()) {
        file->running = false;
        forget_if_unused_locked(*file);
        return;
      }
      ask = std::move(file->queue.front());
      file->queue.pop_front();
      ask->state = Ask::State::kRunning;
    }
    carry_out(*file, ask);
  }
}

void LockTable::end(LockedFile& file, const Ref<Ask>& ask, Found outcome) {
  const Wanted& wanted = ask->wanted;
  const bool locks = ask->what == Ask::What::kSet && wanted.range.mode != LockMode::kNone;
  if (locks && outcome.ok()) parts_.counters.locks.add();
  if (locks && outcome.is_error(EAGAIN)) parts_.counters.locks_refused.add();
  UniqueFunction<void(Found)> done;
  {
    sync::MutexLock lock(mutex_);
    ask->state = Ask::State::kEnded;
    const auto listed = by_unique_.find(wanted.unique);
    if (listed != by_unique_.end() && listed->second == ask) by_unique_.erase(listed);
    done = std::move(ask->done);
    ask->file = nullptr;
  }
  tidy(file, wanted.kind, wanted.range.owner);
  if (done) done(std::move(outcome));
}

// The holder of an owner who has nothing and waits for nothing.
void LockTable::tidy(LockedFile& file, LockKind kind, uint64_t owner) {
  Gone gone;
  {
    sync::MutexLock lock(mutex_);
    const auto found = file.holders.find({kind, owner});
    const bool has_none = found != file.holders.end() && !file.of(kind).has_any(owner) &&
                          found->second.lost.count() == 0;
    if (!has_none) return;
    for (const Ref<Ask>& ask : file.blocked) {
      if (ask->wanted.kind == kind && ask->wanted.range.owner == owner) return;
    }
    gone = extract_locked(file, found->first);
  }
  let_go(std::move(gone));
}

void LockTable::interrupt(uint64_t unique) {
  Ref<Ask> ask;
  Ref<LockedFile> file;
  UniqueFunction<void(Found)> done;
  {
    sync::MutexLock lock(mutex_);
    const auto found = by_unique_.find(unique);
    if (found == by_unique_.end()) return;
    ask = found->second;
    ask->interrupted = true;
    // One that is being carried out, or will be, gets the lock at once or hears of this then.
    const bool waits =
        ask->state == Ask::State::kBehindOurs || ask->state == Ask::State::kBehindTheirs;
    if (!waits) return;
    by_unique_.erase(found);
    std::erase(ask->file->blocked, ask);
    --waiting_;
    ask->state = Ask::State::kEnded;
    done = std::move(ask->done);
    file = std::move(ask->file);
  }
  done(Error(EINTR, "vfs.lock"));
  // Its holder is for whoever carries out the file's calls to take away.
  Ref<Ask> tidying = make_ref<Ask>(ask->wanted);
  tidying->what = Ask::What::kTidy;
  enqueue(tidying);
}

bool LockTable::has(const FileName& name, LockKind kind, uint64_t owner) {
  if (!has_files()) return false;
  sync::MutexLock lock(mutex_);
  const LockedFile* file = known_locked(name.node, name.identity);
  return file != nullptr && (file->running || file->holders.contains({kind, owner}));
}

bool LockTable::has(fuse::NodeId node, fuse::HandleId handle) {
  if (!has_files()) return false;
  sync::MutexLock lock(mutex_);
  const LockedFile* file = known_locked(node);
  if (file == nullptr) return false;
  return file->running ||
         std::any_of(file->holders.begin(), file->holders.end(),
                     [handle](const auto& one) { return one.second.handle == handle; });
}

void LockTable::note_close(fuse::NodeId node, fuse::HandleId handle) {
  if (!has_files()) return;
  sync::MutexLock lock(mutex_);
  LockedFile* const file = known_locked(node);
  if (file == nullptr) return;
  for (auto& [key, holder] : file->holders) holder.closing |= holder.handle == handle;
}

bool LockTable::has_lost(fuse::NodeId node, fuse::HandleId handle) {
  if (!has_files()) return false;
  sync::MutexLock lock(mutex_);
  const LockedFile* file = known_locked(node);
  if (file == nullptr) return false;
  return std::any_of(file->holders.begin(), file->holders.end(), [handle](const auto& one) {
    return one.second.handle == handle && has_lost_something(one.second);
  });
}

bool LockTable::has_lost_now(const FileName& name) {
  if (!has_lost()) return false;
  sync::MutexLock lock(mutex_);
  const LockedFile* file = known_locked(name.node, name.identity);
  if (file == nullptr) return false;
  return std::any_of(file->holders.begin(), file->holders.end(),
                     [](const auto& one) { return one.second.lost_now; });
}

LockTable::Sizes LockTable::sizes() const {
  sync::MutexLock lock(mutex_);
  return {.files = files_.size(), .holders = holders_, .waiting = waiting_};
}

}  // namespace netfs::vfs
