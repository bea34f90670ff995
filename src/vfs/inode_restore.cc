// InodeTable, what a process leaves to the one that serves the mount on: the kernel goes on to use
// the nodeids and handles that it was given.
//
// A node is saved as long as the kernel may name it, with its directories, and again with each
// change of what is saved; a record counts once its node_id (handle_id) does.  What was taken over
// is believed of nobody before the origin was asked, and on a writable mount the first look at a
// file shows what was done to it here: the process before may have died between a change and its
// note of it.

#include <atomic>
#include <utility>

#include "base/assert.h"
#include "vfs/arena_kinds.h"
#include "vfs/inode_id.h"
#include "vfs/inode_table.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

bool is_handed_out(const NodeRecord& record) {
  return record.open_mode == static_cast<uint32_t>(OpenMode::kHandedOut);
}

}  // namespace

std::string InodeTable::saved_form(const Node& node) {
  SavedNode saved{.node_id = records_[node.index].node_id,
                  .parent_id = node.parent ? records_[node.parent->index].node_id : 0,
                  .ino = records_[node.index].ino,
                  .attributes = node.attributes,
                  .validator = node.validator,
                  .identity = node.identity,
                  .name = node.name};
  if (node.listed) saved.flags |= SavedNode::kListed;
  if (node.hidden) saved.flags |= SavedNode::kHidden;
  if (node.is_leaving()) saved.flags |= SavedNode::kLeaving;
  if (node.number_moved) saved.flags |= SavedNode::kNumberMoved;
  if (node.seldom && !node.seldom->hiding.empty()) {
    saved.hiding = node.seldom->hiding;
    if (node.seldom->hiding_by_link) saved.flags |= SavedNode::kHidingByLink;
  }
  return encode(saved);
}

// With its directories, without which nobody finds it.
void InodeTable::save(Node& node) {
  NETFS_ASSERT(node.alias_of() == nullptr);
  for (Node* next = &node; next->parent != nullptr; next = next->parent) {
    NodeRecord& record = records_[next->index];
    if (record.saved != 0) return;
    record.saved = saved_.put(saved_form(*next));
  }
}

void InodeTable::save_again(const Node& node) {
  if (node.parent == nullptr) return save_root();
  NodeRecord& record = records_[node.index];
  if (record.saved == 0) return;
  const uint32_t now = saved_.put(saved_form(node));
  saved_.free(std::exchange(record.saved, now));
  save(*node.parent);
}

// For a mount that is taken over while its origin is away.
void InodeTable::save_root() {
  const uint32_t now = saved_.put(saved_form(root()));
  const uint32_t before = std::exchange(records_[0].saved, now);
  if (before != 0) saved_.free(before);
}

std::optional<NodeInfo> InodeTable::root_left_in(const Ref<ArenaMemory>& memory) {
  Arena<NodeRecord> records(memory, arena_kind::kNodes);
  if (records.limit() == 0) return std::nullopt;
  const BytesArena bytes(memory, arena_kind::kSavedBytes);
  Result<SavedNode> saved = decode_saved_node(bytes.get(records[0].saved));
  if (!saved.ok() || saved.value().node_id != fuse::kRootNode.value) return std::nullopt;
  return NodeInfo{saved.value().attributes, std::move(saved.value().validator),
                  std::move(saved.value().identity)};
}

void InodeTable::unsave(NodeRecord& record) {
  if (record.saved != 0) saved_.free(std::exchange(record.saved, 0));
}

// What the record of a node does not say.  Its place among the others comes when all are there.
void InodeTable::restore_node(uint32_t index, SavedNode saved, MonoTime now) {
  nodes_[index] = std::make_unique<Node>();
  Node& node = *nodes_[index];
  node.index = index;
  node.name = std::move(saved.name);
  node.attributes = saved.attributes;
  node.validator = std::move(saved.validator);
  node.identity = std::move(saved.identity);
  node.hidden = (saved.flags & SavedNode::kHidden) != 0;
  node.number_moved = (saved.flags & SavedNode::kNumberMoved) != 0;
  if (!saved.hiding.empty()) {
    node.seldom_part().hiding = std::move(saved.hiding);
    node.seldom->hiding_left = true;
    hiding_left_.push_back(id(node));
    node.seldom->hiding_by_link = (saved.flags & SavedNode::kHidingByLink) != 0;
  }
  node.validated_at = now - kLongAgo;
  node.doubted = true;
  const FileType type = node.attributes.type;
  if (type == FileType::kDirectory) node.directory = std::make_unique<Directory>();
  node.unseen = writable_ && type == FileType::kRegular;
  const bool listed = (saved.flags & SavedNode::kListed) != 0;
  if (writable_ && type == FileType::kRegular && !node.identity.empty()) {
    // The one that has a name is the newest.
    Node*& named = by_identity_[node.identity];
    if (named == nullptr || listed) named = &node;
  }
  NodeRecord& record = records_[index];
  record.ino = saved.ino;
  record.opens = 0;  // counted again by its handles
  if (record.lookups > 0) ++referenced_;
}

