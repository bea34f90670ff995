// `--revalidate=behind`: what is known of a name or a directory, and older than it is believed, is
// shown and looked at behind that.  Who asks again is shown what was found as soon as the look is
// back: after kStaleGrace at least, for which the kernel believes what it was told.  Looks have a
// queue of their own, so that nobody who waits stands behind them.  A look that found the origin
// away ends it: then nothing old is shown until the origin is asked again.  Of what the origin
// refuses to show nothing is shown either.
//
// An open looks first.  Not on a mount that writes.

#include <algorithm>
#include <cerrno>

#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

// Whether the origin has answered, and not what was asked for.  ETIMEDOUT: it was asked too late.
bool is_refusal(int code, bool unreachable) {
  return code != 0 && code != ECANCELED && code != ETIMEDOUT && !unreachable;
}

// Whoever lists it next waits for the origin, and asks the cache no more.
void end_showing(Directory& directory, Graveyard& graveyard) {
  if (directory.listing) graveyard.listings.push_back(std::move(directory.listing));
  directory.shown_until = {};
  directory.kept.ask = directory.kept.ask_old = false;
}

}  // namespace

void show_a_moment_more(Directory& directory, const Options& options, MonoTime now) {
  // No TTL is longer, as far as times go.
  const Duration ttl = std::min(options.metadata_ttl, kLongAgo);
  const MonoTime as_if = now - ttl + std::min(ttl, kStaleGrace);
  directory.listed_at = std::max(directory.listed_at, as_if);
  directory.shown_until = now + kStaleGrace;
}

// Not of an origin that would not answer, nor where looks come faster than it answers.
bool FileSystem::looks_behind() const {
  return options_.revalidate_behind && writer_ == nullptr && !believed_unreachable() &&
         options_.metadata_ttl >= kStaleGrace && behind_.depth() < kLooksBehindMax;
}

// True where the name is shown as it is known, and will be looked at: where others of its directory
// are looked at as well, by one listing that shows them all.
bool FileSystem::show_then_look(const Name& name) {
  if (!looks_behind()) return false;
  const bool named = !name.name.empty();
  bool many = listing_is_cheaper(name);
  {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(name.parent);
    Node* node = parent != nullptr && named ? table_.child(*parent, name.name) : parent;
    if (node == nullptr || node->doubted) return false;
    if (named) {
      many =
          many || (parent->directory->behind >= kLooksBeforeListing && listing_would_help(*parent));
      many = many && !parent->doubted;
      if (!many) ++parent->directory->behind;
    }
    if (!many) node->seldom_part().shown_until = clock_.now() + kStaleGrace;
  }
  if (many) {
    if (!show_listing(name.parent)) return false;
    const size_t above = name.path.size() - std::min(name.path.size(), name.name.size() + 1);
    list_behind(name.parent, name.path.substr(0, above));
    return true;
  }
  counters_.shown_first.add();
  return behind_.post([this, name] { look_behind(name); });
}

// Nobody waits for it, so it is not tried again; who joined it meanwhile may wait on his own.
void FileSystem::look_behind(const Name& name) {
  const std::string key = std::to_string(name.parent.value) + "/" + name.name;
  const bool begun = stat_flights_.begin(key);
  const Result<void> outcome = begun ? look(name, deadline()) : Result<void>();
  {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(name.parent);
    const bool named = parent != nullptr && !name.name.empty();
    if (named) --parent->directory->behind;
    Node* node = named ? table_.child(*parent, name.name) : parent;
    if (node != nullptr && is_refusal(outcome.code(), believed_unreachable())) node->doubted = true;
  }
  if (!begun) return;
  for (Then& then : stat_flights_.land(key)) {
    if (should_wait(outcome.code())) {
      look_at_name(name, std::move(then));
    } else {
      then(outcome);
    }
  }
}

// Whether a name that is not known here may be among those that the cache has.
bool FileSystem::may_show_stored(const Name& name) {
  if (names_ == nullptr || !looks_behind() || name.name.empty()) return false;
  sync::MutexLock lock(table_.mutex);
  Node* parent = table_.find(name.parent);
  if (parent == nullptr || !parent->directory || parent->doubted) return false;
  const KeptNames& kept = parent->directory->kept;
  const Ref<Listing>& listing = parent->directory->listing;
  return kept.taking || (kept.ask_old && !kept.of_another && (!listing || listing->has_gaps));
}

// The listing that is known of a directory, however old, for whoever lists it behind that; or null.
Ref<Listing> FileSystem::show_listing(fuse::NodeId id) {
  if (!looks_behind()) return nullptr;
  sync::MutexLock lock(table_.mutex);
  Node* node = table_.find(id);
  if (node == nullptr || !node->directory || node->doubted) return nullptr;
  Directory& directory = *node->directory;
  if (!directory.listing) return nullptr;
  show_a_moment_more(directory, options_, clock_.now());
  counters_.shown_first.add();
  return directory.listing;
}

void FileSystem::list_behind(fuse::NodeId id, const std::string& path) {
  (void)behind_.post([this, id, path] {
    const std::string key = std::to_string(id.value);
    if (!list_flights_.begin(key)) return;
    const Listed outcome = look_at_directory(id, path, Asker::kServed, deadline());
    Graveyard graveyard;
    if (is_refusal(outcome.code(), believed_unreachable())) {
      sync::MutexLock lock(table_.mutex);
      Node* node = table_.find(id);
      if (node != nullptr && node->directory) end_showing(*node->directory, graveyard);
    }
    bury(std::move(graveyard));
    for (ThenListed& then : list_flights_.land(key)) {
      if (should_wait(outcome.code())) {
        refresh_listing(id, std::move(then), deadline());
      } else {
        then(outcome);
      }
    }
  });
}

}  // namespace netfs::vfs
