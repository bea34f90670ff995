// READDIR and READDIRPLUS.
//
// A handle reads one listing, the one that was there when it was opened or rewound, so its offsets
// stay true whatever happens to the directory: entry i goes on at i + 3, after "." and "..".

#include <algorithm>
#include <cerrno>
#include <optional>
#include <sys/stat.h>
#include <vector>

#include "netfs/file_mode.h"
#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

constexpr uint64_t kAfterDot = 1;
constexpr uint64_t kAfterDotDot = kDots;

// Where a listing goes on for who has read another one so far.
uint64_t offset_behind(const Listing& listing, const SavedPosition& position) {
  for (const std::string& name : position.names) {
    for (uint64_t i = 0; i < listing.entries.size(); ++i) {
      if (listing.name(listing.entries[i]) == name) return i + kAfterDotDot + 1;
    }
  }
  return position.offset;  // all of them have gone
}

}  // namespace

// One entry after the other until the room is full; for READDIRPLUS with attributes, and then the
// kernel counts a lookup of each.
std::span<const std::byte> FileSystem::pack_entries(fuse::NodeId id, const Listing& listing,
                                                    const fuse::ReaddirRequest& wanted,
                                                    std::span<std::byte> room) {
  fuse::DirentPacker packer(room);
  sync::MutexLock lock(table_.mutex);
  Node* directory = table_.find(id);
  if (directory == nullptr) return {};
  const Node& parent = directory->parent == nullptr ? *directory : *directory->parent;
  const uint64_t own_ino = table_.record(*directory).ino;
  const uint64_t parent_ino = table_.record(parent).ino;
  const auto add_dot = [&](std::string_view name, uint64_t ino, uint64_t next) {
    if (!wanted.plus) return packer.add(name, ino, S_IFDIR, next);
    fuse::Entry entry;
    entry.attr.ino = ino;
    entry.attr.mode = S_IFDIR;
    return packer.add_plus(name, entry, next);
  };
  uint64_t at = wanted.offset;
  const Listing::Entry* last = nullptr;
  if (at < kAfterDot) {
    if (!add_dot(".", own_ino, kAfterDot)) return packer.used();
    at = kAfterDot;
  }
  if (at < kAfterDotDot) {
    if (!add_dot("..", parent_ino, kAfterDotDot)) return packer.used();
    at = kAfterDotDot;
  }
  for (uint64_t i = at - kAfterDotDot; i < listing.entries.size(); ++i) {
    const Listing::Entry& listed = listing.entries[i];
    const std::string_view name = listing.name(listed);
    const uint64_t next = i + kAfterDotDot + 1;
    if (!wanted.plus) {
      if (!packer.add(name, listed.ino, type_bits_of(listed.type), next)) break;
      last = &listed;
      continue;
    }
    Node* node = table_.child(*directory, name, listed.node);
    fuse::Entry entry;
    if (node != nullptr && is_fresh(*node)) {
      entry = entry_of(*node);
      if (packer.add_plus(name, entry, next)) {
        last = &listed;
        continue;
      }
      table_.drop_lookup(*node);  // not given after all
      break;
    }
    // The name only: the kernel looks it up if somebody wants more.
    entry.attr.ino = listed.ino;
    entry.attr.mode = type_bits_of(listed.type);
    if (!packer.add_plus(name, entry, next)) break;
    last = &listed;
  }
  if (last != nullptr) {
    const auto count = static_cast<uint64_t>(last - listing.entries.data()) + 1;
    SavedPosition position{.offset = count + kAfterDotDot};
    for (uint64_t i = count; i > 0 && position.names.size() < SavedPosition::kNamesMax; --i) {
      position.names.emplace_back(listing.name(listing.entries[i - 1]));
    }
    table_.note_position(wanted.handle, position);
  }
  return packer.used();
}

