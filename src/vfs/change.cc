// What all changes have in common: they run on a worker, are not interruptible, and what the kernel
// and the table believed before is set right before they are answered.

#include <cerrno>
#include <sys/stat.h>
#include <utility>

#include "telemetry/log.h"
#include "vfs/change_of_names.h"
#include "vfs/limits.h"

namespace netfs::vfs {

Settled FileSystem::begin_of(fuse::Reply reply, Change change) {
  Ref<Pending> pending = pending_.add(std::move(reply), Interrupts::kIgnored);
  return [this, pending, change = std::move(change)]() mutable {
    on_worker([pending, until = deadline(), change = std::move(change)]() mutable {
      sync::ContextScope scope(pending->context());
      change(*pending, until);
    });
  };
}

void FileSystem::change_on_worker(fuse::Reply reply, Change change) {
  begin_of(std::move(reply), std::move(change))();
}

void FileSystem::change_settled(fuse::NodeId id, fuse::Reply reply, Change change) {
  after_settling(id, begin_of(std::move(reply), std::move(change)));
}

void FileSystem::change_landed(fuse::NodeId id, fuse::Reply reply, Change change) {
  if (!keeps_writes_) return change_on_worker(std::move(reply), std::move(change));
  after_landing(id, begin_of(std::move(reply), std::move(change)));
}

Result<Place> FileSystem::place_of(fuse::NodeId parent_id, std::string_view name) {
  if (name.size() > kNameBytesMax) return Error(ENAMETOOLONG, "vfs.name");
  if (name.empty() || name == "." || name == "..") return Error(EINVAL, "vfs.name");
  Place place{.parent = parent_id, .name = std::string(name), .path = {}};
  sync::MutexLock lock(table_.mutex);
  const Node* parent = table_.find(parent_id);
  if (parent == nullptr) return Error(ESTALE, "vfs.name");
  // A directory that was removed while somebody stands in it.
  if (!InodeTable::is_current(*parent)) return Error(ENOENT, "vfs.name");
  if (!parent->directory) return Error(ENOTDIR, "vfs.name");
  place.path = InodeTable::path_of(*parent);
  if (!place.path.empty()) place.path += '/';
  place.path += place.name;
  if (place.path.size() > kPathBytesMax) return Error(ENAMETOOLONG, "vfs.name");
  return place;
}

NewNode FileSystem::new_node(FileType type, uint32_t mode, uint32_t umask) {
  return {.type = type, .permissions = mode & 07777 & ~umask, .unmasked = mode & 07777};
}

// The caller's user and group; a directory with the set-group-ID bit gives its own group, and to
// directories the bit.  The origin does so, too; with a journal between, later.
void FileSystem::know_place(NewNode& what, std::string_view name, const fuse::Header& caller) {
  Owner owner{.uid = caller.uid, .gid = caller.gid};
  {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(caller.node);
    what.believed_absent =
        parent != nullptr && parent->directory && InodeTable::is_current(*parent) &&
        table_.child(*parent, name) == nullptr && absent_for(*parent, name) > Duration(0);
    if (parent != nullptr && (parent->attributes.permissions & S_ISGID) != 0) {
      owner.gid = parent->attributes.gid;
      if (what.type == FileType::kDirectory) what.permissions |= S_ISGID;
    }
  }
  if (!options_.uid && !options_.gid) what.owner = owner;
}

Result<fuse::Entry> FileSystem::take_made(const Place& place, NodeInfo info, DirectoryAfter after) {
  if (!info_is_allowed(place.path, info)) {
    note_outcome(EIO);
    return Error(EIO, "vfs.make");
  }
  if (after.info && !info_is_allowed(place.path, *after.info)) after.info.reset();
  fuse::Entry entry;
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(place.parent);
    if (parent != nullptr && parent->directory && InodeTable::is_current(*parent)) {
      Node& node = table_.adopt(*parent, place.name, std::move(info), clock_.now(), graveyard);
      node.seldom_part().changed_in = table_.serial();
      // Not if other names came or went in it meanwhile: theirs may have come behind that look.
      const bool alone = parent->changed_in() <= after.began_in;
      table_.names_changed(*parent, graveyard, InodeTable::Names::kCame);
      if (after.info && alone && InodeTable::same_file(*parent, *after.info)) {
        table_.take_own(*parent, std::move(*after.info), InodeTable::Changed::kAttributes,
                        clock_.now(), graveyard);
      }
      entry = entry_of(node);
      table_.sweep(options_.unreferenced_nodes_max, graveyard);
    }
  }
  bury(std::move(graveyard));
  if (entry.node.value == 0) return Error(ESTALE, "vfs.make");
  return entry;
}

void FileSystem::take_change(fuse::NodeId id, Witnessed witnessed, InodeTable::Changed what) {
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node == nullptr) return;
    if (shows_all(*node, witnessed)) {
      table_.take_own(*node, std::move(*witnessed.info), what, clock_.now(), graveyard);
    } else {
      table_.take_unknown(*node, what, graveyard);
    }
  }
  bury(std::move(graveyard));
  if (witnessed.foreign) forget_pages(id);
}

void FileSystem::forget_pages(fuse::NodeId id) {
  if (notifier_ == nullptr || notifier_->inval_inode(id, {0, 0})) return;
  telemetry::log_warn("vfs", "the kernel could not be told that a file was changed elsewhere");
}

void FileSystem::ChangeOfNames::takes_name_of(Node& node) {
  going_ = of_.table_.id(node);
  ++node.seldom_part().going;
}

FileSystem::ChangeOfNames::~ChangeOfNames() {
  if (going_.value != 0) {
    Graveyard graveyard;
    {
      sync::MutexLock lock(of_.table_.mutex);
      Node* node = of_.table_.find(going_);
      if (node != nullptr) of_.table_.name_is_settled(*node, graveyard);
    }
    of_.bury(std::move(graveyard));
  }
  for (NameChanges::Waiter& waiter : of_.name_changes_.end(number_)) {
    of_.on_worker(std::move(waiter));
  }
}

// Once all changes of names that are under way have come to the table.
void FileSystem::after_name_changes(sync::WorkQueue::Work then) {
  std::optional<NameChanges::Waiter> now = name_changes_.wait(std::move(then));
  if (now) on_worker(std::move(*now));
}

void FileSystem::tell_moved(const std::vector<InodeTable::Moved>& moved) {
  for (const InodeTable::Moved& one : moved) one.live->moved(one.path);
}

}  // namespace netfs::vfs
