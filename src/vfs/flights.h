#pragma once
// Flights<T>: calls under way, and who waits for each.
//
// The first to join a key starts the call; the others only wait; the one who ends it lands it and
// serves everybody who joined, himself included.  Who joins after landing starts anew.
//
// Thread-safe.
//
//   if (flights.join(path, std::move(then))) start_call(path);
//   ...
//   for (auto& then : flights.land(path)) then(result);

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sync/mutex.h"
#include "vfs/lock_classes.h"

namespace netfs::vfs {

template <class T>
class Flights {
 public:
  // True for the first.
  bool join(const std::string& key, T waiter) EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    const auto [flight, first] = under_way_.try_emplace(key);
    flight->second.push_back(std::move(waiter));
    return first;
  }
  // For a call that nobody waits for yet: true if there is none under way, and now there is.
  bool begin(const std::string& key) EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    return under_way_.try_emplace(key).second;
  }
  // Whether it is under way, and somebody waits for it.
  bool is_awaited(const std::string& key) EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    const auto found = under_way_.find(key);
    return found != under_way_.end() && !found->second.empty();
  }
  std::vector<T> land(const std::string& key) EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    const auto found = under_way_.find(key);
    if (found == under_way_.end()) return {};
    std::vector<T> waiters = std::move(found->second);
    under_way_.erase(found);
    return waiters;
  }

 private:
  sync::Mutex mutex_{kFlightsLock};
  std::unordered_map<std::string, std::vector<T>> under_way_ GUARDED_BY(mutex_);
};

}  // namespace netfs::vfs
