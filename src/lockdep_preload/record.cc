#include "lockdep_preload/record.h"

#include <new>

#include "lockdep/hash.h"
#include "lockdep/spin_lock.h"
#include "lockdep_preload/hook.h"
#include "lockdep_preload/memory.h"

namespace netfs::lockdep_preload {

namespace {

constexpr unsigned kPageShift = 12;
constexpr size_t kShards = 64;
constexpr size_t kFirstBuckets = 64;
constexpr unsigned kStepsMax = 64;    // of a reader; a chain that changes meanwhile may be longer
constexpr size_t kQuarantine = 4096;  // records that went, before one is used again
constexpr size_t kFilterBits = 1 << 17;  // pages that have, or had, a lock

struct Page {
  uintptr_t number = 0;
  std::atomic<Page*> next{nullptr};
  Record* first = nullptr;
};

struct Buckets {
  size_t count;
  std::atomic<Record*>* heads;
};

// All locks of one page are in one shard.
struct Shard {
  lockdep::SpinLock lock;
  std::atomic<Buckets*> buckets{nullptr};
  size_t records = 0;
  std::atomic<Page*> pages[kFirstBuckets] = {};
};

Shard g_shards[kShards];
std::atomic<uint64_t> g_filter[kFilterBits / 64];

lockdep::SpinLock g_gone_lock;
Record* g_gone_first = nullptr;
Record* g_gone_last = nullptr;
size_t g_gone = 0;

uint64_t page_hash(uintptr_t address) {
  return lockdep::mix(0x243f6a8885a308d3, address >> kPageShift);
}
Shard& shard_of(uint64_t hash) {
  return g_shards[hash % kShards];
}
std::atomic<Page*>& page_head(Shard& shard, uint64_t hash) {
  return shard.pages[hash / kShards % kFirstBuckets];
}
size_t bucket_of(uintptr_t address, size_t count) {
  return (address * 0x9e3779b97f4a7c15 >> 20) & (count - 1);
}

bool filter_has(uint64_t hash) {
  const size_t bit = (hash >> 24) % kFilterBits;
  return (g_filter[bit / 64].load(std::memory_order_relaxed) >> bit % 64 & 1) != 0;
}
void filter_add(uint64_t hash) {
  const size_t bit = (hash >> 24) % kFilterBits;
  g_filter[bit / 64].fetch_or(uint64_t{1} << bit % 64, std::memory_order_relaxed);
}

Record* look(Shard& shard, uintptr_t address) {
  const Buckets* buckets = shard.buckets.load(std::memory_order_acquire);
  if (buckets == nullptr) return nullptr;
  Record* record =
      buckets->heads[bucket_of(address, buckets->count)].load(std::memory_order_acquire);
  for (unsigned steps = 0; record != nullptr && steps < kStepsMax; ++steps) {
    if (record->address.load(std::memory_order_relaxed) == address) return record;
    record = record->next.load(std::memory_order_acquire);
  }
  return nullptr;
}

// Readers that are on their way in the old buckets may miss what is there: they look again under
// the lock.  The old ones stay mapped.
bool grow(Shard& shard) {
  Buckets* old = shard.buckets.load(std::memory_order_relaxed);
  if (old != nullptr && shard.records < old->count) return true;
  const size_t count = old == nullptr ? kFirstBuckets : old->count * 4;
  auto* made = static_cast<Buckets*>(arena().allocate(sizeof(Buckets)));
  if (made == nullptr) return old != nullptr;
  made->count = count;
  made->heads = static_cast<std::atomic<Record*>*>(arena().allocate(count * sizeof(Record*)));
  if (made->heads == nullptr) return old != nullptr;
  for (size_t i = 0; old != nullptr && i < old->count; ++i) {
    Record* record = old->heads[i].load(std::memory_order_relaxed);
    while (record != nullptr) {
      Record* next = record->next.load(std::memory_order_relaxed);
      std::atomic<Record*>& head =
          made->heads[bucket_of(record->address.load(std::memory_order_relaxed), count)];
      record->next.store(head.load(std::memory_order_relaxed), std::memory_order_release);
      head.store(record, std::memory_order_relaxed);
      record = next;
    }
  }
  shard.buckets.store(made, std::memory_order_release);
  return true;
}

Page* page_at(Shard& shard, uint64_t hash, uintptr_t number) {
  Page* page = page_head(shard, hash).load(std::memory_order_acquire);
  while (page != nullptr && page->number != number)
    page = page->next.load(std::memory_order_acquire);
  return page;
}

Page* add_page(Shard& shard, uint64_t hash, uintptr_t number) {
  if (Page* page = page_at(shard, hash, number)) return page;
  void* memory = arena().allocate(sizeof(Page));
  if (memory == nullptr) return nullptr;
  auto* page = new (memory) Page();
  page->number = number;
  std::atomic<Page*>& head = page_head(shard, hash);
  page->next.store(head.load(std::memory_order_relaxed), std::memory_order_relaxed);
  head.store(page, std::memory_order_release);
  filter_add(hash);
  return page;
}

void* memory_for_record() {
  {
    const lockdep::SpinGuard guard(g_gone_lock);
    if (g_gone > kQuarantine) {
      Record* record = g_gone_first;
      g_gone_first = record->page_next;
      --g_gone;
      return record;
    }
  }
  return arena().allocate(sizeof(Record));
}

// Out of the tables; under the shard's lock.
void unlink(Shard& shard, uint64_t hash, Record& record) {
  const uintptr_t address = record.address.load(std::memory_order_relaxed);
  Buckets* buckets = shard.buckets.load(std::memory_order_relaxed);
  std::atomic<Record*>* link = &buckets->heads[bucket_of(address, buckets->count)];
  while (link->load(std::memory_order_relaxed) != &record) {
    link = &link->load(std::memory_order_relaxed)->next;
  }
  link->store(record.next.load(std::memory_order_relaxed), std::memory_order_release);
  Record** page_link = &page_at(shard, hash, address >> kPageShift)->first;
  while (*page_link != &record) page_link = &(*page_link)->page_next;
  *page_link = record.page_next;
  record.address.store(0, std::memory_order_relaxed);
  --shard.records;
}

void into_quarantine(Record& record) {
  const lockdep::SpinGuard guard(g_gone_lock);
  record.page_next = nullptr;
  (g_gone == 0 ? g_gone_first : g_gone_last->page_next) = &record;
  g_gone_last = &record;
  ++g_gone;
}

void end(Record& record) {
  if (record.has_own_class()) free_own_key(*record.site, record.instance.key());
  // A barrier is held for long, and by whoever may never learn that it is gone.
  if (record.site->kind == Kind::kBarrier) return;
  into_quarantine(record);
}

}  // namespace

__thread Record* t_cached_records[kCachedRecords];

Record* find_record_slowly(uintptr_t address) {
  Record* record = look(shard_of(page_hash(address)), address);
  if (record != nullptr) cached_record(address) = record;
  return record;
}

Record* add_record(uintptr_t address, Site& site) {
  const Inside inside;
  const uint64_t hash = page_hash(address);
  Shard& shard = shard_of(hash);
  const lockdep::SpinGuard guard(shard.lock);
  if (!grow(shard)) return nullptr;
  if (Record* there = look(shard, address)) return there;
  Page* page = add_page(shard, hash, address >> kPageShift);
  void* memory = page == nullptr ? nullptr : memory_for_record();
  if (memory == nullptr) return nullptr;
  auto* record = new (memory) Record(site, address);
  record->page_next = page->first;
  page->first = record;
  const Buckets* buckets = shard.buckets.load(std::memory_order_relaxed);
  std::atomic<Record*>& head = buckets->heads[bucket_of(address, buckets->count)];
  record->next.store(head.load(std::memory_order_relaxed), std::memory_order_relaxed);
  head.store(record, std::memory_order_release);
  ++shard.records;
  return record;
}

void retire_record(Record& record) {
  const uintptr_t address = record.address.load(std::memory_order_relaxed);
  if (address == 0) return;
  const uint64_t hash = page_hash(address);
  Shard& shard = shard_of(hash);
  {
    const Inside inside;
    const lockdep::SpinGuard guard(shard.lock);
    if (record.address.load(std::memory_order_relaxed) != address) return;
    unlink(shard, hash, record);
  }
  end(record);
}

void for_each_record(uintptr_t from, uintptr_t to, Visit visit, void* user) {
  if (to <= from) return;
  for (uintptr_t page = from >> kPageShift; page <= (to - 1) >> kPageShift; ++page) {
    const uint64_t hash = page_hash(page << kPageShift);
    if (!filter_has(hash)) continue;
    Shard& shard = shard_of(hash);
    Record* gone = nullptr;
    {
      const Inside inside;
      const lockdep::SpinGuard guard(shard.lock);
      const Page* found = page_at(shard, hash, page);
      Record* next = nullptr;
      for (Record* record = found == nullptr ? nullptr : found->first; record != nullptr;
           record = next) {
        next = record->page_next;
        const uintptr_t address = record->address.load(std::memory_order_relaxed);
        if (address < from || address >= to || !visit(user, *record)) continue;
        unlink(shard, hash, *record);
        record->page_next = gone;
        gone = record;
      }
    }
    while (gone != nullptr) {
      Record* next = gone->page_next;
      end(*gone);
      gone = next;
    }
  }
}

void lock_records() {
  for (Shard& shard : g_shards) shard.lock.lock();
  g_gone_lock.lock();
}

void unlock_records() {
  g_gone_lock.unlock();
  for (Shard& shard : g_shards) shard.lock.unlock();
}

}  // namespace netfs::lockdep_preload
