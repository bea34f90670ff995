// Looks at the origin: list of a directory; equal looks under way are joined.
//
// Entries go into the table in batches as they come, so no hold of its lock is long.  Of what a
// stat has seen since the listing began, the stat is believed.

#include <algorithm>
#include <cerrno>
#include <unordered_set>
#include <utility>

#include "vfs/file_system.h"
#include "vfs/hidden_files.h"
#include "vfs/in_time.h"
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
  if (const Ref<Listing> shown = show_listing(id)) {
    list_behind(id, path);
    return then(shown);
  }
  if (!list_flights_.join(std::to_string(id.value), std::move(then))) {
    counters_.coalesced.add();
    return;
  }
  on_worker([this, id, path = std::move(path), end = until.value_or(deadline())] {
    list_now(id, path, end);
  });
}

void FileSystem::list_now(fuse::NodeId id, const std::string& path, Deadline until) {
  const Listed outcome = look_at_directory(id, path, Asker::kSomebody, until);
  if (should_wait(outcome.code())) {
    const bool later = metadata_.post_at(Clock::system().now() + kWaitPause,
                                         [this, id, path] { list_now(id, path, deadline()); });
    if (later) return;
  }
  const bool is_old = outcome.ok() && outcome.value()->shown_first;
  for (ThenListed& then : list_flights_.land(std::to_string(id.value))) then(outcome);
  wake_readers(id);
  if (is_old) list_behind(id, path);
  if (outcome.ok() && !outcome.value()->directories.empty()) list_ahead();
}

Listed FileSystem::look_at_directory(fuse::NodeId id, const std::string& path, Asker asker,
                                     Deadline until) {
  if (stopping_) return Error(ECANCELED, "vfs.list");
  if (believed_unreachable()) {
    if (Ref<Listing> stale = stale_listing(id, path)) return stale;
  }
  if (asker != Asker::kServed) {
    const bool behind = looks_behind();
    Listed stored = stored_listing(id, path, behind ? Old::kShown : Old::kRefused, asker);
    if (!stored.ok() || stored.value()) return stored;
    if (Ref<Listing> known = landed_listing(id)) return known;
    if (Ref<Listing> known = behind ? show_listing(id) : nullptr) {
      known->shown_first = true;
      return known;
    }
  }
  if (until.passed(clock_.now())) return Error(ETIMEDOUT, "vfs.list");
  counters_.listings.add();
  Listed listing = take_listing(id, path, asker, until);
  note_outcome(listing.code());
  if (believed_unreachable()) {
    if (Ref<Listing> stale = stale_listing(id, path)) return stale;
  }
  return listing;
}

// Another one, or the cache's, may have landed between the question and this; or null.  One with
// gaps does not bring back the names that are missing here.
Ref<Listing> FileSystem::landed_listing(fuse::NodeId id) {
  sync::MutexLock lock(table_.mutex);
  const Node* node = table_.find(id);
  if (node == nullptr || !node->directory || node->doubted) return nullptr;
  const Directory& directory = *node->directory;
  const Ref<Listing>& listing = directory.listing;
  if (!listing || !is_fresh(directory.listed_at, options_.metadata_ttl)) return nullptr;
  const bool whole = directory.kept.taken || !listing->has_gaps;
  return whole && listing->began_in >= node->changed_in() ? listing : nullptr;
}

// Under the policy `stale`: the listing we have, or the cache has, however old, or null.
Ref<Listing> FileSystem::stale_listing(fuse::NodeId id, const std::string& path) {
  if (options_.on_error != OnError::kStale) return nullptr;
  // Null where the memory has one.
  (void)stored_listing(id, path, Old::kTaken, Asker::kSomebody);
  sync::MutexLock lock(table_.mutex);
  Node* node = table_.find(id);
  if (node == nullptr || !node->directory || !node->directory->listing) return nullptr;
  show_a_moment_more(*node->directory, options_, clock_.now());
  counters_.served_stale.add();
  return node->directory->listing;
}

