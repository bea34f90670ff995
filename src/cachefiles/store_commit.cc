// The grouped commit: data, fdatasync, one index transaction; and sealing.

#include <algorithm>
#include <set>

#include "base/assert.h"
#include "cachefiles/limits.h"
#include "cachefiles/store.h"
#include "cachefiles/store_turn.h"
#include "telemetry/log.h"

namespace netfs::cachefiles {

// Whoever comes while a commit runs is served by the next one, together with all others that wait.
Result<void> Store::commit() {
  {
    sync::MutexLock lock(mutex_);
    const uint64_t wanted = commits_begun_ + 1;
    while (turn_taken_ && commits_ended_ < wanted) turn_over_.wait(mutex_);
    if (commits_ended_ >= wanted) {
      if (last_commit_failed_) return last_commit_error_;
      return {};
    }
    turn_taken_ = true;
    ++commits_begun_;
  }
  const Result<void> done = commit_in_turn();
  sync::MutexLock lock(mutex_);
  turn_taken_ = false;
  commits_ended_ = commits_begun_;
  last_commit_failed_ = !done.ok();
  if (!done.ok()) last_commit_error_ = done.error();
  turn_over_.notify_all();
  return done;
}

Result<void> Store::commit_in_turn() {
  remove_doomed();
  std::vector<Ref<Object>> objects;
  {
    sync::MutexLock lock(mutex_);
    objects.swap(queued_);
  }
  std::vector<CommitItem> items;
  for (const Ref<Object>& object : objects) {
    std::optional<CommitItem> item = object->snapshot();
    if (item) items.push_back(std::move(*item));
  }
  objects.clear();
  sync_items(items);
  verify_small(items);
  const Result<void> recorded = record(items);
  if (!recorded.ok()) {
    for (const CommitItem& item : items) item.object->uncommitted(item);
    index_failed(recorded.error());
    return recorded;
  }
  for (const CommitItem& item : items) tell_committed(item);
  TRY(seal_large(std::move(items)));
  files_.close_retired();
  return index_->checkpoint(checkpoint_bytes());
}

void Store::tell_committed(const CommitItem& item) {
  if (item.object->committed(item)) return;
  // It died without knowing that it was recorded, so its removal does not count it.
  if (!item.was_recorded) object_count_.fetch_sub(1);
  if (item.seal && !item.was_sealed) sealed_count_.fetch_sub(1);
}

void Store::sync_items(std::vector<CommitItem>& items) {
  const bool together = sync_together(items);
  if (!together) sync_new_names(items);
  for (CommitItem& item : items) {
    const Result<void> synced = sync_one(item, together);
    if (!synced.ok()) fail_item(item, synced.error());
  }
  std::erase_if(items, [](const CommitItem& item) { return !item.object; });
}

// Many files at once: one call for the whole file system, which fails if any of them did.  False
// when each has to be asked.
bool Store::sync_together(const std::vector<CommitItem>& items) {
  const auto written = std::count_if(items.begin(), items.end(),
                                     [](const CommitItem& item) { return item.data_written; });
  return static_cast<size_t>(written) > kFileSyncsMax && disk_.sync_all().ok();
}

Result<void> Store::sync_one(CommitItem& item, bool synced_already) {
  if (!item.data_written && !item.new_file) return {};
  const ObjectId id = item.object->id();
  if (!synced_already) {
    const Ref<OpenFile> file = TRY(files_.writer(id, OpenMode::kReadWrite));
    TRY(file->disk_file().sync_data());
  }
  item.record.allocated_bytes = TRY(disk_.stat(data_path(id))).allocated_bytes;
  return {};
}

void Store::sync_new_names(std::vector<CommitItem>& items) {
  std::set<std::string> directories;
  for (const CommitItem& item : items) {
    if (item.new_file) directories.insert(data_directory(item.object->id()));
  }
  std::set<std::string> failed;
  for (const std::string& directory : directories) {
    if (!disk_.sync_directory(directory).ok()) failed.insert(directory);
  }
  if (failed.empty()) return;
  for (CommitItem& item : items) {
    if (item.new_file && failed.contains(data_directory(item.object->id()))) {
      fail_item(item, Error(EIO, "cachefiles.sync_directory"));
    }
  }
  std::erase_if(items, [](const CommitItem& item) { return !item.object; });
}

// What a disk did not take is forgotten: after a failed fdatasync nobody knows what it holds.
void Store::fail_item(CommitItem& item, const Error& error) {
  if (error.code() == ENOSPC || error.code() == EDQUOT) {
    counters_.no_space.add();
  } else {
    counters_.disabled_objects.add();
  }
  log_disabled(item.object->key().path, error);
  doom(*item.object);
  space_.release(item.promised_bytes);
  item.object = nullptr;
}

void Store::verify_small(std::vector<CommitItem>& items) {
  for (CommitItem& item : items) {
    const bool due = item.complete && item.record.may_seal;
    if (!due || item.record.size_bytes > kInlineSealBytesMax) continue;
    if (item.object->verify()) {
      item.seal = true;
      item.record.state = StoredState::kSealed;
      item.record.verified_epoch = epoch_;
    } else {
      item.object->uncommitted(item);  // without the lost block, next time
      item.object = nullptr;
    }
  }
  std::erase_if(items, [](const CommitItem& item) { return !item.object; });
}

Result<void> Store::seal_large(std::vector<CommitItem> items) {
  std::erase_if(items, [](const CommitItem& item) {
    return !item.complete || !item.record.may_seal || item.seal;
  });
  std::vector<CommitItem> sealed;
  for (CommitItem& item : items) {
    if (!item.object->verify()) continue;
    item.seal = true;
    item.was_recorded = true;
    item.promised_bytes = 0;
    item.old_use_seconds = item.record.last_use.seconds;
    item.chunks.clear();
    item.segments.clear();
    item.record.state = StoredState::kSealed;
    item.record.verified_epoch = epoch_;
    sealed.push_back(std::move(item));
  }
  if (sealed.empty()) return {};
  const Result<void> recorded = record(sealed);
  for (const CommitItem& item : sealed) {
    if (recorded.ok()) {
      tell_committed(item);
    } else {
      item.object->uncommitted(item);
    }
  }
  if (!recorded.ok()) index_failed(recorded.error());
  return recorded;
}

Result<void> Store::record(std::vector<CommitItem>& items) {
  IndexBatch batch;
  for (CommitItem& item : items) add_item(batch, item);
  std::vector<Doomed> removals;
  add_removals(batch, removals);
  if (!batch.empty()) add_meta(batch, false);
  const Result<void> applied = index_->apply(batch);
  if (!applied.ok()) {
    sync::MutexLock lock(mutex_);
    removals_.insert(removals_.end(), std::make_move_iterator(removals.begin()),
                     std::make_move_iterator(removals.end()));
    return applied;
  }
  for (const CommitItem& item : items) {
    if (!item.was_recorded) object_count_.fetch_add(1);
    if (item.seal && !item.was_sealed) sealed_count_.fetch_add(1);
    if (!item.seal && item.was_sealed) sealed_count_.fetch_sub(1);
  }
  std::vector<ObjectId> gone;
  for (const Doomed& doomed : removals) {
    gone.push_back(doomed.object);
    if (doomed.recorded) object_count_.fetch_sub(1);
    if (doomed.recorded && doomed.sealed) sealed_count_.fetch_sub(1);
  }
  table_.end_dying(gone);
  return {};
}

void Store::add_item(IndexBatch& batch, CommitItem& item) {
  const ObjectId id = item.object->id();
  const std::string& key = item.object->object_key();
  batch.put(key, encode_object(key, item.record));
  if (!item.was_recorded || item.old_use_seconds != item.record.last_use.seconds) {
    if (item.was_recorded) batch.remove(recency_key(item.old_use_seconds, id));
    const std::string recency = recency_key(item.record.last_use.seconds, id);
    batch.put(recency, encode_recency(recency, key));
  }
  for (const auto& [segment, words] : item.segments) {
    const std::string presence = presence_key(id, segment);
    batch.put(presence, encode_presence(presence, words));
  }
  for (const CommitItem::Chunk& chunk : item.chunks) {
    const std::string checksums = checksums_key(id, chunk.number);
    batch.put(checksums, encode_checksums(checksums, chunk.checksums->to_record(chunk.present)));
  }
}

void Store::add_meta(IndexBatch& batch, bool clean) {
  MetaRecord meta;
  meta.epoch = epoch_;
  meta.unclean_epoch = unclean_epoch_;
  meta.clean = clean;
  meta.next_object = next_object_.load();
  meta.allocated_bytes = space_.used_bytes();  // less what the graveyard will say for itself
  meta.object_count = object_count_.load();
  meta.sealed_count = sealed_count_.load();
  {
    sync::MutexLock lock(mutex_);
    meta.next_volume = next_volume_;
    for (const Buried& buried : graveyard_) meta.allocated_bytes -= buried.charged_bytes;
  }
  batch.put(meta_key(), encode_meta(meta_key(), meta));
}

// Every page is compared with its checksum on the way.
bool Object::verify(ByteRange part, Waiting waiting) {
  std::vector<std::byte> buffer(std::min<uint64_t>(kVerifyBufferBytes, part.length_bytes));
  for (uint64_t at = part.offset_bytes; at < part.end_bytes(); at += buffer.size()) {
    const uint64_t length = std::min<uint64_t>(buffer.size(), part.end_bytes() - at);
    if (!read(at, std::span(buffer).first(length), waiting).ok()) return false;
  }
  return true;
}

}  // namespace netfs::cachefiles
