// Looking up, and what is kept.  What happens to nodes is in overlay_changes.cc.

#include "journal/overlay.h"

#include <utility>

#include "base/assert.h"

namespace netfs::journal {

namespace {

// Takes the first component off.
std::string_view take_component(std::string_view& path) {
  const std::string_view name = path.substr(0, path.find('/'));
  path.remove_prefix(std::min(path.size(), name.size() + 1));
  return name;
}

std::string joined(std::string base, std::string_view rest) {
  if (!base.empty() && !rest.empty()) base += '/';
  base += rest;
  return base;
}

}  // namespace

Overlay::Overlay(size_t remembered_max) : remembered_max_(remembered_max) {
  Node& root = nodes_[NodeId::kRoot];
  root.id = NodeId::kRoot;
  root.state.type = FileType::kDirectory;
}

Node* Overlay::node(NodeId id) {
  const auto found = nodes_.find(id);
  return found == nodes_.end() ? nullptr : &found->second;
}

Node& Overlay::get(NodeId id) {
  Node* found = node(id);
  NETFS_ASSERT(found != nullptr);
  return *found;
}

Overlay::Found Overlay::find(std::string_view path) {
  Node* at = &get(NodeId::kRoot);
  while (!path.empty()) {
    const FileType type = at->state.type;
    if (type != FileType::kDirectory && type != FileType::kUnknown) {
      return {.leads = Leads::kThroughNothing};
    }
    std::string_view rest = path;
    const std::string_view name = take_component(rest);
    const auto entry = at->entries.find(std::string(name));
    if (entry == at->entries.end()) {
      const std::optional<std::string> there = path_there(*at);
      const bool known = at->made_here && rest.empty();
      if (!there) return {.leads = Leads::kNowhere, .all_is_known = known};
      return {
          .leads = Leads::kToOrigin, .origin_path = joined(*there, path), .all_is_known = known};
    }
    if (entry->second.node == NodeId::kNone) return {.leads = Leads::kNowhere};
    at = &get(entry->second.node);
    path = rest;
  }
  return {.leads = Leads::kToNode, .node = at};
}

std::optional<std::string> Overlay::path_of(const Node& node,
                                            std::optional<Position> Node::*where) const {
  std::string path;
  const Node* at = &node;
  while (at->id != NodeId::kRoot) {
    const std::optional<Position>& position = at->*where;
    if (!position) return std::nullopt;
    path = joined(position->name, path);
    const auto above = nodes_.find(position->directory);
    NETFS_ASSERT(above != nodes_.end());
    at = &above->second;
  }
  return path;
}

std::optional<std::string> Overlay::path_there(const Node& node) const {
  return path_of(node, &Node::there);
}

std::optional<std::string> Overlay::path_here(const Node& node) const {
  return path_of(node, &Node::here);
}

Node& Overlay::make_node(FileType type) {
  const auto id = static_cast<NodeId>(++last_id_);
  Node& made = nodes_[id];
  made.id = id;
  made.state.type = type;
  return made;
}

Node& Overlay::touch(std::string_view path, FileType type) {
  Node* at = &get(NodeId::kRoot);
  while (!path.empty()) {
    const std::string name(take_component(path));
    const auto entry = at->entries.find(name);
    if (entry != at->entries.end()) {
      NETFS_ASSERT(entry->second.node != NodeId::kNone);
      at = &get(entry->second.node);
      if (!path.empty()) at->state.type = FileType::kDirectory;
      continue;
    }
    const NodeId above = at->id;
    Node& made = make_node(path.empty() ? type : FileType::kDirectory);
    made.here = Position{above, name};
    put_there(made, Position{above, name});
    get(above).entries[name].node = made.id;
    at = &made;
  }
  if (at->state.type == FileType::kUnknown) at->state.type = type;
  return *at;
}

Node& Overlay::directory_of(std::string_view path, std::string& name) {
  const size_t slash = path.rfind('/');
  name = path.substr(slash == std::string_view::npos ? 0 : slash + 1);
  return touch(slash == std::string_view::npos ? std::string_view() : path.substr(0, slash),
               FileType::kDirectory);
}

void Overlay::closed(NodeId id) {
  Node& node = get(id);
  NETFS_ASSERT(node.open > 0);
  if (--node.open == 0) {
    node.adrift = false;
    may_drop(id);
  }
  drop_loosened();
}

std::vector<NodeId> Overlay::unknown() {
  std::vector<NodeId> ids;
  for (const auto& [id, node] : nodes_) {
    const bool is_directory = node.state.type == FileType::kDirectory;
    if (node.there && !node.state.base && !is_directory && node.here) ids.push_back(id);
  }
  return ids;
}

void Overlay::learned(NodeId id, const NodeInfo& info) {
  Node& node = get(id);
  node.state.type = info.attributes.type;
  if (node.state.type != FileType::kDirectory) node.state.base = info;
}

// A directory stays as long as the origin has something in it that is known.
void Overlay::put_there(Node& node, std::optional<Position> there) {
  if (there) ++get(there->directory).held;
  if (node.there) {
    --get(node.there->directory).held;
    loosened_.push_back(node.there->directory);
  }
  node.there = std::move(there);
}

void Overlay::drop_loosened() {
  while (!loosened_.empty()) {
    const NodeId id = loosened_.back();
    loosened_.pop_back();
    may_drop(id);
  }
}

// Forgets a node of which nothing is of use, and the directory above that held nothing else.
void Overlay::may_drop(NodeId id) {
  while (id != NodeId::kRoot) {
    const auto found = nodes_.find(id);
    if (found == nodes_.end()) return;
    Node& node = found->second;
    if (node.state.pending > 0 || node.state.names_pending > 0) return;
    if (node.open > 0 || node.held > 0 || !node.entries.empty()) return;
    const bool ours = node.state.changed != 0 || node.state.shown_as;
    const bool remembered = ours && (node.state.base || node.made_here);
    if (node.here && remembered) return;
    NodeId above = NodeId::kNone;
    if (node.here) {
      above = node.here->directory;
      Node& directory = get(above);
      const auto entry = directory.entries.find(node.here->name);
      NETFS_ASSERT(entry != directory.entries.end() && entry->second.node == id);
      NETFS_ASSERT(entry->second.pending == 0);
      directory.entries.erase(entry);
      directory.made_here = directory.made_here && !node.there;
    }
    put_there(node, std::nullopt);
    nodes_.erase(found);
    if (above == NodeId::kNone) return;
    id = above;
  }
}

void Overlay::trim() {
  for (size_t looked = remembered_.size(); remembered_.size() > remembered_max_ && looked > 0;
       --looked) {
    const NodeId id = remembered_.front();
    remembered_.pop_front();
    Node* node = this->node(id);
    if (node == nullptr) continue;
    const bool in_use = node->state.pending > 0 || node->state.names_pending > 0 ||
                        node->open > 0 || !node->entries.empty();
    if (in_use) {
      // Its next rest is another; a directory waits for what is in it.
      if (!node->entries.empty()) remembered_.push_back(id);
      continue;
    }
    node->state.changed = 0;
    node->state.shown_as.reset();
    may_drop(id);
  }
}

}  // namespace netfs::journal
