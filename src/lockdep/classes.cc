// Keys to classes, names, and keys that go (register_lock_class, lockdep_unregister_key).
//
// Numbers of classes that went wait in quarantine: known chains may contain them.  When there are
// kQuarantineMax, all chains are forgotten and the numbers may be given again.

#include <cstring>

#include "lockdep/hash.h"
#include "lockdep/inside.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

uint64_t State::seed_hash(const char* identity, unsigned subclass) {
  uint64_t hash = subclass + 1;
  for (; *identity != '\0'; ++identity) hash = mix(hash, static_cast<unsigned char>(*identity));
  return hash;
}

namespace {

constexpr size_t kQuarantineMax = 64;
constexpr uint32_t kWatchBudget = 4096;

uint64_t key_hash(const ClassKey& key, unsigned subclass) {
  return mix(reinterpret_cast<uintptr_t>(&key), subclass);
}

uint64_t text_hash(const char* text) {
  uint64_t hash = 1;
  for (; *text != '\0'; ++text) hash = mix(hash, static_cast<unsigned char>(*text));
  return hash;
}

}  // namespace

uint32_t State::class_of(const ClassKey& key, unsigned subclass, uint64_t* word) {
  *word = key.cached_[subclass].load(std::memory_order_relaxed);
  if (*word >> 32 != validator.epoch_.load(std::memory_order_relaxed)) {
    const SpinGuard guard(lock);
    (void)class_of_locked(key, subclass);
    *word = key.cached_[subclass].load(std::memory_order_relaxed);
  }
  return held::class_id(*word);
}

// The stored copy of a name; all that is ever pointed to lives until reset.
const char* State::intern(const char* name) {
  uint64_t hash = text_hash(name);
  for (;; ++hash) {
    const uint32_t known = learnt.name_by_hash.find(hash);
    if (known == 0) break;
    if (std::strcmp(learnt.names[known], name) == 0) return learnt.names[known];
  }
  const size_t bytes = std::strlen(name) + 1;
  auto* copy = static_cast<char*>(arena.allocate(bytes));
  const uint32_t id = copy == nullptr ? 0 : learnt.names.push(arena);
  if (id == 0 || !learnt.name_by_hash.set(arena, hash, id)) return "?";
  std::memcpy(copy, name, bytes);
  learnt.names[id] = copy;
  return copy;
}

uint32_t State::class_of_locked(const ClassKey& key, unsigned subclass) {
  const uint32_t known = learnt.class_by_key.find(key_hash(key, subclass));
  if (known != 0) {
    publish_class(known);
    return known;
  }
  if (const uint32_t seeded = claim_seeded(key, subclass); seeded != 0) return seeded;
  const uint64_t none =
      uint64_t{validator.epoch_.load(std::memory_order_relaxed)} << 32 | held::kUnvalidated;
  key.cached_[subclass].store(none, std::memory_order_relaxed);
  if (key.rules().validation == Validation::kNone || full()) return 0;

  uint32_t id = 0;
  if (learnt.free_classes.count() != 0) {
    id = learnt.free_classes[learnt.free_classes.count()];
    learnt.free_classes.pop();
  } else {
    id = learnt.classes.push(arena);
  }
  const char* name = intern(key.name());
  uint32_t version = 0;
  for (unsigned other = 0; other < ClassKey::kSubclasses && version == 0; ++other) {
    const uint32_t sibling = learnt.class_by_key.find(key_hash(key, other));
    if (sibling != 0) version = record(sibling).version;
  }
  if (version == 0) {
    const auto counted = reinterpret_cast<uintptr_t>(name);
    version = learnt.versions.find(counted) + 1;
    (void)learnt.versions.set(arena, counted, version);
  }
  if (id == 0 || id > held::kClassMask || !learnt.graph.add_node(arena, id) ||
      !learnt.class_by_key.set(arena, key_hash(key, subclass), id)) {
    return 0;
  }
  const ClassKey::Rules& rules = key.rules();
  const Wait outer = rules.outer == Wait::kUnchecked ? rules.inner : rules.outer;
  record(id) = ClassRecord{.key = &key,
                           .name = name,
                           .version = version,
                           .serial = ++learnt.class_serial,
                           .subclass = static_cast<uint8_t>(subclass),
                           .wait_outer = static_cast<uint8_t>(outer),
                           .wait_inner = static_cast<uint8_t>(rules.inner),
                           .watched = false,
                           .in_signals = false,
                           .watch_left = kWatchBudget,
                           .one_lock = rules.locks == Locks::kOne,
                           .unclaimed = false,
                           .identity = rules.identity == nullptr ? nullptr : intern(rules.identity),
                           .ip_stack = 0,
                           .usage = {}};
  ++learnt.live_classes;
  publish_class(id);
  return id;
}