void InodeTable::restore_place(Node& node, uint64_t parent_id, uint8_t flags) {
  const uint32_t at = parent_id == fuse::kRootNode.value ? 0 : index_of(parent_id);
  Node* parent = at < nodes_.size() ? nodes_[at].get() : nullptr;
  const bool found = parent != nullptr && parent != &node && parent->directory &&
                     records_[at].node_id == parent_id;
  node.parent = found ? parent : &root();
  ++node.parent->children;
  const bool listed = found && (flags & SavedNode::kListed) != 0;
  node.listed = listed && node.parent->directory->children.insert(&node).second;
  // Nobody knows where it lies: it goes when its directory is listed.
  if (found && !listed && (flags & SavedNode::kLeaving) != 0) node.seldom_part().leaving = true;
  if (!found) node.hidden = false;
}

// Who closed it last may not have come to take away its handle: then it is closed once more.
void InodeTable::restore_leaving(Node& node) {
  if (!node.is_leaving()) return;
  if (records_[node.index].opens == 0) return leaving_before_.push_back(id(node));
  node.seldom->leaving = false;
  node.hidden = true;
}

std::vector<fuse::NodeId> InodeTable::leaving_before() {
  return std::exchange(leaving_before_, {});
}

// What the record of a handle says by itself.
bool InodeTable::is_whole(const HandleRecord& record, uint32_t index) {
  const uint32_t at_name = record.position.get().value_or(0);
  // Without it names would be left out, or come twice.
  const bool goes_on =
      !record.has(HandleRecord::kDirectory) ||
      (record.position.get() && (at_name == 0 || decode_saved_position(saved_.get(at_name)).ok()));
  return goes_on && record.crc == record.checksum() && record.flags.get() &&
         index_of(record.handle_id) == index;
}

// How many handles of each node are whole; empty: all handles are.
std::vector<uint32_t> InodeTable::whole_opens() {
  std::vector<uint32_t> opens(records_.limit());
  bool all = true;
  for (uint32_t i = 0; i < handle_records_.limit(); ++i) {
    const HandleRecord& record = handle_records_[i];
    if (record.handle_id == 0) continue;
    const uint32_t at = record.node_id == fuse::kRootNode.value ? 0 : index_of(record.node_id);
    const bool whole = is_whole(record, i) && at < opens.size();
    if (whole) ++opens[at];
    all &= whole;
  }
  if (all) opens.clear();
  return opens;
}

void InodeTable::restore_handle(uint32_t index, std::vector<uint32_t>& used) {
  HandleRecord& record = handle_records_[index];
  const uint32_t at = record.node_id == fuse::kRootNode.value ? 0 : index_of(record.node_id);
  const bool whole = is_whole(record, index) && at < nodes_.size() && nodes_[at] &&
                     records_[at].node_id == record.node_id &&
                     record.has(HandleRecord::kDirectory) == (nodes_[at]->directory != nullptr);
  if (!whole) {
    ++restored_.damaged;
    record.handle_id = 0;
    return;
  }
  Node& node = *nodes_[at];
  handles_[index] = std::make_unique<Handle>();
  Handle& handle = *handles_[index];
  handle.node = &node;
  handle.writable = record.has(HandleRecord::kWritable);
  ++records_[at].opens;
  if (handle.writable) ++node.open_state().writers;
  handle.owes_error = record.error.get() != 0U;
  const uint32_t at_name = record.position.get().value_or(0);
  const Result<SavedPosition> position = decode_saved_position(saved_.get(at_name));
  if (at_name != 0 && position.ok()) {
    handle.resume = position.value();
    used.push_back(at_name);
  } else {
    record.position.set(0);
  }
  if (record.unique != 0) opened_before_[record.unique] = fuse::HandleId(record.handle_id);
  ++restored_.handles;
}

namespace {

// Cuts what leads round in a circle, which only damage can have made.
void cut_circles(std::vector<uint64_t>& parents) {
  constexpr uint64_t kRoot = fuse::kRootNode.value;
  std::vector<uint32_t> seen_in(parents.size());
  for (uint32_t i = 1; i < parents.size(); ++i) {
    for (uint32_t at = i; at != 0 && at < parents.size() && seen_in[at] == 0;) {
      seen_in[at] = i;
      const uint32_t above = parents[at] == kRoot ? 0 : index_of(parents[at]);
      if (above < parents.size() && above != 0 && seen_in[above] == i) parents[at] = 0;
      at = above;
    }
  }
}

}  // namespace

