#include "vfs/name_changes.h"

#include <algorithm>
#include <utility>

namespace netfs::vfs {

uint64_t NameChanges::begin() {
  sync::MutexLock lock(mutex_);
  under_way_.insert(next_);
  return next_++;
}

bool NameChanges::any() {
  sync::MutexLock lock(mutex_);
  return !under_way_.empty();
}

uint64_t NameChanges::now() {
  sync::MutexLock lock(mutex_);
  return under_way_.empty() ? next_ : *under_way_.begin();
}

bool NameChanges::any_since(uint64_t moment) {
  sync::MutexLock lock(mutex_);
  return next_ > moment;
}

std::vector<NameChanges::Waiter> NameChanges::end(uint64_t change) {
  std::vector<Waiter> ready;
  sync::MutexLock lock(mutex_);
  under_way_.erase(change);
  const uint64_t oldest = under_way_.empty() ? next_ : *under_way_.begin();
  const auto still = std::stable_partition(waiting_.begin(), waiting_.end(),
                                           [&](const Waiting& one) { return one.before > oldest; });
  for (auto one = still; one != waiting_.end(); ++one) ready.push_back(std::move(one->waiter));
  waiting_.erase(still, waiting_.end());
  return ready;
}

std::optional<NameChanges::Waiter> NameChanges::wait(Waiter waiter) {
  sync::MutexLock lock(mutex_);
  if (under_way_.empty()) return waiter;
  waiting_.push_back({next_, std::move(waiter)});
  return std::nullopt;
}

}  // namespace netfs::vfs
