#include "vfs/inode_table.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "vfs/arena_kinds.h"
#include "vfs/inode_id.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

bool has_versions(FileType type) {
  return type == FileType::kRegular || type == FileType::kSymlink;
}

}  // namespace

InodeTable::InodeTable(Ref<ArenaMemory> memory, std::string_view volume_key, const NodeInfo& root,
                       uint16_t epoch, MonoTime now, Counters& counters, Options::Write write)
    : epoch_(epoch),
      counters_(counters),
      numbers_(volume_key),
      memory_(std::move(memory)),
      records_(memory_, arena_kind::kNodes),
      handle_records_(memory_, arena_kind::kHandles),
      saved_(memory_, arena_kind::kSavedBytes),
      writable_(write != Options::Write::kNo) {
  NETFS_ASSERT(epoch != 0);
  sync::MutexLock lock(mutex);
  make_root(root, now);
  if (memory_->adopted()) restore(now);
  save_root();
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

Node* InodeTable::find_of_any_epoch(uint64_t id) {
  const uint32_t index = index_of(id);
  if (index >= records_.limit() || without_epoch(records_[index].node_id) != id) return nullptr;
  return nodes_[index].get();
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

Node* InodeTable::entry(Node& directory, std::string_view name) {
  if (!directory.directory) return nullptr;
  const auto found = directory.directory->children.find(name);
  return found == directory.directory->children.end() ? nullptr : *found;
}

Node* InodeTable::child(Node& directory, std::string_view name) {
  Node* node = entry(directory, name);
  if (node == nullptr) return nullptr;
  if (node->alias_of() != nullptr) node = node->alias_of();
  node->referenced = true;
  return node;
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

// Of its identity, or of its path unless a file that had the path before is still known.
uint64_t InodeTable::number_of_new(const Node& node) {
  const std::string key = number_key(node.identity, path_of(node));
  const uint64_t number = numbers_.acquire(key);
  if (!node.identity.empty() || !moved_numbers_.contains(number)) return number;
  numbers_.release(number);
  return numbers_.acquire(key + '\0' + std::to_string(serial()));
}

void InodeTable::make_root(const NodeInfo& info, MonoTime now) {
  if (records_.limit() == 0) (void)records_.allocate();
  nodes_.push_back(std::make_unique<Node>());
  Node& node = *nodes_[0];
  node.directory = std::make_unique<Directory>();
  node.identity = info.identity;
  node.attributes = info.attributes;
  node.validator = info.validator;
  node.validated_at = now;
  NodeRecord& record = records_[0];
  record.node_id = fuse::kRootNode.value;
  record.ino = number_of_new(node);
  record.lookups = 1;  // the kernel holds the root without ever looking it up
  record.opens = 0;
  record.open_mode = static_cast<uint32_t>(OpenMode::kDaemon);  // as its handles have it
  referenced_ = 1;
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
  const bool one_node = writable_ && info.attributes.type == FileType::kRegular;
  if (one_node && !node.identity.empty()) by_identity_[node.identity] = &node;
  take_update(node, std::move(info), now);

  NodeRecord& record = records_[index];
  const uint32_t generation = record.generation + 1;
  record = {};
  record.generation = generation;
  record.ino = number_of_new(node);
  record.node_id = make_id(epoch_, generation, index);
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
  const bool other = !(node.validator == info.validator && node.attributes == info.attributes);
  node.attributes = info.attributes;
  node.validator = std::move(info.validator);
  if (other) save_again(node);
  node.validated_at = now;
  node.doubted = false;
  // Who is just opening or changing it may do so behind this look.
  node.unseen = node.unseen && node.is_opening();
  node.end_showing();
  node.unset_written();
  if (node.is_live() && !node.is_dirty()) node.open->live->saw(node.validator);
}

// Whether a file that differs from what was seen last is the same version nevertheless: it is open
// for writing, or without a name, or it was changed here and not looked at since; or others have
// made it longer while it is read here, as a log, or anything of it while it is locked here by
// turns: on a mount that writes, as on a local disk.
bool InodeTable::is_same_node(const Node& node, const NodeInfo& info) {
  const bool followed =
      writable_ && !info.identity.empty() && records_[node.index].opens > 0 &&
      node.attributes.type == FileType::kRegular &&
      (info.attributes.size_bytes > node.attributes.size_bytes || node.is_locked());
  // A writer whom a process before this one has let in has it live, too.
  const bool written = node.is_live() || (node.open && node.open->writers > 0);
  return (written || node.unseen || followed) && same_file(node, info);
}

// What others do to a file that is live shows, as in any file that is open.  Of what was written
// here and not looked at, the size must do.
void InodeTable::take_same(Node& node, NodeInfo info, MonoTime now, Graveyard& graveyard) {
  if (node.is_dirty()) return;  // until all that was written is there, what is known here counts
  const Attributes& was = node.attributes;
  const Attributes& is = info.attributes;
  const bool same_bytes = was.size_bytes == is.size_bytes && was.mtime == is.mtime;
  if (node.is_live() || !(node.validator == info.validator)) detach_file(node, graveyard);
  const bool ours = node.is_written() && was.size_bytes == is.size_bytes;
  if (!ours && (node.is_live() || !same_bytes)) {
    Seldom& seldom = node.seldom_part();
    if (seldom.letting_go++ == 0) seldom.size_shown_bytes = was.size_bytes;
    graveyard.foreign.push_back(id(node));
  }
  take_update(node, std::move(info), now);
}

// The same file by type and identity, whatever its bytes are.
bool InodeTable::same_file(const Node& node, const NodeInfo& info) {
  return node.attributes.type == info.attributes.type && node.identity == info.identity;
}

void InodeTable::pages_are_gone(fuse::NodeId id) {
  if (Node* node = find(id)) --node->seldom_part().letting_go;
}

void InodeTable::update_root(NodeInfo info, MonoTime now) {
  if (info.attributes.type == FileType::kDirectory) take_update(root(), std::move(info), now);
}

Node& InodeTable::adopt(Node& directory, std::string_view name, NodeInfo info, MonoTime now,
                        Graveyard& graveyard) {
  NETFS_ASSERT(directory.directory);
  NETFS_ASSERT(is_current(directory));  // so it does not go when its child does
  const bool was_absent = forget_absent(*directory.directory, name);
  Node* named = entry(directory, name);
  Node* known = child(directory, name);
  const bool follows = was_absent || named != nullptr;
  if (named != nullptr) named->validated_at = now;
  // Until all that was written is there, what is known here counts.
  if (known != nullptr && known->is_dirty() && same_file(*known, info)) return *known;
  if (known != nullptr && same_version(*known, info)) {
    take_update(*known, std::move(info), now);
    return *known;
  }
  if (known != nullptr && is_same_node(*known, info)) {
    take_same(*known, std::move(info), now, graveyard);
    return *known;
  }
  bool changed_while_open = false;
  if (known != nullptr) {
    const bool other_name = named != known || known->has_aliases();
    if (known->attributes.type == FileType::kRegular && !other_name) {
      counters_.versions_changed.add();
      // Who has it open reads what the cache has of it; it goes with the last close.
      changed_while_open = records_[known->index].opens > 0;
      known->superseded = true;
      if (!changed_while_open && known->open && known->open->file) {
        graveyard.superseded.push_back(known->open->file);
      }
    }
    if (known->directory) directory.directory->kept.others_went = true;
    unlist(*named, graveyard);
  }
  if (Node* other = by_other_name(info)) {
    add_name(*other, directory, name, now, graveyard);
    if (same_version(*other, info) && !other->is_dirty()) {
      take_update(*other, std::move(info), now);
    } else {
      take_same(*other, std::move(info), now, graveyard);
    }
    return *other;
  }
  if (Node* nameless = by_lost_name(info)) {
    give_name(*nameless, directory, name, graveyard);
    take_same(*nameless, std::move(info), now, graveyard);
    return *nameless;
  }
  Node& node = create(&directory, name, std::move(info), now);
  node.changed_while_open = changed_while_open;
  if (node.directory) {
    const KeptNames& above = directory.directory->kept;
    node.directory->kept.of_another = follows || above.others_went || above.of_another;
  }
  return node;
}

// The node of this very file that another name leads to already, or null.
Node* InodeTable::by_other_name(const NodeInfo& info) {
  if (!writable_ || info.identity.empty()) return nullptr;
  const auto found = by_identity_.find(info.identity);
  if (found == by_identity_.end() || !is_current(*found->second)) return nullptr;
  Node& other = *found->second;
  return same_version(other, info) || is_same_node(other, info) ? &other : nullptr;
}

// The node of this very file that is open and that no name leads to any more, or null.
Node* InodeTable::by_lost_name(const NodeInfo& info) {
  if (!writable_ || info.identity.empty()) return nullptr;
  const auto found = by_identity_.find(info.identity);
  if (found == by_identity_.end()) return nullptr;
  Node& other = *found->second;
  const bool lost = !is_current(other) && !other.hidden && records_[other.index].opens > 0;
  return lost && other.is_live() && same_file(other, info) ? &other : nullptr;
}

Node& InodeTable::nameless(Node& directory, NodeInfo info, MonoTime now) {
  Node& node = create(&directory, "", std::move(info), now);
  directory.directory->children.erase(&node);
  node.listed = false;
  return node;
}

// It had a name at the origin that nobody here knew, or gets its first.
void InodeTable::give_name(Node& node, Node& directory, std::string_view name,
                           Graveyard& graveyard) {
  Node* before = node.parent;
  node.parent = &directory;
  node.name = name;
  node.listed = true;
  directory.directory->children.insert(&node);
  ++directory.children;
  --before->children;
  save_again(node);
  free_if_unused(before, graveyard);
}

bool InodeTable::forget_absent(Directory& directory, std::string_view name) {
  const auto found = directory.absent.find(name);
  if (found == directory.absent.end()) return false;
  directory.absent.erase(found);
  --absent_;
  return true;
}

void InodeTable::set_absent(Node& directory, std::string_view name, MonoTime now,
                            Graveyard& graveyard) {
  NETFS_ASSERT(is_current(directory));
  if (!directory.directory) return;
  if (Node* known = entry(directory, name)) {
    directory.directory->kept.seen_gone = true;
    if (known->directory) directory.directory->kept.others_went = true;
    unlist(*known, graveyard);
  }
  auto& absent = directory.directory->absent;
  if (absent_ >= kAbsentNamesMax) {
    // The names of one directory go, and if it has none this one is not remembered.
    absent_ -= absent.size();
    absent.clear();
    directory.directory->kept.swept_newer = true;
    if (absent_ >= kAbsentNamesMax) return;
  }
  if (absent.insert_or_assign(std::string(name), now).second) ++absent_;
}

// The name means another node from now on, or none; and with it goes what is beneath.
void InodeTable::unlist(Node& node, Graveyard& graveyard) {
  if (!node.listed) return;
  if (node.alias_of() != nullptr) return unlist_alias(node, graveyard);
  if (node.has_aliases()) return promote_alias(node, graveyard);
  node.parent->directory->children.erase(&node);
  node.listed = false;
  save_again(node);
  if (node.directory) unlist_children(node, graveyard);
  free_if_unused(&node, graveyard);
}

void InodeTable::unlist_children(Node& node, Graveyard& graveyard) {
  auto& children = node.directory->children;
  ++node.children;  // holds `node` while its children go
  // One at a time: a file with a second name here goes by that one first.
  while (!children.empty()) unlist(**children.begin(), graveyard);
  --node.children;
}

}  // namespace netfs::vfs
