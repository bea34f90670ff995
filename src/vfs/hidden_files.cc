#include "vfs/hidden_files.h"

#include <cerrno>
#include <utility>

#include "netfs/read_retry.h"
#include "telemetry/log.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

void tell_that_it_stays(const std::string& path, const Error& why) {
  telemetry::log_warn("vfs", "{} stays at the origin: {}", path, why.message());
}

}  // namespace

void FileSystem::HiddenFiles::remove(FileSystem& of, std::string path) {
  of.on_worker([&of, path = std::move(path)] {
    const Result<void> removed = of.writer_->remove(path, RemoveKind::kFile, of.deadline());
    if (!removed.ok() && !removed.is_error(ENOENT)) tell_that_it_stays(path, removed.error());
  });
}

void FileSystem::HiddenFiles::remove(FileSystem& of, fuse::NodeId id, Whose whose, int attempts) {
  of.on_worker([&of, id, whose, attempts] { remove_now(of, id, whose, attempts); });
}

void FileSystem::HiddenFiles::remove_left(FileSystem& of) {
  std::vector<fuse::NodeId> left;
  {
    sync::MutexLock lock(of.table_.mutex);
    left = of.table_.leaving_before();
  }
  if (of.writer_ == nullptr) return;
  for (const fuse::NodeId id : left) remove(of, id, Whose::kPerhapsOurs, 0);
}

// Nobody but we give such names, and each is drawn at random; where the origin tells files apart
// that is seen as well.
Result<void> FileSystem::HiddenFiles::remove_if_it_is(FileSystem& of, fuse::NodeId id,
                                                      const std::string& path, Deadline until) {
  const NodeInfo there = TRY(of.origin_.stat(path, until));
  {
    sync::MutexLock lock(of.table_.mutex);
    const Node* node = of.table_.find(id);
    const bool is_it = node != nullptr && InodeTable::same_file(*node, there) &&
                       of.table_.entry(*node->parent, node->name) == nullptr;
    if (!is_it) return Error(ENOENT, "vfs.hidden");
  }
  return of.writer_->remove(path, RemoveKind::kFile, until);
}

void FileSystem::HiddenFiles::remove_now(FileSystem& of, fuse::NodeId id, Whose whose,
                                         int attempts) {
  std::string path;
  {
    sync::MutexLock lock(of.table_.mutex);
    const Node* node = of.table_.find(id);
    if (node == nullptr || !node->is_leaving()) return;
    path = InodeTable::path_of(*node);
  }
  const Deadline until = of.deadline();
  const Result<void> removed = whose == Whose::kOurs
                                   ? of.writer_->remove(path, RemoveKind::kFile, until)
                                   : remove_if_it_is(of, id, path, until);
  // A directory above it may just be getting another name.
  const bool may_have_moved = removed.is_error(ENOENT) && of.name_changes_.any();
  if (may_have_moved && attempts < kMovedLooksMax) {
    return of.after_name_changes(
        [&of, id, whose, attempts] { remove_now(of, id, whose, attempts + 1); });
  }
  const bool done = removed.ok() || removed.is_error(ENOENT);
  if (!done) tell_that_it_stays(path, removed.error());
  // Until it can be asked, by a process after this one.
  if (is_unreachable(removed.code()) || removed.is_error(ETIMEDOUT)) return;
  Graveyard graveyard;
  {
    sync::MutexLock lock(of.table_.mutex);
    of.table_.has_left(id, graveyard);
  }
  of.bury(std::move(graveyard));
}

}  // namespace netfs::vfs
