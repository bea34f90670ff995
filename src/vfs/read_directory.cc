// OPENDIR, READDIR and READDIRPLUS.
//
// A handle reads one listing, the one that was there when it was opened, so its offsets stay true
// whatever happens to the directory: entry i goes on at i + 3, after "." and "..".

#include <cerrno>
#include <sys/stat.h>
#include <vector>

#include "vfs/file_system.h"

namespace netfs::vfs {

namespace {

constexpr uint64_t kAfterDot = 1;
constexpr uint64_t kAfterDotDot = 2;

uint32_t mode_of(FileType type) {
  switch (type) {
    case FileType::kDirectory:
      return S_IFDIR;
    case FileType::kSymlink:
      return S_IFLNK;
    case FileType::kFifo:
      return S_IFIFO;
    case FileType::kSocket:
      return S_IFSOCK;
    case FileType::kCharDevice:
      return S_IFCHR;
    case FileType::kBlockDevice:
      return S_IFBLK;
    default:
      return S_IFREG;
  }
}

}  // namespace

void FileSystem::open_directory(const fuse::Request& request, fuse::Reply reply) {
  if (options_.immutable) return reply.error(ENOSYS);
  const fuse::NodeId id = request.header.node;
  bool fresh = false;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    fresh = node != nullptr && node->directory && node->directory->listing &&
            is_fresh(node->directory->listed_at, options_.metadata_ttl);
  }
  Ref<Pending> pending = pending_.add(std::move(reply));
  if (fresh) return answer_open_directory(id, {}, *pending);
  refresh_listing(id, [this, id, pending](const Result<void>& seen) {
    answer_open_directory(id, seen, *pending);
  });
}

void FileSystem::answer_open_directory(fuse::NodeId id, const Result<void>& seen,
                                       Pending& pending) {
  if (!seen.ok()) return pending.error(seen.code());
  pending.answer([&](fuse::Reply& reply) {
    fuse::Opened opened;
    {
      sync::MutexLock lock(table_.mutex);
      Node* node = table_.find(id);
      if (node != nullptr && node->directory && node->directory->listing) {
        opened.handle = table_.open_handle(*node, /*directory=*/true);
        table_.handle(opened.handle)->listing = node->directory->listing;
        // The kernel may keep what it reads, and what it kept before if it is of this listing.
        opened.cache_dir = true;
        opened.keep_cache = node->kernel_has_listing == node->directory->listing->serial;
        node->kernel_has_listing = node->directory->listing->serial;
      }
    }
    if (opened.handle.value == 0) return reply.error(ESTALE);
    reply.value(fuse::open_out(opened));
  });
}

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
      if (!packer.add(name, listed.ino, mode_of(listed.type), next)) break;
      continue;
    }
    Node* node = table_.child(*directory, name);
    fuse::Entry entry;
    if (node != nullptr && is_fresh(*node)) {
      entry = entry_of(*node);
      if (packer.add_plus(name, entry, next)) continue;
      table_.drop_lookup(*node);  // not given after all
      break;
    }
    entry.attr.ino = listed.ino;
    entry.attr.mode = mode_of(listed.type);
    if (!packer.add_plus(name, entry, next)) break;
  }
  return packer.used();
}

void FileSystem::read_directory(const fuse::Request& request, fuse::Reply reply) {
  const auto& wanted = std::get<fuse::ReaddirRequest>(request.body);
  const fuse::NodeId id = request.header.node;
  Ref<Listing> listing;
  int error = 0;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (const Handle* handle = table_.handle(wanted.handle)) {
      listing = handle->listing;
    } else if (wanted.handle.value != 0 || node == nullptr) {
      error = ESTALE;
    } else if (!node->directory) {
      error = ENOTDIR;
    } else {  // an immutable mount: read without an open
      listing = node->directory->listing;
    }
  }
  if (error != 0) return reply.error(error);
  // A buffer a thread: the answer is sent from it before this returns.
  static thread_local std::vector<std::byte> room;
  const auto answer = [this, id](fuse::Reply& to, const Listing& from,
                                 const fuse::ReaddirRequest& part) {
    if (room.size() < part.size_bytes) room.resize(part.size_bytes);
    to.data(pack_entries(id, from, part, std::span(room).first(part.size_bytes)));
  };
  if (listing) return answer(reply, *listing, wanted);

  Ref<Pending> pending = pending_.add(std::move(reply));
  refresh_listing(id, [this, id, part = wanted, answer, pending](const Result<void>& seen) {
    if (!seen.ok()) return pending->error(seen.code());
    Ref<Listing> fetched;
    {
      sync::MutexLock lock(table_.mutex);
      if (const Node* node = table_.find(id); node != nullptr && node->directory) {
        fetched = node->directory->listing;
      }
    }
    if (!fetched) return pending->error(ESTALE);
    pending->answer([&](fuse::Reply& to) { answer(to, *fetched, part); });
  });
}

}  // namespace netfs::vfs
