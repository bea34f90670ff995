// The scrubber: sealed objects are read back a little at a time, for ever, so that what a disk
// loses is found before somebody reads it.  The kernel reads a sealed file by itself and checks
// nothing; who else would notice?
//
// In the order of last use, once a day at most.  The first round begins at a place chosen by
// chance, so that mounts which never live long come to all of them too; what is used meanwhile
// moves ahead, so none is left out.  Nothing is held meanwhile but a reference to the one object,
// and pages are not kept in memory.

#include <algorithm>
#include <random>

#include "cachefiles/limits.h"
#include "cachefiles/store.h"

namespace netfs::cachefiles {

namespace {

const std::string kRecencySpace(1, static_cast<char>(KeySpace::kRecency));

}  // namespace

// Somewhere between the oldest use and now.
std::string Store::scrub_start() {
  int64_t oldest = 0;
  const Result<void> scanned =
      index_->scan(kRecencySpace, kRecencySpace, [&](std::string_view key, std::string_view) {
        const std::optional<RecencyKeyParts> parts = parse_recency_key(key);
        if (parts) oldest = parts->last_use_seconds;
        return !parts;
      });
  if (!scanned.ok()) return kRecencySpace;
  std::random_device entropy;
  const int64_t now = std::max(clock_.wall().seconds, oldest);
  return recency_key(std::uniform_int_distribution<int64_t>(oldest, now)(entropy), ObjectId(0));
}

// The next sealed object at or after `place`, which becomes its own; at most `steps` records are
// looked at.  Without one `place` is where to go on, or empty at the end of the round.
Ref<Object> Store::next_to_scrub(std::string& place, size_t& steps) {
  for (; steps > 0; --steps) {
    std::string object_key;
    bool found = false;
    const Result<void> scanned =
        index_->scan(kRecencySpace, place, [&](std::string_view key, std::string_view value) {
          place = key;
          object_key = decode_recency(key, value).value_or("");
          found = true;
          return false;
        });
    if (!scanned.ok()) index_failed(scanned.error());
    if (!scanned.ok() || !found) {
      place.clear();
      return nullptr;
    }
    if (Ref<Object> object = sealed_object(object_key)) return object;
    place += '\0';
  }
  return nullptr;
}

// Null if it is anything else by now.
Ref<Object> Store::sealed_object(const std::string& object_key) {
  const std::optional<ObjectKeyParts> parts = parse_object_key(object_key);
  const Result<std::optional<std::string>> value = index_->get(object_key);
  if (!parts || !value.ok() || !value.value() || table_.dying(parts->object)) return nullptr;
  const std::optional<ObjectRecord> record = decode_object(object_key, *value.value());
  if (!record || record->state != StoredState::kSealed) return nullptr;
  Result<Ref<Object>> object = lookup(parts->volume, {.identity = parts->identity,
                                                      .path = record->path,
                                                      .validator = record->validator,
                                                      .size_bytes = record->size_bytes});
  if (!object.ok() || object.value()->id() != parts->object) return nullptr;
  return std::move(object).value();
}

void Store::scrub(uint64_t bytes_max) {
  Scrub scrub;
  {
    sync::MutexLock lock(mutex_);
    scrub = scrub_;
  }
  const MonoTime now = clock_.now();
  if (now < scrub.pause_until || index_damaged_.load()) return;
  if (scrub.place.empty()) scrub.place = scrub_start();
  size_t steps = kScrubSteps;
  for (uint64_t done = 0; done < bytes_max;) {
    const std::string before = scrub.place;
    const Ref<Object> object = next_to_scrub(scrub.place, steps);
    if (scrub.place != before) scrub.offset_bytes = 0;  // what was begun has gone, or moved ahead
    if (!object && !scrub.place.empty()) break;
    if (!object) {
      scrub = {.place = kRecencySpace,
               .pause_until = scrub.whole_round ? scrub.round_began + kScrubRound : now,
               .round_began = now,
               .whole_round = true};
      break;
    }
    const uint64_t size = object->key().size_bytes;
    const uint64_t length = std::min(size - std::min(scrub.offset_bytes, size), bytes_max - done);
    const bool sound = object->verify({scrub.offset_bytes, length}, Waiting::kDiskOnce);
    counters_.scrubbed_bytes.add(length);
    done += std::max(length, kPageBytes);  // empty files cost something too
    scrub.offset_bytes += length;
    if (!sound || scrub.offset_bytes >= size) {
      scrub.place += '\0';
      scrub.offset_bytes = 0;
    }
  }
  sync::MutexLock lock(mutex_);
  scrub_ = std::move(scrub);
}

}  // namespace netfs::cachefiles
