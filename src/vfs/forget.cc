// FORGET and BATCH_FORGET: the kernel drops its lookup counts; nodes nobody else needs may go.

#include <malloc.h>
#include <utility>

#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

void FileSystem::forget(const fuse::Request& request, fuse::Reply reply) {
  Graveyard graveyard;
  size_t rounds = 1;
  {
    sync::MutexLock lock(table_.mutex);
    if (const auto* one = std::get_if<fuse::ForgetRequest>(&request.body)) {
      table_.forget(request.header.node, one->lookups, graveyard);
    } else if (const auto* batch = std::get_if<fuse::BatchForgetRequest>(&request.body)) {
      for (uint32_t i = 0; i < batch->count; ++i) {
        const auto entry = batch->at(i);
        table_.forget(entry.node, entry.lookups, graveyard);
      }
      // The kernel forgets tens of thousands at a time; a node is passed over once.
      rounds += 2 * size_t{batch->count} / kSweepSteps;
    }
  }
  reply.none();
  bury(std::move(graveyard));
  bool many_have_gone = false;
  for (bool more = true; more && rounds > 0; --rounds) {
    Graveyard swept;
    {
      sync::MutexLock lock(table_.mutex);
      more = table_.sweep(options_.unreferenced_nodes_max, swept);
      many_have_gone = many_have_gone || table_.many_have_gone();
    }
    bury(std::move(swept));
  }
  // They lay all over the heap, whose end alone shrinks by itself.
  if (many_have_gone) on_worker([] { ::malloc_trim(0); });
}

}  // namespace netfs::vfs