// The class that a saved graph brought for this key; 0 if there is none.
uint32_t State::claim_seeded(const ClassKey& key, unsigned subclass) {
  if (learnt.seeds.size() == 0 || key.rules().validation == Validation::kNone) return 0;
  const char* identity = key.rules().identity == nullptr ? key.name() : key.rules().identity;
  if (*identity == '\0') return 0;
  const uint32_t id = learnt.seeds.find(seed_hash(identity, subclass));
  if (id == 0 || !record(id).unclaimed || std::strcmp(record(id).identity, identity) != 0) return 0;
  ClassRecord& found = record(id);
  if (!learnt.class_by_key.set(arena, key_hash(key, subclass), id)) return 0;
  learnt.class_by_key.erase(key_hash(*found.key, subclass));
  const ClassKey::Rules& rules = key.rules();
  found.key = &key;
  found.name = intern(key.name());
  found.wait_outer =
      static_cast<uint8_t>(rules.outer == Wait::kUnchecked ? rules.inner : rules.outer);
  found.wait_inner = static_cast<uint8_t>(rules.inner);
  found.one_lock = rules.locks == Locks::kOne;
  found.unclaimed = false;
  publish_class(id);
  return id;
}

// Puts the class into its key's cache, where acquire looks.
void State::publish_class(uint32_t id) {
  const ClassRecord& found = record(id);
  const uint64_t word = uint64_t{validator.epoch_.load(std::memory_order_relaxed)} << 32 |
                        (found.watched ? held::kWatched : 0) | id;
  found.key->cached_[found.subclass].store(word, std::memory_order_relaxed);
}

void State::watch(uint32_t id) {
  if (record(id).key == nullptr || record(id).watched || record(id).watch_left == 0) return;
  record(id).watched = true;
  publish_class(id);
}

void State::unwatch(uint32_t id) {
  if (!record(id).watched) return;
  record(id).watched = false;
  publish_class(id);
}

uint64_t State::number_of(const Instance& instance) {
  uint64_t number = instance.number_.load(std::memory_order_relaxed);
  if (number == 0) {
    number = next_number++;
    instance.number_.store(number, std::memory_order_relaxed);
  }
  return number;
}

void State::forget_class(uint32_t id) {
  for (const bool out : {true, false}) {
    for (;;) {
      const uint32_t edge = out ? learnt.graph.first_out(id) : learnt.graph.first_in(id);
      if (edge == 0) break;
      drop_circles_with(edge);
      remove_witnesses(arena, learnt.graph.edge(edge));
      learnt.graph.remove(edge);
    }
  }
  ClassRecord& gone = record(id);
  gone.key->cached_[gone.subclass].store(0, std::memory_order_relaxed);
  learnt.class_by_key.erase(key_hash(*gone.key, gone.subclass));
  for (size_t i = 1; i < learnt.signal_classes.end(); ++i) {
    if (learnt.signal_classes[i] != id) continue;
    learnt.signal_classes[i] = learnt.signal_classes[learnt.signal_classes.count()];
    learnt.signal_classes.pop();
    break;
  }
  gone.key = nullptr;
  gone.usage = {};
  gone.in_signals = false;
  --learnt.live_classes;
  const uint32_t slot = learnt.quarantine.push(arena);
  if (slot != 0) learnt.quarantine[slot] = id;
}

void Validator::forget(const ClassKey& key) {
  const Inside inside;
  State& state = this->state();
  const SpinGuard guard(state.lock);
  for (unsigned subclass = 0; subclass < ClassKey::kSubclasses; ++subclass) {
    const uint32_t id = state.learnt.class_by_key.find(key_hash(key, subclass));
    if (id != 0) state.forget_class(id);
    key.cached_[subclass].store(0, std::memory_order_relaxed);
  }
  auto& quarantine = state.learnt.quarantine;
  if (quarantine.count() < kQuarantineMax) return;
  chains_.clear();
  state.learnt.chains.clear();
  for (; quarantine.count() != 0; quarantine.pop()) {
    const uint32_t slot = state.learnt.free_classes.push(state.arena);
    if (slot != 0) state.learnt.free_classes[slot] = quarantine[quarantine.count()];
  }
}

}  // namespace netfs::lockdep
