#include "vfs/hidden_names.h"

#include <atomic>
#include <set>
#include <spdlog/fmt/fmt.h>
#include <utility>

#include "base/drawn.h"
#include "sync/mutex.h"
#include "vfs/lock_classes.h"
#include "vfs/taking_over.h"

namespace netfs::vfs {

namespace {

constexpr std::string_view kPrefix = ".netfs-";
constexpr size_t kDigits = 8;
constexpr size_t kNameBytes = kPrefix.size() + 3 * kDigits + 2;

// Several mounts may be of one volume, and each comes upon the files that the others hide.
class StillOpen {
 public:
  void add(std::string name) {
    sync::MutexLock lock(mutex_);
    names_.insert(std::move(name));
  }
  bool has(std::string_view name) {
    sync::MutexLock lock(mutex_);
    return names_.contains(name);
  }

 private:
  sync::Mutex mutex_{kHiddenNamesLock};
  std::set<std::string, std::less<>> names_ GUARDED_BY(mutex_);
};

StillOpen& still_open() {
  static StillOpen& kept = *new StillOpen;  // outlives whatever asks as the process ends
  return kept;
}

std::atomic<int> taking_over{0};

}  // namespace

TakingOver::TakingOver() {
  taking_over.fetch_add(1);
}

TakingOver::~TakingOver() {
  taking_over.fetch_sub(1);
}

void HiddenNames::keep(std::string name) {
  still_open().add(std::move(name));
}

std::string HiddenNames::next() const {
  return fmt::format("{}{:08x}-{:08x}-{:08x}", kPrefix, hiding_.client, hiding_.process,
                     drawn<uint32_t>());
}

bool HiddenNames::is_left_over(std::string_view name) const {
  if (hiding_.client == 0 || name.size() != kNameBytes) return false;
  if (taking_over.load() > 0) return false;
  const std::string ours = fmt::format("{}{:08x}-", kPrefix, hiding_.client);
  const std::string now = fmt::format("{}{:08x}-", ours, hiding_.process);
  return name.starts_with(ours) && !name.starts_with(now) && !still_open().has(name);
}

}  // namespace netfs::vfs
