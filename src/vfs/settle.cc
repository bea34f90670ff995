// Writes that are kept here until they have landed: what the table and the kernel are told of them,
// and who waits for them.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "vfs/file_system.h"

namespace netfs::vfs {

// Lives as long as its file, which the library lets go of before the file system does.
class FileSystem::Landing final : public LandingWatch {
 public:
  Landing(FileSystem& of, fuse::NodeId id) : of_(of), id_(id) {}
  void landed(Witnessed witnessed, int error) override {
    of_.take_landed(id_, std::move(witnessed), error);
  }
  uint64_t keep(ByteRange range, std::span<const std::byte> bytes) override {
    return of_.kept_.put(id_, range, bytes);
  }
  void settled(const std::vector<uint64_t>& numbers) override {
    for (const uint64_t number : numbers) of_.kept_.remove(number);
  }

 private:
  FileSystem& of_;
  const fuse::NodeId id_;
};

void FileSystem::watch_landings(fuse::NodeId id, WritableFile& file) {
  if (keeps_writes_) file.watch(make_ref<Landing>(*this, id));
}

void FileSystem::after_settling(fuse::NodeId id, Settled then) {
  Ref<WritableFile> dirty;
  if (keeps_writes_) {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    if (node != nullptr && node->is_dirty()) dirty = node->open->live;
  }
  if (!dirty) return then();
  dirty->settle(std::move(then));
}

// Whether what was seen of a file is the file as it is now: nothing else was kept, or has been
// since.
bool FileSystem::shows_all(const Node& node, const Witnessed& witnessed) {
  if (!witnessed.info || !InodeTable::same_file(node, *witnessed.info)) return false;
  return !node.is_live() || node.open->live->keeps() == witnessed.keeps;
}

// Before the origin is asked of a file by its path.
KnownVersion FileSystem::known_of(fuse::NodeId id) {
  sync::MutexLock lock(table_.mutex);
  const Node* node = table_.find(id);
  if (node == nullptr) return {};
  KnownVersion known{.validator = node->validator};
  if (!node->is_live()) return known;
  known.keeps = node->open->live->keeps();
  // Asked after that: while some of it is only here, nothing that is seen is all of it.
  if (node->is_dirty()) known.keeps = UINT64_MAX;
  return known;
}

// The same, and what the file is like then is known: where many writes were on their way together,
// the origin is asked once.  Else what others make of the file later would be taken for our own.
void FileSystem::after_landing(fuse::NodeId id, Settled then) {
  after_settling(id, [this, id, then = std::move(then)]() mutable {
    std::optional<Name> name = name_of_unseen(id);
    if (!name) return then();
    // Once, whatever becomes of it: who closes a file does not wait for an origin to come back.
    on_worker([this, id, name = std::move(*name), then = std::move(then)]() mutable {
      if (!believed_unreachable()) (void)look(name, deadline());
      doubt_written(id);
      then();
    });
  });
}

std::optional<Name> FileSystem::name_of_unseen(fuse::NodeId id) {
  sync::MutexLock lock(table_.mutex);
  const Node* node = table_.find(id);
  const bool unseen = node != nullptr && node->unseen && node->is_written();
  if (!unseen || !InodeTable::is_current(*node) || node->parent == nullptr) return {};
  return Name{
      .parent = table_.id(*node->parent), .name = node->name, .path = InodeTable::path_of(*node)};
}

// The next look shows what others may have made of it.
void FileSystem::doubt_written(fuse::NodeId id) {
  sync::MutexLock lock(table_.mutex);
  Node* node = table_.find(id);
  if (node != nullptr && node->unseen) node->unset_written();
}

// It was written up to there, whatever else is not known of it.
void FileSystem::take_end(fuse::NodeId id, uint64_t end_bytes) {
  sync::MutexLock lock(table_.mutex);
  Node* node = table_.find(id);
  if (node == nullptr || !node->unseen) return;
  node->attributes.size_bytes = std::max(node->attributes.size_bytes, end_bytes);
}

// What was set of a file that is written on: the rest is not known before that has landed.
void FileSystem::take_asked(fuse::NodeId id, const AttributeChange& change) {
  sync::MutexLock lock(table_.mutex);
  Node* node = table_.find(id);
  if (node == nullptr || !node->unseen || !node->is_live()) return;
  Attributes& is = node->attributes;
  is.permissions = change.permissions.value_or(is.permissions);
  is.uid = change.uid.value_or(is.uid);
  is.gid = change.gid.value_or(is.gid);
  if (change.size_bytes) {
    is.size_bytes = std::max(*change.size_bytes, node->open->live->kept_end_bytes());
  }
}

void FileSystem::take_kept(fuse::NodeId id, uint64_t end_bytes) {
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node != nullptr) table_.take_kept(*node, end_bytes, clock_.wall(), graveyard);
  }
  bury(std::move(graveyard));
}

void FileSystem::take_landed(fuse::NodeId id, Witnessed witnessed, int error) {
  note_outcome(error);
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node == nullptr) return;
    if (shows_all(*node, witnessed)) {
      table_.take_own(*node, std::move(*witnessed.info), InodeTable::Changed::kBytes, clock_.now(),
                      graveyard);
    } else {
      table_.take_unknown(*node, InodeTable::Changed::kBytes, graveyard);
      if (error != 0) node->unset_written();
    }
    if (error != 0) table_.note_lost(id, error, /*by_us=*/false);
  }
  bury(std::move(graveyard));
  // The kernel's pages have what the origin has not, or not what it has.
  if (error != 0 || witnessed.foreign) forget_pages(id);
}

// What the handle has not been told yet, by `say`, which is false if somebody else had answered by
// then.  Only once it was said is the next process not to say it: it comes twice rather than never.
bool FileSystem::tell_write_error(fuse::HandleId id, UniqueFunction<bool(int)> say) {
  WriteErrors untold;
  {
    sync::MutexLock lock(table_.mutex);
    Handle* handle = table_.handle(id);
    if (handle == nullptr) return false;
    untold = {.serial = handle->errors_seen, .last = table_.take_lost(id)};
    if (untold.last == 0 && handle->node->is_live()) {
      untold = handle->node->open->live->write_errors();
      if (untold.serial == std::exchange(handle->errors_seen, untold.serial)) return false;
    }
  }
  if (untold.last == 0) return false;
  if (!say(untold.last)) return true;
  sync::MutexLock lock(table_.mutex);
  const Handle* handle = table_.handle(id);
  if (handle == nullptr) return true;
  // What has failed since is in the same record.
  const Node& node = *handle->node;
  const bool newer = node.is_live() && node.open->live->write_errors().serial != untold.serial;
  if (!newer) table_.told(id);
  return true;
}

}  // namespace netfs::vfs
