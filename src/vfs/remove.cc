// UNLINK and RMDIR.  A file that is open goes on to be read and written without a name: by its
// handle, or, where the origin's handles do not outlive names, under a hidden one that goes with
// its last close.

#include <cerrno>
#include <utility>

#include "telemetry/log.h"
#include "vfs/change_of_names.h"

namespace netfs::vfs {

std::string FileSystem::hidden_beside(const Place& place) const {
  return place.path.substr(0, place.path.size() - place.name.size()) + hidden_names_.next();
}

// Renames an open file to a name that nobody asks for; where it is now.
Result<std::string> FileSystem::hide(const Place& place, fuse::NodeId id, Deadline until) {
  const std::string path = hidden_beside(place);
  // One file of a directory: nothing lies beneath.
  TRY(writer_->rename(place.path, path, RenameHow::kReplace, ForgetScope::kFile, until));
  take_hidden(id, path);
  return path;
}

// The origin has the file by its hidden name.
void FileSystem::take_hidden(fuse::NodeId id, const std::string& path) {
  std::vector<InodeTable::Moved> moved;
  Graveyard graveyard;
  bool unknown = false;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    // Or it has another name, that was found meanwhile.
    unknown = node == nullptr || !node->listed || node->has_aliases();
    if (!unknown) {
      Node& parent = *node->parent;
      table_.hide(*node, path.substr(path.rfind('/') + 1));
      // It opens by its new name from now on.
      table_.take_unknown(*node, InodeTable::Changed::kBytes, graveyard);
      if (node->is_live()) moved.push_back({node->open->live, path});
      table_.names_changed(parent, graveyard);
    }
  }
  bury(std::move(graveyard));
  tell_moved(moved);
  if (unknown) remove_hidden(path);  // its name was taken from it meanwhile
}

// A change that did not come about: the file keeps its name, or gets it back.
void FileSystem::take_back(const Place& place, fuse::NodeId id, const Kept& kept) {
  if (kept.path.empty()) return;
  if (kept.linked) return remove_hidden(kept.path);
  // Whatever ended the change, this gets its own time.
  show_again(place, id, kept.path, deadline());
}

// What was hidden for a change that did not come about gets its name back.
void FileSystem::show_again(const Place& place, fuse::NodeId id, const std::string& hidden_path,
                            Deadline until) {
  const Result<void> back =
      writer_->rename(hidden_path, place.path, RenameHow::kNoReplace, ForgetScope::kFile, until);
  if (!back.ok()) {
    telemetry::log_warn("vfs", "{} stays at the origin as {}: {}", place.path, hidden_path,
                        back.error().message());
    // It is nobody's to remove.
    sync::MutexLock lock(table_.mutex);
    if (Node* node = table_.find(id)) node->hidden = false;
    return;
  }
  std::vector<InodeTable::Moved> moved;
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node != nullptr && node->hidden) {
      table_.show_again(*node, place.name, graveyard);
      table_.take_unknown(*node, InodeTable::Changed::kBytes, graveyard);
      if (node->is_live()) moved.push_back({node->open->live, place.path});
      table_.names_changed(*node->parent, graveyard);
    }
  }
  bury(std::move(graveyard));
  tell_moved(moved);
}

// Before a name of a file goes: if it is open it is made to live on, whatever other names it may
// have: nobody here knows them all.
Result<Kept> FileSystem::keep_open_file(const Place& place, ChangeOfNames& change, Losing losing,
                                        Deadline until) {
  bool held = false;
  bool has_other_name = false;
  {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(place.parent);
    Node* node = parent == nullptr ? nullptr : table_.child(*parent, place.name);
    if (node == nullptr || node->attributes.type != FileType::kRegular) return Kept();
    change.takes_name_of(*node);
    if (table_.record(*node).opens == 0 && !node->is_opening()) return Kept();
    held = node->is_live();
    has_other_name = node->has_aliases();
  }
  if (!writer_->capabilities().files_outlive_names) {
    if (has_other_name) return Kept{.path = "", .by_other_name = true};
    // By one more name, so that the name it loses is never without a file.  Where changes go by the
    // handle, that follows the file through its renames and not to another name of it.
    if (losing == Losing::kToAnother && !writer_->capabilities().changes_by_handle) {
      const std::string path = hidden_beside(place);
      const Result<NodeInfo> linked = writer_->link(place.path, path, until);
      if (linked.ok()) return Kept{.path = path, .linked = true};
      if (!linked.is_error(EPERM) && !linked.is_error(EOPNOTSUPP) && !linked.is_error(EIO)) {
        return linked.error();
      }
    }
    return Kept{.path = TRY(hide(place, change.going(), until)), .linked = false};
  }
  if (held) return Kept();
  Result<TreeWriter::Opened> opened = writer_->hold(place.path, until);
  // Who may not read it has no handle to lose by it.
  if (opened.is_error(EACCES)) return Kept();
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
  return Kept();
}

Result<void> FileSystem::remove_now(const Place& place, RemoveKind kind, bool resent,
                                    Deadline until) {
  ChangeOfNames change(*this);
  Result<Kept> kept = Kept();
  if (kind == RemoveKind::kFile) kept = keep_open_file(place, change, Losing::kForGood, until);
  Result<void> removed;
  if (!kept.ok()) {
    removed = std::move(kept).error();
  } else if (kept.value().path.empty()) {
    removed = writer_->remove(place.path, kind, until);
    note_outcome(removed.code());
  }
  // Others have removed it: then the name is gone here too.
  const bool gone = removed.is_error(ENOENT);
  if (!removed.ok() && !gone) return removed;
  std::vector<InodeTable::Moved> promoted;
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(place.parent);
    if (parent != nullptr && InodeTable::is_current(*parent)) {
      table_.remove_name(*parent, place.name, clock_.now(), graveyard);
    }
    table_.add_where_it_is_now(change.going(), promoted);
  }
  bury(std::move(graveyard));
  if (kept.ok() && kept.value().by_other_name) tell_moved(promoted);
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