namespace {

// `node` may be null, of a name of which the origin gave no more.
void add_entry(InodeTable& table, const Node& directory, std::string_view name, FileType type,
               Node* node, Listing& listing) REQUIRES(table.mutex) {
  if (node == nullptr) listing.has_unknown = true;
  if (node != nullptr && node->directory) {
    listing.directories.push_back(static_cast<uint32_t>(listing.entries.size()));
  }
  listing.entries.push_back(
      {.name_offset = static_cast<uint32_t>(listing.names.size()),
       .name_bytes = static_cast<uint16_t>(name.size()),
       .type = node != nullptr ? node->attributes.type : type,
       .ino = node != nullptr ? table.record(*node).ino : table.unknown_ino(directory, name),
       .node = node != nullptr ? table.id(*node) : fuse::NodeId(0)});
  listing.names += name;
}

// What is to be stored of a batch, with the targets of links that are known here.  Only they are
// looked up under the table's lock: what is encoded already may have to be moved.
void encode_batch(InodeTable& table, fuse::NodeId id, Intake& intake) EXCLUDES(table.mutex) {
  if (!intake.encoder) return;
  {
    sync::MutexLock lock(table.mutex);
    Node* directory = table.find(id);
    for (auto& [entry, target] : intake.batch) {
      if (directory == nullptr || entry.info.attributes.type != FileType::kSymlink) continue;
      const Node* node = table.child(*directory, entry.name);
      const bool same = node != nullptr && InodeTable::same_version(*node, entry.info);
      if (same && node->target() != nullptr) target = *node->target();
      intake.lacks_targets |= !target;
    }
  }
  for (const StoredName& one : intake.batch) {
    intake.encoder->add(one.entry, one.target ? &*one.target : nullptr);
  }
}

bool is_known_absent(const Directory& directory, std::string_view name, MonoTime since) {
  const auto absent = directory.absent.find(name);
  return absent != directory.absent.end() && absent->second > since;
}

// Whether all names that the directory had when the listing began, and none besides, stand among
// its children, with those that were made here since.
bool makes_whole(const Directory& known, const Intake& intake) {
  const bool swept = intake.swept_before && *intake.swept_before != known.swept;
  return !intake.counts_as && intake.listing->tells_all() && !swept &&
         known.lost_in <= intake.listing->began_in;
}

}  // namespace

Result<void> FileSystem::take_batch(fuse::NodeId id, Intake& intake) {
  encode_batch(table_, id, intake);
  Listing& listing = *intake.listing;
  sync::MutexLock lock(table_.mutex);
  Node* directory = table_.find(id);
  if (directory == nullptr || !InodeTable::is_current(*directory)) return Error(ESTALE, "vfs.list");
  if (listing.entries.size() + intake.batch.size() > kListingEntriesMax ||
      listing.names.size() > kListingNamesBytesMax) {
    return Error(EFBIG, "vfs.list");
  }
  if (!intake.swept_before) intake.swept_before = directory->directory->swept;
  const bool stored = intake.counts_as.has_value();
  const MonoTime now = intake.counts_as.value_or(clock_.now());
  for (auto& [entry, target] : intake.batch) {
    const FileType type = entry.info.attributes.type;
    const Node* named = table_.entry(*directory, entry.name);
    if (named != nullptr && named->seen_in == listing.serial) continue;  // named twice
    const bool gone = is_known_absent(*directory->directory, entry.name, intake.began);
    if (stored && gone) continue;
    Node* node = table_.child(*directory, entry.name);
    // What we changed since the listing began we know better; a name that is not known any more may
    // be one that we have removed.
    const bool overtaken = node != nullptr ? node->is_dirty() || node->known_in() > listing.began_in
                                           : directory->directory->lost_in > listing.began_in;
    const bool newer_known = named != nullptr && named->validated_at > intake.began;
    // A process after this one would be shown what is older than what was shown here.
    const bool other_known = newer_known && !InodeTable::same_version(*node, entry.info);
    if (intake.encoder && (gone || other_known)) intake.encoder->give_up();
    const bool adopted = !overtaken && type != FileType::kUnknown && !other_known;
    // Of what was seen since, an older look says nothing; nor of what has ended since.
    const bool ended = named != nullptr && (named->doubted || node->doubted);
    if (adopted && !(stored && (newer_known || ended))) {
      node = &table_.adopt(*directory, entry.name, std::move(entry.info), now, intake.graveyard);
      if (target && node->target() == nullptr) node->seldom_part().target = std::move(target);
    }
    if (Node* now_named = table_.entry(*directory, entry.name)) {
      now_named->seen_in = listing.serial;
    }
    // It is shown, and would not be found.
    if (node == nullptr) directory->directory->whole_since.reset();
    add_entry(table_, *directory, entry.name, type, node, listing);
  }
  intake.batch.clear();
  table_.sweep(options_.unreferenced_nodes_max, intake.graveyard);
  return {};
}

// Names that the directory had and the listing has not.  One that was looked up while we listed may
// be newer than the listing; and one that was looked at since names from the cache were seen is,
// and stands among them.
void FileSystem::drop_unlisted(Node& directory, Intake& intake) {
  std::vector<std::string> gone;
  std::vector<const Node*> newer;
  for (Node* child : directory.directory->children) {
    if (child->seen_in == intake.listing->serial) continue;
    Node& node = child->alias_of() != nullptr ? *child->alias_of() : *child;
    if (child->validated_at < intake.began && !node.is_live()) {
      gone.push_back(child->name);
    } else if (intake.counts_as) {
      newer.push_back(child);
    }
  }
  // Another listing that is under way may have met names that this one has, too.
  std::unordered_set<std::string> listed;
  if (!newer.empty()) {
    const Listing& listing = *intake.listing;
    for (const auto& entry : listing.entries) listed.emplace(listing.name(entry));
  }
  for (const Node* child : newer) {
    if (listed.contains(child->name)) continue;
    Node* node = table_.child(directory, child->name);
    add_entry(table_, directory, child->name, node->attributes.type, node, *intake.listing);
  }
  // An older look than the memory's says nothing of when they went.
  const MonoTime now = intake.counts_as ? intake.began : clock_.now();
  for (const std::string& name : gone) {
    table_.set_absent(directory, name, now, intake.graveyard);
  }
}

