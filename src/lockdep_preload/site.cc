#include "lockdep_preload/site.h"

#include <charconv>
#include <cstring>
#include <new>

#include "lockdep/hash.h"
#include "lockdep/module_of.h"
#include "lockdep_preload/hook.h"
#include "lockdep_preload/memory.h"

namespace netfs::lockdep_preload {

namespace {

constexpr size_t kBuckets = 4096;
constexpr size_t kChunk = 256;
constexpr size_t kChunks = 4096;

// Whose wait types are unchecked: that a mutex is taken under a spin lock is no deadlock here.
// A lock of its own class has no identity: which of a site's locks it is differs from run to run.
constexpr lockdep::ClassKey::Rules kRules{.inner = lockdep::Wait::kUnchecked, .identity = ""};

lockdep::ClassKey::Rules site_rules(Origin origin, const char* identity) {
  lockdep::ClassKey::Rules rules = kRules;
  rules.identity = identity;
  if (origin == Origin::kStatic) rules.locks = lockdep::Locks::kOne;
  return rules;
}

lockdep::SpinLock g_lock;
Site* g_buckets[kBuckets];
std::atomic<Site**> g_chunks[kChunks];
std::atomic<uint32_t> g_count{0};

// "s12", or "s12.3" for a lock of its own class.
void write_name(char* out, size_t bytes, uint32_t index, uint32_t number) {
  char* end = out + bytes - 1;
  *out++ = 's';
  out = std::to_chars(out, end, index).ptr;
  if (number != 0) {
    *out++ = '.';
    out = std::to_chars(out, end, number).ptr;
  }
  *out = '\0';
}

struct OwnKey {
  OwnKey(const Site& site, uint32_t number) : key(name, kRules) {
    write_name(name, sizeof name, site.index, number);
  }
  lockdep::ClassKey key;
  char name[24];
};

Site* add(Kind kind, const SitePlace& place, Site*& bucket) {
  const uint32_t index = g_count.load(std::memory_order_relaxed);
  if (index / kChunk >= kChunks) return nullptr;
  std::atomic<Site**>& chunk = g_chunks[index / kChunk];
  if (chunk.load(std::memory_order_relaxed) == nullptr) {
    auto** made = static_cast<Site**>(arena().allocate(kChunk * sizeof(Site*)));
    if (made == nullptr) return nullptr;
    chunk.store(made, std::memory_order_release);
  }
  void* memory = arena().allocate(sizeof(Site));
  if (memory == nullptr) return nullptr;
  auto* site = new (memory) Site(kind, place, index);
  site->next = bucket;
  bucket = site;
  chunk.load(std::memory_order_relaxed)[index % kChunk] = site;
  g_count.store(index + 1, std::memory_order_release);
  return site;
}

}  // namespace

Site::Site(Kind kind_, const SitePlace& place, uint32_t index_)
    : key(name, site_rules(place.origin, identity)),
      kind(kind_),
      origin(place.origin),
      at(place.at),
      offset_bytes(place.offset_bytes),
      index(index_) {
  write_name(name, sizeof name, index, 0);
  // `build-id+0xoffset kind.origin`, and `.offset` where there is one.
  constexpr size_t kRest = sizeof " 10.3.1023";
  size_t size = lockdep::stable_place(at, identity, sizeof identity - kRest);
  if (size == 0) return;
  identity[size++] = ' ';
  char* end = std::to_chars(identity + size, identity + size + 3, static_cast<unsigned>(kind)).ptr;
  *end++ = '.';
  *end++ = static_cast<char>('0' + static_cast<unsigned>(origin));
  if (offset_bytes != 0) {
    *end++ = '.';
    end = std::to_chars(end, identity + sizeof identity - 1, offset_bytes).ptr;
  }
  *end = '\0';
}

Site* site_of(Kind kind, const SitePlace& place) {
  const Inside inside;
  const uint64_t hash =
      lockdep::mix(place.at, uint64_t{place.offset_bytes} << 16 | static_cast<uint64_t>(kind) << 8 |
                                 static_cast<uint64_t>(place.origin));
  Site*& bucket = g_buckets[hash % kBuckets];
  const lockdep::SpinGuard guard(g_lock);
  for (Site* site = bucket; site != nullptr; site = site->next) {
    if (site->at == place.at && site->offset_bytes == place.offset_bytes && site->kind == kind &&
        site->origin == place.origin) {
      return site;
    }
  }
  return add(kind, place, bucket);
}

Site* site_by_name(const char* name, uint32_t* number) {
  *number = 0;
  const char* end = name + std::strlen(name);
  uint32_t index = 0;
  if (*name != 's') return nullptr;
  const auto [rest, error] = std::from_chars(name + 1, end, index);
  if (error != std::errc()) return nullptr;
  if (*rest == '.') std::from_chars(rest + 1, end, *number);
  return index < site_count() ? &site_at(index) : nullptr;
}

uint32_t site_count() {
  return g_count.load(std::memory_order_acquire);
}

Site& site_at(uint32_t index) {
  return *g_chunks[index / kChunk].load(std::memory_order_acquire)[index % kChunk];
}

void lock_sites() {
  g_lock.lock();
}

void unlock_sites() {
  g_lock.unlock();
}

const lockdep::ClassKey* make_own_key(Site& site) {
  const Inside inside;
  if (site.own.load(std::memory_order_relaxed) >= Site::kOwnMax) return nullptr;
  void* memory = arena().allocate(sizeof(OwnKey));
  if (memory == nullptr) return nullptr;
  site.own.fetch_add(1, std::memory_order_relaxed);
  return &(new (memory) OwnKey(site, site.next_own.fetch_add(1, std::memory_order_relaxed)))->key;
}

void free_own_key(Site& site, const lockdep::ClassKey& key) {
  const Inside inside;
  validator().forget(key);
  site.own.fetch_sub(1, std::memory_order_relaxed);
  arena().release(const_cast<lockdep::ClassKey*>(&key), sizeof(OwnKey));
}

}  // namespace netfs::lockdep_preload
