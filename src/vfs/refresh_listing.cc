// Looks at the origin: list of a directory; equal looks under way are joined.
//
// Entries go into the table in batches as they come, so no hold of its lock is long.  Of what a
// stat has seen since the listing began, the stat is believed.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

void FileSystem::refresh_listing(fuse::NodeId id, ThenListed then, std::optional<Deadline> until) {
  uint64_t changed_in = 0;
  {
    sync::MutexLock lock(table_.mutex);
    if (const Node* node = table_.find(id)) changed_in = node->changed_in();
  }
  // One that was under way may have begun before the last change made here.
  join_listing(id, until,
               [this, id, until, changed_in,
                then = std::move(then)](const Result<Ref<Listing>>& seen) mutable {
                 const bool old = seen.ok() && seen.value()->began_in < changed_in;
                 if (old && !believed_unreachable())
                   return join_listing(id, until, std::move(then));
                 then(seen);
               });
}

void FileSystem::join_listing(fuse::NodeId id, std::optional<Deadline> until, ThenListed then) {
  std::string path;
  int error = 0;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    if (node == nullptr || !InodeTable::is_current(*node)) {
      error = ESTALE;
    } else if (!node->directory) {
      error = ENOTDIR;
    } else {
      path = InodeTable::path_of(*node);
    }
  }
  if (error == 0 && path.size() > kPathBytesMax) error = ENAMETOOLONG;
  if (error != 0) return then(Error(error, "vfs.list"));
  if (!list_flights_.join(std::to_string(id.value), std::move(then))) {
    counters_.coalesced.add();
    return;
  }
  on_worker([this, id, path = std::move(path), end = until.value_or(deadline())] {
    list_now(id, path, end);
  });
}

void FileSystem::list_now(fuse::NodeId id, const std::string& path, Deadline until) {
  const Result<Ref<Listing>> outcome = look_at_directory(id, path, Asker::kSomebody, until);
  if (should_wait(outcome.code())) {
    const bool later = metadata_.post_at(clock_.now() + kWaitPause,
                                         [this, id, path] { list_now(id, path, deadline()); });
    if (later) return;
  }
  for (ThenListed& then : list_flights_.land(std::to_string(id.value))) then(outcome);
  wake_readers(id);
  if (outcome.ok() && !outcome.value()->directories.empty()) list_ahead();
}

Result<Ref<Listing>> FileSystem::look_at_directory(fuse::NodeId id, const std::string& path,
                                                   Asker asker, Deadline until) {
  if (stopping_) return Error(ECANCELED, "vfs.list");
  if (believed_unreachable()) {
    if (Ref<Listing> stale = stale_listing(id)) return stale;
  }
  if (until.passed(clock_.now())) return Error(ETIMEDOUT, "vfs.list");
  counters_.listings.add();
  Result<Ref<Listing>> listing = take_listing(id, path, asker, until);
  note_outcome(listing.code());
  if (believed_unreachable()) {
    if (Ref<Listing> stale = stale_listing(id)) return stale;
  }
  return listing;
}

// Under the policy `stale`: the listing we have, however old, or null.
Ref<Listing> FileSystem::stale_listing(fuse::NodeId id) {
  if (options_.on_error != OnError::kStale) return nullptr;
  sync::MutexLock lock(table_.mutex);
  Node* node = table_.find(id);
  if (node == nullptr || !node->directory || !node->directory->listing) return nullptr;
  node->directory->listed_at =
      clock_.now() - options_.metadata_ttl + std::min(options_.metadata_ttl, kStaleGrace);
  counters_.served_stale.add();
  return node->directory->listing;
}

Result<void> FileSystem::take_batch(fuse::NodeId id, std::vector<OriginEntry>& batch,
                                    MonoTime began, Listing& listing, Graveyard& graveyard) {
  sync::MutexLock lock(table_.mutex);
  Node* directory = table_.find(id);
  if (directory == nullptr || !InodeTable::is_current(*directory)) return Error(ESTALE, "vfs.list");
  if (listing.entries.size() + batch.size() > kListingEntriesMax ||
      listing.names.size() > kListingNamesBytesMax) {
    return Error(EFBIG, "vfs.list");
  }
  const MonoTime now = clock_.now();
  for (OriginEntry& entry : batch) {
    const FileType type = entry.info.attributes.type;
    const Node* named = table_.entry(*directory, entry.name);
    if (named != nullptr && named->seen_in == listing.serial) continue;  // named twice
    Node* node = table_.child(*directory, entry.name);
    // What we changed since the listing began we know better; a name that is not known any more may
    // be one that we have removed.
    const Node& believed = node != nullptr ? *node : *directory;
    const bool overtaken = believed.is_dirty() || believed.changed_in() > listing.began_in;
    const bool newer_known = named != nullptr && named->validated_at > began;
    const bool adopted = !overtaken && type != FileType::kUnknown &&
                         (!newer_known || InodeTable::same_version(*node, entry.info));
    if (adopted) {
      node = &table_.adopt(*directory, entry.name, std::move(entry.info), now, graveyard);
    }
    if (Node* now_named = table_.entry(*directory, entry.name)) {
      now_named->seen_in = listing.serial;
    }
    if (node == nullptr) listing.has_unknown = true;
    if (node != nullptr && node->directory) {
      listing.directories.push_back(static_cast<uint32_t>(listing.entries.size()));
    }
    listing.entries.push_back({.name_offset = static_cast<uint32_t>(listing.names.size()),
                               .name_bytes = static_cast<uint16_t>(entry.name.size()),
                               .type = node != nullptr ? node->attributes.type : type,
                               .ino = node != nullptr ? table_.record(*node).ino
                                                      : table_.unknown_ino(*directory, entry.name),
                               .node = node != nullptr ? table_.id(*node) : fuse::NodeId(0)});
    listing.names += entry.name;
  }
  batch.clear();
  table_.sweep(kUnreferencedNodesMax, graveyard);
  return {};
}

