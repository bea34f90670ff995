// LINK: one more name of a file.  Where the origin has identities both names are one node.

#include <cerrno>
#include <utility>

#include "vfs/change_of_names.h"

namespace netfs::vfs {

// The node, if it is this very file, has one more name.
void FileSystem::take_link(fuse::NodeId id, const Place& at, const NodeInfo& info) {
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    Node* parent = table_.find(at.parent);
    const bool same =
        node != nullptr && !info.identity.empty() && InodeTable::same_file(*node, info);
    const bool one_node = same && node->attributes.type == FileType::kRegular &&
                          parent != nullptr && parent->directory && InodeTable::is_current(*parent);
    if (one_node && InodeTable::is_current(*node)) {
      table_.add_name(*node, *parent, at.name, clock_.now(), graveyard);
    } else if (one_node && node->is_live()) {
      table_.give_name(*node, *parent, at.name, graveyard);
    }
    if (same && InodeTable::is_current(*node) && !node->is_dirty()) {
      table_.take_own(*node, info, InodeTable::Changed::kAttributes, clock_.now(), graveyard);
    }
  }
  bury(std::move(graveyard));
}

// What is written by one name shows by the other at its next look, if the version tells: within a
// granule of time it may not.
void FileSystem::note_two_nodes(fuse::NodeId one, fuse::NodeId other) {
  sync::MutexLock lock(table_.mutex);
  if (Node* node = table_.find(one)) node->seldom_part().linked = true;
  if (Node* node = table_.find(other)) node->seldom_part().linked = true;
}

void FileSystem::link(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  const auto& wanted = std::get<fuse::LinkRequest>(request.body);
  Result<Place> place = place_of(request.header.node, wanted.name);
  if (!place.ok()) return reply.error(place.code());
  Ref<WritableFile> nameless;
  std::string from;
  bool named = false;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(wanted.node);
    named = node != nullptr && (InodeTable::is_current(*node) || node->hidden);
    if (named) from = InodeTable::path_of(*node);
    if (node != nullptr && !named && node->is_live()) nameless = node->open->live;
  }
  if (!named && !nameless) return reply.error(ESTALE);
  change_settled(
      wanted.node, std::move(reply),
      [this, id = wanted.node, nameless, from = std::move(from), at = std::move(place).value()](
          Pending& pending, Deadline until) {
        const ChangeOfNames change(*this);
        Result<NodeInfo> linked =
            nameless ? nameless->link(at.path, until) : writer_->link(from, at.path, until);
        note_outcome(linked.code());
        if (!linked.ok()) return pending.error(linked.code());
        NodeInfo info = std::move(linked).value();
        take_link(id, at, info);
        const bool two_nodes = info.identity.empty();
        const Result<fuse::Entry> entry = take_made(at, std::move(info), {});
        if (!entry.ok()) return pending.error(entry.code());
        if (two_nodes) note_two_nodes(id, entry.value().node);
        pending.answer([&](fuse::Reply& to) { to.value(fuse::entry_out(entry.value())); });
      });
}

}  // namespace netfs::vfs
