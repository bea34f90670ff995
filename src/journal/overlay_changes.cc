// What is done here, and what has been done at the origin.

#include <algorithm>
#include <linux/falloc.h>
#include <utility>

#include "base/assert.h"
#include "journal/overlay.h"

namespace netfs::journal {

namespace {

NodeInfo as_made(const Record& record) {
  NodeInfo info;
  Attributes& a = info.attributes;
  a.type = record.made.type;
  a.permissions = record.made.permissions;
  if (record.made.owner) {
    a.uid = record.made.owner->uid;
    a.gid = record.made.owner->gid;
  }
  a.link_count = a.type == FileType::kDirectory ? 2 : 1;
  a.device = record.made.device;
  if (a.type == FileType::kSymlink) {
    a.size_bytes = record.made.target.size();
    a.permissions = 0777;
  }
  a.atime = a.mtime = a.ctime = record.time;
  return info;
}

void changed(Node& node, const Record& record) {
  node.state.shown_as.reset();
  node.state.changed = record.sequence;
  node.state.changed_at = record.time;
}

}  // namespace

// The name leads to the node (none: to nothing) from now on.
void Overlay::take_name(Node& directory, const std::string& name, NodeId node,
                        const Record& record) {
  Entry& entry = directory.entries[name];
  entry.node = node;
  ++entry.pending;
  ++directory.state.names_pending;
  directory.state.names_at = record.time;
  if (node == NodeId::kNone) directory.state.names_lost = record.sequence;
  changed(directory, record);
}

void Overlay::apply_known(const Record& record) {
  const FileType type = record.info.attributes.type;
  Node& node = touch(record.path, type);
  if (type == FileType::kDirectory) return;
  const bool fresh = node.state.pending == 0;
  const bool other = node.state.base && !(node.state.base->validator == record.info.validator);
  if (fresh && other) {
    node.state.changed = 0;
    node.state.shown_as.reset();
  }
  if (fresh || !node.state.base) node.state.base = record.info;
  if (fresh || !node.expected) node.expected = record.info.validator;
}

std::optional<Change> Overlay::apply(const Record& record, const RecordPlace& place) {
  if (record.kind == RecordKind::kKnown) apply_known(record);
  if (!is_change(record.kind)) return std::nullopt;
  Change change{.sequence = record.sequence, .kind = record.kind, .place = place};
  ++pending_;
  if (record.kind == RecordKind::kMake) {
    const NodeId above = directory_of(record.path, change.at.name).id;
    Node& node = make_node(record.made.type);
    node.state.base = as_made(record);
    node.state.target = record.made.target;
    node.made_here = record.made.type == FileType::kDirectory;
    change.at.directory = above;
    node.here = change.at;
    changed(node, record);
    take_name(get(above), change.at.name, node.id, record);
    change.node = node.id;
  } else if (record.kind == RecordKind::kRemove) {
    const bool is_directory = record.remove == RemoveKind::kDirectory;
    Node& node = touch(record.path, is_directory ? FileType::kDirectory : FileType::kUnknown);
    change.at = *node.here;
    change.node = node.id;
    node.here.reset();
    changed(node, record);
    take_name(get(change.at.directory), change.at.name, NodeId::kNone, record);
  } else if (record.kind == RecordKind::kRename) {
    const NodeId id = touch(record.path, FileType::kUnknown).id;
    const NodeId above = directory_of(record.to, change.at.name).id;
    change.at.directory = above;
    change.node = id;
    change.from = *get(id).here;
    // It was there for users, also if what says so is not in the journal any more.
    const bool replaces = record.how == RenameHow::kReplace;
    if (replaces && find(record.to).leads == Leads::kToOrigin) touch(record.to, FileType::kUnknown);
    const auto taken = get(above).entries.find(change.at.name);
    if (taken != get(above).entries.end() && taken->second.node != NodeId::kNone) {
      Node& victim = get(taken->second.node);
      change.victim = victim.id;
      victim.here.reset();
      ++victim.state.pending;
      if (!record.aside.empty()) {
        change.aside.directory = directory_of(record.aside, change.aside.name).id;
        victim.here = change.aside;
        victim.state.changed_at = record.time;
        take_name(get(change.aside.directory), change.aside.name, victim.id, record);
      }
    }
    take_name(get(change.from.directory), change.from.name, NodeId::kNone, record);
    take_name(get(above), change.at.name, id, record);
    get(id).here = change.at;
    get(id).state.changed_at = record.time;
  } else {
    // Modes, owners and times are of anything.
    const bool of_bytes =
        record.kind != RecordKind::kSetAttributes || record.change.size_bytes.has_value();
    Node& node = touch(record.path, of_bytes ? FileType::kRegular : FileType::kUnknown);
    change.node = node.id;
    change.cuts = record.kind == RecordKind::kSetAttributes && of_bytes;
    change.empties = change.cuts && *record.change.size_bytes == 0;
    changed(node, record);
    if (record.kind == RecordKind::kSetAttributes) apply_attributes(node, record);
    if (record.kind == RecordKind::kAllocate) apply_allocate(node, record);
    if (record.kind == RecordKind::kWrite) {
      node.extents.add({record.range, record.sequence, false, place, 0});
      node.state.size_least = std::max(node.state.size_least, record.range.end_bytes());
      node.state.mtime = record.time;
    }
  }
  ++get(change.node).state.pending;
  return change;
}

void Overlay::apply_attributes(Node& node, const Record& record) {
  const AttributeChange& change = record.change;
  NodeState& state = node.state;
  if (change.size_bytes) {
    node.extents.cut(*change.size_bytes);
    node.cuts.emplace_back(record.sequence, *change.size_bytes);
    state.size_set = *change.size_bytes;
    state.size_least = 0;
    state.mtime = record.time;
  }
  if (change.permissions) state.permissions = *change.permissions & 07777;
  if (change.uid) state.uid = change.uid;
  if (change.gid) state.gid = change.gid;
  if (change.atime) state.atime = change.atime->time;
  if (change.mtime) {
    state.mtime = change.mtime->time;
    state.names_at = {};
  }
}

void Overlay::apply_allocate(Node& node, const Record& record) {
  NodeState& state = node.state;
  if ((record.mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
    node.extents.add({record.range, record.sequence, true, {}, 0});
    // Zeroes behind the end are no bytes of it.
    if ((record.mode & FALLOC_FL_KEEP_SIZE) != 0) node.extents.cut(state.size_bytes());
  }
  if ((record.mode & FALLOC_FL_KEEP_SIZE) == 0) {
    state.size_least = std::max(state.size_least, record.range.end_bytes());
  }
  state.mtime = record.time;
}

void Overlay::names_done(const Position& at) {
  Node& directory = get(at.directory);
  const auto entry = directory.entries.find(at.name);
  NETFS_ASSERT(entry != directory.entries.end() && entry->second.pending > 0);
  --directory.state.names_pending;
  if (--entry->second.pending == 0 && entry->second.node == NodeId::kNone) {
    directory.entries.erase(entry);
  }
}

void Overlay::done(const Change& change, const Went& went) {
  NETFS_ASSERT(pending_ > 0);
  --pending_;
  {
    Node& node = get(change.node);
    const bool has_name = change.kind == RecordKind::kMake || change.kind == RecordKind::kRename;
    if (has_name && !went.failed) put_there(node, change.at);
    if (node.there && !went.beside.empty()) node.there->name = went.beside;
    node.beside = node.beside || !went.beside.empty();
    if (change.kind == RecordKind::kRemove) put_there(node, std::nullopt);
    node.extents.drop(change.sequence);
    std::erase_if(node.cuts, [&](const auto& cut) { return cut.first <= change.sequence; });
    NETFS_ASSERT(node.state.pending > 0);
    --node.state.pending;
    keep(node, change, went);
    const bool is_directory = node.state.type == FileType::kDirectory;
    if (went.left && !is_directory) node.expected = went.left;
    node.trouble = node.trouble || went.failed || !went.beside.empty();
    const bool of_bytes =
        change.kind == RecordKind::kWrite || change.cuts || change.kind == RecordKind::kAllocate;
    node.adrift = node.adrift || (went.failed && of_bytes && node.open > 0);
  }
  const bool names = change.at.directory != NodeId::kNone;
  if (names) names_done(change.at);
  if (change.from.directory != NodeId::kNone) names_done(change.from);
  if (change.victim != NodeId::kNone) victim_done(change, went);
  const std::optional<Position> here = get(change.node).here;
  settle(get(change.node), went.after);
  // Who was let go of may have been all that its directory held; or is forgotten already.
  const Node* settled = this->node(change.node);
  const bool let_go = here && settled != nullptr && !settled->here;
  may_drop(change.node);
  if (let_go) may_drop(here->directory);
  if (change.victim != NodeId::kNone) may_drop(change.victim);
  if (names) may_drop(change.at.directory);
  if (change.from.directory != NodeId::kNone) may_drop(change.from.directory);
  if (change.aside.directory != NodeId::kNone) may_drop(change.aside.directory);
  drop_loosened();
}

// It is gone, or has its other name there as well.
void Overlay::victim_done(const Change& change, const Went& went) {
  Node& victim = get(change.victim);
  --victim.state.pending;
  if (change.aside.directory == NodeId::kNone) {
    put_there(victim, std::nullopt);
    if (victim.state.pending == 0) forget_kept(victim);
    return;
  }
  if (went.left_aside) {
    put_there(victim, change.aside);
    victim.expected = went.left_aside;
  } else if (went.failed) {
    if (victim.there == change.aside) put_there(victim, change.at);
  } else if (victim.there == change.at) {
    put_there(victim, std::nullopt);  // somebody else has replaced or removed it
  }
  victim.trouble = victim.trouble || !went.left_aside;
  names_done(change.aside);
  settle(victim, went.aside);
}

void Overlay::lives_aside(const Change& change) {
  put_there(get(change.victim), change.aside);
  drop_loosened();
}

void Overlay::keep(Node& node, const Change& change, const Went& went) {
  const bool of_file = change.kind >= RecordKind::kSetAttributes && change.victim == NodeId::kNone;
  if (!of_file || went.failed || node.state.type == FileType::kDirectory) return;
  // A cut to nothing leaves nothing of what was before.
  if (change.empties) forget_kept(node);
  if (node.state.pending == 0) return;
  if (node.kept.empty()) kept_.emplace(change.sequence, node.id);
  node.kept.push_back(change.place);
}

void Overlay::forget_kept(Node& node) {
  if (!node.kept.empty()) kept_.erase(node.kept.front().sequence);
  node.kept.clear();
  node.not_whole = false;
}

void Overlay::let_go_of_kept() {
  for (const auto& [sequence, id] : kept_) {
    Node& node = get(id);
    node.kept.clear();
    node.kept.shrink_to_fit();
    node.not_whole = true;
  }
  kept_.clear();
}

void Overlay::say_where(const std::deque<Change>& queue, size_t count, const Went& went,
                        Record& done) const {
  const Change& change = queue.front();
  const Node& node = nodes_.at(change.node);
  const bool is_last = node.state.pending == count;
  if (!is_last && node.state.type != FileType::kDirectory) {
    done.left = went.left ? went.left : node.expected;
  }
  done.left_aside = went.left_aside;
  std::optional<Position> there = node.there;
  const bool has_name = change.kind == RecordKind::kMake || change.kind == RecordKind::kRename;
  if (has_name && !went.failed) there = change.at;
  if (there && !went.beside.empty()) there->name = went.beside;
  const bool in_place = there && there == node.here;
  // Nothing that comes later needs to know it.
  if (is_last && in_place && change.kind != RecordKind::kRename) return;
  const auto tell = [&](NodeId id, Told& told, std::string& path) {
    const std::optional<std::string> here = path_here(nodes_.at(id));
    if (here) path = *here;
    if (here && id != change.node) return true;
    const auto next =
        std::find_if(queue.begin() + static_cast<std::ptrdiff_t>(count), queue.end(),
                     [id](const Change& one) { return one.node == id || one.victim == id; });
    if (next == queue.end()) return here.has_value();
    told = {.next = next->sequence, .replaced = next->node != id};
    return true;
  };
  if (!tell(change.node, done.told, done.path)) return;
  done.where = in_place ? Where::kInPlace : Where::kNowhere;
  if (!there || in_place) return;
  // Where there is no word for it, nothing of it must go where it is not.
  if (!tell(there->directory, done.above, done.to)) return;
  done.where = Where::kElsewhere;
  done.there = there->name;
}

NodeId Overlay::told(const std::deque<Change>& queue, const Told& told, const std::string& path) {
  if (told.next == 0) {
    const Found found = find(path);
    return found.node != nullptr ? found.node->id : NodeId::kNone;
  }
  for (auto at = queue.rbegin(); at != queue.rend() && at->sequence >= told.next; ++at) {
    if (at->sequence == told.next) return told.replaced ? at->victim : at->node;
  }
  return NodeId::kNone;
}

void Overlay::believe(NodeId id, NodeId above, const Record& done) {
  if (node(id) == nullptr || done.where == Where::kUnsaid) return;
  Node& node = get(id);
  std::optional<Position> there;
  if (done.where == Where::kInPlace) there = node.here;
  if (done.where == Where::kElsewhere && this->node(above) != nullptr) {
    there = Position{above, done.there};
  }
  put_there(node, there);
  if (done.left) node.expected = done.left;
  // As settle() has done it.
  if (node.state.pending > 0 || !node.here || node.there == node.here) return;
  const Position here = *node.here;
  get(here.directory).entries.erase(here.name);
  node.here.reset();
  may_drop(id);
  may_drop(here.directory);
  drop_loosened();
}

// Nothing of it is pending: it is what the origin shows from now on.
void Overlay::settle(Node& node, const std::optional<NodeInfo>& after) {
  if (node.state.pending > 0) return;
  NodeState& state = node.state;
  // Only its name has changed, and with it perhaps what the origin tells its version by.
  const bool kept = after && state.base && state.changed == 0 && !state.shown_as &&
                    node.state.type == FileType::kRegular;
  if (kept) state.shown_as = state.base->validator;
  if (!after || state.changed != 0) state.shown_as.reset();
  if (after) state.base = *after;
  // Without its validator it cannot be recognized.
  if (!after) {
    state.base.reset();
    if (node.state.type != FileType::kDirectory) state.changed = 0;
  }
  state.permissions.reset();
  state.uid.reset();
  state.gid.reset();
  state.atime.reset();
  state.mtime.reset();
  state.size_set.reset();
  state.size_least = 0;
  node.extents.clear();
  node.cuts.clear();
  forget_kept(node);
  if (!node.here) return;
  // It went elsewhere than its users have it: they see what the origin has there.  Who has it open
  // reads what went, and writes no more: by its name he would write into theirs.
  if (node.there != node.here) {
    Node& directory = get(node.here->directory);
    directory.entries.erase(node.here->name);
    node.here.reset();
    return;
  }
  remembered_.push_back(node.id);
  trim();
}

}  // namespace netfs::journal