Listed FileSystem::take_listing(fuse::NodeId id, const std::string& path, Asker asker,
                                Deadline until) {
  Intake intake{.listing = make_ref<Listing>(),
                .began = clock_.now(),
                .asker = asker,
                .changes_before = name_changes_.now()};
  intake.listing->serial = next_listing_.fetch_add(1);
  {
    sync::MutexLock lock(table_.mutex);
    intake.listing->began_in = table_.serial();
  }
  begin_saving(id, path, intake);
  bool whole = asker != Asker::kNobody;  // however large; who has joined wants all of it as well
  const auto take = [&](OriginEntry entry) -> Result<void> {
    if (!name_is_allowed(path, entry.name) || !info_is_allowed(entry.name, entry.info)) return {};
    if (writer_ != nullptr && hidden_names_.is_left_over(entry.name)) {
      intake.left_over.push_back(path.empty() ? entry.name : path + "/" + entry.name);
      return {};
    }
    if (!whole && intake.listing->entries.size() > kAheadOneMax) {
      whole = list_flights_.is_awaited(std::to_string(id.value));
      if (!whole) return Error(EFBIG, "vfs.list_ahead");
    }
    intake.batch.push_back({.entry = std::move(entry), .target = {}});
    if (intake.batch.size() < kListingBatch) return {};
    TRY(take_batch(id, intake));
    if (asker == Asker::kSomebody) show_part(id, intake.listing);
    return {};
  };
  Listed taken = end_intake(id, intake, in_time(origin_.list(path, until, take), counters_));
  if (taken.ok()) save_names(id, path, intake);
  return taken;
}

// All of it is there, or it failed.
Listed FileSystem::end_intake(fuse::NodeId id, Intake& intake, Result<void> listed) {
  Ref<Listing> listing = intake.listing;
  if (listed.ok()) listed = take_batch(id, intake);
  // The origin may be ahead of the table.
  const bool moving = name_changes_.any_since(intake.changes_before);
  Ref<Listing> before;
  if (listed.ok()) {
    if (!listing->coming) listing->shrink();
    sync::MutexLock lock(table_.mutex);
    Node* directory = table_.find(id);
    const bool current = directory != nullptr && InodeTable::is_current(*directory);
    const bool whole = current && !moving && makes_whole(*directory->directory, intake);
    if (whole) directory->directory->whole_since = intake.began;
    if (!current) {
      listed = Error(ESTALE, "vfs.list");
    } else if (const bool overtaken = directory->changed_in() > listing->began_in || moving;
               overtaken && intake.asker == Asker::kNobody && !whole) {
      listed = Error(EAGAIN, "vfs.list_ahead");
    } else if (overtaken) {
      // Names came or went meanwhile: good for whoever asked, and for nobody after him.
      directory->doubted = true;
    } else if (intake.counts_as && directory->directory->listing) {
      listing = directory->directory->listing;  // it was listed meanwhile
    } else {
      Directory& known = *directory->directory;
      const bool seen_gone = known.kept.seen_gone;
      drop_unlisted(*directory, intake);
      listing->has_gaps = intake.swept_before && *intake.swept_before != known.swept;
      before = std::exchange(known.listing, listing);
      known.listed_at = intake.counts_as.value_or(intake.began);
      // Single names may have been taken from there before.
      MonoTime& until = known.kept.listed_until;
      until = intake.counts_as ? std::max(until, *intake.counts_as) : clock_.now();
      known.kept.taken = intake.counts_as.has_value();
      if (!intake.counts_as) {
        known.listing_took = clock_.now() - intake.began;
        known.kept.swept_newer = false;
      }
      // By an older look than the memory's nothing is seen.
      known.kept.seen_gone = intake.counts_as && seen_gone;
      known.walk.failed = false;
      known.walk.too_large = listing->entries.size() > kAheadOneMax;
      if (intake.asker == Asker::kNobody) {
        listing->ahead =
            make_ref<AheadClaim>(ahead_state_.budget, counters_, listing->entries.size());
      }
    }
  }
  end_part(id, *intake.listing, listed.code());
  bury(std::move(intake.graveyard));
  // By whoever asks: what nobody asked for changes nothing.
  if (intake.asker == Asker::kNobody) intake.left_over.clear();
  for (std::string& file : intake.left_over) HiddenFiles::remove(*this, std::move(file));
  if (!listed.ok()) return std::move(listed).error();
  return listing;
}

}  // namespace netfs::vfs
