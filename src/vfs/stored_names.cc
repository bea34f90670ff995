// Names that outlive this process: each listing is left to the cache, and taken from there by a
// process that comes after it, as far as the mount's policy believes it: all of it by who lists the
// directory, one name by who looks at one (stored_name.cc).
//
// What was listed is the directory's that was listed: of one that took its place nothing is
// believed, nor of one that was seen to have changed since.  Two times tell of it.  When its names
// were seen counts against whatever this process has looked at itself, which is never replaced by
// an older look.  When they count as seen is the same within the TTL, so that they are believed no
// longer than in the memory of the process that listed them; older ones are shown by
// `--on-error=stale` while the origin cannot be reached, and by `--revalidate=behind`, each for a
// moment.  Who never asks again (`--immutable`) believes only what such a mount has listed.
//
// Kept only where the policy can make use of it, and not on a mount that writes: what is changed
// here would have to be changed there first.

#include <algorithm>
#include <cerrno>

#include "vfs/file_system.h"
#include "vfs/late_targets.h"
#include "vfs/limits.h"
#include "vfs/stored_beliefs.h"

namespace netfs::vfs {

// The directory as it was seen before it is listed: a change meanwhile makes it another.
void FileSystem::begin_saving(fuse::NodeId id, const std::string& path, Intake& intake) {
  if (names_ == nullptr) return;
  NamesHead head{.listed_at = clock_.wall(),
                 .uptime_ns = intake.began.time_since_epoch().count(),
                 .boot = names_->boot(),
                 .for_ever = believes_for_ever(options_)};
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    if (node == nullptr) return;
    head.identity = node->identity;
    head.validator = node->validator;
    head.mtime = node->attributes.mtime;
    head.ctime = node->attributes.ctime;
  }
  intake.encoder.emplace(path, head);
}

void FileSystem::save_names(fuse::NodeId id, const std::string& path, Intake& intake) {
  if (!intake.encoder) return;
  const bool fits = intake.encoder->fits();
  const uint32_t crc = intake.encoder->entries_crc();
  Duration took{};
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    // Dropped meanwhile, or replaced.
    if (node == nullptr || !node->directory || node->directory->listing != intake.listing) return;
    KeptNames& kept = node->directory->kept;
    const bool saved = kept.saved_at != MonoTime() && kept.listed && kept.crc == crc;
    kept.ask = kept.ask_old = intake.listing->has_gaps;  // else the memory has better
    kept.listed = true;
    kept.crc = crc;
    kept.outdated = false;
    if (saved && intake.began - kept.saved_at < kNamesResave) return;
    kept.saved_at = intake.began;
    ++kept.saving;
    ++kept.saves;
    took = node->directory->listing_took;
  }
  std::string bytes;
  if (fits) bytes = intake.encoder->finish(took);
  late_targets_->hold(id, intake, bytes);
  const size_t size = bytes.size();
  if (names_->waiting_bytes.fetch_add(size) > kNamesWaitingBytesMax) bytes = {};
  intake.encoder.reset();
  // On a thread that nobody waits for.  Stopping: this one is not kept.
  const bool posted =
      ahead_.post([this, id, path, began = intake.began, bytes = std::move(bytes), size]() mutable {
        store_names(id, path, began, std::move(bytes));
        names_->waiting_bytes -= size;
        sync::MutexLock lock(table_.mutex);
        if (Node* node = table_.find(id)) --node->directory->kept.saving;
      });
  if (!posted) names_->waiting_bytes -= size;
}

// Without bytes, or without room for them, what is stored is older than what was seen, and goes.
void FileSystem::store_names(fuse::NodeId id, const std::string& path, MonoTime began,
                             std::string bytes) {
  // False: dropped meanwhile, or there is a later one.
  const auto is_wanted = [&](bool kept) {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node == nullptr || !node->directory || node->directory->kept.saved_at != began) {
      return false;
    }
    if (!kept) node->directory->kept.saved_at = {};
    return true;
  };
  if (!is_wanted(true)) return;
  Ref<Cookie> saved;
  if (!bytes.empty()) saved = names_->save(path, bytes);
  // A drop that came in between may have been too early for it.
  const bool wanted = is_wanted(saved != nullptr);
  if (saved && !wanted) return names_->discard(std::move(saved));
  if (!saved && wanted) names_->forget(path);
}

// Whether the cache is to be asked for a directory's names.  What somebody else is taking from
// there is waited for, and is known then: a read of the disk at most, of which one does for all.
bool FileSystem::begin_taking(fuse::NodeId id, Old old) {
  if (names_ == nullptr || (old == Old::kRefused && !asks_first(options_))) return false;
  sync::MutexLock lock(table_.mutex);
  Node* node = table_.find(id);
  while (node != nullptr && node->directory && node->directory->kept.taking) {
    names_taken_.wait(table_.mutex);
    node = table_.find(id);
  }
  if (node == nullptr || !node->directory || node->doubted) return false;
  KeptNames& kept = node->directory->kept;
  if (node->directory->listing || kept.of_another) return false;
  if (!std::exchange(old == Old::kRefused ? kept.ask : kept.ask_old, false)) return false;
  // Whoever believes less would find no more.
  if (old == Old::kShown) kept.ask = false;
  kept.taking = true;
  return true;
}

