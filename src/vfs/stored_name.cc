// One name from the cache, of a directory whose listing is not in memory: nobody has listed it
// here, or it was swept, or names of it were while it came in.  Of the record that name alone is
// taken; the others would cost their memory, and take that of names which are in use.
//
// What of the record is believed, and why: stored_names.cc.

#include <algorithm>
#include <cerrno>

#include "vfs/file_system.h"
#include "vfs/limits.h"
#include "vfs/stored_beliefs.h"

namespace netfs::vfs {

namespace {

// Whether the cache may have better than the memory.
bool may_have(const Node& directory, Old old) {
  if (!InodeTable::is_current(directory) || !directory.directory || directory.doubted) return false;
  const KeptNames& kept = directory.directory->kept;
  const Ref<Listing>& listing = directory.directory->listing;
  if ((listing && !listing->has_gaps) || kept.of_another) return false;
  return kept.taking || (old == Old::kRefused ? kept.ask : kept.ask_old);
}

// Until it was listed.  Whoever believes less would find no more.
void ask_no_more(KeptNames& kept, Old old) {
  (old == Old::kRefused ? kept.ask : kept.ask_old) = false;
  if (old == Old::kShown) kept.ask = false;
}

// Whether the store may not have yet what was listed last.
bool is_on_its_way(const KeptNames& kept, MonoTime now) {
  return kept.saved_at != MonoTime() && now - kept.listed_until < kNamesResave;
}

// Looks behind names of one directory, of which nobody has the listing, are many: one listing is
// cheaper, and the cache's is what it is shown by.
bool is_better_listed(const HeldNames& held, const Node& directory, const Options& options) {
  return directory.directory->behind >= kLooksBeforeListing && held.count() <= kAheadOneMax &&
         !held.has_unknown() && options.metadata_ttl >= kRelistTtlMin &&
         held.head().took * 2 < options.metadata_ttl;
}

struct Believed {
  MonoTime seen;       // it tells of nothing after that
  MonoTime counts_as;  // when its names are to count as seen
};

// Nothing: the record is not believed, now or later.
std::optional<Believed> believe(const HeldNames& held, Node& directory, Old old,
                                const Options& options, const std::string& boot,
                                const Clock& clock) {
  const Seen seen = seen_at(held.head(), boot, clock);
  const auto as_of = counts_as(seen, held.head(), options, clock.now(), old);
  KeptNames& kept = directory.directory->kept;
  const bool believed =
      as_of && is_of(held.head(), directory, seen.at) && is_newest(kept, held.entries_crc());
  if (!believed) return {};
  kept.listed = true;
  kept.crc = held.entries_crc();
  // What is swept of it is there still.
  kept.listed_until = std::max(kept.listed_until, *as_of);
  if (kept.saved_at == MonoTime()) kept.saved_at = seen.at;
  return Believed{.seen = seen.at, .counts_as = *as_of};
}

// False: what this process has seen since counts.
bool take_name(InodeTable& table, Node& directory, StoredName one, const Believed& when,
               Graveyard& graveyard) REQUIRES(table.mutex) {
  const std::string& name = one.entry.name;
  const auto& absent = directory.directory->absent;
  if (const auto at = absent.find(name); at != absent.end() && at->second > when.seen) return false;
  const Node* known = table.entry(directory, name);
  if (known != nullptr && (known->doubted || known->validated_at > when.seen)) return false;
  Node& node = table.adopt(directory, name, std::move(one.entry.info), when.counts_as, graveyard);
  if (one.target && node.target() == nullptr) node.seldom_part().target = std::move(one.target);
  return true;
}

}  // namespace

// What the cache says of a name, or nothing.
std::optional<Result<void>> FileSystem::look_in_store(const Name& name, Old old) {
  if (names_ == nullptr || name.name.empty()) return {};
  const size_t above = name.path.size() - std::min(name.path.size(), name.name.size() + 1);
  const std::string path = name.path.substr(0, above);
  const bool asks = old != Old::kRefused || asks_first(options_);
  bool wanted = false;
  {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(name.parent);
    const Node* known = parent != nullptr ? table_.child(*parent, name.name) : nullptr;
    // Who asks for what is believed wants the origin's word: an open of what it has otherwise.
    if (old == Old::kRefused && known != nullptr && is_fresh(*known) &&
        is_fresh(known->validated_at, options_.metadata_ttl)) {
      return {};
    }
    wanted = asks && parent != nullptr && may_have(*parent, old);
    // Who shows old ones has this one.
    if (old != Old::kRefused && known != nullptr) wanted = false;
  }
  const Ref<HeldNames> held = wanted ? names_->find(path) : nullptr;
  std::optional<StoredName> one = held ? held->find(name.name) : std::optional<StoredName>();
  if (one && !info_is_allowed(name.name, one->entry.info)) one.reset();
  const bool not_there = held && !one && !held->has_unknown();
  if (one && one->entry.info.attributes.type == FileType::kUnknown) one.reset();
  bool all = false;
  if (held && old == Old::kShown) {
    sync::MutexLock lock(table_.mutex);
    const Node* parent = table_.find(name.parent);
    all = parent != nullptr && parent->directory && is_better_listed(*held, *parent, options_);
  }
  if (all) (void)stored_listing(name.parent, path, old, Asker::kSomebody);
  Graveyard graveyard;
  bool looked_at = false;
  bool absent = false;
  {
    sync::MutexLock lock(table_.mutex);
    // Before it comes: it is to be there for who asks.
    if (one) table_.sweep(options_.unreferenced_nodes_max, graveyard);
    Node* parent = table_.find(name.parent);
    if (wanted && parent != nullptr && may_have(*parent, old)) {
      const auto when = held ? believe(*held, *parent, old, options_, names_->boot(), clock_)
                             : std::optional<Believed>();
      absent = when && not_there;
      if (!when) {
        if (!is_on_its_way(parent->directory->kept, clock_.now())) {
          ask_no_more(parent->directory->kept, old);
        }
      } else if (one && take_name(table_, *parent, std::move(*one), *when, graveyard)) {
        counters_.stored_names.add();
      }
    }
    const Node* node = parent == nullptr ? nullptr : table_.child(*parent, name.name);
    looked_at =
        node != nullptr && is_fresh(*node) && is_fresh(node->validated_at, options_.metadata_ttl);
    const bool listed = parent != nullptr && parent->directory && !parent->doubted &&
                        parent->directory->listing && parent->directory->listing->tells_all();
    absent = (absent || listed) && node == nullptr && options_.immutable;
  }
  bury(std::move(graveyard));
  if (looked_at) return Result<void>();
  if (absent) return Result<void>(Error(ENOENT, "vfs.stat"));
  return {};
}

}  // namespace netfs::vfs
