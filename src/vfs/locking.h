#pragma once
// Locking: what a file system does for locks at the origin: asks for them, and keeps to them what
// is read and written here, as NFS does.  Who has got a lock sees the file as it is at the origin
// then; what was written is there before a lock is given back.  Who has lost one, with the process
// before this one, reads and writes no more through the handle by which he had it, until he has
// given it back.
//
// One a file system that writes, to an origin that has locks.  Thread-safe.

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "vfs/file_system.h"
#include "vfs/lock_table.h"

namespace netfs::vfs {

class FileSystem::Locking {
 public:
  Locking(FileSystem& of, OriginLocks& origin, DescriptorKeeper* keeper);
  // Holds on what a process before this one held; before anything is answered.  May wait for the
  // origin.
  void take_over(std::map<uint64_t, UniqueFd> kept);
  // Whether the kernel asks for locks; else it keeps them itself, for this machine.
  void started(const fuse::Negotiated& negotiated) {
    on_ = negotiated.has(fuse::proto::kPosixLocks | fuse::proto::kFlockLocks);
  }
  [[nodiscard]] bool on() const { return on_; }

  // GETLK, SETLK, SETLKW.
  void ask(const fuse::Request& request, fuse::Reply reply);
  void interrupt(uint64_t unique) { table_.interrupt(unique); }

  // Whether it is a use of what was lost: EIO.
  [[nodiscard]] bool refuses(const fuse::Request& request);
  [[nodiscard]] bool has_lost(fuse::NodeId node, fuse::HandleId handle) {
    return table_.has_lost(node, handle);
  }
  // Of a file, under which what the process before this one had kept may have been written; until
  // that is settled.
  [[nodiscard]] bool has_lost_now(fuse::NodeId node) {
    return table_.has_lost() && table_.has_lost_now(name_of(node));
  }
  void kept_is_settled() { table_.forget_lost_now(); }

  // An owner of ranges closes the file, by whichever of his descriptors: all he has of it goes.
  [[nodiscard]] bool has(fuse::NodeId node, uint64_t owner) {
    return table_.has_files() && table_.has(name_of(node), LockKind::kRange, owner);
  }
  void give_back(fuse::NodeId node, uint64_t owner, UniqueFunction<void(const Result<void>&)> then);
  void note_close(fuse::NodeId node, fuse::HandleId handle) { table_.note_close(node, handle); }
  // A handle is closed for good: what was locked through it goes.  That is what flock(2) locked,
  // and ranges of an open file description, of which no FLUSH tells.
  [[nodiscard]] bool has(fuse::NodeId node, fuse::HandleId handle) {
    return table_.has(node, handle);
  }
  void give_back(fuse::NodeId node, fuse::HandleId handle, UniqueFunction<void()> then) {
    table_.give_back(name_of(node), handle, std::move(then));
  }

  [[nodiscard]] LockTable::Sizes sizes() const { return table_.sizes(); }
  void stop() { table_.stop(); }

 private:
  LockTable::FileName name_of(fuse::NodeId node);
  std::optional<std::string> identity_of(const SavedLocks::Owner& owner);
  bool has_handle(const SavedLocks::Owner& owner);
  Result<LockTable::Wanted> wanted_of(const fuse::Request& request);
  void find(LockTable::Wanted wanted, fuse::Reply reply);
  void unlock(LockTable::Wanted wanted, fuse::Reply reply);
  void lock(LockTable::Wanted wanted, fuse::Reply reply);
  Result<std::unique_ptr<OriginLock>> open(const LockTable::Wanted& wanted);
  void answer_locked(const LockTable::Wanted& got, const Ref<Pending>& pending);
  void refuse_stale(LockTable::Wanted got, const Ref<Pending>& pending);
  [[nodiscard]] bool reads_it(fuse::NodeId id);
  bool look_since(fuse::NodeId id, const Name& name, uint64_t serial);
  bool look_under_lock(fuse::NodeId id);

  FileSystem& of_;
  OriginLocks& origin_;
  SavedLocks saved_;
  std::atomic<bool> on_{false};
  LockTable table_;
};

}  // namespace netfs::vfs
