// Looks at the origin: stat of a name; equal looks under way are joined.

#include <algorithm>
#include <cerrno>

#include "vfs/file_system.h"
#include "vfs/in_time.h"
#include "vfs/limits.h"

namespace netfs::vfs {

// A file that is not all at the origin is looked at once it is, as far as it goes now.
void FileSystem::refresh_name(Name name, Then then) {
  Ref<WritableFile> dirty;
  if (keeps_writes_) {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(name.parent);
    const bool named = parent != nullptr && parent->directory && !name.name.empty();
    const Node* node = named ? table_.child(*parent, name.name) : nullptr;
    if (node != nullptr && node->is_dirty()) dirty = node->open->live;
  }
  if (!dirty) return look_at_name(std::move(name), std::move(then));
  dirty->settle([this, name = std::move(name), then = std::move(then)]() mutable {
    look_at_name(std::move(name), std::move(then));
  });
}

void FileSystem::look_at_name(Name name, Then then) {
  if (name.path.size() > kPathBytesMax) return then(Error(ENAMETOOLONG, "vfs.stat"));
  const std::string key = std::to_string(name.parent.value) + "/" + name.name;
  if (!stat_flights_.join(key, std::move(then))) {
    counters_.coalesced.add();
    return;
  }
  // The time runs from now: who waits behind many slow calls does not wait longer for that.
  on_worker([this, name = std::move(name), until = deadline()] { stat_now(name, until); });
}

void FileSystem::refresh_node(fuse::NodeId id, Look look, Then then) {
  Name name{.parent = id, .name = {}, .path = {}};
  bool known = false;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    if (node != nullptr && InodeTable::is_current(*node)) {
      known = true;
      if (node->parent != nullptr) {
        name = {.parent = table_.id(*node->parent),
                .name = node->name,
                .path = InodeTable::path_of(*node)};
      }
    }
  }
  if (!known) return then(Error(ESTALE, "vfs.stat"));
  if (look == Look::kCheapest) return refresh_cheaply(std::move(name), std::move(then));
  refresh_name(std::move(name), std::move(then));
}

void FileSystem::stat_now(const Name& name, Deadline until) {
  const Result<void> outcome = look(name, until);
  if (should_wait(outcome.code())) {
    const bool later = metadata_.post_at(Clock::system().now() + kWaitPause,
                                         [this, name] { stat_now(name, deadline()); });
    if (later) return;
  }
  const std::string key = std::to_string(name.parent.value) + "/" + name.name;
  for (Then& then : stat_flights_.land(key)) then(outcome);
}

Result<void> FileSystem::look(const Name& name, Deadline until) {
  if (stopping_) return Error(ECANCELED, "vfs.stat");
  // Somebody has asked in vain a moment ago: that answer counts for all who can do without.
  if (believed_unreachable() && serve_stale(name)) return {};
  if (const auto stored = look_in_store(name, Old::kRefused)) return *stored;
  if (until.passed(clock_.now())) return Error(ETIMEDOUT, "vfs.stat");
  counters_.revalidations.add();
  Asked asked;
  {
    sync::MutexLock lock(table_.mutex);
    asked.began_in = table_.serial();
  }
  const MonoTime began = clock_.now();
  Result<NodeInfo> info = in_time(origin_.stat(name.path, until), counters_);
  asked.took = clock_.now() - began;
  note_outcome(info.code());
  if (believed_unreachable() && serve_stale(name)) return {};
  const bool sane = !info.ok() || (info_is_allowed(name.path, info.value()) &&
                                   info.value().attributes.type != FileType::kUnknown);
  if (!sane) return Error(EIO, "vfs.stat");
  bool overtaken = false;
  Result<void> taken = take_stat(name, std::move(info), asked, overtaken);
  // What we changed meanwhile may or may not be in the answer: asked again.
  return overtaken ? look_again(name, until) : taken;
}

