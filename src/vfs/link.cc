// LINK: one more name of a file.  Where the origin has identities both names are one node.

#include <cerrno>
#include <utility>

#include "vfs/by_path.h"
#include "vfs/change_of_names.h"
#include "vfs/intent.h"
#include "vfs/kept_files.h"

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
  if (Intent::answered_before(*this, request, reply)) return;
  const auto& wanted = std::get<fuse::LinkRequest>(request.body);
  const fuse::NodeId id = wanted.node;
  Settled then = ByPath::later(
      *this, {{request.header.node, std::string(wanted.name)}, {id}}, std::move(reply),
      [this, id](const Places& places, Pending& pending, Deadline until) {
        const Place& at = places[0];
        Result<Ref<WritableFile>> nameless = Ref<WritableFile>();
        if (places[1].path.empty()) nameless = KeptFiles::held(*this, id, until);
        if (!nameless.ok()) return answer_change(pending, nameless.code());
        const Intent intent(*this, pending, at, id, until);
        const ChangeOfNames change(*this);
        Result<NodeInfo> linked = intent.linked_before(at.path, until);
        if (!linked.ok()) {
          const Ref<WritableFile>& file = nameless.value();
          if (places[1].path.empty() && !file) return answer_change(pending, ESTALE);
          linked =
              file ? file->link(at.path, until) : writer_->link(places[1].path, at.path, until);
          note_outcome(linked.code());
        }
        if (linked.is_error(EEXIST) && intent.again()) {
          Result<NodeInfo> late = intent.linked_before(at.path, until);
          if (late.ok()) linked = std::move(late);
        }
        if (linked.is_error(EEXIST)) ByPath::is_taken(*this, at);
        if (!linked.ok()) return answer_change(pending, linked.code());
        NodeInfo info = std::move(linked).value();
        take_link(id, at, info);
        const bool two_nodes = info.identity.empty();
        const Result<fuse::Entry> entry = take_made(at, std::move(info), {});
        if (!entry.ok()) return answer_change(pending, entry.code());
        if (two_nodes) note_two_nodes(id, entry.value().node);
        const auto out = fuse::entry_out(entry.value());
        answer_change(pending, 0, fuse::bytes_of(out));
      });
  after_settling(id, std::move(then));
}

}  // namespace netfs::vfs
