#include "origins/sftp/handle_ledger.h"

#include <algorithm>
#include <utility>

#include "origins/sftp/read_job.h"
#include "origins/sftp/sftp_file.h"

namespace netfs::origins::sftp {

// Here, where the owner is a complete type.
HandleLedger::HandleLedger() = default;
HandleLedger::~HandleLedger() = default;

void HandleLedger::set_server_limit(uint64_t handles_max) {
  const uint64_t most = handles_max > 0 ? handles_max : kLimitDefault;
  sync::MutexLock lock(mutex_);
  // One at least, or nothing could be read at all.
  limit_ = static_cast<size_t>(most > kDirectories ? most - kDirectories : 1);
}

std::optional<HandleLedger::Idle> HandleLedger::reserve() {
  sync::MutexLock lock(mutex_);
  ++opening_;
  if (entries_.size() + opening_ <= limit_) return std::nullopt;
  const auto idle = std::find_if(entries_.begin(), entries_.end(),
                                 [](const Entry& entry) { return entry.uses == 0; });
  if (idle == entries_.end()) return std::nullopt;
  Idle given_up{std::move(idle->owner), std::move(idle->handle)};
  by_handle_.erase(given_up.handle);
  entries_.erase(idle);
  return given_up;
}

void HandleLedger::refused() {
  sync::MutexLock lock(mutex_);
  --opening_;
}

void HandleLedger::opened(Ref<Handles> owner, const std::string& handle) {
  sync::MutexLock lock(mutex_);
  --opening_;
  entries_.push_back({std::move(owner), handle, 1});
  by_handle_[handle] = std::prev(entries_.end());
}

bool HandleLedger::use(const std::string& handle) {
  sync::MutexLock lock(mutex_);
  const auto found = by_handle_.find(handle);
  if (found == by_handle_.end()) return false;
  ++found->second->uses;
  entries_.splice(entries_.end(), entries_, found->second);
  return true;
}

void HandleLedger::unuse(const std::string& handle) {
  sync::MutexLock lock(mutex_);
  const auto found = by_handle_.find(handle);
  if (found != by_handle_.end() && found->second->uses > 0) --found->second->uses;
}

bool HandleLedger::remove(const std::string& handle) {
  Ref<Handles> owner;  // let go without the lock
  sync::MutexLock lock(mutex_);
  const auto found = by_handle_.find(handle);
  if (found == by_handle_.end()) return false;
  owner = std::move(found->second->owner);
  entries_.erase(found->second);
  by_handle_.erase(found);
  return true;
}

size_t HandleLedger::open_count() const {
  sync::MutexLock lock(mutex_);
  return entries_.size() + opening_;
}

}  // namespace netfs::origins::sftp
