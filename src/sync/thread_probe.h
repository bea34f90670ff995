#pragma once
// ThreadProbe, WorkProbe: what a thread and a work queue tell the validator; empty without
// NETFS_LOCKDEP.
//
// A thread holds a pseudo-lock of its own kind (`thread netfs-fuse`) as long as it runs, and who
// joins it waits for that: joining it with a lock held that it takes is a circle like any other.
// The same for the work of a queue (`work netfs-store`) and who drains it.  What happened before a
// thread was made, and after it was joined, cannot meet what it did: the verdicts know.
//
// Thread-safety: begins() and ends() on the thread itself, the rest by its owner.

#include "sync/lock_class.h"

#ifdef NETFS_LOCKDEP
#include "lockdep/lockdep.h"
#endif

namespace netfs::sync {

#ifdef NETFS_LOCKDEP

class ThreadProbe {
 public:
  explicit ThreadProbe(const char* name);

  void begins(const char* name);
  void ends();
  void joining();
  void joined();

 private:
  lockdep::Map map_;
  const lockdep::Segment created_;
  lockdep::Segment ended_ = 0;
};

class WorkProbe {
 public:
  explicit WorkProbe(const char* queue_name);

  void begins();
  void ends();
  void waiting();

 private:
  lockdep::Map map_;
};

#else

class ThreadProbe {
 public:
  explicit ThreadProbe(const char*) {}
  void begins(const char*) {}
  void ends() {}
  void joining() {}
  void joined() {}
};

class WorkProbe {
 public:
  explicit WorkProbe(const char*) {}
  void begins() {}
  void ends() {}
  void waiting() {}
};

#endif

}  // namespace netfs::sync
