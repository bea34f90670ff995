// InodeTable, what this mount itself changes: attributes in place, names that come, go and move.

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "vfs/inode_table.h"

namespace netfs::vfs {

// What was ready to be read is of a version that is no more.
void InodeTable::detach_file(Node& node, Graveyard& graveyard) {
  if (!node.open) return;
  if (node.open->stream) graveyard.streams.push_back(std::move(node.open->stream));
  if (!node.open->file) return;
  leave_idle(node);
  graveyard.superseded.push_back(std::move(node.open->file));
  node.open->file = nullptr;
}

void InodeTable::take_own(Node& node, NodeInfo info, Changed what, MonoTime now,
                          Graveyard& graveyard) {
  node.seldom_part().changed_in = serial();
  if (what == Changed::kBytes || !(node.validator == info.validator)) detach_file(node, graveyard);
  // One that has no name here has one less than where it is hidden.
  if (node.hidden) info.attributes.link_count = node.attributes.link_count;
  take_update(node, std::move(info), now);
}

void InodeTable::take_unknown(Node& node, Changed what, Graveyard& graveyard) {
  node.seldom_part().changed_in = serial();
  node.doubted = true;
  node.unseen = true;
  if (what == Changed::kBytes) detach_file(node, graveyard);
}

void InodeTable::take_kept(Node& node, uint64_t end_bytes, Timestamp when, Graveyard& graveyard) {
  take_unknown(node, Changed::kBytes, graveyard);
  Attributes& attributes = node.attributes;
  attributes.size_bytes = std::max(attributes.size_bytes, end_bytes);
  attributes.mtime = when;
  attributes.ctime = when;
  node.seldom_part().written = true;
}

void InodeTable::names_changed(Node& directory, Graveyard& graveyard, Names how) {
  directory.seldom_part().changed_in = serial();
  if (how == Names::kWent && directory.directory) directory.directory->lost_in = serial();
  directory.doubted = true;
  if (directory.directory && directory.directory->listing) {
    graveyard.listings.push_back(std::move(directory.directory->listing));
    directory.directory->listing = nullptr;
  }
}

void InodeTable::is_taken(Node& directory, std::string_view name, Graveyard& graveyard) {
  if (entry(directory, name) != nullptr) return;
  forget_absent(*directory.directory, name);
  directory.directory->whole_since.reset();
  names_changed(directory, graveyard, Names::kCame);
}

void InodeTable::add_name(Node& node, Node& directory, std::string_view name, MonoTime now,
                          Graveyard& graveyard) {
  NETFS_ASSERT(directory.directory);
  NETFS_ASSERT(node.alias_of() == nullptr);
  if (Node* before = entry(directory, name)) unlist(*before, graveyard);
  forget_absent(*directory.directory, name);
  node.seldom_part().aliases.push_back(std::make_unique<Node>());
  Node& alias = *node.seldom_part().aliases.back();
  alias.seldom_part().alias_of = &node;
  alias.index = node.index;
  alias.parent = &directory;
  alias.name = name;
  alias.validated_at = now;
  alias.listed = true;
  directory.directory->children.insert(&alias);
  ++directory.children;
}

void InodeTable::unlist_alias(Node& alias, Graveyard& graveyard) {
  Node* directory = alias.parent;
  Node& node = *alias.alias_of();
  directory->directory->children.erase(&alias);
  std::erase_if(node.seldom_part().aliases, [&](const auto& one) { return one.get() == &alias; });
  --directory->children;
  free_if_unused(directory, graveyard);
}

// The name that the node itself stands under goes: it takes the place of one of its aliases.
void InodeTable::promote_alias(Node& node, Graveyard& graveyard) {
  const std::unique_ptr<Node> alias = std::move(node.seldom_part().aliases.back());
  node.seldom_part().aliases.pop_back();
  Node* before = node.parent;
  before->directory->children.erase(&node);
  alias->parent->directory->children.erase(alias.get());
  node.parent = alias->parent;
  node.name = alias->name;
  node.seen_in = alias->seen_in;
  node.parent->directory->children.insert(&node);
  save_again(node);
  // The new parent counted the alias and counts the node now.
  --before->children;
  free_if_unused(before, graveyard);
}

// A file that has lost one of its names: where change times count it is not what it was, and it
// opens by another name from now on.
void InodeTable::lose_name(Node& node, Graveyard& graveyard) {
  node.seldom_part().changed_in = serial();
  uint32_t& links = node.attributes.link_count;
  // A directory has one name; its links are those from itself and from those in it.
  links = node.attributes.type == FileType::kDirectory || links == 0 ? 0 : links - 1;
  if (node.has_aliases()) take_unknown(node, Changed::kBytes, graveyard);
}

void InodeTable::remove_name(Node& directory, std::string_view name, MonoTime now,
                             Graveyard& graveyard) {
  if (Node* node = child(directory, name)) lose_name(*node, graveyard);
  set_absent(directory, name, now, graveyard);
  names_changed(directory, graveyard);
}

void InodeTable::name_is_settled(Node& node, Graveyard& graveyard) {
  --node.seldom_part().going;
  release_live(node, graveyard);
  let_go_if_unused(node, graveyard);
}

void InodeTable::add_where_it_is_now(fuse::NodeId id, std::vector<Moved>& moved) {
  const Node* node = find(id);
  if (node == nullptr || !node->listed || !node->is_live()) return;
  moved.push_back({node->open->live, path_of(*node)});
}

void InodeTable::opening_ended(Node& node, Graveyard& graveyard) {
  NETFS_ASSERT(node.is_opening());
  --node.seldom_part().opening;
  let_go_if_unused(node, graveyard);
}

void InodeTable::let_go_if_unused(Node& node, Graveyard& graveyard) {
  if (node.is_going() || node.is_opening()) return;
  if (node.hidden && records_[node.index].opens == 0) leave(node, graveyard);
  free_if_unused(&node, graveyard);
}

void InodeTable::leave(Node& node, Graveyard& graveyard) {
  node.hidden = false;
  node.seldom_part().leaving = true;
  graveyard.leaving.push_back(id(node));
  save_again(node);
}

void InodeTable::has_left(fuse::NodeId id, Graveyard& graveyard) {
  Node* node = find(id);
  if (node == nullptr || !node->is_leaving()) return;
  node->seldom->leaving = false;
  save_again(*node);
  free_if_unused(node, graveyard);
}

void InodeTable::set_hiding(Node& node, std::string hidden_name, bool by_link) {
  Seldom& seldom = node.seldom_part();
  seldom.hiding = std::move(hidden_name);
  seldom.hiding_by_link = by_link;
  seldom.hiding_left = false;
  save_again(node);
}

void InodeTable::hide(Node& node, std::string hidden_name) {
  NETFS_ASSERT(node.listed);
  NETFS_ASSERT(!node.has_aliases());
  node.parent->directory->children.erase(&node);
  node.parent->directory->whole_since.reset();
  node.parent->directory->lost_in = serial();
  node.listed = false;
  node.name = std::move(hidden_name);
  node.hidden = true;
  node.seldom_part().changed_in = serial();
  node.seldom->hiding.clear();
  node.seldom->hiding_left = false;
  if (node.attributes.link_count > 0) --node.attributes.link_count;
  keep_number(node);
  save_again(node);
}

void InodeTable::show_again(Node& node, std::string name, Graveyard& graveyard) {
  NETFS_ASSERT(node.hidden);
  // A look in between may have found it by this name.
  if (Node* other = entry(*node.parent, name)) unlist(*other, graveyard);
  node.name = std::move(name);
  node.hidden = false;
  node.listed = true;
  node.parent->directory->children.insert(&node);
  node.seldom_part().changed_in = serial();
  ++node.attributes.link_count;
  save_again(node);
}

// A file keeps its number as long as it is known, and nobody else gets it.
void InodeTable::keep_number(Node& node) {
  if (!node.identity.empty() || node.number_moved) return;
  node.number_moved = true;
  moved_numbers_.insert(records_[node.index].ino);
  save_again(node);
}

void InodeTable::go_elsewhere(Node& node, Graveyard& graveyard) {
  Node& directory = *node.parent;
  ++directory.children;  // it stays until its names are told to be others
  if (records_[node.index].opens > 0) keep_number(node);
  directory.directory->whole_since.reset();
  unlist(node, graveyard);
  names_changed(directory, graveyard);
  --directory.children;
}

// Takes what stands somewhere to another place, which is free.
void InodeTable::put(Node& moved, Node& directory, std::string_view name, Graveyard& graveyard) {
  Node* before = moved.parent;
  before->directory->children.erase(&moved);
  moved.parent = &directory;
  moved.name = name;
  forget_absent(*directory.directory, name);
  directory.directory->children.insert(&moved);
  ++directory.children;
  --before->children;
  if (moved.alias_of() == nullptr) save_again(moved);
  free_if_unused(before, graveyard);
}

// Files beneath open their handles by path: they get ready anew, and those being written are told.
void InodeTable::collect_moved(Node& moved, std::vector<Moved>& all, Graveyard& graveyard) {
  std::vector<Node*> todo{&moved};
  while (!todo.empty()) {
    Node* next = todo.back();
    todo.pop_back();
    if (next->directory) {
      todo.insert(todo.end(), next->directory->children.begin(), next->directory->children.end());
    }
    Node& node = next->alias_of() != nullptr ? *next->alias_of() : *next;
    node.seldom_part().changed_in = serial();
    keep_number(node);
    detach_file(node, graveyard);
    if (node.is_live()) all.push_back({node.open->live, path_of(node)});
  }
}

std::vector<InodeTable::Moved> InodeTable::rename(Node& from, std::string_view name, Node& to,
                                                  std::string_view new_name, MonoTime now,
                                                  Graveyard& graveyard) {
  std::vector<Moved> moved;
  // Of two names of one file both stay: the old one is known to go only where nothing had the new.
  const bool was_free = to.directory->whole_since && entry(to, new_name) == nullptr;
  if (!was_free) from.directory->whole_since.reset();
  if (Node* target = child(to, new_name)) lose_name(*target, graveyard);
  if (Node* target = entry(to, new_name)) unlist(*target, graveyard);
  forget_absent(*to.directory, new_name);
  if (Node* source = entry(from, name)) {
    put(*source, to, new_name, graveyard);
    source->validated_at = now;
    collect_moved(*source, moved, graveyard);
  } else {
    to.directory->whole_since.reset();  // it has a name that is not known here
  }
  // Not taken for absent: two names of one file both stay.
  names_changed(from, graveyard);
  names_changed(to, graveyard);
  return moved;
}

std::vector<InodeTable::Moved> InodeTable::exchange(Node& from, std::string_view name, Node& to,
                                                    std::string_view new_name,
                                                    Graveyard& graveyard) {
  std::vector<Moved> moved;
  Node* a = entry(from, name);
  Node* b = entry(to, new_name);
  // What is not known is looked up when somebody asks for it.
  if (a == nullptr && b != nullptr) unlist(*b, graveyard);
  if (b == nullptr && a != nullptr) unlist(*a, graveyard);
  if (a == nullptr || b == nullptr) {
    from.directory->whole_since.reset();
    to.directory->whole_since.reset();
  }
  if (a != nullptr && b != nullptr) {
    Node* a_parent = a->parent;
    Node* b_parent = b->parent;
    a_parent->directory->children.erase(a);
    b_parent->directory->children.erase(b);
    std::swap(a->name, b->name);
    std::swap(a->parent, b->parent);
    a->parent->directory->children.insert(a);
    b->parent->directory->children.insert(b);
    if (a->alias_of() == nullptr) save_again(*a);
    if (b->alias_of() == nullptr) save_again(*b);
    collect_moved(*a, moved, graveyard);
    collect_moved(*b, moved, graveyard);
  }
  names_changed(from, graveyard);
  names_changed(to, graveyard);
  return moved;
}

}  // namespace netfs::vfs
