// FORGET and BATCH_FORGET: the kernel drops its lookup counts; nodes nobody else needs may go.

#include "vfs/file_system.h"

namespace netfs::vfs {

void FileSystem::forget(const fuse::Request& request, fuse::Reply reply) {
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    if (const auto* one = std::get_if<fuse::ForgetRequest>(&request.body)) {
      table_.forget(request.header.node, one->lookups, graveyard);
    } else if (const auto* batch = std::get_if<fuse::BatchForgetRequest>(&request.body)) {
      for (uint32_t i = 0; i < batch->count; ++i) {
        const auto entry = batch->at(i);
        table_.forget(entry.node, entry.lookups, graveyard);
      }
    }
    table_.sweep(options_.unreferenced_nodes_max, graveyard);
  }
  reply.none();
  bury(std::move(graveyard));
}

}  // namespace netfs::vfs
