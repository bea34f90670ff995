// InodeTable: which nodes the kernel holds, and what goes once nobody can name it any more.

#include <algorithm>
#include <utility>

#include "vfs/inode_id.h"
#include "vfs/inode_table.h"
#include "vfs/limits.h"

namespace netfs::vfs {

// Saved before it is counted, and counted before the kernel is told: a process that is killed
// leaves a count too many rather than one too few.
void InodeTable::add_lookup(Node& node) {
  save(node);
  if (records_[node.index].lookups++ == 0) ++referenced_;
}

void InodeTable::drop_lookup(Node& node) {
  if (--records_[node.index].lookups == 0) --referenced_;
}

void InodeTable::forget(fuse::NodeId id, uint64_t lookups, Graveyard& graveyard) {
  const uint32_t index = id == fuse::kRootNode ? 0 : index_of(id.value);
  if (index == 0 || index >= records_.limit() || records_[index].node_id != id.value) return;
  NodeRecord& record = records_[index];
  if (record.lookups == 0 || lookups == 0) return;
  record.lookups -= std::min(record.lookups, lookups);
  if (record.lookups > 0) return;
  --referenced_;
  ++forgotten_;
  const bool is_needed = nodes_[index]->children > 0 || nodes_[index]->is_leaving();
  if (record.opens == 0 && !is_needed) unsave(record);
  free_if_unused(nodes_[index].get(), graveyard);
}

// A node goes once nobody can name it; its parent may be next.
void InodeTable::free_if_unused(Node* node, Graveyard& graveyard) {
  while (node != nullptr && node->parent != nullptr) {
    const NodeRecord& record = records_[node->index];
    if (record.lookups > 0 || record.opens > 0 || node->children > 0 || node->listed) return;
    if ((node->open && node->open->preparing) || node->is_going() || node->is_opening()) return;
    if (node->is_leaving()) return;
    Node* parent = node->parent;
    free_node(*node, graveyard);
    --parent->children;
    node = parent;
  }
}

void InodeTable::free_node(Node& node, Graveyard& graveyard) {
  NodeRecord& record = records_[node.index];
  if (node.open) {
    leave_idle(node);
    if (node.open->file) graveyard.files.push_back(std::move(node.open->file));
    if (node.open->live) graveyard.files.emplace_back(node.open->live);
    if (node.open->stream) graveyard.streams.push_back(std::move(node.open->stream));
    if (node.open->was_handed_out) graveyard.backed.emplace_back(record.node_id);
  }
  if (node.directory) {
    absent_ -= node.directory->absent.size();
    if (node.directory->listing) {
      graveyard.listings.push_back(std::move(node.directory->listing));
    }
  }
  const auto named = by_identity_.find(node.identity);
  if (named != by_identity_.end() && named->second == &node) by_identity_.erase(named);
  numbers_.release(record.ino);
  if (node.number_moved) moved_numbers_.erase(moved_numbers_.find(record.ino));
  const uint32_t index = node.index;
  record.node_id = 0;
  unsave(record);
  // A record whose generations are used up is never given out again.
  if (record.generation < kGenerationMax) records_.free(index);
  nodes_[index].reset();
  ++gone_;
}

bool InodeTable::many_have_gone() {
  if (gone_ < kManyNodes) return false;
  gone_ = 0;
  return true;
}

// A clock over the records: a node used since the hand came by stays this time.
bool InodeTable::sweep(size_t unreferenced_max, Graveyard& graveyard) {
  const uint32_t limit = records_.limit();
  if (limit < 2) return false;
  for (uint32_t steps = 0; steps < kSweepSteps && unreferenced_count() > unreferenced_max;
       ++steps) {
    sweep_hand_ = sweep_hand_ + 1 < limit ? sweep_hand_ + 1 : 1;
    const NodeRecord& record = records_[sweep_hand_];
    if (record.node_id == 0 || record.lookups > 0 || record.opens > 0) continue;
    Node& node = *nodes_[sweep_hand_];
    if (!node.listed || node.children > 0 || (node.open && node.open->preparing)) continue;
    if (node.has_aliases()) continue;
    // What is stored of it is older than what was seen, until then.
    if (node.directory && node.directory->kept.saving > 0) continue;
    if (std::exchange(node.referenced, false)) continue;
    // Somebody is reading the directory and will want it.
    if (records_[node.parent->index].opens > 0) continue;
    // The directory no longer knows all its names.
    Directory& above = *node.parent->directory;
    above.whole_since.reset();
    ++above.swept;
    if (above.listing) {
      graveyard.listings.push_back(std::move(above.listing));
      above.kept.ask = above.kept.ask_old = true;
    }
    above.kept.swept_newer |= node.validated_at > above.kept.listed_until;
    // What was known against the cache's names of it must not be forgotten with it.
    above.kept.others_went |= node.directory && node.directory->kept.is_suspect();
    unlist(node, graveyard);
  }
  return unreferenced_count() > unreferenced_max;
}

void InodeTable::doubt(Node& node, Graveyard& graveyard) {
  node.doubted = true;
  if (node.alias_of() != nullptr) return doubt(*node.alias_of(), graveyard);
  if (node.seldom) node.seldom->target.reset();
  if (node.open && records_[node.index].opens == 0 && !node.open->preparing) {
    leave_idle(node);
    if (node.open->file) graveyard.files.push_back(std::move(node.open->file));
    if (node.open->stream) graveyard.streams.push_back(std::move(node.open->stream));
    if (node.open->was_handed_out) graveyard.backed.push_back(id(node));
    node.open.reset();
  }
  if (!node.directory) return;
  absent_ -= node.directory->absent.size();
  node.directory->absent.clear();
  node.directory->whole_since.reset();
  node.directory->kept.of_another = true;
  node.directory->kept.saved_at = {};
  node.directory->kept.record = nullptr;
  if (node.directory->listing) graveyard.listings.push_back(std::move(node.directory->listing));
  for (Node* child : node.directory->children) doubt(*child, graveyard);
}

}  // namespace netfs::vfs
