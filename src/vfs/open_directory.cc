// OPENDIR: a handle gets the listing as it is now, and keeps it.

#include <cerrno>
#include <fcntl.h>

#include "vfs/intent.h"

namespace netfs::vfs {

fuse::Opened FileSystem::open_directory_locked(Node& node, Ref<Listing> listing, uint64_t unique,
                                               Graveyard& graveyard) {
  Directory& directory = *node.directory;
  const uint64_t serial = listing->serial;
  listing->asked();
  const bool others = table_.record(node).opens > 0;
  fuse::Opened opened;
  // The kernel may keep what it reads, and what it kept before if it is of this listing.  Not while
  // somebody still reads another one: pages of the two would mix.
  const bool same = directory.kernel_has_listing == serial;
  opened.cache_dir = same || !others;
  // Names that the kernel has forgotten it would look up one by one, if it had the list from its
  // own pages; READDIRPLUS brings them back many at a time.
  const uint64_t forgotten = table_.forgotten() - directory.kernel_had_forgotten;
  opened.keep_cache = same && forgotten <= listing->entries.size() / 4;
  if (opened.cache_dir && !opened.keep_cache) {
    directory.kernel_has_listing = serial;
    directory.kernel_had_forgotten = table_.forgotten();
  }
  opened.handle = table_.open_handle(node, OpenMode::kDaemon, graveyard, unique);
  table_.handle(opened.handle)->listing = std::move(listing);
  return opened;
}

void FileSystem::answer_open_directory(fuse::NodeId id, Ref<Listing> listing, fuse::Reply& reply) {
  fuse::Opened opened;
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node != nullptr && node->directory) {
      opened = open_directory_locked(*node, std::move(listing), reply.unique(), graveyard);
    }
  }
  if (opened.handle.value == 0) return reply.error(ESTALE);
  reply.value(fuse::open_out(opened));
}

void FileSystem::open_directory(const fuse::Request& request, fuse::Reply reply) {
  // The kernel then opens without asking, and keeps what it reads.
  if (no_opendir_) return reply.error(ENOSYS);
  if (Intent::opened_before(*this, request, O_RDONLY, reply)) return;
  const fuse::NodeId id = request.header.node;
  note_walk(id);
  Ref<Listing> listing;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    const bool fresh = node != nullptr && node->directory && !node->doubted &&
                       InodeTable::is_current(*node) && node->directory->listing &&
                       is_fresh(node->directory->listed_at, options_.metadata_ttl);
    if (fresh) listing = node->directory->listing;
  }
  if (listing) return answer_open_directory(id, std::move(listing), reply);

  Ref<Pending> pending = pending_.add(std::move(reply));
  refresh_listing_in_part(id, [this, id, pending](const Result<Ref<Listing>>& seen) {
    if (!seen.ok()) return pending->error(seen.code());
    pending->answer([&](fuse::Reply& to) { answer_open_directory(id, seen.value(), to); });
  });
}

}  // namespace netfs::vfs
