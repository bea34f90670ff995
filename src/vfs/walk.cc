#include "vfs/walk.h"

#include <algorithm>

#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

// Subdirectories looked at to find one among its neighbours: a walk leaves out few.
constexpr size_t kWalkStride = 64;
// And how many it may leave out in one place.
constexpr size_t kWalkGap = 4;

// Where `directory` stands among the subdirectories of a listing, from `from` on; nothing if it is
// not near there.
std::optional<size_t> place_in(const Listing& listing, const Node& directory, size_t from) {
  const size_t end = std::min(listing.directories.size(), from + kWalkStride);
  for (size_t i = from; i < end; ++i) {
    if (listing.name(listing.entries[listing.directories[i]]) == directory.name) return i;
  }
  return {};
}

}  // namespace

bool note_asked(const Node& directory) {
  if (directory.parent == nullptr || !directory.parent->directory->listing) return false;
  const Node& above = *directory.parent;
  const Listing& listing = *above.directory->listing;
  WalkSeen& seen = above.directory->walk;
  const bool same = seen.serial == listing.serial;
  const size_t from = same ? seen.at : 0;
  std::optional<size_t> at = place_in(listing, directory, from);
  if (!at) at = place_in(listing, directory, 0);
  // Of another listing, what was seen before counts for one more walk from its beginning.
  const bool begins = at && *at == 0;
  const bool goes_on = at && same && seen.steps > 0 && *at >= seen.at && *at - seen.at <= kWalkGap;
  if (!begins && !goes_on) {
    seen.steps = 0;
    seen.deep = false;
    if (!at) return false;
  }
  seen.serial = listing.serial;
  if (goes_on && *at > seen.at) {
    seen.steps = 2;
  } else if (seen.steps == 0) {
    seen.steps = 1;
  }
  seen.at = static_cast<uint32_t>(*at);
  if (!begins && !goes_on) return false;  // one in the middle: the next one tells
  if (above.parent != nullptr) above.parent->directory->walk.deep = true;
  return true;
}

WalkOrder::WalkOrder(Node& position) {
  bool sure = false;
  const Node* below = &position;
  for (Node* above = position.parent; above != nullptr; below = above, above = above->parent) {
    const WalkSeen& seen = above->directory->walk;
    const bool known = above->directory->listing && seen.steps > 0 &&
                       seen.serial == above->directory->listing->serial;
    if (!known || !InodeTable::is_current(*below)) break;
    levels_.push_back({.directory = above, .next = size_t{seen.at} + 1});
    sure = sure || seen.steps > 1;
  }
  std::reverse(levels_.begin(), levels_.end());
  reach_ = sure ? kAheadReach : kAheadFaintReach;
  if (!levels_.empty()) enter(position);
}

void WalkOrder::enter(Node& directory) {
  const bool goes_there = directory.parent != nullptr && directory.parent->directory->walk.deep;
  if (goes_there && directory.directory && directory.directory->listing) {
    levels_.push_back({.directory = &directory, .next = 0});
  }
}

Node* WalkOrder::next(InodeTable& table) {
  while (reach_ > 0 && !levels_.empty()) {
    Level& level = levels_.back();
    const Listing& listing = *level.directory->directory->listing;
    if (level.next >= listing.directories.size()) {
      levels_.pop_back();
      continue;
    }
    --reach_;
    const Listing::Entry& entry = listing.entries[listing.directories[level.next++]];
    // Hidden ones (.git, .snapshot, .zfs) are what walks leave out, and dear to list.
    if (listing.name(entry).starts_with('.')) continue;
    Node* node = table.child(*level.directory, listing.name(entry), entry.node);
    if (node != nullptr && node->directory) return node;
  }
  return nullptr;
}

}  // namespace netfs::vfs
