// UNLINK and RMDIR.  A file that is open goes on to be read and written without a name: by its
// handle, or, where the origin's handles do not outlive names, under a hidden one that goes with
// its last close.

#include <cerrno>
#include <utility>

#include "telemetry/log.h"
#include "vfs/change_of_names.h"

namespace netfs::vfs {

// Renames an open file to a name that nobody asks for; where it is now.
Result<std::string> FileSystem::hide(const Place& place, fuse::NodeId id, Deadline until) {
  const std::string name = hidden_names_.next();
  const size_t directory = place.path.size() - place.name.size();
  const std::string path = place.path.substr(0, directory) + name;
  TRY(writer_->rename(place.path, path, RenameHow::kReplace, until));
  std::vector<InodeTable::Moved> moved;
  Graveyard graveyard;
  bool unknown = false;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    unknown = node == nullptr || !node->listed;
    if (!unknown) {
      Node& parent = *node->parent;
      table_.hide(*node, name);
      // It opens by its new name from now on.
      table_.take_unknown(*node, InodeTable::Changed::kBytes, graveyard);
      if (node->is_live()) moved.push_back({node->open->live, path});
      table_.names_changed(parent, graveyard);
    }
  }
  bury(std::move(graveyard));
  tell_moved(moved);
  if (unknown) remove_hidden(path);  // its name was taken from it meanwhile
  return path;
}

// What was hidden for a change that did not come about gets its name back.
void FileSystem::show_again(const Place& place, fuse::NodeId id, const std::string& hidden_path,
                            Deadline until) {
  const Result<void> back = writer_->rename(hidden_path, place.path, RenameHow::kNoReplace, until);
  if (!back.ok()) {
    telemetry::log_warn("vfs", "{} stays at the origin as {}: {}", place.path, hidden_path,
                        back.error().message());
    return;
  }
  std::vector<InodeTable::Moved> moved;
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node != nullptr && node->hidden) {
      table_.show_again(*node, place.name);
      table_.take_unknown(*node, InodeTable::Changed::kBytes, graveyard);
      if (node->is_live()) moved.push_back({node->open->live, place.path});
      table_.names_changed(*node->parent, graveyard);
    }
  }
  bury(std::move(graveyard));
  tell_moved(moved);
}

// Before a name of a file goes: if it is open it is made to live on, whatever other names it may
// have: nobody here knows them all.  A path: that took the name away already, and there it is now.
Result<std::string> FileSystem::keep_open_file(const Place& place, ChangeOfNames& change,
                                               Deadline until) {
  bool held = false;
  {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(place.parent);
    Node* node = parent == nullptr ? nullptr : table_.child(*parent, place.name);
    if (node == nullptr || node->attributes.type != FileType::kRegular) return std::string();
    change.takes_name_of(*node);
    if (table_.record(*node).opens == 0) return std::string();
    held = node->is_live();
  }
  if (!writer_->capabilities().files_outlive_names) return hide(place, change.going(), until);
  if (held) return std::string();
  Result<TreeWriter::Opened> opened = writer_->hold(place.path, until);
  // Who may not read it has no handle to lose by it.
  if (opened.is_error(EACCES)) return std::string();
  if (!opened.ok()) return std::move(opened).error();
  Ref<File> surplus;
  sync::MutexLock lock(table_.mutex);
  Node* node = table_.find(change.going());
  if (node == nullptr || table_.record(*node).opens == 0 || node->is_live()) {
    surplus = std::move(opened.value().file);
  } else {
    node->open_state().live = std::move(opened.value().file);
  }
  lock.unlock();
  return std::string();
}

Result<void> FileSystem::remove_now(const Place& place, RemoveKind kind, bool resent,
                                    Deadline until) {
  ChangeOfNames change(*this);
  Result<std::string> hidden = std::string();
  if (kind == RemoveKind::kFile) hidden = keep_open_file(place, change, until);
  Result<void> removed;
  if (!hidden.ok()) {
    removed = std::move(hidden).error();
  } else if (hidden.value().empty()) {
    removed = writer_->remove(place.path, kind, until);
    note_outcome(removed.code());
  }
  // Others have removed it: then the name is gone here too.
  const bool gone = removed.is_error(ENOENT);
  if (!removed.ok() && !gone) return removed;
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(place.parent);
    if (parent != nullptr && InodeTable::is_current(*parent)) {
      table_.remove_name(*parent, place.name, clock_.now(), graveyard);
    }
  }
  bury(std::move(graveyard));
  // The kernel asks again what a worker before this one may have done.
  return gone && !resent ? removed : Result<void>();
}

void FileSystem::remove(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  const auto& wanted = std::get<fuse::RemoveRequest>(request.body);
  Result<Place> place = place_of(request.header.node, wanted.name);
  if (!place.ok()) return reply.error(place.code());
  const RemoveKind kind = wanted.directory ? RemoveKind::kDirectory : RemoveKind::kFile;
  change_on_worker(std::move(reply),
                   [this, kind, at = std::move(place).value(), resent = request.header.resent()](
                       Pending& pending, Deadline until) {
                     const Result<void> removed = remove_now(at, kind, resent, until);
                     if (!removed.ok()) return pending.error(removed.code());
                     pending.answer([](fuse::Reply& to) { to.ok(); });
                   });
}

}  // namespace netfs::vfs
