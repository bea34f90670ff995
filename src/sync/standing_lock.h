#pragma once
// StandingLock: the one pseudo-lock of a class that has no lock behind it, and a context that holds
// it for ever.  Only with NETFS_LOCKDEP.
//
// Whoever waits for an answer holds `fuse.fault`; there are as many such as there are requests, but
// one context stands for them all: what matters is what is taken while somebody waits.
//
// Thread-safe; what is returned lives for ever.  Looking one up takes no lock.
//
//   lockdep::Adopt adopt(lockdep::this_context(), standing_lock(kFuseFault).holder);

#include "lockdep/lockdep.h"
#include "sync/lock_class.h"

namespace netfs::sync {

struct StandingLock {
  explicit StandingLock(const LockClass& lock_class);

  const LockClass& of;
  lockdep::Map map;
  lockdep::Context holder;  // holds `map` as a reader
  StandingLock* next = nullptr;
};

StandingLock& standing_lock(const LockClass& lock_class);

// Around fork: nobody is in the middle of making one.
void stop_making_standing_locks();
void go_on_making_standing_locks();

// The class of all threads (or queues) whose names are alike up to the digits at their end.
const LockClass& class_of_name(const char* what, const char* name);

}  // namespace netfs::sync
