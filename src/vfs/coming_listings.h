#pragma once
// ComingListings: listings that are read while they come in.
//
// One that has its first kShownFrom names is given to whoever opens the directory; who has read all
// of it that there is waits for more (Listing::waiting).  What is smaller comes whole, or not at
// all.
//
// Thread-safety: the inode table's lock is held around every call.  What is told is told after it.
//
//   coming.wait(id, opener);                                   // OPENDIR
//   for (const auto& one : coming.came(id, listing)) one->tell(listing);   // its first names
//   coming.ended(id), coming.take_ended(id);

#include <atomic>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/ref.h"
#include "base/result.h"
#include "base/unique_function.h"
#include "vfs/node.h"

namespace netfs::vfs {

// Who wants a listing, or the beginning of one: told once.
class ListingOpener : public RefCounted<ListingOpener> {
 public:
  using Then = UniqueFunction<void(const Result<Ref<Listing>>&)>;
  explicit ListingOpener(Then then) : then_(std::move(then)) {}
  void tell(const Result<Ref<Listing>>& seen) {
    if (!told_.exchange(true)) then_(seen);
  }

 private:
  std::atomic<bool> told_{false};
  Then then_;
};

class ComingListings {
 public:
  // Null: none that can be read yet.
  [[nodiscard]] Ref<Listing> find(fuse::NodeId directory) const {
    const auto found = coming_.find(directory.value);
    return found == coming_.end() ? nullptr : found->second.listing;
  }
  void wait(fuse::NodeId directory, Ref<ListingOpener> opener) {
    coming_[directory.value].openers.push_back(std::move(opener));
  }
  // It was told what it wanted to know.
  void leave(fuse::NodeId directory, const ListingOpener& opener) {
    const auto found = coming_.find(directory.value);
    if (found == coming_.end()) return;
    std::erase_if(found->second.openers, [&](const auto& one) { return one.get() == &opener; });
    Coming& coming = found->second;
    if (coming.openers.empty() && !coming.listing && coming.ended.empty()) coming_.erase(found);
  }
  // From now on it can be read; whom to tell so.
  std::vector<Ref<ListingOpener>> came(fuse::NodeId directory, const Ref<Listing>& listing) {
    Coming& coming = coming_[directory.value];
    coming.listing = listing;
    return std::exchange(coming.openers, {});
  }
  // It is whole, or will never be: nobody opens it any more, and who reads it waits still.
  void ended(fuse::NodeId directory) {
    const auto found = coming_.find(directory.value);
    if (found == coming_.end() || !found->second.listing) return;
    found->second.ended.push_back(std::exchange(found->second.listing, nullptr));
  }
  // Once whoever opens anew begins another one.
  std::vector<Ref<Listing>> take_ended(fuse::NodeId directory) {
    const auto found = coming_.find(directory.value);
    if (found == coming_.end()) return {};
    std::vector<Ref<Listing>> ended = std::exchange(found->second.ended, {});
    if (found->second.openers.empty() && !found->second.listing) coming_.erase(found);
    return ended;
  }

 private:
  struct Coming {
    Ref<Listing> listing;
    std::vector<Ref<Listing>> ended;
    std::vector<Ref<ListingOpener>> openers;
  };
  std::unordered_map<uint64_t, Coming> coming_;
};

}  // namespace netfs::vfs
