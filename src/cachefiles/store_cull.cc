// Limits: reserving, culling by recency, and what is removed from the disk.

#include <algorithm>

#include "cachefiles/limits.h"
#include "cachefiles/store.h"
#include "cachefiles/store_turn.h"
#include "telemetry/log.h"

namespace netfs::cachefiles {

Result<void> Store::reserve(uint64_t bytes) {
  if (index_damaged_.load()) return Error(EUCLEAN, "cachefiles.reserve");
  if (space_.reserve(bytes, index_->needed_bytes())) return {};
  if (cull(bytes) && space_.reserve(bytes, index_->needed_bytes())) return {};
  counters_.no_space.add();
  return Error(ENOSPC, "cachefiles.reserve");
}

uint64_t Store::checkpoint_bytes() const {
  return std::min(kCheckpointBytesMax, space_.limit_bytes() / kCheckpointShare);
}

bool Store::cull(uint64_t bytes) {
  Turn turn(*this);
  return cull_in_turn(bytes) > 0;
}

// Frees `bytes` and a share of the limit on top, so that the next store need not cull again.
uint64_t Store::cull_in_turn(uint64_t bytes) {
  remove_doomed();
  empty_graveyard();
  files_.close_retired();
  if (!write_recency().ok()) return 0;
  const uint64_t wanted = bytes + space_.limit_bytes() / kCullShare;
  uint64_t freed = 0;
  std::string from(1, static_cast<char>(KeySpace::kRecency));
  while (freed < wanted) {
    std::vector<std::pair<std::string, std::string>> oldest;  // recency key, object key
    const std::string space(1, static_cast<char>(KeySpace::kRecency));
    const Result<void> scanned =
        index_->scan(space, from, [&](std::string_view key, std::string_view value) {
          oldest.emplace_back(key, decode_recency(key, value).value_or(""));
          return oldest.size() < kCullBatch;
        });
    if (!scanned.ok()) index_failed(scanned.error());
    if (!scanned.ok() || oldest.empty()) break;
    for (const auto& [key, object_key] : oldest) {
      if (freed >= wanted) break;
      const std::optional<RecencyKeyParts> parts = parse_recency_key(key);
      if (!parts) continue;
      freed += cull_one(object_key, parts->object, parts->last_use_seconds, Mapped::kSpared);
    }
    from = oldest.back().first + '\0';
  }
  Result<void> recorded = record_removals();
  if (recorded.ok()) recorded = index_->checkpoint(checkpoint_bytes());
  if (!recorded.ok()) index_failed(recorded.error());
  files_.close_retired();
  return freed;
}

// The bytes that came free: none when somebody holds it.  One whose file the kernel has is spared
// by the culler, which would gain nothing, and buried by who wants it gone.
uint64_t Store::cull_one(const std::string& object_key, ObjectId object, int64_t use_seconds,
                         Mapped mapped) {
  const Result<std::optional<std::string>> value = index_->get(object_key);
  std::optional<ObjectRecord> record;
  if (value.ok() && value.value()) record = decode_object(object_key, *value.value());
  if (mapped == Mapped::kSpared && record && record->state == StoredState::kSealed) {
    files_.forget(object);
    if (in_use(object)) return 0;
  }
  Ref<Object> taken;
  if (!table_.begin_cull(object, &taken)) return 0;
  Doomed doomed;
  if (taken) {
    std::optional<Doomed> killed = taken->kill();
    if (!killed) return 0;
    doomed = std::move(*killed);
  } else {
    doomed.object = object;
    doomed.object_key = object_key;
    doomed.recorded_use_seconds = use_seconds;
    doomed.recorded = record.has_value();
    doomed.has_file = true;
    const Result<FileStat> st = disk_.stat(data_path(object));
    doomed.charged_bytes = record    ? record->allocated_bytes
                           : st.ok() ? st.value().allocated_bytes
                                     : 0;
    doomed.sealed = record && record->state == StoredState::kSealed;
    doomed.maybe_mapped = doomed.sealed;
  }
  const uint64_t before = space_.used_bytes();
  remove_object(doomed);
  counters_.culled_objects.add();
  const uint64_t after = space_.used_bytes();
  return before > after ? before - after : 0;
}

void Store::remove_doomed() {
  std::vector<Doomed> doomed;
  {
    sync::MutexLock lock(mutex_);
    doomed.swap(doomed_);
  }
  for (const Doomed& one : doomed) remove_object(one);
}

// Unlinks what is dying; the index forgets it with the next transaction.
void Store::remove_object(const Doomed& doomed) {
  if (doomed.has_file) {
    unlink_object(doomed);
  } else {
    space_.release(doomed.charged_bytes);
  }
  sync::MutexLock lock(mutex_);
  removals_.push_back(doomed);
}

void Store::names_changed(const std::string& directory) {
  sync::MutexLock lock(mutex_);
  changed_directories_.insert(directory);
}

// Only a clean end needs it: after any other, what the index does not name is removed again.
Result<void> Store::sync_removed_names() {
  std::set<std::string> directories;
  {
    sync::MutexLock lock(mutex_);
    directories.swap(changed_directories_);
  }
  if (directories.size() > kFileSyncsMax) return disk_.sync_all();
  for (const std::string& directory : directories) TRY(disk_.sync_directory(directory));
  return {};
}

void Store::unlink_object(const Doomed& doomed) {
  files_.retire(doomed.object);
  files_.close_retired();  // what we keep open ourselves is no user
  names_changed(data_directory(doomed.object));
  if (doomed.maybe_mapped && in_use(doomed.object)) {
    // Its space is not free before its last user is gone: it waits under another name for that.
    const Result<void> buried = disk_.rename(data_path(doomed.object), dead_path(doomed.object));
    if (buried.ok()) {
      files_.removed(doomed.object, 0);
      sync::MutexLock lock(mutex_);
      graveyard_.push_back({doomed.object, doomed.charged_bytes});
      return;
    }
  }
  const Result<void> gone = disk_.remove(data_path(doomed.object));
  if (!gone.ok() && !gone.is_error(ENOENT)) {
    telemetry::log_warn("cachefiles", "cache {}: cannot remove {}: {}", directory_,
                        data_path(doomed.object), gone.error().message());
    files_.removed(doomed.object, 0);  // still there, still counted
    return;
  }
  files_.removed(doomed.object, doomed.charged_bytes);
}

void Store::unmake_file(ObjectId object) {
  unlink_object({.object = object, .object_key = {}, .has_file = true});
}

// Whether anybody but us has an object's file open or mapped.
bool Store::in_use(ObjectId object) {
  const Result<std::unique_ptr<DiskFile>> file = disk_.open(data_path(object), OpenMode::kRead);
  if (!file.ok()) return false;
  const Result<bool> only_user = file.value()->only_user();
  // Where the file system cannot say, the name goes and the kernel keeps the bytes.
  return only_user.ok() && !only_user.value();
}

void Store::add_removals(IndexBatch& batch, std::vector<Doomed>& removals) {
  {
    sync::MutexLock lock(mutex_);
    removals.swap(removals_);
  }
  for (const Doomed& doomed : removals) {
    batch.remove(doomed.object_key);
    batch.remove(recency_key(doomed.recorded_use_seconds, doomed.object));
    batch.remove_prefix(presence_prefix(doomed.object));
    batch.remove_prefix(checksums_prefix(doomed.object));
  }
}

Result<void> Store::record_removals() {
  std::vector<CommitItem> none;
  {
    sync::MutexLock lock(mutex_);
    if (removals_.empty()) return {};
  }
  return record(none);
}

// Brings the recency of used objects into the index, in the order in which they will be culled.
Result<void> Store::write_recency() {
  const std::vector<Touch> touches = table_.take_touches();
  IndexBatch batch;
  for (const Touch& touch : touches) {
    const std::optional<std::string> value = TRY(index_->get(touch.object_key));
    std::optional<ObjectRecord> record;
    if (value) record = decode_object(touch.object_key, *value);
    if (!record) continue;
    batch.remove(recency_key(record->last_use.seconds, touch.object));
    record->last_use = {touch.last_use_seconds, 0};
    batch.put(touch.object_key, encode_object(touch.object_key, *record));
    const std::string recency = recency_key(touch.last_use_seconds, touch.object);
    batch.put(recency, encode_recency(recency, touch.object_key));
  }
  TRY(index_->apply(batch));
  for (const Touch& touch : touches) {
    const Ref<Object> object = table_.find(touch.object);
    if (object) object->set_recorded_use(touch.last_use_seconds);
  }
  return {};
}

void Store::discard(Object& object) {
  std::optional<Doomed> doomed = object.kill();
  if (!doomed) return;
  table_.leave(object);
  remove_object(*doomed);
}

void Store::remove_superseded() {
  std::vector<std::string> keys;
  {
    sync::MutexLock lock(mutex_);
    keys.swap(superseded_);
  }
  for (const std::string& key : keys) {
    const std::optional<ObjectKeyParts> parts = parse_object_key(key);
    const Result<std::optional<std::string>> value = index_->get(key);
    if (!parts || !value.ok() || !value.value()) continue;
    const std::optional<ObjectRecord> record = decode_object(key, *value.value());
    const int64_t last_use = record ? record->last_use.seconds : 0;
    cull_one(key, parts->object, last_use, Mapped::kBuried);
  }
}

void Store::empty_graveyard() {
  std::vector<Buried> buried;
  {
    sync::MutexLock lock(mutex_);
    buried.swap(graveyard_);
  }
  std::vector<Buried> kept;
  for (const Buried& one : buried) {
    const std::string path = dead_path(one.object);
    Result<std::unique_ptr<DiskFile>> file = disk_.open(path, OpenMode::kRead);
    const Result<bool> only_user =
        file.ok() ? file.value()->only_user() : Result<bool>(file.error());
    const bool mapped = only_user.ok() && !only_user.value();
    const Result<void> gone = mapped ? Result<void>() : disk_.remove(path);
    if (!mapped) names_changed("dead");
    if (mapped || (!gone.ok() && !gone.is_error(ENOENT))) {
      kept.push_back(one);
    } else {
      space_.release(one.charged_bytes);
    }
  }
  sync::MutexLock lock(mutex_);
  graveyard_.insert(graveyard_.end(), kept.begin(), kept.end());
}

void Store::maintain() {
  Turn turn(*this);
  if (index_damaged_.load()) {
    const Result<void> rebuilt = rebuild_index();
    if (!rebuilt.ok()) {
      telemetry::log_error("cachefiles", "cache {}: the index cannot be rebuilt: {}", directory_,
                           rebuilt.error().message());
    }
    return;
  }
  bool queued = false;
  {
    sync::MutexLock lock(mutex_);
    queued = !queued_.empty();
  }
  // Blocks that were lost and seals to be verified again come without anybody storing.
  Result<void> done;
  if (queued) done = commit_in_turn();
  remove_doomed();
  remove_superseded();
  empty_graveyard();
  if (done.ok()) done = write_recency();
  const uint64_t used = space_.used_bytes() + index_->used_bytes();
  const uint64_t limit = space_.limit_bytes();
  if (done.ok() && used > limit) cull_in_turn(used - limit);
  if (done.ok()) done = record_removals();
  if (done.ok()) done = index_->checkpoint(checkpoint_bytes());
  if (!done.ok()) index_failed(done.error());
  files_.close_retired();
}

Result<void> Store::list(const CacheFiles::ObjectSink& sink) {
  std::unordered_map<uint32_t, std::string> names;
  const std::string volumes(1, static_cast<char>(KeySpace::kVolume));
  TRY(index_->scan(volumes, volumes, [&](std::string_view key, std::string_view value) {
    const std::optional<VolumeId> volume = decode_volume(key, value);
    if (volume) names[volume->value] = key.substr(1);
    return true;
  }));
  std::vector<ObjectInfo> infos;
  const std::string space(1, static_cast<char>(KeySpace::kObject));
  TRY(index_->scan(space, space, [&](std::string_view key, std::string_view value) {
    const std::optional<ObjectKeyParts> parts = parse_object_key(key);
    const std::optional<ObjectRecord> record = decode_object(key, value);
    if (!parts || !record || table_.dying(parts->object)) return true;
    if (parts->identity.starts_with(kNamesIdentity)) return true;
    ObjectInfo info;
    info.volume_key = names[parts->volume.value];
    info.path = record->path.empty() ? parts->identity : record->path;
    info.size_bytes = record->size_bytes;
    info.stored_bytes = record->stored_bytes;
    info.allocated_bytes = record->allocated_bytes;
    info.state = record->state == StoredState::kSealed     ? ObjectState::kSealed
                 : record->state == StoredState::kComplete ? ObjectState::kComplete
                                                           : ObjectState::kPartial;
    info.last_use = record->last_use;
    const Ref<Object> object = table_.find(parts->object);
    if (object) info.last_use.seconds = object->last_use_seconds();
    if (object && object->state() == ObjectState::kHandedOut) info.state = ObjectState::kHandedOut;
    infos.push_back(std::move(info));
    return true;
  }));
  for (const ObjectInfo& info : infos) sink(info);
  return {};
}

}  // namespace netfs::cachefiles
