#include "origins/nfs/names.h"

#include <cerrno>
#include <optional>
#include <utility>

namespace netfs::origins::nfs {

namespace {

constexpr Duration kKept = std::chrono::seconds(1);
constexpr size_t kKeptMax = 10'000;
constexpr size_t kSeenMax = 10'000;

std::string name_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

}  // namespace

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

// From the longest part that is kept.
Result<Handle> Names::walk(const std::string& path, Deadline deadline) {
  if (path.empty()) return root_;
  uint64_t forgotten = 0;
  {
    sync::MutexLock lock(mutex_);
    forgotten = forgotten_;
    const auto kept = kept_.find(path);
    if (kept != kept_.end() && Clock::system().now() < kept->second.until) {
      return kept->second.handle;
    }
  }
  const Handle above = TRY(walk(parent_of(path), deadline));
  Found found = TRY(look_up(above, name_of(path), deadline));
  if (found.info.attributes.type != FileType::kDirectory) return Error(ENOTDIR, "nfs.lookup");
  sync::MutexLock lock(mutex_);
  // It, or one above it, may have been moved since it was looked up.
  if (forgotten != forgotten_) return std::move(found.handle);
  if (kept_.size() >= kKeptMax) kept_.clear();
  kept_.insert_or_assign(path, Kept{found.handle, Clock::system().now() + kKept});
  return std::move(found.handle);
}

Result<Handle> Names::directory(const std::string& path, Deadline deadline) {
  return with_fresh(path, [&] { return walk(path, deadline); });
}

Result<Found> Names::find(const std::string& path, Deadline deadline) {
  return with_fresh(path, [&]() -> Result<Found> {
    if (path.empty()) return Found{root_, TRY(get_attributes(root_, deadline))};
    const Handle above = TRY(walk(parent_of(path), deadline));
    Found found = TRY(look_up(above, name_of(path), deadline));
    saw(path, found.handle);
    return found;
  });
}

Result<Place> Names::place(const std::string& path, Deadline deadline) {
  if (path.empty()) return Error(EBUSY, "nfs.name");
  return Place{TRY(directory(parent_of(path), deadline)), name_of(path)};
}

std::optional<Handle> Names::seen(const std::string& path) const {
  sync::MutexLock lock(mutex_);
  const auto found = seen_.find(path);
  return found == seen_.end() ? std::nullopt : std::optional<Handle>(found->second);
}

void Names::saw(const std::string& path, const Handle& handle) {
  sync::MutexLock lock(mutex_);
  if (seen_.size() >= kSeenMax) seen_.clear();
  seen_.insert_or_assign(path, handle);
}

void Names::unsee(const std::string& path) {
  sync::MutexLock lock(mutex_);
  seen_.erase(path);
}

void Names::forget(const std::string& path) {
  sync::MutexLock lock(mutex_);
  ++forgotten_;
  kept_.erase(path);
  kept_.erase(kept_.lower_bound(path + "/"), kept_.lower_bound(path + "0"));
}

}  // namespace netfs::origins::nfs
