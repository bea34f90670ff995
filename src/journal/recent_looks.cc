#include "journal/recent_looks.h"

namespace netfs::journal {

void RecentLooks::begin(const std::string& path) {
  ++names_[path].looking;
}

void RecentLooks::end(const std::string& path, Saw saw, MonoTime began) {
  const auto found = names_.find(path);
  if (found == names_.end() || found->second.looking == 0) return;
  Name& name = found->second;
  --name.looking;
  if (!name.is_void && saw != Saw::kUnknown && began >= name.since) {
    name.saw = saw;
    name.since = began;
  }
  // Those who began after the change cannot be told from the others, until the last has ended.
  if (name.looking == 0) name.is_void = false;
  if (name.looking == 0 && name.saw == Saw::kUnknown) names_.erase(found);
  if (names_.size() > kept_max_) make_room(began);
}

void RecentLooks::changed(const std::string& path) {
  const auto found = names_.find(path);
  if (found == names_.end()) return;
  found->second.saw = Saw::kUnknown;
  found->second.is_void = true;
  if (found->second.looking == 0) names_.erase(found);
}

void RecentLooks::all_changed() {
  std::erase_if(names_, [](const auto& each) { return each.second.looking == 0; });
  for (auto& [path, name] : names_) {
    name.saw = Saw::kUnknown;
    name.is_void = true;
  }
}

RecentLooks::Saw RecentLooks::saw(const std::string& path, MonoTime now) const {
  const auto found = names_.find(path);
  if (found == names_.end() || now - found->second.since > kLookCounts) return Saw::kUnknown;
  return found->second.saw;
}

// What is old goes; if that is not enough, all that nobody looks at.
void RecentLooks::make_room(MonoTime now) {
  std::erase_if(names_, [&](const auto& each) {
    return each.second.looking == 0 && now - each.second.since > kLookCounts;
  });
  if (names_.size() <= kept_max_ / 2) return;
  std::erase_if(names_, [](const auto& each) { return each.second.looking == 0; });
}

}  // namespace netfs::journal
