// UNLINK and RMDIR.  A file that is open goes on to be read and written without a name: by its
// handle, or, where the origin's handles do not outlive names, under a hidden one that goes with
// its last close.

#include <cerrno>
#include <utility>

#include "telemetry/log.h"
#include "vfs/by_path.h"
#include "vfs/change_of_names.h"
#include "vfs/hidden_files.h"
#include "vfs/intent.h"
#include "vfs/kept_files.h"

namespace netfs::vfs {

namespace {

// A change that was not carried out: the rest may have been, and nobody heard of it.
bool is_surely_undone(int error) {
  return error != ETIMEDOUT && error != ENOTCONN;
}

}  // namespace

std::string FileSystem::ChangeOfNames::hidden_beside(const Place& place) const {
  return place.path.substr(0, place.path.size() - place.name.size()) + of_.hidden_names_.next();
}

// The name that a file is about to have, for who serves this mount after us; empty: none.
void FileSystem::ChangeOfNames::set_hiding(std::string hidden_name, bool by_link) {
  sync::MutexLock lock(of_.table_.mutex);
  Node* node = of_.table_.find(going_);
  if (node != nullptr) of_.table_.set_hiding(*node, std::move(hidden_name), by_link);
}

// Renames an open file to a name that nobody asks for; where it is now.
Result<std::string> FileSystem::ChangeOfNames::hide(const Place& place, Deadline until) {
  const std::string path = hidden_beside(place);
  // Who serves this mount after us looks for it by both names.
  set_hiding(path.substr(path.rfind('/') + 1), /*by_link=*/false);
  // One file of a directory: nothing lies beneath.
  const Result<void> renamed =
      of_.writer_->rename(place.path, path, RenameHow::kReplace, ForgetScope::kFile, until);
  if (!renamed.ok()) {
    if (is_surely_undone(renamed.code())) set_hiding("", false);
    return renamed.error();
  }
  take_hidden(path);
  return path;
}

// The origin has the file by its hidden name.
void FileSystem::ChangeOfNames::take_hidden(const std::string& path) {
  std::vector<InodeTable::Moved> moved;
  Graveyard graveyard;
  bool unknown = false;
  {
    sync::MutexLock lock(of_.table_.mutex);
    Node* node = of_.table_.find(going_);
    if (node != nullptr && node->hidden && InodeTable::path_of(*node) == path) return;
    // Or it has another name, that was found meanwhile.
    unknown = node == nullptr || !node->listed || node->has_aliases();
    if (node != nullptr && unknown) of_.table_.set_hiding(*node, "", /*by_link=*/false);
    if (!unknown) {
      Node& parent = *node->parent;
      of_.table_.hide(*node, path.substr(path.rfind('/') + 1));
      // It opens by its new name from now on.
      of_.table_.take_unknown(*node, InodeTable::Changed::kBytes, graveyard);
      if (node->is_live()) moved.push_back({node->open->live, path});
      of_.table_.names_changed(parent, graveyard);
    }
  }
  of_.bury(std::move(graveyard));
  of_.tell_moved(moved);
  if (unknown) HiddenFiles::remove(of_, path);  // its name was taken from it meanwhile
}

bool FileSystem::ChangeOfNames::take_seen(FileSystem& of, fuse::NodeId id, const std::string& path,
                                          NodeInfo seen, uint64_t began_in) {
  Graveyard graveyard;
  bool is_it = false;
  {
    sync::MutexLock lock(of.table_.mutex);
    Node* node = of.table_.find(id);
    is_it = node != nullptr && node->hidden && InodeTable::path_of(*node) == path &&
            InodeTable::same_file(*node, seen);
    // What is written meanwhile may be in what was seen, or not.
    if (is_it && !node->is_dirty() && node->known_in() <= began_in) {
      of.table_.take_own(*node, std::move(seen), InodeTable::Changed::kAttributes, of.clock_.now(),
                         graveyard);
    }
  }
  of.bury(std::move(graveyard));
  return is_it;
}

Result<void> FileSystem::ChangeOfNames::see_hidden(FileSystem& of, fuse::NodeId id,
                                                   const std::string& path, Deadline until) {
  uint64_t began_in = 0;
  {
    sync::MutexLock lock(of.table_.mutex);
    began_in = of.table_.serial();
  }
  Result<NodeInfo> seen = of.origin_.stat(path, until);
  if (seen.is_error(ENOENT)) return {};  // it is read by what is held of it
  if (!seen.ok()) return std::move(seen).error();
  take_seen(of, id, path, std::move(seen).value(), began_in);
  return {};
}

// A change that did not come about: the file keeps its name, or gets it back.
void FileSystem::ChangeOfNames::take_back(const Place& place, const Kept& kept) {
  if (kept.path.empty()) return;
  if (kept.linked || kept.by_replacing) set_hiding("", false);
  if (kept.by_replacing) return;
  if (kept.linked) return HiddenFiles::remove(of_, kept.path);
  // Whatever ended the change, this gets its own time.
  const Result<void> back = show_again(place, kept.path, of_.deadline());
  if (back.ok()) return;
  telemetry::log_warn("vfs", "{} stays at the origin as {}: {}", place.path, kept.path,
                      back.error().message());
  // It is nobody's to remove.
  sync::MutexLock lock(of_.table_.mutex);
  if (Node* node = of_.table_.find(going_)) node->hidden = false;
}

Result<void> FileSystem::ChangeOfNames::show_again(const Place& place,
                                                   const std::string& hidden_path, Deadline until) {
  TRY(of_.writer_->rename(hidden_path, place.path, RenameHow::kNoReplace, ForgetScope::kFile,
                          until));
  std::vector<InodeTable::Moved> moved;
  Graveyard graveyard;
  {
    sync::MutexLock lock(of_.table_.mutex);
    Node* node = of_.table_.find(going_);
    if (node != nullptr && node->hidden) {
      of_.table_.show_again(*node, place.name, graveyard);
      of_.table_.take_unknown(*node, InodeTable::Changed::kBytes, graveyard);
      if (node->is_live()) moved.push_back({node->open->live, place.path});
      of_.table_.names_changed(*node->parent, graveyard);
    }
  }
  of_.bury(std::move(graveyard));
  of_.tell_moved(moved);
  return {};
}

// Before a name of a file goes: if it is open it is made to live on, whatever other names it may
// have: nobody here knows them all.
Result<Kept> FileSystem::ChangeOfNames::keep_open_file(const Place& place, Losing losing,
                                                       Deadline until) {
  bool held = false;
  bool written = false;  // by handles of a process before this one: nobody has used them since
  bool has_other_name = false;
  std::string identity;
  {
    sync::MutexLock lock(of_.table_.mutex);
    Node* parent = of_.table_.find(place.parent);
    Node* node = parent == nullptr ? nullptr : of_.table_.child(*parent, place.name);
    if (node == nullptr || node->attributes.type != FileType::kRegular) return Kept();
    takes_name_of(*node);
    if (of_.table_.record(*node).opens == 0 && !node->is_opening()) return Kept();
    held = node->is_live();
    written = node->open && node->open->writers > 0;
    identity = node->identity;
    has_other_name = node->has_aliases();
  }
  if (!of_.writer_->capabilities().files_outlive_names) {
    if (has_other_name) return Kept{.path = "", .by_other_name = true};
    if (losing == Losing::kToAnother && of_.writer_->capabilities().keeps_replaced) {
      const std::string path = hidden_beside(place);
      set_hiding(path.substr(path.rfind('/') + 1), /*by_link=*/false);
      return Kept{.path = path, .by_replacing = true};
    }
    // By one more name, so that the name it loses is never without a file.  Where changes go by the
    // handle, that follows the file through its renames and not to another name of it.
    if (losing == Losing::kToAnother && !of_.writer_->capabilities().changes_by_handle) {
      const std::string path = hidden_beside(place);
      set_hiding(path.substr(path.rfind('/') + 1), /*by_link=*/true);
      const Result<NodeInfo> linked = of_.writer_->link(place.path, path, until);
      if (linked.ok()) return Kept{.path = path, .linked = true};
      if (is_surely_undone(linked.code())) set_hiding("", false);
      if (!linked.is_error(EPERM) && !linked.is_error(EOPNOTSUPP) && !linked.is_error(EIO)) {
        return linked.error();
      }
    }
    return Kept{.path = TRY(hide(place, until)), .linked = false};
  }
  if (held) {
    KeptFiles::keep(of_, going_);
    return Kept();
  }
  Result<TreeWriter::Opened> opened =
      written ? of_.writer_->open(place.path, {}, until) : of_.writer_->hold(place.path, until);
  // Who reads it can have it still.
  if (written && !opened.ok()) opened = of_.writer_->hold(place.path, until);
  // Who may not read it has no handle to lose by it.
  if (opened.is_error(EACCES)) return Kept();
  if (!opened.ok()) return std::move(opened).error();
  Ref<File> surplus;
  sync::MutexLock lock(of_.table_.mutex);
  Node* node = of_.table_.find(going_);
  // Others may have put another one in its place.
  const bool is_it = opened.value().info.identity == identity;
  if (node == nullptr || of_.table_.record(*node).opens == 0 || node->is_live() || !is_it) {
    surplus = std::move(opened.value().file);
  } else {
    node->open_state().live = std::move(opened.value().file);
    if (written) of_.watch_landings(going_, *node->open->live);
  }
  lock.unlock();
  KeptFiles::keep(of_, going_);
  return Kept();
}

Result<void> FileSystem::remove_now(const Place& place, RemoveKind kind, const Intent& intent,
                                    Deadline until) {
  ChangeOfNames change(*this);
  const bool before = intent.removed_before(place.path, until);
  Result<Kept> kept = Kept();
  if (kind == RemoveKind::kFile && !before) {
    kept = change.keep_open_file(place, Losing::kForGood, until);
  }
  Result<void> removed;
  if (!kept.ok()) {
    removed = std::move(kept).error();
  } else if (kept.value().path.empty() && !before) {
    removed = writer_->remove(place.path, kind, until);
    note_outcome(removed.code());
  }
  if (removed.is_error(ENOENT) && intent.removed_before(place.path, until)) {
    removed = Result<void>();
  }
  // Others have removed it: then the name is gone here too.
  if (!removed.ok() && !removed.is_error(ENOENT)) return removed;
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
  return removed;
}

void FileSystem::remove(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  if (Intent::answered_before(*this, request, reply)) return;
  const auto& wanted = std::get<fuse::RemoveRequest>(request.body);
  const RemoveKind kind = wanted.directory ? RemoveKind::kDirectory : RemoveKind::kFile;
  ByPath::change(*this, {{request.header.node, std::string(wanted.name)}}, std::move(reply),
                 [this, kind](const Places& at, Pending& pending, Deadline until) {
                   const Intent intent(*this, pending, at[0], until);
                   answer_change(pending, remove_now(at[0], kind, intent, until).code());
                 });
}

}  // namespace netfs::vfs
