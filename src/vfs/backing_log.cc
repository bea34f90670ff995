#include "vfs/backing_log.h"

#include <utility>

#include "vfs/arena_kinds.h"

namespace netfs::vfs {

BackingLog::BackingLog(Ref<ArenaMemory> memory)
    : records_(std::move(memory), arena_kind::kBacking) {
  sync::MutexLock lock(mutex_);
  for (uint32_t i = records_.limit(); i-- > 0;) {
    if (records_[i].id <= 0 || !by_id_.emplace(records_[i].id, i).second) {
      records_[i].id = 0;
      records_.free(i);
    }
  }
}

void BackingLog::opened(int32_t id) {
  sync::MutexLock lock(mutex_);
  const auto [at, is_new] = by_id_.emplace(id, 0);
  if (!is_new) return;
  at->second = records_.allocate();
  records_[at->second].id = id;
}

void BackingLog::closed(int32_t id) {
  sync::MutexLock lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return;
  records_[found->second].id = 0;
  records_.free(found->second);
  by_id_.erase(found);
}

std::vector<int32_t> BackingLog::all() const {
  std::vector<int32_t> ids;
  sync::MutexLock lock(mutex_);
  for (const auto& [id, at] : by_id_) ids.push_back(id);
  return ids;
}

}  // namespace netfs::vfs