// A change of ours overtook the look.  While changes go on without a pause, what they left counts.
Result<void> FileSystem::look_again(const Name& name, Deadline until) {
  for (int attempt = 0; attempt < kOvertakenLooksMax; ++attempt) {
    if (stopping_) return Error(ECANCELED, "vfs.stat");
    if (until.passed(clock_.now())) return Error(ETIMEDOUT, "vfs.stat");
    Asked asked;
    {
      sync::MutexLock lock(table_.mutex);
      asked.began_in = table_.serial();
    }
    counters_.revalidations.add();
    const MonoTime began = clock_.now();
    Result<NodeInfo> info = in_time(origin_.stat(name.path, until), counters_);
    asked.took = clock_.now() - began;
    note_outcome(info.code());
    if (info.ok() && !info_is_allowed(name.path, info.value())) return Error(EIO, "vfs.stat");
    bool overtaken = false;
    Result<void> taken = take_stat(name, std::move(info), asked, overtaken);
    if (!overtaken) return taken;
  }
  sync::MutexLock lock(table_.mutex);
  Node* parent = table_.find(name.parent);
  const bool known =
      parent != nullptr && (name.name.empty() || table_.child(*parent, name.name) != nullptr);
  return known ? Result<void>() : Error(ENOENT, "vfs.stat");
}

// Whether we have changed a name's file, or that a directory has the name, since a serial number;
// or have looked at it since, and it is locked here.
bool FileSystem::was_changed_since(Node& parent, std::string_view name, uint64_t serial) {
  if (parent.changed_in() > serial) return true;
  const Node* node = name.empty() ? nullptr : table_.child(parent, name);
  return node != nullptr && node->known_in() > serial;
}

// Whether what is known of a name's file was seen by a look that began after a serial number and
// after all that we have changed: it counts for a look that began then, too.  Else looks for locks
// that many take of one file would overtake each other without end.
bool FileSystem::was_seen_since(Node& parent, std::string_view name, uint64_t serial) {
  const Node* node = name.empty() ? nullptr : table_.child(parent, name);
  return node != nullptr && !node->doubted &&
         node->looked_in() > std::max({serial, node->changed_in(), parent.changed_in()});
}

bool FileSystem::is_dirty(Node& parent, std::string_view name) {
  const Node* node = name.empty() ? nullptr : table_.child(parent, name);
  return node != nullptr && node->is_dirty();
}

Result<void> FileSystem::take_stat(const Name& name, Result<NodeInfo> info, Asked asked,
                                   bool& overtaken) {
  const bool absent = info.is_error(ENOENT) || info.is_error(ENOTDIR);
  if (!info.ok() && !absent) return std::move(info).error();
  // Perhaps it only moved: the table does not know yet.
  if (absent && name_changes_.any()) {
    overtaken = true;
    return {};
  }
  Graveyard graveyard;
  Result<void> outcome;
  {
    sync::MutexLock lock(table_.mutex);
    // Before it comes: it is to be there for who asks.
    if (info.ok()) table_.sweep(options_.unreferenced_nodes_max, graveyard);
    Node* parent = table_.find(name.parent);
    const MonoTime now = clock_.now();
    if (parent == nullptr || !InodeTable::is_current(*parent)) {
      outcome = Error(ESTALE, "vfs.stat");
    } else if (!parent->directory) {
      outcome = Error(ENOTDIR, "vfs.stat");
    } else if (is_dirty(*parent, name.name)) {
      // It is being written on: what is known here counts.
    } else if (was_seen_since(*parent, name.name, asked.began_in)) {
      // What is known is newer.
    } else if (was_changed_since(*parent, name.name, asked.began_in)) {
      overtaken = true;
    } else if (name.name.empty()) {
      if (info.ok()) {
        table_.update_root(std::move(info).value(), now);
      } else {
        outcome = std::move(info).error();
      }
    } else if (info.ok()) {
      count_look(*parent, asked.took);
      Node& node = table_.adopt(*parent, name.name, std::move(info).value(), now, graveyard);
      // What began before this look is not believed after it, however late it comes in.
      if (node.is_locked() && !node.is_dirty()) {
        node.seldom_part().looked_in = std::max(node.looked_in(), asked.began_in);
      }
    } else {
      table_.set_absent(*parent, name.name, now, graveyard);
      outcome = Error(ENOENT, "vfs.stat");
    }
  }
  bury(std::move(graveyard));
  if (outcome.is_error(ENOENT)) note_miss(name.parent, asked.took);
  return outcome;
}

// Under the policy `stale`: what is known is shown for a little while.
bool FileSystem::serve_stale(const Name& name) {
  if (options_.on_error != OnError::kStale) return false;
  (void)look_in_store(name, Old::kTaken);
  sync::MutexLock lock(table_.mutex);
  Node* node = table_.find(name.parent);
  if (node != nullptr && !name.name.empty()) node = table_.child(*node, name.name);
  if (node == nullptr) return false;
  node->seldom_part().shown_until = clock_.now() + kStaleGrace;
  node->doubted = false;
  counters_.served_stale.add();
  return true;
}

}  // namespace netfs::vfs
