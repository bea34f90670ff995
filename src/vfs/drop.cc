// The hand brake: a path, and all beneath it, is believed no longer.

#include <utility>
#include <vector>

#include "telemetry/log.h"
#include "vfs/file_system.h"

namespace netfs::vfs {

namespace {

struct Known {
  fuse::NodeId parent;  // 0: of the root
  fuse::NodeId node;    // 0: of a name that leads nowhere
  std::string name;
};

}  // namespace

void FileSystem::drop(std::string_view path, Dropped how) {
  std::vector<Known> known;  // what the kernel may believe
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = &table_.root();
    while (!path.empty()) {
      const size_t slash = path.find('/');
      const std::string_view part = path.substr(0, slash);
      path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
      if (part.empty()) continue;
      Node* next = node->directory ? table_.child(*node, part) : nullptr;
      if (next == nullptr) {
        // A name that is not known here is one that was believed to be absent.
        known.push_back({.parent = table_.id(*node), .node = {}, .name = std::string(part)});
        break;
      }
      node = next;
    }
    table_.doubt(*node, graveyard);
    // The cache drops the names that tell of it, too.
    if (node->parent != nullptr) {
      KeptNames& kept = node->parent->directory->kept;
      kept.saved_at = {};
      kept.ask = kept.ask_old = false;
    }
    const bool is_known = known.empty();
    std::vector<const Node*> todo;
    if (is_known) todo.push_back(node);
    while (!todo.empty()) {
      const Node* next = todo.back();
      todo.pop_back();
      if (table_.record(*next).lookups > 0) {
        known.push_back({.parent = next->parent ? table_.id(*next->parent) : fuse::NodeId(0),
                         .node = table_.id(*next),
                         .name = next->name});
      }
      if (!next->directory) continue;
      todo.insert(todo.end(), next->directory->children.begin(), next->directory->children.end());
    }
    if (is_known && how == Dropped::kElsewhere && node->parent != nullptr) {
      table_.go_elsewhere(*node, graveyard);
    }
  }
  bury(std::move(graveyard));
  if (notifier_ == nullptr) return;
  size_t refused = 0;
  for (const Known& one : known) {
    bool told = one.node.value == 0 || notifier_->inval_inode(one.node, {0, 0});
    if (one.parent.value != 0) told = notifier_->inval_entry(one.parent, one.name) && told;
    if (!told) ++refused;
  }
  if (refused > 0) {
    telemetry::log_warn("vfs", "the kernel could not be told to forget {} of {} names", refused,
                        known.size());
  }
}

}  // namespace netfs::vfs
