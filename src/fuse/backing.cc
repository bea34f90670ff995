#include "fuse/backing.h"

#include <unordered_set>
#include <utility>

#include "telemetry/log.h"

namespace netfs::fuse {

BackingIds::BackingIds(KernelChannel& channel, size_t idle_max)
    : channel_(channel), idle_max_(idle_max) {}

BackingIds::~BackingIds() {
  std::unordered_map<NodeId, Entry> entries;
  {
    sync::MutexLock lock(mutex_);
    entries.swap(entries_);
    idle_.clear();
  }
  for (const auto& [node, entry] : entries) close_id(entry.id);
}

void BackingIds::adopt(Ref<Log> log, const std::vector<Known>& known,
                       const std::vector<int32_t>& others) {
  log_ = std::move(log);
  std::unordered_set<int32_t> used;
  {
    sync::MutexLock lock(mutex_);
    for (const Known& one : known) {
      entries_.emplace(one.node, Entry{.id = one.id, .opens = one.opens, .idle = idle_.end()});
      used.insert(one.id);
    }
  }
  for (const int32_t id : others) {
    if (!used.contains(id)) close_id(id);
  }
}

void BackingIds::close_id(int32_t id) {
  const Result<void> closed = channel_.backing_close(id);
  if (!closed.ok()) telemetry::log_debug("fuse", "{}", closed.error().message());
  if (log_) log_->closed(id);
}

std::optional<int32_t> BackingIds::acquire_locked(NodeId node) {
  const auto found = entries_.find(node);
  if (found == entries_.end()) return {};
  Entry& entry = found->second;
  if (entry.opens == 0) idle_.erase(entry.idle);
  ++entry.opens;
  return entry.id;
}

std::optional<int32_t> BackingIds::acquire_known(NodeId node) {
  sync::MutexLock lock(mutex_);
  return acquire_locked(node);
}

Result<int32_t> BackingIds::acquire(NodeId node, int fd) {
  if (const std::optional<int32_t> known = acquire_known(node)) return *known;
  counters_.issued.add();
  Result<int32_t> opened = channel_.backing_open(fd);
  if (!opened.ok()) {
    counters_.failed.add();
    return opened;
  }
  counters_.done.add();
  if (log_) log_->opened(opened.value());
  std::optional<int32_t> winner;
  {
    sync::MutexLock lock(mutex_);
    winner = acquire_locked(node);
    if (!winner) {
      entries_.emplace(node, Entry{.id = opened.value(), .opens = 1, .idle = idle_.end()});
      return opened;
    }
  }
  // Somebody else opened the node at the same time and was first: his id counts for all.
  close_id(opened.value());
  return *winner;
}

void BackingIds::release(NodeId node) {
  std::optional<int32_t> surplus;
  {
    sync::MutexLock lock(mutex_);
    const auto found = entries_.find(node);
    NETFS_ASSERT(found != entries_.end());
    Entry& entry = found->second;
    NETFS_ASSERT(entry.opens > 0);
    if (--entry.opens > 0) return;
    if (entry.doomed) {
      surplus = entry.id;
      entries_.erase(found);
    } else {
      entry.idle = idle_.insert(idle_.end(), node);
      if (idle_.size() > idle_max_) surplus = evict_locked();
    }
  }
  if (surplus) close_id(*surplus);
}

int32_t BackingIds::evict_locked() {
  const auto oldest = entries_.find(idle_.front());
  NETFS_ASSERT(oldest != entries_.end());
  const int32_t id = oldest->second.id;
  idle_.pop_front();
  entries_.erase(oldest);
  return id;
}

void BackingIds::forget(NodeId node) {
  int32_t id = 0;
  {
    sync::MutexLock lock(mutex_);
    const auto found = entries_.find(node);
    if (found == entries_.end()) return;
    if (found->second.opens > 0) {
      found->second.doomed = true;
      return;
    }
    idle_.erase(found->second.idle);
    id = found->second.id;
    entries_.erase(found);
  }
  close_id(id);
}

bool BackingIds::in_use(NodeId node) const {
  sync::MutexLock lock(mutex_);
  const auto found = entries_.find(node);
  return found != entries_.end() && found->second.opens > 0;
}

size_t BackingIds::size() const {
  sync::MutexLock lock(mutex_);
  return entries_.size();
}

}  // namespace netfs::fuse