// Names that the directory had and the listing has not; one that was looked up while we listed may
// be newer than the listing.
void FileSystem::drop_unlisted(Node& directory, uint64_t serial, MonoTime began,
                               Graveyard& graveyard) {
  std::vector<std::string> gone;
  for (const Node* child : directory.directory->children) {
    const Node& node = child->alias_of() != nullptr ? *child->alias_of() : *child;
    if (child->seen_in != serial && child->validated_at < began && !node.is_live()) {
      gone.push_back(child->name);
    }
  }
  for (const std::string& name : gone) {
    table_.set_absent(directory, name, clock_.now(), graveyard);
  }
}

Result<Ref<Listing>> FileSystem::take_listing(fuse::NodeId id, const std::string& path, Asker asker,
                                              Deadline until) {
  const MonoTime began = clock_.now();
  Ref<Listing> listing = make_ref<Listing>();
  listing->serial = next_listing_.fetch_add(1);
  {
    sync::MutexLock lock(table_.mutex);
    listing->began_in = table_.serial();
  }
  const uint64_t changes_before = name_changes_.now();
  std::vector<OriginEntry> batch;
  std::vector<std::string> left_over;      // by a process before this one
  bool whole = asker == Asker::kSomebody;  // however large; who has joined wants all of it as well
  Graveyard graveyard;
  const auto take = [&]() -> Result<void> {
    TRY(take_batch(id, batch, began, *listing, graveyard));
    if (asker == Asker::kSomebody) show_part(id, listing);
    return {};
  };
  Result<void> listed = origin_.list(path, until, [&](OriginEntry entry) -> Result<void> {
    if (!name_is_allowed(path, entry.name) || !info_is_allowed(entry.name, entry.info)) return {};
    if (writer_ != nullptr && hidden_names_.is_left_over(entry.name)) {
      left_over.push_back(path.empty() ? entry.name : path + "/" + entry.name);
      return {};
    }
    if (!whole && listing->entries.size() > kAheadOneMax) {
      whole = list_flights_.is_awaited(std::to_string(id.value));
      if (!whole) return Error(EFBIG, "vfs.list_ahead");
    }
    batch.push_back(std::move(entry));
    if (batch.size() < kListingBatch) return {};
    return take();
  });
  if (listed.ok()) listed = take();
  // The origin may be ahead of the table.
  const bool moving = name_changes_.any_since(changes_before);
  Ref<Listing> before;
  if (listed.ok()) {
    if (!listing->coming) listing->shrink();
    sync::MutexLock lock(table_.mutex);
    Node* directory = table_.find(id);
    if (directory == nullptr || !InodeTable::is_current(*directory)) {
      listed = Error(ESTALE, "vfs.list");
    } else if (const bool overtaken = directory->changed_in() > listing->began_in || moving;
               overtaken && asker == Asker::kNobody) {
      listed = Error(EAGAIN, "vfs.list_ahead");
    } else if (overtaken) {
      // Names came or went meanwhile: good for whoever asked, and for nobody after him.
      directory->doubted = true;
    } else {
      drop_unlisted(*directory, listing->serial, began, graveyard);
      before = std::exchange(directory->directory->listing, listing);
      directory->directory->listed_at = began;
      directory->directory->listing_took = clock_.now() - began;
      directory->directory->walk.failed = false;
      directory->directory->walk.too_large = listing->entries.size() > kAheadOneMax;
      if (asker == Asker::kNobody) {
        listing->ahead =
            make_ref<AheadClaim>(ahead_state_.budget, counters_, listing->entries.size());
      }
    }
  }
  end_part(id, *listing, listed.code());
  bury(std::move(graveyard));
  // By whoever asks: what nobody asked for changes nothing.
  if (asker == Asker::kNobody) left_over.clear();
  for (std::string& file : left_over) remove_hidden(std::move(file));
  if (!listed.ok()) return std::move(listed).error();
  return listing;
}

}  // namespace netfs::vfs
