#pragma once
// LockClass: the name under which all locks of one kind are known, to people and to the validator.
//
// A lock is built with its class; classes are static and live for ever.  A room lists its own in
// <room>/lock_classes.h, and docs/locks.md has a section for each: what it guards and what may be
// taken under it.  What a class may say of itself beside its name: lockdep/class_key.h.
//
//   inline constinit sync::LockClass kInodeTableLock{"vfs.inode_table"};

#include "lockdep/class_key.h"

namespace netfs::sync {

using LockClass = lockdep::ClassKey;

}  // namespace netfs::sync
