#include "cachefiles/object.h"

#include "base/assert.h"
#include "cachefiles/byte_codec.h"
#include "cachefiles/store.h"

namespace netfs::cachefiles {

std::string Object::make_table_prefix(VolumeId volume, const std::string& identity) {
  ByteWriter writer;
  writer.little(volume.value);
  writer.text(identity);
  return writer.take();
}

std::string Object::make_table_key(VolumeId volume, const CookieKey& key) {
  ByteWriter writer;
  writer.raw(make_table_prefix(volume, key.identity));
  writer.little(static_cast<uint8_t>(key.validator.strength));
  writer.text(key.validator.bytes);
  writer.little(key.size_bytes);
  return writer.take();
}

Object::Object(Store& store, VolumeId volume, ObjectId id, CookieKey key)
    : store_(store),
      volume_(volume),
      id_(id),
      key_(std::move(key)),
      object_key_(cachefiles::object_key(volume, key_.identity, id)),
      table_key_(make_table_key(volume, key_)),
      map_(key_.size_bytes),
      machine_(ObjectState::kAbsent) {
  last_use_seconds_.store(store.clock().wall().seconds);
}

bool Object::present(BlockIndex block) const {
  return state() != ObjectState::kDead && map_.present(block.value);
}

uint64_t Object::run_length(BlockIndex block, uint64_t count_max) const {
  if (state() == ObjectState::kDead) {
    if (block.value >= map_.block_count()) return 0;
    return std::min(count_max, map_.block_count() - block.value);
  }
  return map_.run_length(block.value, count_max);
}

void Object::touch() {
  last_use_seconds_.store(store_.clock().wall().seconds, std::memory_order_relaxed);
}

std::optional<int64_t> Object::unwritten_use() const {
  const int64_t recorded = recorded_use_seconds_.load();
  sync::MutexLock lock(mutex_);
  if (!recorded_ || killed_ || last_use_seconds_.load() <= recorded) return std::nullopt;
  return recorded;
}

void Object::set_recorded_use(int64_t seconds) {
  recorded_use_seconds_.store(seconds);
}

uint64_t Object::stored_bytes() const {
  const uint64_t blocks = map_.block_count();
  uint64_t bytes = map_.present_count() * kBlockBytes;
  if (blocks > 0 && map_.present(blocks - 1)) bytes -= blocks * kBlockBytes - key_.size_bytes;
  return bytes;
}

void Object::load(const ObjectRecord& record, bool trust_seal) {
  sync::MutexLock lock(mutex_);
  recorded_ = true;
  has_file_ = true;
  may_seal_ = record.may_seal;
  charged_bytes_ = record.allocated_bytes;
  recorded_sealed_ = record.state == StoredState::kSealed;
  last_use_seconds_.store(record.last_use.seconds);
  recorded_use_seconds_.store(record.last_use.seconds);
  if (map_.block_count() > 0) machine_.move(ObjectEvent::kStored);
  if (record.state == StoredState::kPartial) return;
  map_.set_whole();
  machine_.move(ObjectEvent::kCompleted);
  if (recorded_sealed_ && trust_seal) machine_.move(ObjectEvent::kSealed);
}

void Object::load_segment(uint32_t segment, const PresenceWords& words) {
  sync::MutexLock lock(mutex_);
  map_.load_segment(segment, words);
}

// An object that was sealed before an unclean end is verified again by the next commit.
void Object::loaded() {
  bool verify_again = false;
  {
    sync::MutexLock lock(mutex_);
    verify_again = recorded_sealed_ && state() == ObjectState::kComplete;
    if (verify_again) may_seal_ = true;
  }
  if (verify_again) queue();
}

void Object::queue() {
  {
    sync::MutexLock lock(mutex_);
    if (queued_ || killed_) return;
    queued_ = true;
  }
  store_.queue(Ref<Object>(this));
}

void Object::allow_seal() {
  // An empty file has no block to store, so nobody else makes its object.
  if (map_.block_count() == 0 && !ensure_file().ok()) return;
  {
    sync::MutexLock lock(mutex_);
    if (killed_ || may_seal_) return;
    may_seal_ = true;
    changed_ = true;
  }
  queue();
}

std::optional<Doomed> Object::kill() {
  sync::MutexLock lock(mutex_);
  if (killed_) return std::nullopt;
  killed_ = true;
  const ObjectState before = state();
  machine_.move(ObjectEvent::kKilled);
  Doomed doomed;
  doomed.object = id_;
  doomed.object_key = object_key_;
  doomed.recorded_use_seconds = recorded_use_seconds_.load();
  doomed.charged_bytes = charged_bytes_;
  doomed.recorded = recorded_;
  doomed.sealed = recorded_sealed_;
  doomed.has_file = has_file_ || making_file_;
  // A sealed file may have been handed out by an earlier process whose mounts live on.
  doomed.maybe_mapped = recorded_sealed_ || before == ObjectState::kHandedOut;
  store_.space().release(std::exchange(promised_bytes_, 0));
  charged_bytes_ = 0;
  made_.notify_all();
  return doomed;
}

std::optional<CommitItem> Object::snapshot() {
  sync::MutexLock lock(mutex_);
  queued_ = false;
  if (killed_) return std::nullopt;
  // A file without a block has nothing to store, and is whole once it may be sealed.
  const bool complete = map_.whole() && (map_.block_count() > 0 || (may_seal_ && has_file_));
  const bool wants_seal =
      complete && may_seal_ && !(recorded_sealed_ && state() >= ObjectState::kSealed);
  if (dirty_chunks_.empty() && !changed_ && !wants_seal) return std::nullopt;
  if (!has_file_) return std::nullopt;
  CommitItem item;
  item.object = Ref<Object>(this);
  item.complete = complete;
  item.was_recorded = recorded_;
  item.was_sealed = recorded_sealed_;
  item.new_file = std::exchange(new_file_, false);
  item.data_written = std::exchange(data_written_, false);
  item.promised_bytes = std::exchange(promised_bytes_, 0);
  item.old_use_seconds = recorded_use_seconds_.load();
  for (const uint64_t chunk : dirty_chunks_) {
    const auto segment = static_cast<uint32_t>(chunk / kChunksPerSegment);
    if (!item.segments.contains(segment)) item.segments[segment] = map_.segment(segment);
    const auto found = chunks_.find(chunk);
    if (found == chunks_.end()) continue;  // only lost blocks: their old checksums do no harm
    item.chunks.push_back({static_cast<uint32_t>(chunk), map_.word(chunk), found->second});
  }
  dirty_chunks_.clear();
  changed_ = false;
  ObjectRecord& record = item.record;
  record.state = complete ? StoredState::kComplete : StoredState::kPartial;
  record.may_seal = may_seal_;
  record.size_bytes = key_.size_bytes;
  record.stored_bytes = stored_bytes();
  record.allocated_bytes = charged_bytes_;
  record.last_use.seconds = last_use_seconds_.load();
  record.validator = key_.validator;
  if (key_.path != key_.identity) record.path = key_.path;
  return item;
}

bool Object::committed(const CommitItem& item) {
  store_.space().release(item.promised_bytes);
  sync::MutexLock lock(mutex_);
  recorded_use_seconds_.store(item.record.last_use.seconds);
  if (killed_) return false;
  recorded_ = true;
  recorded_sealed_ = item.seal;
  const uint64_t charged = item.record.allocated_bytes + in_flight_bytes_;
  store_.space().change(charged_bytes_, charged);
  charged_bytes_ = charged;
  // A block lost since the snapshot: the object is queued again already.
  if (!item.complete || !map_.whole()) return true;
  if (state() < ObjectState::kComplete) machine_.move(ObjectEvent::kCompleted);
  if (item.seal) {
    machine_.move(ObjectEvent::kSealed);
    map_.set_whole();
    chunks_.clear();
  } else {
    trim_chunks_locked();
  }
  return true;
}

void Object::uncommitted(const CommitItem& item) {
  {
    sync::MutexLock lock(mutex_);
    if (killed_) {
      store_.space().release(item.promised_bytes);
      return;
    }
    promised_bytes_ += item.promised_bytes;
    new_file_ |= item.new_file;
    data_written_ |= item.data_written;
    changed_ = true;
    for (const CommitItem::Chunk& chunk : item.chunks) dirty_chunks_.insert(chunk.number);
    for (const auto& [segment, words] : item.segments) {
      dirty_chunks_.insert(uint64_t{segment} * kChunksPerSegment);
    }
  }
  queue();
}

void Object::trim_chunks_locked() {
  for (auto it = chunks_.begin(); it != chunks_.end() && chunks_.size() > kCleanChunksMax;) {
    // One that is in use stays, so that there are never two of the same chunk.
    const bool needed =
        dirty_chunks_.contains(it->first) || !recorded_ || it->second->ref_count() > 1;
    it = needed ? std::next(it) : chunks_.erase(it);
  }
}

}  // namespace netfs::cachefiles
