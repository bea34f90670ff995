// LINK: one more name of a file.  Where the origin has identities both names are one node.

#include <cerrno>
#include <utility>

#include "vfs/file_system.h"

namespace netfs::vfs {

void FileSystem::link(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  const auto& wanted = std::get<fuse::LinkRequest>(request.body);
  Result<Place> place = place_of(request.header.node, wanted.name);
  if (!place.ok()) return reply.error(place.code());
  Result<Place> source = place_of_node(wanted.node);
  if (!source.ok()) return reply.error(source.code());
  change_on_worker(
      std::move(reply), [this, id = wanted.node, from = std::move(source).value(),
                         at = std::move(place).value()](Pending& pending, Deadline until) {
        Result<NodeInfo> linked = writer_->link(from.path, at.path, until);
        note_outcome(linked.code());
        if (!linked.ok()) return pending.error(linked.code());
        NodeInfo info = std::move(linked).value();
        Graveyard graveyard;
        {
          sync::MutexLock lock(table_.mutex);
          Node* node = table_.find(id);
          Node* parent = table_.find(at.parent);
          const bool same = node != nullptr && InodeTable::is_current(*node) &&
                            !info.identity.empty() && InodeTable::same_file(*node, info);
          const bool one_node = same && node->attributes.type == FileType::kRegular &&
                                parent != nullptr && parent->directory &&
                                InodeTable::is_current(*parent);
          if (one_node) table_.add_name(*node, *parent, at.name, clock_.now(), graveyard);
          if (same) {
            table_.take_own(*node, info, InodeTable::Changed::kAttributes, clock_.now(), graveyard);
          }
        }
        bury(std::move(graveyard));
        const Result<fuse::Entry> entry = take_made(at, std::move(info));
        if (!entry.ok()) return pending.error(entry.code());
        pending.answer([&](fuse::Reply& to) { to.value(fuse::entry_out(entry.value())); });
      });
}

}  // namespace netfs::vfs
