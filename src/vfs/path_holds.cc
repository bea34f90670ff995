#include "vfs/path_holds.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace netfs::vfs {

namespace {

bool moves(const PathHolds::Paths& a, const PathHolds::Paths& b) {
  const auto lies_at = [](const std::string& path, const std::string& at) {
    return path.starts_with(at) && (path.size() == at.size() || path[at.size()] == '/');
  };
  return std::any_of(a.moving.begin(), a.moving.end(), [&](const std::string& at) {
    return std::any_of(b.names.begin(), b.names.end(),
                       [&](const std::string& path) { return lies_at(path, at); });
  });
}

}  // namespace

// Nobody who came before and is in the way is still here.
bool PathHolds::may_go(Number number, const Call& call) const {
  if (moving_ == 0) return true;
  for (const auto& [earlier, other] : calls_) {
    if (earlier >= number) break;
    if (moves(other.paths, call.paths) || moves(call.paths, other.paths)) return false;
  }
  return true;
}

std::optional<PathHolds::Number> PathHolds::enter(Paths paths, Waiter& waiter) {
  sync::MutexLock lock(mutex_);
  const Number number = next_++;
  Call& call = calls_[number];
  call.paths = std::move(paths);
  if (!call.paths.moving.empty()) ++moving_;
  if (may_go(number, call)) return number;
  call.waits = true;
  call.waiter = std::move(waiter);
  return std::nullopt;
}

std::vector<PathHolds::Ready> PathHolds::leave(Number number) {
  std::vector<Ready> ready;
  sync::MutexLock lock(mutex_);
  const auto found = calls_.find(number);
  NETFS_ASSERT(found != calls_.end() && !found->second.waits);
  if (!found->second.paths.moving.empty()) --moving_;
  calls_.erase(found);
  for (auto& [later, call] : calls_) {
    if (!call.waits || !may_go(later, call)) continue;
    call.waits = false;
    ready.push_back({later, std::move(call.waiter)});
  }
  return ready;
}

}  // namespace netfs::vfs
