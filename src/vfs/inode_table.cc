#include "vfs/inode_table.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

constexpr unsigned kIndexBits = 26;
constexpr unsigned kGenerationBits = 22;
constexpr uint32_t kGenerationMax = (1u << kGenerationBits) - 1;

uint64_t make_id(uint16_t epoch, uint32_t generation, uint32_t index) {
  return (uint64_t{epoch} << (kGenerationBits + kIndexBits)) |
         (uint64_t{generation} << kIndexBits) | index;
}

uint32_t index_of(uint64_t id) {
  return static_cast<uint32_t>(id & ((1u << kIndexBits) - 1));
}

}  // namespace

InodeTable::InodeTable(std::string_view volume_key, const NodeInfo& root, uint16_t epoch,
                       MonoTime now, Counters& counters)
    : epoch_(epoch), counters_(counters), numbers_(volume_key) {
  sync::MutexLock lock(mutex);
  Node& node = create(nullptr, "", root, now);
  NETFS_ASSERT(node.index == 0);
  records_[0].node_id = fuse::kRootNode.value;
  records_[0].lookups = 1;  // the kernel holds the root without ever looking it up
}

InodeTable::~InodeTable() = default;

std::string InodeTable::path_of(const Node& node) {
  size_t length = 0;
  for (const Node* n = &node; n->parent != nullptr; n = n->parent) length += n->name.size() + 1;
  if (length == 0) return {};
  std::string path(length - 1, '/');
  size_t end = path.size();
  for (const Node* n = &node; n->parent != nullptr; n = n->parent) {
    path.replace(end - n->name.size(), n->name.size(), n->name);
    end -= n->name.size() + 1;  // wraps after the first component, unused then
  }
  return path;
}

Node* InodeTable::find(fuse::NodeId id) {
  const uint32_t index = id == fuse::kRootNode ? 0 : index_of(id.value);
  if (index >= records_.limit() || records_[index].node_id != id.value || id.value == 0) {
    counters_.stale_nodes.add();
    return nullptr;
  }
  nodes_[index]->referenced = true;
  return nodes_[index].get();
}

Node* InodeTable::child(Node& directory, std::string_view name) {
  if (!directory.directory) return nullptr;
  const auto found = directory.directory->children.find(name);
  if (found == directory.directory->children.end()) return nullptr;
  (*found)->referenced = true;
  return *found;
}

Node& InodeTable::create(Node* parent, std::string_view name, NodeInfo info, MonoTime now) {
  const uint32_t index = records_.allocate();
  NETFS_ASSERT(index < (1u << kIndexBits));
  if (nodes_.size() <= index) nodes_.resize(index + 1);
  nodes_[index] = std::make_unique<Node>();
  Node& node = *nodes_[index];
  node.index = index;
  node.parent = parent;
  node.name = name;
  node.attributes = info.attributes;
  node.validator = std::move(info.validator);
  node.identity = std::move(info.identity);
  node.validated_at = now;
  if (info.attributes.type == FileType::kDirectory) node.directory = std::make_unique<Directory>();

  NodeRecord& record = records_[index];
  const uint32_t generation = record.generation + 1;
  record = {};
  record.generation = generation;
  record.node_id = make_id(epoch_, generation, index);
  // Without an identity of the origin's the path is it; the prefix keeps the two kinds apart.
  record.ino = numbers_.acquire(node.identity.empty() ? "p" + path_of(node) : "i" + node.identity);
  if (parent != nullptr) {
    parent->directory->children.insert(&node);
    node.listed = true;
    ++parent->children;
  }
  return node;
}

bool InodeTable::same_version(const Node& node, const NodeInfo& info) {
  if (node.attributes.type != info.attributes.type || node.identity != info.identity) return false;
  if (info.attributes.type != FileType::kRegular) return true;
  return node.validator == info.validator &&
         node.attributes.size_bytes == info.attributes.size_bytes;
}

void InodeTable::take_update(Node& node, NodeInfo info, MonoTime now) {
  if (node.target && node.attributes.mtime != info.attributes.mtime) node.target.reset();
  node.attributes = info.attributes;
  node.validator = std::move(info.validator);
  node.validated_at = now;
}

Node& InodeTable::adopt(Node& directory, std::string_view name, NodeInfo info, MonoTime now,
                        Graveyard& graveyard) {
  NETFS_ASSERT(directory.directory);
  if (const auto absent = directory.directory->absent.find(name);
      absent != directory.directory->absent.end()) {
    directory.directory->absent.erase(absent);
  }
  Node* known = child(directory, name);
  if (known != nullptr) {
    if (same_version(*known, info)) {
      take_update(*known, std::move(info), now);
      return *known;
    }
    if (known->attributes.type == FileType::kRegular) {
      counters_.versions_changed.add();
      if (known->file) graveyard.superseded.push_back(known->file);
    }
    unlist(*known, graveyard);
  }
  Node& node = create(&directory, name, std::move(info), now);
  node.referenced = true;
  return node;
}

bool InodeTable::confirm(Node& node, NodeInfo info, MonoTime now, Graveyard& graveyard) {
  if (same_version(node, info)) {
    take_update(node, std::move(info), now);
    return true;
  }
  if (node.parent != nullptr) {
    adopt(*node.parent, std::string(node.name), std::move(info), now, graveyard);
  }
  return false;
}

void InodeTable::set_absent(Node& directory, std::string_view name, MonoTime now,
                            Graveyard& graveyard) {
  if (!directory.directory) return;
  if (Node* known = child(directory, name)) unlist(*known, graveyard);
  auto& absent = directory.directory->absent;
  if (absent.size() >= kNegativeNamesMax) absent.clear();
  absent.insert_or_assign(std::string(name), now);
}

