#pragma once
// Probe: what a lock of ours tells the validator (src/lockdep).
//
// With NETFS_LOCKDEP each lock carries one, and every lock, wait and unlock is an event: a circular
// order, a recursion or a bad unlock is reported when it is first done, before it hangs.  Without,
// a probe is empty and the lock is the bare primitive.  All else in this room is the same in both.
//
// The functions are not inlined, so that the caller's address is where the lock was taken.
//
//   void lock() { probe_.lock(mutex_); }

#include "sync/lock_class.h"

#ifdef NETFS_LOCKDEP
#include "lockdep/lockdep.h"
#endif

namespace netfs::sync {

#ifdef NETFS_LOCKDEP

inline constexpr bool kValidated = true;

class Probe {
 public:
  explicit Probe(const LockClass& lock_class) : instance_(lock_class) {}
  ~Probe() { lockdep::destroy(instance_, LOCKDEP_CALLER); }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  template <class Primitive>
  [[gnu::noinline]] void lock(Primitive& primitive) {
    lockdep::acquire(instance_, {}, LOCKDEP_CALLER);
    if (primitive.try_lock()) return;
    lockdep::contended(instance_);
    primitive.lock();
    lockdep::acquired(instance_);
  }
  template <class Primitive>
  [[gnu::noinline]] bool try_lock(Primitive& primitive) {
    if (!primitive.try_lock()) return false;
    lockdep::acquire(instance_, {.attempt = lockdep::Attempt::kTry}, LOCKDEP_CALLER);
    return true;
  }
  // Not recursive, so a reader is one that a waiting writer may block.
  template <class Primitive>
  [[gnu::noinline]] void lock_shared(Primitive& primitive) {
    lockdep::acquire(instance_, {.mode = lockdep::Mode::kRead}, LOCKDEP_CALLER);
    if (primitive.try_lock_shared()) return;
    lockdep::contended(instance_);
    primitive.lock_shared();
    lockdep::acquired(instance_);
  }
  [[gnu::noinline]] void unlocking() { lockdep::release(instance_, LOCKDEP_CALLER); }
  // A condition variable gives the lock up, and has taken it again.
  [[gnu::noinline]] void wait_begins() { lockdep::wait_begins(instance_, LOCKDEP_CALLER); }
  [[gnu::noinline]] void wait_ends() { lockdep::wait_ends(instance_, LOCKDEP_CALLER); }

 private:
  lockdep::Instance instance_;
};

#else

inline constexpr bool kValidated = false;

class Probe {
 public:
  explicit Probe(const LockClass&) {}

  template <class Primitive>
  void lock(Primitive& primitive) {
    primitive.lock();
  }
  template <class Primitive>
  bool try_lock(Primitive& primitive) {
    return primitive.try_lock();
  }
  template <class Primitive>
  void lock_shared(Primitive& primitive) {
    primitive.lock_shared();
  }
  void unlocking() {}
  void wait_begins() {}
  void wait_ends() {}
};

#endif

}  // namespace netfs::sync
