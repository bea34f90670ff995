#include "vfs/inode_table.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

constexpr unsigned kIndexBits = 26;
constexpr unsigned kGenerationBits = 22;
constexpr uint32_t kGenerationMax = (1U << kGenerationBits) - 1;

uint64_t make_id(uint16_t epoch, uint32_t generation, uint32_t index) {
  return (uint64_t{epoch} << (kGenerationBits + kIndexBits)) |
         (uint64_t{generation} << kIndexBits) | index;
}

uint32_t index_of(uint64_t id) {
  return static_cast<uint32_t>(id & ((1U << kIndexBits) - 1));
}

// Without an identity of the origin's the path is it; the prefix keeps the two kinds apart.
std::string number_key(const std::string& identity, const std::string& path) {
  return identity.empty() ? "p" + path : "i" + identity;
}

bool has_versions(FileType type) {
  return type == FileType::kRegular || type == FileType::kSymlink;
}

}  // namespace

InodeTable::InodeTable(std::string_view volume_key, const NodeInfo& root, uint16_t epoch,
                       MonoTime now, Counters& counters)
    : epoch_(epoch), counters_(counters), numbers_(volume_key) {
  NETFS_ASSERT(epoch != 0);
  sync::MutexLock lock(mutex);
  const Node& node = create(nullptr, "", root, now);
  NETFS_ASSERT(node.index == 0);
  records_[0].node_id = fuse::kRootNode.value;
  records_[0].lookups = 1;  // the kernel holds the root without ever looking it up
  referenced_ = 1;
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
  if (id.value == 0 || index >= records_.limit() || records_[index].node_id != id.value) {
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

Node* InodeTable::child(Node& directory, std::string_view name, fuse::NodeId id) {
  const uint32_t index = index_of(id.value);
  if (id.value != 0 && index < records_.limit() && records_[index].node_id == id.value) {
    Node& node = *nodes_[index];
    if (node.listed && node.parent == &directory) {
      node.referenced = true;
      return &node;
    }
  }
  return child(directory, name);
}

uint64_t InodeTable::unknown_ino(const Node& directory, std::string_view name) {
  std::string path = path_of(directory);
  if (!path.empty()) path += '/';
  path += name;
  const uint64_t number = numbers_.acquire(number_key({}, path));
  numbers_.release(number);
  return number;
}

Node& InodeTable::create(Node* parent, std::string_view name, NodeInfo info, MonoTime now) {
  const uint32_t index = records_.allocate();
  NETFS_ASSERT(index < (1U << kIndexBits));
  if (nodes_.size() <= index) nodes_.resize(index + 1);
  nodes_[index] = std::make_unique<Node>();
  Node& node = *nodes_[index];
  node.index = index;
  node.parent = parent;
  node.name = name;
  node.identity = std::move(info.identity);
  node.referenced = true;
  if (info.attributes.type == FileType::kDirectory) node.directory = std::make_unique<Directory>();
  take_update(node, std::move(info), now);

  NodeRecord& record = records_[index];
  const uint32_t generation = record.generation + 1;
  record = {};
  record.generation = generation;
  record.node_id = make_id(epoch_, generation, index);
  record.ino = numbers_.acquire(number_key(node.identity, path_of(node)));
  if (parent != nullptr) {
    parent->directory->children.insert(&node);
    node.listed = true;
    ++parent->children;
  }
  return node;
}

bool InodeTable::same_version(const Node& node, const NodeInfo& info) {
  const Attributes& was = node.attributes;
  const Attributes& is = info.attributes;
  if (was.type != is.type || node.identity != info.identity) return false;
  if (!has_versions(is.type)) return true;
  if (was.size_bytes != is.size_bytes || !(node.validator == info.validator)) return false;
  // Where the origin gives no validator, its times have to do.
  return info.validator.strength != ValidatorStrength::kNone ||
         (was.mtime == is.mtime && was.ctime == is.ctime);
}

void InodeTable::take_update(Node& node, NodeInfo info, MonoTime now) {
  node.attributes = info.attributes;
  node.validator = std::move(info.validator);
  node.validated_at = now;
  node.doubted = false;
}

void InodeTable::update_root(NodeInfo info, MonoTime now) {
  if (info.attributes.type == FileType::kDirectory) take_update(root(), std::move(info), now);
}

Node& InodeTable::adopt(Node& directory, std::string_view name, NodeInfo info, MonoTime now,
                        Graveyard& graveyard) {
  NETFS_ASSERT(directory.directory);
  NETFS_ASSERT(is_current(directory));  // so it does not go when its child does
  forget_absent(*directory.directory, name);
  Node* known = child(directory, name);
  if (known != nullptr && same_version(*known, info)) {
    take_update(*known, std::move(info), now);
    return *known;
  }
  bool changed_while_open = false;
  if (known != nullptr) {
    if (known->attributes.type == FileType::kRegular) {
      counters_.versions_changed.add();
      // Who has it open reads what the cache has of it; it goes with the last close.
      changed_while_open = records_[known->index].opens > 0;
      known->superseded = true;
      if (!changed_while_open && known->open && known->open->file) {
        graveyard.superseded.push_back(known->open->file);
      }
    }
    unlist(*known, graveyard);
  }
  Node& node = create(&directory, name, std::move(info), now);
  node.changed_while_open = changed_while_open;
  return node;
}

void InodeTable::forget_absent(Directory& directory, std::string_view name) {
  const auto found = directory.absent.find(name);
  if (found == directory.absent.end()) return;
  directory.absent.erase(found);
  --absent_;
}

void InodeTable::set_absent(Node& directory, std::string_view name, MonoTime now,
                            Graveyard& graveyard) {
  NETFS_ASSERT(is_current(directory));
  if (!directory.directory) return;
  if (Node* known = child(directory, name)) unlist(*known, graveyard);
  auto& absent = directory.directory->absent;
  if (absent_ >= kAbsentNamesMax) {
    // The names of one directory go, and if it has none this one is not remembered.
    absent_ -= absent.size();
    absent.clear();
    if (absent_ >= kAbsentNamesMax) return;
  }
  if (absent.insert_or_assign(std::string(name), now).second) ++absent_;
}

// The name means another node from now on, or none; and with it goes what is beneath.
void InodeTable::unlist(Node& node, Graveyard& graveyard) {
  if (!node.listed) return;
  node.parent->directory->children.erase(&node);
  node.listed = false;
  if (node.directory) unlist_children(node, graveyard);
  free_if_unused(&node, graveyard);
}

void InodeTable::unlist_children(Node& node, Graveyard& graveyard) {
  const std::vector<Node*> children(node.directory->children.begin(),
                                    node.directory->children.end());
  ++node.children;  // holds `node` while its children go
  for (Node* child : children) unlist(*child, graveyard);
  --node.children;
}

void InodeTable::add_lookup(Node& node) {
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
  free_if_unused(nodes_[index].get(), graveyard);
}

// A node goes once nobody can name it; its parent may be next.
void InodeTable::free_if_unused(Node* node, Graveyard& graveyard) {
  while (node != nullptr && node->parent != nullptr) {
    const NodeRecord& record = records_[node->index];
    if (record.lookups > 0 || record.opens > 0 || node->children > 0 || node->listed) return;
    if (node->open && node->open->preparing) return;
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
    if (node.open->stream) graveyard.streams.push_back(std::move(node.open->stream));
    if (node.open->was_handed_out) graveyard.backed.emplace_back(record.node_id);
  }
  if (node.directory) {
    absent_ -= node.directory->absent.size();
    if (node.directory->listing) {
      graveyard.listings.push_back(std::move(node.directory->listing));
    }
  }
  numbers_.release(record.ino);
  const uint32_t index = node.index;
  record.node_id = 0;
  // A record whose generations are used up is never given out again.
  if (record.generation < kGenerationMax) records_.free(index);
  nodes_[index].reset();
}

fuse::HandleId InodeTable::open_handle(Node& node, OpenMode mode, Graveyard& graveyard) {
  const uint32_t index = handle_records_.allocate();
  NETFS_ASSERT(index < (1U << kIndexBits));
  if (handles_.size() <= index) handles_.resize(index + 1);
  handles_[index] = std::make_unique<Handle>();
  handles_[index]->node = &node;
  HandleRecord& record = handle_records_[index];
  record.generation = (record.generation + 1) & kGenerationMax;
  record.node_id = records_[node.index].node_id;
  record.directory = node.directory ? 1 : 0;
  // Never 0, as the epoch is not: that is the handle of mounts that answer OPEN with ENOSYS.
  record.handle_id = make_id(epoch_, record.generation, index);
  NodeRecord& opened = records_[node.index];
  NETFS_ASSERT(opened.opens == 0 || opened.open_mode == static_cast<uint32_t>(mode));
  opened.open_mode = static_cast<uint32_t>(mode);
  ++opened.opens;
  touch_file(node, graveyard);
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
    if (node.superseded && node.open && node.open->file) {
      graveyard.superseded.push_back(node.open->file);
    }
    touch_file(node, graveyard);
  }
  free_if_unused(&node, graveyard);
}

void InodeTable::set_preparing(Node& node, bool preparing, Graveyard& graveyard) {
  node.open_state().preparing = preparing;
  if (!preparing) free_if_unused(&node, graveyard);
}

void InodeTable::leave_idle(Node& node) {
  if (!node.open->is_idle) return;
  idle_files_.erase(node.open->idle);
  node.open->is_idle = false;
}

void InodeTable::keep_file(Node& node, Ref<File> file, Graveyard& graveyard) {
  OpenState& state = node.open_state();
  if (state.file) {
    graveyard.files.push_back(std::move(file));
  } else {
    state.file = std::move(file);
  }
  touch_file(node, graveyard);
}

void InodeTable::touch_file(Node& node, Graveyard& graveyard) {
  if (!node.open) return;
  leave_idle(node);
  if (!node.open->file || records_[node.index].opens > 0) return;
  node.open->idle = idle_files_.insert(idle_files_.end(), &node);
  node.open->is_idle = true;
  while (idle_files_.size() > kIdleFilesMax) {
    Node& oldest = *idle_files_.front();
    leave_idle(oldest);
    graveyard.files.push_back(std::move(oldest.open->file));
    if (oldest.open->stream) graveyard.streams.push_back(std::move(oldest.open->stream));
  }
}

// A clock over the records: a node used since the hand came by stays this time.
void InodeTable::sweep(size_t unreferenced_max, Graveyard& graveyard) {
  const uint32_t limit = records_.limit();
  if (limit < 2) return;
  for (uint32_t steps = 0; steps < kSweepSteps && unreferenced_count() > unreferenced_max;
       ++steps) {
    sweep_hand_ = sweep_hand_ + 1 < limit ? sweep_hand_ + 1 : 1;
    const NodeRecord& record = records_[sweep_hand_];
    if (record.node_id == 0 || record.lookups > 0 || record.opens > 0) continue;
    Node& node = *nodes_[sweep_hand_];
    if (!node.listed || node.children > 0 || (node.open && node.open->preparing)) continue;
    if (std::exchange(node.referenced, false)) continue;
    // Somebody is reading the directory and will want it.
    if (records_[node.parent->index].opens > 0) continue;
    // The directory no longer knows all its names.
    if (node.parent->directory->listing) {
      graveyard.listings.push_back(std::move(node.parent->directory->listing));
    }
    unlist(node, graveyard);
  }
}

void InodeTable::doubt(Node& node, Graveyard& graveyard) {
  node.doubted = true;
  node.target.reset();
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
  if (node.directory->listing) graveyard.listings.push_back(std::move(node.directory->listing));
  for (Node* child : node.directory->children) doubt(*child, graveyard);
}

}  // namespace netfs::vfs