// The name means another node from now on, or none.
void InodeTable::unlist(Node& node, Graveyard& graveyard) {
  if (!node.listed) return;
  node.parent->directory->children.erase(&node);
  node.listed = false;
  free_if_unused(&node, graveyard);
}

void InodeTable::forget(fuse::NodeId id, uint64_t lookups, Graveyard& graveyard) {
  const uint32_t index = id == fuse::kRootNode ? 0 : index_of(id.value);
  if (index == 0 || index >= records_.limit() || records_[index].node_id != id.value) return;
  NodeRecord& record = records_[index];
  record.lookups -= std::min(record.lookups, lookups);
  free_if_unused(nodes_[index].get(), graveyard);
}

// A node goes once nobody can name it; its parent may be next.
void InodeTable::free_if_unused(Node* node, Graveyard& graveyard) {
  while (node != nullptr && node->parent != nullptr) {
    NodeRecord& record = records_[node->index];
    if (record.lookups > 0 || record.opens > 0 || node->listed || node->opening) return;
    if (node->children > 0) {
      // A directory that is gone: what it still lists is reached by no name.
      if (node->directory) unlist_children(*node, graveyard);
      if (node->children > 0) return;
    }
    Node* parent = node->parent;
    if (node->file) graveyard.files.push_back(std::move(node->file));
    if (node->stream) graveyard.streams.push_back(std::move(node->stream));
    if (node->directory && node->directory->listing) {
      graveyard.listings.push_back(std::move(node->directory->listing));
    }
    numbers_.release(record.ino);
    const uint32_t index = node->index;
    record.node_id = 0;
    // A record whose generations are used up is never given out again.
    if (record.generation < kGenerationMax) records_.free(index);
    nodes_[index].reset();
    --parent->children;
    node = parent;
  }
}

void InodeTable::unlist_children(Node& node, Graveyard& graveyard) {
  // Each child frees itself at most, never `node`: that one still counts it.
  const std::vector<Node*> children(node.directory->children.begin(),
                                    node.directory->children.end());
  ++node.children;  // holds `node` while its children go
  for (Node* child : children) unlist(*child, graveyard);
  --node.children;
}

fuse::HandleId InodeTable::open_handle(Node& node, bool directory) {
  const uint32_t index = handle_records_.allocate();
  if (handles_.size() <= index) handles_.resize(index + 1);
  handles_[index] = std::make_unique<Handle>();
  handles_[index]->node = &node;
  HandleRecord& record = handle_records_[index];
  record.generation = (record.generation + 1) & kGenerationMax;
  record.node_id = records_[node.index].node_id;
  record.directory = directory ? 1 : 0;
  // Never 0: that is the handle of mounts that answer OPEN with ENOSYS.
  record.handle_id = make_id(epoch_ | 1, record.generation, index);
  ++records_[node.index].opens;
  return fuse::HandleId(record.handle_id);
}

Handle* InodeTable::handle(fuse::HandleId id) {
  const uint32_t index = index_of(id.value);
  if (id.value == 0 || index >= handle_records_.limit()) return nullptr;
  if (handle_records_[index].handle_id != id.value) return nullptr;
  return handles_[index].get();
}

void InodeTable::close_handle(fuse::HandleId id, Graveyard& graveyard) {
  Handle* open = handle(id);
  if (open == nullptr) return;
  Node& node = *open->node;
  NodeRecord& record = records_[node.index];
  if (open->file) graveyard.files.push_back(std::move(open->file));
  if (open->stream) graveyard.streams.push_back(std::move(open->stream));
  if (open->listing) graveyard.listings.push_back(std::move(open->listing));
  const uint32_t index = index_of(id.value);
  handle_records_[index].handle_id = 0;
  handles_[index].reset();
  handle_records_.free(index);
  NETFS_ASSERT(record.opens > 0);
  if (--record.opens == 0) {
    record.open_mode = static_cast<uint32_t>(OpenMode::kClosed);
    record.backing_id = 0;
    if (node.file) keep_idle_file(node, graveyard);
  }
  free_if_unused(&node, graveyard);
}

void InodeTable::keep_idle_file(Node& node, Graveyard& graveyard) {
  idle_files_.push_back(records_[node.index].node_id);
  while (idle_files_.size() > kIdleFilesMax) {
    const uint64_t oldest = idle_files_.front();
    idle_files_.pop_front();
    const uint32_t index = oldest == fuse::kRootNode.value ? 0 : index_of(oldest);
    if (index >= records_.limit() || records_[index].node_id != oldest) continue;
    Node& old = *nodes_[index];
    if (records_[index].opens > 0 || !old.file) continue;
    graveyard.files.push_back(std::move(old.file));
    if (old.stream) graveyard.streams.push_back(std::move(old.stream));
  }
}

// A clock over the records: a node used since the hand came by stays this time.
void InodeTable::sweep(Graveyard& graveyard) {
  const uint32_t limit = records_.limit();
  for (uint32_t steps = 0; steps < 2 * limit && records_.in_use() > kUnreferencedNodesMax;
       ++steps) {
    sweep_hand_ = sweep_hand_ + 1 < limit ? sweep_hand_ + 1 : 1;
    if (sweep_hand_ >= limit || records_[sweep_hand_].node_id == 0) continue;
    Node& node = *nodes_[sweep_hand_];
    const NodeRecord& record = records_[sweep_hand_];
    if (record.lookups > 0 || record.opens > 0 || node.children > 0 || node.opening) continue;
    if (std::exchange(node.referenced, false)) continue;
    if (!node.listed) continue;
    // Its directory no longer knows all its names.
    if (node.parent->directory->listing) {
      graveyard.listings.push_back(std::move(node.parent->directory->listing));
    }
    unlist(node, graveyard);
  }
}

}  // namespace netfs::vfs
