#include "cachefiles/store.h"

#include <algorithm>

#include "cachefiles/limits.h"
#include "cachefiles/store_turn.h"
#include "telemetry/log.h"

namespace netfs::cachefiles {

namespace {

// A look-up that raced with a removal reads again; more often than this it starts afresh.
constexpr int kLookupTries = 4;
constexpr size_t kSupersededMax = 4096;

}  // namespace

Store::Store(const CacheFiles::Options& options, Disk& disk)
    : disk_(disk),
      clock_(options.clock),
      directory_(options.directory),
      form_(options.form),
      space_(options.size_limit_bytes),
      files_(disk, space_, options.descriptor_budget) {}

Store::~Store() {
  const Result<void> closed = close();
  if (!closed.ok()) {
    telemetry::log_warn("cachefiles",
                        "cache {}: not closed cleanly, it recovers at its next use: {}", directory_,
                        closed.error().message());
  }
}

CacheUsage Store::usage() const {
  CacheUsage usage;
  usage.limit_bytes = space_.limit_bytes();
  usage.used_bytes = space_.used_bytes() + index_->used_bytes();
  usage.object_count = object_count_.load();
  usage.sealed_count = sealed_count_.load();
  usage.stored_blocks = counters_.stored_blocks.get();
  usage.culled_objects = counters_.culled_objects.get();
  usage.damaged_blocks = counters_.damaged_blocks.get();
  usage.scrubbed_bytes = counters_.scrubbed_bytes.get();
  usage.disabled_objects = counters_.disabled_objects.get();
  usage.no_space = counters_.no_space.get();
  return usage;
}

Result<Ref<Object>> Store::lookup(VolumeId volume, CookieKey key) {
  if (key.size_bytes > kFileBytesMax || key.identity.size() > kIdentityBytesMax ||
      key.path.size() > kPathBytesMax || key.validator.bytes.size() > kValidatorBytesMax) {
    return Error(EFBIG, "cachefiles.lookup");
  }
  if (Ref<Object> there = table_.find(Object::make_table_key(volume, key))) return there;
  for (int attempt = 1;; ++attempt) {
    const uint64_t generation = table_.generation();
    Result<std::vector<Found>> found = find_versions(volume, key);
    // An index that cannot be read holds nothing; the writer's side sees to it.
    if (!found.ok()) index_failed(found.error());
    const Found* match = nullptr;
    if (found.ok() && attempt <= kLookupTries) {
      for (const Found& one : found.value()) {
        const bool same = one.record.validator == key.validator &&
                          one.record.size_bytes == key.size_bytes && !table_.dying(one.object);
        if (same && (!match || one.object > match->object)) match = &one;
      }
    }
    const Ref<Object> made = TRY(load(volume, key, match));
    const Ref<Object> entered = table_.enter(made, match ? generation : table_.generation());
    if (!entered) continue;
    if (entered == made) {
      made->loaded();
      if (found.ok()) supersede(volume, key, found.value());
    }
    return entered;
  }
}

Result<std::optional<CookieKey>> Store::newest(VolumeId volume, const std::string& identity) {
  if (identity.size() > kIdentityBytesMax) return std::optional<CookieKey>();
  Result<std::vector<Found>> found = find_versions(volume, {.identity = identity});
  if (!found.ok()) {
    index_failed(found.error());
    return std::optional<CookieKey>();
  }
  const Found* last = nullptr;
  for (const Found& one : found.value()) {
    if (!table_.dying(one.object) && (!last || one.object > last->object)) last = &one;
  }
  if (!last) return std::optional<CookieKey>();
  const ObjectRecord& record = last->record;
  return std::optional<CookieKey>({.identity = identity,
                                   .path = record.path.empty() ? identity : record.path,
                                   .validator = record.validator,
                                   .size_bytes = record.size_bytes});
}

// Culling frees the whole share; what nobody asks for leaves half of it to what is.
bool Store::has_room() const {
  const uint64_t limit = space_.limit_bytes();
  return space_.used_bytes() + index_->used_bytes() < limit - limit / (2 * kCullShare);
}

Result<std::vector<Store::Found>> Store::find_versions(VolumeId volume, const CookieKey& key) {
  std::vector<Found> found;
  std::vector<std::string> damaged;
  const std::string prefix = object_prefix(volume, key.identity);
  TRY(index_->scan(prefix, prefix, [&](std::string_view record_key, std::string_view value) {
    const std::optional<ObjectKeyParts> parts = parse_object_key(record_key);
    std::optional<ObjectRecord> record = decode_object(record_key, value);
    if (parts && record) {
      found.push_back({parts->object, std::move(*record)});
    } else {
      damaged.emplace_back(record_key);
    }
    return true;
  }));
  if (damaged.empty()) return found;
  // Whatever it was, the writer's side removes it.
  counters_.damaged_records.add(damaged.size());
  sync::MutexLock lock(mutex_);
  if (superseded_.size() < kSupersededMax) {
    superseded_.insert(superseded_.end(), damaged.begin(), damaged.end());
  }
  return found;
}

Result<Ref<Object>> Store::load(VolumeId volume, const CookieKey& key, const Found* found) {
  if (!found) return make_ref<Object>(*this, volume, ObjectId(next_object_.fetch_add(1)), key);
  Ref<Object> object = make_ref<Object>(*this, volume, found->object, key);
  object->load(found->record, found->record.verified_epoch >= unclean_epoch_);
  if (found->record.state != StoredState::kPartial) return object;
  const std::string prefix = presence_prefix(found->object);
  const Result<void> scanned =
      index_->scan(prefix, prefix, [&](std::string_view record_key, std::string_view value) {
        const std::optional<uint32_t> segment = parse_part_number(record_key);
        const std::optional<PresenceWords> words = decode_presence(record_key, value);
        if (segment && words) {
          object->load_segment(*segment, *words);
        } else {
          counters_.damaged_records.add();  // its blocks are absent
        }
        return true;
      });
  if (!scanned.ok()) index_failed(scanned.error());
  return object;
}

// Notes versions older than the one asked for; the writer's side removes them once nobody holds
// them.
void Store::supersede(VolumeId volume, const CookieKey& key, const std::vector<Found>& found) {
  sync::MutexLock lock(mutex_);
  for (const Found& one : found) {
    const bool same =
        one.record.validator == key.validator && one.record.size_bytes == key.size_bytes;
    if (same || superseded_.size() >= kSupersededMax) continue;
    superseded_.push_back(object_key(volume, key.identity, one.object));
  }
}

void Store::queue(Ref<Object> object) {
  sync::MutexLock lock(mutex_);
  queued_.push_back(std::move(object));
}

void Store::doom(Object& object) {
  std::optional<Doomed> doomed = object.kill();
  if (!doomed) return;
  table_.leave(object);
  sync::MutexLock lock(mutex_);
  doomed_.push_back(std::move(*doomed));
}

void Store::index_failed(const Error& error) {
  if (error.code() != EUCLEAN) return;
  if (index_damaged_.exchange(true)) return;
  telemetry::log_error("cachefiles", "cache {}: the index is damaged; it will be set aside",
                       directory_);
}

void Store::log_damage(const std::string& path, uint64_t block) {
  telemetry::log_warn("cachefiles", "cache {}: block {} of {} is damaged; it is fetched again",
                      directory_, block, path);
}

void Store::log_disabled(const std::string& path, const Error& error) {
  telemetry::log_warn("cachefiles", "cache {}: no longer caches its copy of {}: {}", directory_,
                      path, error.message());
}

Result<VolumeId> Store::open_volume(const std::string& volume_key) {
  Turn turn(*this);
  Result<VolumeId> volume = open_volume_in_turn(volume_key);
  if (volume.is_error(EUCLEAN)) {
    TRY(rebuild_index());
    volume = open_volume_in_turn(volume_key);
  }
  return volume;
}

Result<VolumeId> Store::open_volume_in_turn(const std::string& volume_key) {
  {
    sync::MutexLock lock(mutex_);
    const auto there = volumes_.find(volume_key);
    if (there != volumes_.end()) return there->second;
  }
  const std::string key = volume_key_of(volume_key);
  const std::optional<std::string> value = TRY(index_->get(key));
  std::optional<VolumeId> volume = value ? decode_volume(key, *value) : std::nullopt;
  if (!volume) {
    IndexBatch batch;
    {
      sync::MutexLock lock(mutex_);
      volume = VolumeId(next_volume_++);
    }
    batch.put(key, encode_volume(key, *volume));
    add_meta(batch, false);
    TRY(index_->apply(batch));
  }
  sync::MutexLock lock(mutex_);
  volumes_[volume_key] = *volume;
  return *volume;
}

}  // namespace netfs::cachefiles
