// Intent, what a process takes over of the one before it: handles that the kernel may not have been
// told of, and changes that others would come upon before the kernel asks for them again.

#include <cerrno>
#include <fcntl.h>
#include <utility>

#include "telemetry/log.h"
#include "vfs/change_of_names.h"
#include "vfs/hidden_files.h"
#include "vfs/intent.h"

namespace netfs::vfs {

namespace {

// By its name, or by what is kept of it.
bool has_its_file(const Node& node, bool writes) {
  if (node.attributes.type != FileType::kRegular) return true;
  if (InodeTable::is_current(node) || node.hidden) return true;
  if (!node.open || (!node.is_live() && !node.open->left)) return false;
  return !writes || node.open->kept != OpenState::Kept::kReads;
}

}  // namespace

// A second handle would make the first stay for ever.
std::optional<fuse::Opened> FileSystem::Intent::take_opened(FileSystem& of, uint64_t unique,
                                                            uint32_t flags, fuse::NodeId& node) {
  const fuse::HandleId handle = of.table_.opened_before(unique);
  if (handle.value == 0) return {};
  Handle& taken = *of.table_.handle(handle);
  const NodeRecord& record = of.table_.record(*taken.node);
  node = fuse::NodeId(record.node_id);
  const bool writes = (flags & O_ACCMODE) != O_RDONLY && !taken.node->directory;
  // That process may have died before it said so.
  if (writes && !taken.writable) {
    ++taken.node->open_state().writers;
    of.table_.set_writable(handle);
  }
  fuse::Opened opened{.handle = handle, .no_flush = !writes};
  if (record.open_mode == static_cast<uint32_t>(OpenMode::kHandedOut)) {
    opened.backing_id = static_cast<int32_t>(record.backing_id.get().value_or(0));
  }
  return opened;
}

bool FileSystem::Intent::opened_before(FileSystem& of, const fuse::Request& request, uint32_t flags,
                                       fuse::Reply& reply) {
  if (!request.header.resent()) return false;
  fuse::NodeId node;
  std::optional<fuse::Opened> opened;
  bool is_there = true;
  {
    sync::MutexLock lock(of.table_.mutex);
    opened = take_opened(of, request.header.unique, flags, node);
    if (opened && of.writer_ != nullptr) {
      is_there = has_its_file(*of.table_.find(node), /*writes=*/!opened->no_flush);
    }
  }
  if (!opened || node != request.header.node) return false;
  if (!is_there) {
    // Its name went before that process had kept it: as if that had come first.
    of.close_handle(opened->handle);
    return false;
  }
  reply.value(fuse::open_out(*opened));
  return true;
}

// Up to its handle: then the table knows all of it.
std::optional<Created> FileSystem::Intent::created_before(const OpenHow& how) const {
  if (!again_) return {};
  fuse::NodeId id;
  sync::MutexLock lock(of_.table_.mutex);
  const std::optional<fuse::Opened> opened = take_opened(of_, how.unique, how.flags, id);
  if (!opened) return {};
  Node& node = *of_.table_.find(id);
  Created created{.entry = of_.entry_of(node), .opened = *opened};
  of_.table_.drop_lookup(node);  // it was counted then
  return created;
}

void FileSystem::Intent::forget_nameless(FileSystem& of, uint64_t unique) {
  fuse::HandleId handle;
  fuse::NodeId node;
  {
    sync::MutexLock lock(of.table_.mutex);
    handle = of.table_.opened_before(unique);
    if (handle.value != 0) node = of.table_.id(*of.table_.handle(handle)->node);
  }
  if (handle.value == 0) return;
  of.close_handle(handle);
  Graveyard graveyard;
  {
    sync::MutexLock lock(of.table_.mutex);
    of.table_.forget(node, 1, graveyard);
  }
  of.bury(std::move(graveyard));
}

// Files that were just being hidden lie where that process had said, or it had not come to it.
void FileSystem::Intent::finish_hiding(FileSystem& of, Deadline until) {
  std::vector<InodeTable::BeingHidden> all;
  {
    sync::MutexLock lock(of.table_.mutex);
    all = of.table_.being_hidden();
  }
  for (const InodeTable::BeingHidden& one : all) {
    const Result<NodeInfo> hidden = of.origin_.stat(one.hidden_path, until);
    if (!hidden.ok() && !hidden.is_error(ENOENT)) continue;
    bool has_both = false;
    if (hidden.ok() && one.by_link) {
      const Result<NodeInfo> named = of.origin_.stat(one.path, until);
      if (!named.ok() && !named.is_error(ENOENT)) continue;
      // Where nothing tells it is hidden all the same: the change that is asked again takes the
      // name from it, if that has not been done.
      has_both = named.ok() && !hidden.value().identity.empty() &&
                 named.value().identity == hidden.value().identity;
    }
    ChangeOfNames change(of);
    {
      sync::MutexLock lock(of.table_.mutex);
      Node* node = of.table_.find(one.node);
      // Another thread may have come to it first, and be about to hide it once more.
      if (node == nullptr || !InodeTable::is_being_hidden(*node)) continue;
      change.takes_name_of(*node);
      if (!hidden.ok() || has_both) of.table_.set_hiding(*node, "", /*by_link=*/false);
    }
    if (has_both) HiddenFiles::remove(of, one.hidden_path);
    if (hidden.ok() && !has_both) change.take_hidden(one.hidden_path);
  }
}

uint64_t FileSystem::Intent::id_at(const Place& place) const {
  Node* parent = of_.table_.find(place.parent);
  if (parent == nullptr || !parent->directory) return 0;
  const Node* node = of_.table_.child(*parent, place.name);
  return node == nullptr ? 0 : of_.table_.id(*node).value;
}

bool FileSystem::Intent::table_has_source(const Place& from) const {
  sync::MutexLock lock(of_.table_.mutex);
  return before_.first.node_id != 0 && id_at(from) == before_.first.node_id;
}

bool FileSystem::Intent::table_has_renamed(const Place& from, const Place& to) const {
  if (!again_ || before_.first.node_id == 0) return false;
  sync::MutexLock lock(of_.table_.mutex);
  return id_at(to) == before_.first.node_id && id_at(from) != before_.first.node_id;
}

// A file that was hidden to be replaced, which has not come to pass, and may not: who had asked for
// it may be dead, too.  Whoever asks for it again hides it again.
void FileSystem::Intent::show_what_was_hidden(const Place& from, const Place& to,
                                              Deadline until) const {
  const fuse::NodeId id(before_.second.node_id);
  std::string hidden_path;
  {
    sync::MutexLock lock(of_.table_.mutex);
    const Node* node = of_.table_.find(id);
    if (node == nullptr || !node->hidden || of_.table_.id(*node->parent) != to.parent) return;
    hidden_path = InodeTable::path_of(*node);
  }
  if (!of_.origin_.stat(to.path, until).is_error(ENOENT)) return;
  if (!is_at_old_name(from.path, until)) return;
  ChangeOfNames change(of_);
  {
    sync::MutexLock lock(of_.table_.mutex);
    Node* node = of_.table_.find(id);
    if (node == nullptr || !node->hidden) return;
    change.takes_name_of(*node);
  }
  const Result<void> shown = change.show_again(to, hidden_path, until);
  if (shown.ok()) return;
  telemetry::log_warn("vfs", "{} has no name but {}: {}", to.path, hidden_path,
                      shown.error().message());
}

void FileSystem::Intent::finish_rename(FileSystem& of, const Intents::Left& left, Deadline until) {
  const SavedNode& first = left.before.first;
  const SavedNode& second = left.before.second;
  const Result<Place> from = of.place_of(fuse::NodeId(first.parent_id), first.name);
  const Result<Place> to = of.place_of(fuse::NodeId(second.parent_id), second.name);
  if (!from.ok() || !to.ok()) return;
  const auto how = static_cast<RenameHow>(left.before.how - 1);
  const Intent intent(of, left.before);
  const bool known = intent.table_has_renamed(from.value(), to.value());
  // What has the old name now may be another one's: the record may be of a call that nobody asks
  // for again.
  if (!known && !intent.table_has_source(from.value())) return;
  if (!intent.renamed_before(from.value().path, to.value().path, until)) {
    if (left.under_way) intent.show_what_was_hidden(from.value(), to.value(), until);
    return;
  }
  if (!known) of.take_renamed(from.value(), to.value(), how, until);
  of.intents_.done(left.unique, 0, {});
}

// Renames before anybody looks for a name that has gone: what is open beneath a directory that
// moved would be lost by that.
void FileSystem::Intent::finish(FileSystem& of) {
  if (of.writer_ == nullptr) return;
  const Deadline until = of.deadline();
  finish_hiding(of, until);
  for (const Intents::Left& left : of.intents_.all_left()) {
    if (!left.done && left.before.how != 0) finish_rename(of, left, until);
    of.intents_.set_under_way(left.unique, false);
  }
}

}  // namespace netfs::vfs