// Of a handle that a process before this one has opened: it goes on behind the name that it was
// read up to, wherever that stands now.
void FileSystem::resume_listing(fuse::NodeId id, const fuse::ReaddirRequest& wanted,
                                const Ref<Pending>& pending) {
  ThenListed go_on = [this, id, part = wanted, pending](const Result<Ref<Listing>>& seen) mutable {
    if (!seen.ok()) return pending->error(seen.code());
    const Listing& listing = *seen.value();
    std::optional<SavedPosition> position;
    {
      sync::MutexLock lock(table_.mutex);
      const Handle* handle = table_.handle(part.handle);
      if (handle != nullptr) position = handle->resume;
      table_.read_on(part.handle, seen.value());
    }
    const bool resumes = position && position->offset == part.offset && part.offset > kAfterDotDot;
    if (resumes) part.offset = offset_behind(listing, *position);
    pending->answer([&](fuse::Reply& to) { answer_listing(id, listing, part, to); });
  };
  refresh_listing(id, std::move(go_on), deadline());
}

void FileSystem::answer_listing(fuse::NodeId id, const Listing& listing,
                                const fuse::ReaddirRequest& wanted, fuse::Reply& reply) {
  // A buffer a thread: the answer is sent from it before this returns.
  static thread_local std::vector<std::byte> room;
  const size_t size = std::min<size_t>(wanted.size_bytes, kReaddirBytesMax);
  if (room.size() < size) room.resize(size);
  reply.data(pack_entries(id, listing, wanted, std::span(room).first(size)));
}

// Whether the names of a directory that is being read have grown old meanwhile: one more listing
// costs less than a look at each of them.
bool FileSystem::wants_relisting(const Node& node, const fuse::ReaddirRequest& wanted) const {
  const Directory& directory = *node.directory;
  return wanted.plus && listing_would_help(node) &&
         (node.doubted || !is_fresh(directory.listed_at, options_.metadata_ttl));
}

void FileSystem::read_directory(const fuse::Request& request, fuse::Reply reply) {
  const auto& wanted = std::get<fuse::ReaddirRequest>(request.body);
  const fuse::NodeId id = request.header.node;
  // A mount that needs no open is asked this first.
  if (wanted.handle.value == 0 && wanted.offset == 0) note_walk(id);
  Ref<Listing> listing;
  int error = 0;
  bool in_part = false;
  bool relist = false;
  bool anew = false;
  bool lost = false;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node == nullptr) {
      error = ESTALE;
    } else if (!node->directory) {
      error = ENOTDIR;
    } else if (const Handle* handle = table_.handle(wanted.handle)) {
      listing = handle->listing;
      lost = !listing;
      // rewinddir(3) shows what was made of it here.  What others did waits for the next open: the
      // kernel has pages of the older listing, and only after changes of our own gives them up.
      // Not while somebody else reads on, for whom they are.
      // And one that broke off is listed anew.
      const bool old = listing && (node->changed_in() > listing->began_in || listing->error != 0);
      anew = wanted.offset == 0 && old && InodeTable::is_current(*node) &&
             table_.record(*node).opens == 1;
    } else if (wanted.handle.value != 0) {
      error = ESTALE;             // of a process before this one
    } else if (!node->doubted) {  // a mount that needs no open
      listing = node->directory->listing;
      if (listing) listing->asked();
    }
    const bool at_end = listing && listing->ends_at(wanted.offset);
    in_part = at_end && (listing->coming || listing->error != 0);
    relist = listing && !at_end && !listing->coming && wants_relisting(*node, wanted);
  }
  if (error != 0) return reply.error(error);
  if (in_part) return read_on(id, wanted, listing, pending_.add(std::move(reply)));
  if (listing && !relist && !anew) return answer_listing(id, *listing, wanted, reply);

  Ref<Pending> pending = pending_.add(std::move(reply));
  if (lost) return resume_listing(id, wanted, pending);
  if (!listing) {
    return refresh_listing_in_part(
        id, [this, id, part = wanted, pending](const Result<Ref<Listing>>& seen) {
          if (!seen.ok()) return pending->error(seen.code());
          read_on(id, part, seen.value(), pending);
        });
  }
  refresh_listing(
      id,
      [this, id, part = wanted, listing, anew, pending](const Result<Ref<Listing>>& seen) {
        // A handle goes on with its own listing, even if there will be no other.
        const bool other = anew && seen.ok();
        if (other) {
          Graveyard graveyard;
          sync::MutexLock lock(table_.mutex);
          table_.rewind(part.handle, seen.value(), graveyard);
        }
        const Ref<Listing>& from = other ? seen.value() : listing;
        pending->answer([&](fuse::Reply& to) { answer_listing(id, *from, part, to); });
      },
      deadline());
}

}  // namespace netfs::vfs
