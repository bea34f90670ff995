#pragma once
// Record: what we keep of one lock; found by the lock's address.
//
// Finding one takes no lock: a few reads of a table whose writers take the lock of one of 64
// shards.  A new lock gets its record at its init call or its first event; `retire` ends the lock's
// identity (destroyed, freed, made anew), and whatever is at the address later is another lock.
// Records that went wait in a queue before they are used again, since a thread may still hold one.
//
// Thread-safe; the memory is mapped and never unmapped.

#include <atomic>
#include <cstdint>

#include "lockdep/instance.h"
#include "lockdep_preload/site.h"

namespace netfs::lockdep_preload {

struct Record {
  Record(Site& site_, uintptr_t address_)
      : instance(site_.key), address(address_), shown(address_), site(&site_) {}

  lockdep::Instance instance;          // first: reports know the Instance's address only
  std::atomic<uintptr_t> address;      // 0: the lock is no more
  std::atomic<uintptr_t> shown;        // the same, for reports that come later
  std::atomic<Record*> next{nullptr};  // in the bucket
  Record* page_next = nullptr;         // of the same page
  Site* site;
  uintptr_t frame = 0;                  // of the function whose stack frame it lies in; 0: in none
  std::atomic<bool> not_a_lock{false};  // a semaphore that somebody else posted
  std::atomic<int> taken_from{0};       // the thread that another one unlocked it for; 0: none

  [[nodiscard]] bool has_own_class() const { return &instance.key() != &site->key; }
};

// The locks that the thread used last.
constexpr size_t kCachedRecords = 256;
extern __thread Record* t_cached_records[kCachedRecords] __attribute__((tls_model("initial-exec")));
inline Record*& cached_record(uintptr_t address) {
  return t_cached_records[(address >> 3 ^ address >> 8) % kCachedRecords];
}

// Null: nothing is known of a lock there.
Record* find_record_slowly(uintptr_t address);
inline Record* find_record(uintptr_t address) {
  Record* record = cached_record(address);
  if (record != nullptr && record->address.load(std::memory_order_relaxed) == address)
    return record;
  return find_record_slowly(address);
}
// The one that is there, or a new one of `site`; null: no memory.
Record* add_record(uintptr_t address, Site& site);
void retire_record(Record& record);

// Visits the records of [from, to) and retires those for which `visit` says so.
using Visit = bool (*)(void* user, Record& record);
void for_each_record(uintptr_t from, uintptr_t to, Visit visit, void* user);

// The record whose Instance a report names.
inline Record* record_of(const lockdep::Instance* instance) {
  return reinterpret_cast<Record*>(const_cast<lockdep::Instance*>(instance));
}

// Around fork: nobody changes the table meanwhile.
void lock_records();
void unlock_records();

}  // namespace netfs::lockdep_preload
