// Large directories are read while their listing comes in.

#include <utility>

#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

// As refresh_listing, but then() may get a listing of which more is to come.
void FileSystem::refresh_listing_in_part(fuse::NodeId id, ThenListed then) {
  const auto opener = make_ref<ListingOpener>(std::move(then));
  Ref<Listing> coming;
  {
    sync::MutexLock lock(table_.mutex);
    coming = coming_.find(id);
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

// There is more of a listing.  It is shown when it is whole where another one may take its place if
// it breaks off (the policies `wait` and `stale`), where a reader has no handle to hold on to it,
// and on a writable mount: of names that come behind a change made here nobody knows whether they
// are still there, and so each would be looked up.
void FileSystem::show_part(fuse::NodeId id, const Ref<Listing>& listing) {
  if (writer_ != nullptr || no_opendir_ || options_.on_error != OnError::kError) return;
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

// There is no more of it.  Who reads it hears that when its flight has landed: else he might open
// the directory anew, join that flight, and get the same error again.
void FileSystem::end_part(fuse::NodeId id, Listing& listing, int error) {
  if (!listing.coming) return;
  sync::MutexLock lock(table_.mutex);
  coming_.ended(id);
  listing.error = error;
}

void FileSystem::wake_readers(fuse::NodeId id) {
  std::vector<UniqueFunction<void()>> readers;
  {
    sync::MutexLock lock(table_.mutex);
    for (const Ref<Listing>& ended : coming_.take_ended(id)) {
      ended->coming = false;
      ended->shrink();
      for (auto& reader : ended->waiting) readers.push_back(std::move(reader));
      ended->waiting.clear();
    }
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
