#pragma once
// Site: what tells classes of locks apart in a program that never said so.
//
// Locks of one site are one class: those whose init call returned to one address, one static
// object, those at one place of what one instruction allocated, those that one was the first to
// lock.  Where two locks of a site are taken
// under each other (an array of forks, a hash table's buckets), each lock of it gets a class of its
// own from then on, `split`: only so can their orders be told apart.
//
// Sites are never removed; a class of its own goes with its lock.  Thread-safe.

#include <atomic>
#include <cstdint>

#include "lockdep/class_key.h"

namespace netfs::lockdep_preload {

struct LockTimes;

enum class Kind : uint8_t {
  kMutex,
  kRwlock,
  kSpin,
  kOnce,
  kGuard,
  kSemaphore,
  kBarrier,
  kC11Mutex,
  kThread,
  kLoader,
};

// How a site was found.
enum class Origin : uint8_t {
  kStatic,     // `at` is the lock itself
  kInit,       // `at` is where the init call returned to
  kFirst,      // `at` is where the first lock call returned to: of all other locks with no init
  kStack,      // `at` is the function whose local variable it is
  kStart,      // `at` is a thread's function
  kAllocated,  // `at` is where operator new returned to, with the offset in the block
};

struct SitePlace {
  Origin origin;
  uintptr_t at;
  uint32_t offset_bytes = 0;
};

struct Site {
  static constexpr unsigned kOwnMax = 4096;  // classes of their own

  Site(Kind kind_, const SitePlace& place, uint32_t index_);
  lockdep::ClassKey key;
  Kind kind;
  Origin origin;
  uintptr_t at;
  uint32_t offset_bytes;
  uint32_t index;
  std::atomic<bool> split{false};
  std::atomic<uint32_t> own{0};  // classes of their own that live
  std::atomic<uint32_t> next_own{1};
  std::atomic<LockTimes*> times{nullptr};  // of its locks, once there are any (timing.h)
  Site* next = nullptr;
  char name[24];
  char identity[80];  // what other runs know the site by; empty: they do not
};

// The site, made when it is new; null: no memory.
Site* site_of(Kind kind, const SitePlace& place);
// By the name of one of its classes; null: it is none of ours.  `number` tells which of its locks,
// 0 for all.
Site* site_by_name(const char* name, uint32_t* number);
// All of them, by index.
uint32_t site_count();
Site& site_at(uint32_t index);

// Around fork: nobody makes one meanwhile.
void lock_sites();
void unlock_sites();

// A class of its own for a lock of the site; null: there are enough.
const lockdep::ClassKey* make_own_key(Site& site);
void free_own_key(Site& site, const lockdep::ClassKey& key);

}  // namespace netfs::lockdep_preload
