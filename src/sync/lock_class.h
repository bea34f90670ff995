#pragma once
// LockClass: the name under which all locks of one kind are known, to people and to the validator.
//
// A lock is built with its class; classes are static and live for ever.  A room lists its own in
// <room>/lock_classes.h, and docs/locks.md has a section for each: what it guards and what may be
// taken under it.
//
//   inline constinit sync::LockClass kInodeTableLock{"vfs.inode_table"};

namespace netfs::sync {

class LockClass {
 public:
  explicit constexpr LockClass(const char* name) : name_(name) {}
  LockClass(const LockClass&) = delete;
  LockClass& operator=(const LockClass&) = delete;

  [[nodiscard]] constexpr const char* name() const { return name_; }

 private:
  const char* name_;  // "room.thing", static storage
};

}  // namespace netfs::sync
