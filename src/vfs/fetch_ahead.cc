// Files fetched ahead: whoever reads the files of a directory in turn finds the next ones under
// way. Which those are: files_ahead.h.
//
// On threads of their own, so that no request waits for one of them to begin; whoever opens such a
// file finds it ready, and his read joins what is under way.

#include <algorithm>

#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

void FileSystem::note_opened(fuse::NodeId id) {
  if (stopping_ || believed_unreachable()) return;
  FilesAhead::Plan plan{.bytes_max = FilesAhead::bytes_max(library_)};
  for (;;) {
    Ref<Listing> unordered;
    {
      sync::MutexLock lock(table_.mutex);
      unordered = files_ahead_.opened(table_, id, plan);
    }
    if (!unordered) break;
    Ref<FileOrder> order = make_ref<FileOrder>(*unordered);  // sorts its names
    sync::MutexLock lock(table_.mutex);
    unordered->files = std::move(order);
  }
  const size_t slots = std::min<size_t>(kAheadUnderWayMax, origin_.listings_ahead());
  std::vector<AheadListing> listings;
  for (const fuse::NodeId directory : plan.directories) {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(directory);
    if (node == nullptr || !node->directory || ahead_state_.under_way >= slots) continue;
    plan_listing(*node, listings);
  }
  begin_listings(std::move(listings));
  for (const FilesAhead::Wanted& what : plan.files) {
    const bool begun = files_.post([this, what] { fetch_now(what); });
    if (begun) continue;
    sync::MutexLock lock(table_.mutex);
    files_ahead_.fetched(what.file, 0);  // stopping
  }
}

void FileSystem::fetch_now(const FilesAhead::Wanted& what) {
  std::optional<uint64_t> bytes = 0;
  if (!stopping_) {
    const Result<Ref<File>> file = ready_file(what.file);
    if (file.ok()) bytes = file.value()->fetch_unasked(what.bytes_max);
  }
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(what.file);
    // Not now: it is as if nobody had thought of it.
    const bool untouched = !bytes && node != nullptr && table_.record(*node).opens == 0;
    if (untouched && node->open && node->open->file) table_.detach_file(*node, graveyard);
    files_ahead_.fetched(what.file, bytes);
  }
  bury(std::move(graveyard));
}

}  // namespace netfs::vfs
