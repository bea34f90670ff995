// Large directories are read while their listing comes in.

#include <utility>

#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

// As refresh_listing, but then() may get a listing of which more is to come.
void FileSystem::refresh_listing_in_part(fuse::NodeId id, ThenListed then) {
  Ref<ListingOpener> opener;
  Ref<Listing> coming;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    opener = make_ref<ListingOpener>(node == nullptr ? 0 : node->changed_in(), std::move(then));
    coming = node == nullptr ? nullptr : coming_.find(id);
    if (coming && !opener->is_served_by(*coming)) coming = nullptr;
    if (!coming) coming_.wait(id, opener);
  }
  if (coming) return opener->tell(coming);
  refresh_listing(id, [this, id, opener](const Result<Ref<Listing>>& seen) {
    {
      sync::MutexLock lock(table_.mutex);
      coming_.leave(id, *opener);
    }
    opener->tell(seen);
  });
}

// There is more of a listing.  Under the policy `wait` another one may follow one that breaks off:
// it is shown when it is whole.
void FileSystem::show_part(fuse::NodeId id, const Ref<Listing>& listing) {
  if (options_.on_error == OnError::kWait) return;
  std::vector<Ref<ListingOpener>> openers;
  std::vector<UniqueFunction<void()>> readers;
  {
    sync::MutexLock lock(table_.mutex);
    if (listing->entries.size() < kShownFrom) return;
    listing->coming = true;
    openers = coming_.came(id, listing);
    readers.swap(listing->waiting);
  }
  for (const Ref<ListingOpener>& opener : openers) opener->tell(listing);
  for (UniqueFunction<void()>& reader : readers) reader();
}

// There is no more of it.
void FileSystem::end_part(fuse::NodeId id, Listing& listing, int error) {
  if (!listing.coming) return;
  std::vector<UniqueFunction<void()>> readers;
  {
    sync::MutexLock lock(table_.mutex);
    coming_.ended(id);
    listing.coming = false;
    listing.error = error;
    readers.swap(listing.waiting);
  }
  for (UniqueFunction<void()>& reader : readers) reader();
}

// Who has read all there is goes on when there is more, and hears at the end why there is none.
void FileSystem::read_on(fuse::NodeId id, const fuse::ReaddirRequest& wanted,
                         const Ref<Listing>& listing, const Ref<Pending>& pending) {
  int error = 0;
  {
    sync::MutexLock lock(table_.mutex);
    const bool at_end = listing->ends_at(wanted.offset);
    if (at_end && listing->coming) {
      listing->waiting.push_back([=, this] { read_on(id, wanted, listing, pending); });
      return;
    }
    if (at_end) error = listing->error;
  }
  if (error != 0) return pending->error(error);
  pending->answer([&](fuse::Reply& to) { answer_listing(id, *listing, wanted, to); });
}

}  // namespace netfs::vfs