// In vain: that was for nobody, and says nothing of what is there.
void FileSystem::end_taking(fuse::NodeId id, Old old, bool in_vain) {
  sync::MutexLock lock(table_.mutex);
  Node* node = table_.find(id);
  if (node != nullptr && node->directory) {
    KeptNames& kept = node->directory->kept;
    kept.taking = false;
    if (in_vain) (old == Old::kRefused ? kept.ask : kept.ask_old) = true;
    if (in_vain && old == Old::kShown) kept.ask = true;
  }
  names_taken_.notify_all();
}

// Null where the cache has none that is believed; with kShown, one that is too old for that is
// known afterwards.  EFBIG: for nobody it is too large.
Listed FileSystem::stored_listing(fuse::NodeId id, const std::string& path, Old old, Asker asker) {
  if (!begin_taking(id, old)) return Ref<Listing>();
  const Listed taken = take_stored(id, path, old, asker);
  end_taking(id, old, /*in_vain=*/taken.is_error(EFBIG) || taken.is_error(EAGAIN));
  if (taken.ok() || taken.is_error(EFBIG)) return taken;
  return Ref<Listing>();
}

Listed FileSystem::take_stored(fuse::NodeId id, const std::string& path, Old old, Asker asker) {
  const bool ahead = asker == Asker::kNobody && !list_flights_.is_awaited(std::to_string(id.value));
  const Result<std::string> bytes =
      names_->load(path, ahead ? kAheadRecordBytesMax : kNamesBytesMax);
  std::optional<NamesDecoder> decoder;
  if (bytes.ok()) decoder = NamesDecoder::open(bytes.value(), path);
  const bool too_large = decoder && decoder->count() > kAheadOneMax;
  if (ahead && (too_large || bytes.is_error(EFBIG))) return Error(EFBIG, "vfs.stored_names");
  if (!decoder) return Ref<Listing>();
  const Seen seen = seen_at(decoder->head(), names_->boot(), clock_);
  Intake intake{.listing = make_ref<Listing>(),
                .began = seen.at,
                .counts_as = counts_as(seen, decoder->head(), options_, clock_.now(), old),
                .asker = asker,
                .changes_before = name_changes_.now()};
  if (!intake.counts_as) return Ref<Listing>();
  intake.listing->serial = next_listing_.fetch_add(1);
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    const bool believed = node != nullptr && node->directory && !node->doubted &&
                          is_of(decoder->head(), *node, seen.at) &&
                          is_newest(node->directory->kept, decoder->entries_crc());
    if (!believed) return Ref<Listing>();
    // What is swept of it while it comes in is there still.
    MonoTime& until = node->directory->kept.listed_until;
    until = std::max(until, *intake.counts_as);
    intake.listing->began_in = table_.serial();
  }
  Result<void> taken;
  while (std::optional<StoredName> one = decoder->next()) {
    const OriginEntry& entry = one->entry;
    if (!name_is_allowed(path, entry.name) || !info_is_allowed(entry.name, entry.info)) continue;
    intake.batch.push_back(std::move(*one));
    if (intake.batch.size() >= kListingBatch) taken = take_batch(id, intake);
    if (!taken.ok()) break;
  }
  const Listed listing = end_intake(id, intake, taken);
  if (listing.is_error(EAGAIN)) return listing;
  if (!listing.ok()) return Ref<Listing>();
  counters_.stored_listings.add();
  const bool believed = is_fresh(*intake.counts_as, options_.metadata_ttl);
  bool learnt = false;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node != nullptr && node->directory->listing == intake.listing) {
      KeptNames& kept = node->directory->kept;
      kept.listed = true;
      kept.crc = decoder->entries_crc();
      kept.saved_at = seen.at;
      learnt = kept.learnt;
      if (listing.value()->has_gaps) kept.ask = kept.ask_old = true;
      node->directory->listing_took = decoder->head().took;
      if (old == Old::kTaken) show_a_moment_more(*node->directory, options_, clock_.now());
    }
  }
  if (learnt) late_targets_->add(id);
  return believed ? listing : Listed(Ref<Listing>());
}

// A name of it was met with another version by who read the file.  By the cache's names a process
// after this one would bring back what has ended here: as long as they would be believed, they go.
// Where old ones are wanted when there are no others, later ones take their place.
void FileSystem::outdate_names(fuse::NodeId directory) {
  if (names_ == nullptr) return;
  const bool wants_others = options_.on_error == OnError::kStale;
  std::string path;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(directory);
    if (node == nullptr || !node->directory || !InodeTable::is_current(*node)) return;
    MonoTime& saved_at = node->directory->kept.saved_at;
    if (saved_at == MonoTime()) return;
    if (!believes_for_ever(options_) && !is_fresh(saved_at, options_.metadata_ttl)) return;
    path = InodeTable::path_of(*node);
    if (!wants_others) {
      saved_at = {};
      node->directory->kept.outdated = true;
      node->directory->kept.ask = node->directory->kept.ask_old = false;
    }
  }
  if (wants_others) return list_behind(directory, path);
  // Unless it was listed since.
  (void)ahead_.post([this, directory, path = std::move(path)] {
    {
      sync::MutexLock lock(table_.mutex);
      const Node* node = table_.find(directory);
      if (node != nullptr && !node->directory->kept.outdated) return;
    }
    names_->forget(path);
  });
}

}  // namespace netfs::vfs
