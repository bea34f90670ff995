// Looks at the origin for names that many ask for at one time: one listing instead of many looks.
//
// `ls -l` reads a directory and then asks for each of its names; where their time is over by then,
// each would be a round trip.  How many more will be asked for is not known.  So what the looks at
// names of a directory have cost is added up, and once that is what its last listing cost, the next
// look is a listing: never more than about twice the least there could have been.

#include <cerrno>

#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

// One listing keeps all names of the directory fresh: not if it takes about as long as it is
// believed, nor if the listing does not tell attributes.
bool FileSystem::listing_would_help(const Node& directory) const {
  const Directory& known = *directory.directory;
  return known.listing && known.listing->tells_all() && InodeTable::is_current(directory) &&
         options_.metadata_ttl >= kRelistTtlMin && known.listing_took * 2 < options_.metadata_ttl;
}

// The looks of one TTL count together; those before are of another walk.
void FileSystem::count_look(Node& directory, Duration took) {
  Directory& known = *directory.directory;
  const MonoTime now = clock_.now();
  if (known.looks == 0 || now - known.looks_since > options_.metadata_ttl) {
    known.looks = 0;
    known.looks_took = Duration(0);
    known.looks_since = now;
  }
  ++known.looks;
  known.looks_took += took;
}

bool FileSystem::listing_is_cheaper(const Name& name) {
  sync::MutexLock lock(table_.mutex);
  Node* directory = table_.find(name.parent);
  if (directory == nullptr || !directory->directory || name.name.empty()) return false;
  const Directory& known = *directory->directory;
  return listing_would_help(*directory) && known.looks >= kLooksBeforeListing &&
         known.looks_took >= known.listing_took &&
         clock_.now() - known.looks_since <= options_.metadata_ttl &&
         table_.child(*directory, name.name) != nullptr;
}

// As refresh_name, by whatever has been the cheaper way lately.  Not for OPEN, which has to see
// what is there now: a listing that others began may have come by that name long ago.
void FileSystem::refresh_cheaply(Name name, Then then) {
  if (show_then_look(name)) return then(Result<void>());
  if (may_show_stored(name)) {
    return on_worker([this, name = std::move(name), then = std::move(then)]() mutable {
      if (const auto stored = look_in_store(name, Old::kShown)) return then(*stored);
      if (show_then_look(name)) return then(Result<void>());
      refresh_name(std::move(name), std::move(then));
    });
  }
  if (!listing_is_cheaper(name)) return refresh_name(std::move(name), std::move(then));
  const fuse::NodeId parent = name.parent;
  ThenListed after = [this, name = std::move(name),
                      then = std::move(then)](const Result<Ref<Listing>>& seen) mutable {
    bool fresh = false;
    bool gone = false;
    if (seen.ok()) {
      sync::MutexLock lock(table_.mutex);
      Node* directory = table_.find(name.parent);
      const Node* node = directory == nullptr ? nullptr : table_.child(*directory, name.name);
      fresh = node != nullptr && is_fresh(*node);
      // By a listing of which a name may have been swept nobody knows.
      gone = directory != nullptr && node == nullptr && directory->directory->listing &&
             directory->directory->listing->tells_all();
    }
    if (fresh) return then(Result<void>());
    if (gone) return then(Error(ENOENT, "vfs.list"));
    // It failed, or the name has grown old since: the one name may do better.
    refresh_name(std::move(name), std::move(then));
  };
  refresh_listing(parent, std::move(after), deadline());
}

}  // namespace netfs::vfs
