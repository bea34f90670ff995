// Listing ahead: who walks through a tree finds the next directories listed, or on their way.
//
// Up to kAheadUnderWayMax listings are under way for nobody, on threads of their own, so that no
// request waits for one of them to begin; whoever asks for such a directory joins.  They land where
// any listing does, and count as long.  What nobody asked for is counted as wasted.

#include <algorithm>
#include <cerrno>

#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

// Not where nothing is believed for long enough, nor where the origin wants none.
bool FileSystem::lists_ahead() const {
  return origin_.capabilities().listings_ahead > 0 &&
         (options_.immutable || options_.metadata_ttl >= kRelistTtlMin);
}

// Somebody opens a directory.
void FileSystem::note_walk(fuse::NodeId id) {
  if (!lists_ahead()) return;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    if (node == nullptr || !note_asked(*node)) return;
    ahead_state_.position = id;
    ahead_state_.walked_at = clock_.now();
  }
  list_ahead();
}

// Begins what comes next, as far as there is room.
void FileSystem::list_ahead() {
  if (stopping_ || believed_unreachable()) return;
  const size_t slots = std::min<size_t>(kAheadUnderWayMax, origin_.listings_ahead());
  std::vector<AheadListing> planned;
  {
    sync::MutexLock lock(table_.mutex);
    AheadState& state = ahead_state_;
    const MonoTime now = clock_.now();
    const Duration patience = std::clamp(options_.metadata_ttl, kAheadPatience, kAheadPatienceMax);
    std::erase_if(state.unasked, [&](const auto& one) {
      const auto& [since, claim] = one;
      if (now - since >= patience) claim->settle(AheadClaim::Outcome::kWasted);
      return claim->settled();
    });
    if (state.position.value == 0 || now - state.walked_at > kAheadPatience) return;
    Node* position = table_.find(state.position);
    if (position == nullptr) {
      state.position = {};
      return;
    }
    WalkOrder order(*position);
    while (state.under_way < slots && state.budget.listings < kAheadListingsMax &&
           state.budget.names < kAheadNamesMax) {
      Node* next = order.next(table_);
      if (next == nullptr) break;
      Directory& directory = *next->directory;
      const bool known = directory.listing && !next->doubted &&
                         is_fresh(directory.listed_at, options_.metadata_ttl);
      if (known) {
        order.enter(*next);
        continue;
      }
      plan_listing(*next, planned);
    }
  }
  begin_listings(std::move(planned));
}

// Somebody has looked for a name that is not there, as is done before each that is made.  Once the
// looks have cost what a listing does, one listing tells of all names, and they are not needed.
void FileSystem::note_miss(fuse::NodeId id, Duration took) {
  if (!lists_ahead() || writer_ == nullptr || options_.negative_ttl < kRelistTtlMin) return;
  std::vector<AheadListing> planned;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node == nullptr || !node->directory || !InodeTable::is_current(*node)) return;
    Directory& known = *node->directory;
    const MonoTime now = clock_.now();
    if (now - known.misses.since > options_.negative_ttl) known.misses = {.since = now};
    ++known.misses.count;
    known.misses.took += took;
    const bool paid =
        known.misses.count >= kMissesBeforeListing && known.misses.took >= known.listing_took;
    const bool possible = !known.walk.under_way && !known.walk.too_large &&
                          ahead_state_.under_way < kAheadUnderWayMax;
    if (!paid || !possible || took < kAheadWorthIt) return;
    known.misses = {};
    known.walk.under_way = true;
    ++ahead_state_.under_way;
    planned.push_back({.directory = id, .path = InodeTable::path_of(*node)});
  }
  begin_listings(std::move(planned));
}

// If it is worth it, and was not tried in vain.
void FileSystem::plan_listing(Node& next, std::vector<AheadListing>& planned) {
  WalkSeen& walk = next.directory->walk;
  const bool worth_it = next.parent->directory->listing_took >= kAheadWorthIt;
  if (!worth_it || walk.under_way || walk.failed || walk.too_large) return;
  walk.under_way = true;
  ++ahead_state_.under_way;
  planned.push_back({.directory = table_.id(next), .path = InodeTable::path_of(next)});
}

void FileSystem::begin_listings(std::vector<AheadListing> planned) {
  for (AheadListing& one : planned) {
    const fuse::NodeId id = one.directory;
    bool begun = list_flights_.begin(std::to_string(id.value));
    if (begun) {
      begun = ahead_.post(
          [this, what = std::move(one), until = deadline()] { list_ahead_now(what, until); });
      if (!begun) {
        // Stopping: the table of pending requests is closed, so whoever joined was answered.
        (void)list_flights_.land(std::to_string(id.value));
      }
    }
    if (begun) continue;
    sync::MutexLock lock(table_.mutex);
    --ahead_state_.under_way;
    if (Node* node = table_.find(id)) node->directory->walk.under_way = false;
  }
}

void FileSystem::list_ahead_now(const AheadListing& what, Deadline until) {
  const fuse::NodeId id = what.directory;
  Listed outcome = Error(ENAMETOOLONG, "vfs.list");
  // Somebody's own may have landed since this one was planned.
  const Ref<Listing> known = landed_listing(id);
  if (known) {
    outcome = known;
  } else if (what.path.size() <= kPathBytesMax) {
    counters_.ahead_listings.add();
    outcome = look_at_directory(id, what.path, Asker::kNobody, until);
  }
  {
    sync::MutexLock lock(table_.mutex);
    --ahead_state_.under_way;
    if (outcome.ok() && !known && outcome.value()->ahead) {
      ahead_state_.unasked.emplace_back(clock_.now(), outcome.value()->ahead);
    }
    Node* node = table_.find(id);
    if (node != nullptr && node->directory) {
      node->directory->walk.under_way = false;
      node->directory->walk.failed = !outcome.ok();
      node->directory->walk.too_large = outcome.is_error(EFBIG);
    }
  }
  if (!outcome.ok()) counters_.ahead_wasted.add();
  const bool is_old = outcome.ok() && !known && outcome.value()->shown_first;
  for (ThenListed& then : list_flights_.land(std::to_string(id.value))) {
    if (outcome.is_error(EFBIG) || outcome.is_error(EAGAIN)) {
      // Not done for nobody, but for somebody; who joined has no more time than this one had.
      refresh_listing(id, std::move(then), outcome.is_error(EAGAIN) ? until : deadline());
    } else {
      then(outcome);
    }
  }
  if (is_old) list_behind(id, what.path);
  list_ahead();
}

}  // namespace netfs::vfs