void InodeTable::restore(MonoTime now) {
  const uint32_t limit = records_.limit();
  nodes_.resize(limit);
  std::vector<uint64_t> parents(limit);
  std::vector<uint8_t> flags(limit);
  std::vector<uint32_t> used;
  const std::vector<uint32_t> opens = whole_opens();
  // A process that knew nothing of a saved root may have given its place to another node.
  const Result<SavedNode> root = decode_saved_node(saved_.get(records_[0].saved));
  const bool is_root = root.ok() && root.value().node_id == fuse::kRootNode.value;
  if (is_root) used.push_back(records_[0].saved);
  if (!is_root) records_[0].saved = 0;
  for (uint32_t i = 1; i < limit; ++i) {
    NodeRecord& record = records_[i];
    if (record.node_id == 0) continue;
    Result<SavedNode> saved = decode_saved_node(saved_.get(record.saved));
    // Who opened it would have its bytes by another backing file than the kernel, which refuses
    // that: by its path it is another node.
    const bool lacks_one = is_handed_out(record) && !opens.empty() && record.opens > opens[i];
    const bool known_how =
        record.open_mode <= static_cast<uint32_t>(OpenMode::kHandedOut) && record.backing_id.get();
    const bool whole = known_how && !lacks_one && index_of(record.node_id) == i && saved.ok() &&
                       saved.value().node_id == record.node_id;
    // What was never saved the kernel does not know.
    if (!whole && record.saved != 0) ++restored_.damaged;
    if (!whole) {
      record.node_id = 0;
      record.saved = 0;
      continue;
    }
    used.push_back(record.saved);
    parents[i] = saved.value().parent_id;
    flags[i] = saved.value().flags;
    restore_node(i, std::move(saved).value(), now);
    ++restored_.nodes;
  }
  cut_circles(parents);
  for (uint32_t i = 1; i < limit; ++i) {
    if (nodes_[i]) restore_place(*nodes_[i], parents[i], flags[i]);
  }
  handles_.resize(handle_records_.limit());
  for (uint32_t i = 0; i < handle_records_.limit(); ++i) {
    if (handle_records_[i].handle_id != 0) restore_handle(i, used);
  }
  saved_.keep_only(used);
  for (uint32_t i = limit; i-- > 1;) {
    NodeRecord& record = records_[i];
    if (!nodes_[i]) {
      if (record.generation < kGenerationMax) records_.free(i);
      continue;
    }
    const Node& node = *nodes_[i];
    numbers_.hold(record.ino, number_key(node.identity, path_of(node)));
    if (node.number_moved) moved_numbers_.insert(record.ino);
    const bool closed = record.open_mode == static_cast<uint32_t>(OpenMode::kClosed);
    if (record.opens == 0) record.open_mode = static_cast<uint32_t>(OpenMode::kClosed);
    if (record.opens > 0 && closed) record.open_mode = static_cast<uint32_t>(OpenMode::kDaemon);
    if (is_handed_out(record)) nodes_[i]->open_state().was_handed_out = true;
    restore_leaving(*nodes_[i]);
  }
  for (uint32_t i = handle_records_.limit(); i-- > 0;) {
    if (!handles_[i]) handle_records_.free(i);
  }
  Graveyard nothing;  // of what nobody can name nothing is open
  for (uint32_t i = limit; i-- > 1;) {
    if (nodes_[i]) free_if_unused(nodes_[i].get(), nothing);
  }
}

std::vector<fuse::BackingIds::Known> InodeTable::handed_out() {
  std::vector<fuse::BackingIds::Known> known;
  for (uint32_t i = 1; i < records_.limit(); ++i) {
    const NodeRecord& record = records_[i];
    if (record.node_id == 0 || record.opens == 0 || !is_handed_out(record)) continue;
    const auto backing_id = static_cast<int32_t>(record.backing_id.get().value_or(0));
    known.push_back({fuse::NodeId(record.node_id), backing_id, record.opens});
  }
  return known;
}

std::vector<std::string> InodeTable::hidden_names() {
  std::vector<std::string> names;
  for (const std::unique_ptr<Node>& node : nodes_) {
    if (node && node->hidden) names.push_back(node->name);
    if (node && node->seldom && !node->seldom->hiding.empty()) {
      names.push_back(node->seldom->hiding);
    }
  }
  return names;
}

std::vector<InodeTable::BeingHidden> InodeTable::being_hidden() {
  std::vector<BeingHidden> all;
  for (const fuse::NodeId one : std::exchange(hiding_left_, {})) {
    const Node* node = find(one);
    if (node == nullptr || !is_being_hidden(*node)) continue;
    hiding_left_.push_back(one);
    std::string directory = path_of(*node->parent);
    if (!directory.empty()) directory += '/';
    all.push_back({.node = id(*node),
                   .path = directory + node->name,
                   .hidden_path = directory + node->seldom->hiding,
                   .by_link = node->seldom->hiding_by_link});
  }
  return all;
}

}  // namespace netfs::vfs
