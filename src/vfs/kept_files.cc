#include "vfs/kept_files.h"

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <utility>

#include "telemetry/log.h"
#include "vfs/inode_id.h"
#include "vfs/limits.h"
#include "vfs/locking.h"

namespace netfs::vfs {

namespace {

using Copy = OpenState::Kept;

Copy kind_of(int descriptor) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  return flags < 0 || (flags & O_ACCMODE) == O_RDONLY ? Copy::kReads : Copy::kWrites;
}

void tell_of_too_many() {
  static std::atomic<bool> told{false};
  if (told.exchange(true)) return;
  telemetry::log_warn("vfs",
                      "{} files without a name are open: what is more than those ends with this "
                      "process, and who has it open is told ESTALE then",
                      kKeptFilesMax);
}

}  // namespace

// It counts as kept once it is: who takes another of its names must not trust in what is still to
// be sent.
void FileSystem::KeptFiles::keep(FileSystem& of, fuse::NodeId id) {
  if (of.keeper_ == nullptr) return;
  std::shared_ptr<OriginFile> open_by;  // closed without a lock
  sync::MutexLock in_order(of.keeping_);
  Copy before = Copy::kNo;
  bool has_room = true;
  {
    sync::MutexLock lock(of.table_.mutex);
    const Node* node = of.table_.find(id);
    if (node == nullptr || !node->is_live() || of.table_.record(*node).opens == 0) return;
    before = node->open->kept;
    has_room = before != Copy::kNo || of.table_.kept_count() < kKeptFilesMax;
    open_by = node->open->live->open_by();
  }
  if (!open_by || open_by->descriptor() < 0) return;
  const Copy copy = kind_of(open_by->descriptor());
  if (before >= copy) return;
  if (!has_room) return tell_of_too_many();
  // Not noted: the next loss of a name tries again.
  if (!of.keeper_->keep(key_of_file(id), open_by->descriptor())) return;
  bool closed = true;
  {
    sync::MutexLock lock(of.table_.mutex);
    Node* node = of.table_.find(id);
    closed = node == nullptr || of.table_.record(*node).opens == 0;
    if (!closed) of.table_.note_kept(*node, copy);
  }
  if (closed) of.keeper_->drop(key_of_file(id));
}

void FileSystem::KeptFiles::drop(FileSystem& of, fuse::NodeId id) {
  sync::MutexLock in_order(of.keeping_);
  {
    sync::MutexLock lock(of.table_.mutex);
    const Node* node = of.table_.find(id);
    // Opened by another name since, and that one goes as well.
    if (node != nullptr && node->open && node->open->kept != Copy::kNo) return;
  }
  of.keeper_->drop(key_of_file(id));
}

// One that is open; 0: it is of nobody here.
fuse::NodeId FileSystem::KeptFiles::take(FileSystem& of, uint64_t key, UniqueFd& descriptor) {
  if (of.writer_ == nullptr) return {};
  const Copy copy = kind_of(descriptor.get());
  sync::MutexLock lock(of.table_.mutex);
  Node* node = of.table_.find_of_any_epoch(key & ~kFileKeys);
  if (node == nullptr || node->directory || of.table_.record(*node).opens == 0) return {};
  of.table_.note_kept(*node, copy);
  node->open->left = std::move(descriptor);
  return of.table_.id(*node);
}

void FileSystem::KeptFiles::take(FileSystem& of, std::map<uint64_t, UniqueFd>& left) {
  for (auto one = left.begin(); one != left.end();) {
    const uint64_t key = one->first;
    const bool is_lock = (key & kLockKeys) != 0;
    if (is_lock && of.locking_) {
      ++one;
      continue;
    }
    const fuse::NodeId node = is_lock ? fuse::NodeId() : take(of, key, one->second);
    one = left.erase(one);
    // Of a mount that has no locks any more, or of nobody: it would never be given back.
    if (node.value == 0) {
      of.keeper_->drop(key);
      continue;
    }
    // Without a wait for an origin that is away: whoever needs the file waits for it then.
    const Result<void> again = revive(of, node, Deadline{of.clock_.now()});
    if (again.ok()) continue;
    telemetry::log_debug("vfs", "a file without a name is not open yet: {}",
                         again.error().message());
  }
}

Result<void> FileSystem::KeptFiles::revive(FileSystem& of, fuse::NodeId id, Deadline until) {
  UniqueFd descriptor;
  std::string path;
  std::string identity;
  {
    sync::MutexLock lock(of.table_.mutex);
    const Node* node = of.table_.find(id);
    const bool needed = node != nullptr && node->open && node->open->left && !node->is_live() &&
                        !InodeTable::is_current(*node) && !node->hidden;
    if (!needed) return {};
    descriptor.reset(::fcntl(node->open->left.get(), F_DUPFD_CLOEXEC, 0));
    if (!descriptor) return Error::from_errno("vfs.kept_files");
    path = InodeTable::path_of(*node);
    identity = node->identity;
  }
  TreeWriter::Opened taken = TRY(of.writer_->take_over(path, std::move(descriptor), until));
  // The kernel has bytes of the other one.
  const bool is_it = taken.info.identity == identity;
  if (!is_it) telemetry::log_warn("vfs", "what is kept of {} is another file: it is lost", path);
  Graveyard graveyard;
  {
    sync::MutexLock lock(of.table_.mutex);
    Node* node = of.table_.find(id);
    // Its last close may have come meanwhile.
    const bool left = node != nullptr && is_left(*node);
    const bool needed = left && !node->is_live() && of.table_.record(*node).opens > 0;
    if (!is_it || !needed) {
      graveyard.files.emplace_back(std::move(taken.file));
      if (left && !is_it) graveyard.descriptors.push_back(std::move(node->open->left));
    } else {
      graveyard.descriptors.push_back(std::move(node->open->left));
      node->open->live = std::move(taken.file);
      of.watch_landings(id, *node->open->live);
      of.table_.take_own(*node, std::move(taken.info), InodeTable::Changed::kBytes, of.clock_.now(),
                         graveyard);
    }
  }
  of.bury(std::move(graveyard));
  if (!is_it) return Error(ESTALE, "vfs.kept_files");
  return {};
}

Result<Ref<WritableFile>> FileSystem::KeptFiles::held(FileSystem& of, fuse::NodeId id,
                                                      Deadline until) {
  TRY(revive(of, id, until));
  sync::MutexLock lock(of.table_.mutex);
  const Node* node = of.table_.find(id);
  return node != nullptr && node->is_live() ? node->open->live : Ref<WritableFile>();
}

}  // namespace netfs::vfs
