#include "vfs/intents.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "fuse/protocol.h"
#include "vfs/arena_kinds.h"

namespace netfs::vfs {

namespace {

uint64_t key_of(uint64_t unique) {
  return unique & ~fuse::proto::kUniqueResend;
}

}  // namespace

// What is damaged is left out: asked again, it counts as not begun.
Intents::Intents(Ref<ArenaMemory> memory)
    : records_(memory, arena_kind::kIntents), bytes_(memory, arena_kind::kIntentBytes) {
  sync::MutexLock lock(mutex_);
  std::vector<uint32_t> used;
  for (uint32_t i = records_.limit(); i-- > 0;) {
    Record& record = records_[i];
    const bool whole = record.unique != 0 && decode_saved_node(bytes_.get(record.first)).ok() &&
                       decode_saved_node(bytes_.get(record.second)).ok() &&
                       (record.answer == 0 || !bytes_.get(record.answer).empty());
    if (!whole || !by_unique_.emplace(record.unique, i).second) {
      record.unique = 0;
      records_.free(i);
      continue;
    }
    for (const uint32_t bytes : {record.first, record.second, record.answer}) {
      if (bytes != 0) used.push_back(bytes);
    }
  }
  inherited_ = by_unique_;
  bytes_.keep_only(used);
}

Intents::Record* Intents::find(uint64_t unique) {
  const auto found = by_unique_.find(key_of(unique));
  return found == by_unique_.end() ? nullptr : &records_[found->second];
}

void Intents::begin(uint64_t unique, const Before& before) {
  const std::string first = encode(before.first);
  const std::string second = encode(before.second);
  sync::MutexLock lock(mutex_);
  end_locked(unique);
  const uint32_t index = records_.allocate();
  Record& record = records_[index];
  record.done = 0;
  record.error = 0;
  record.how = before.how;
  record.first = bytes_.put(first);
  record.second = bytes_.put(second);
  record.answer = 0;
  by_unique_[key_of(unique)] = index;
  // From here on it is one, also for a process after this one.
  std::atomic_signal_fence(std::memory_order_release);
  record.unique = key_of(unique);
}

void Intents::done(uint64_t unique, int error, std::span<const std::byte> answer) {
  sync::MutexLock lock(mutex_);
  Record* record = find(unique);
  if (record == nullptr || record->done != 0) return;
  record->error = static_cast<uint32_t>(error);
  if (!answer.empty()) {
    record->answer = bytes_.put({reinterpret_cast<const char*>(answer.data()), answer.size()});
  }
  std::atomic_signal_fence(std::memory_order_release);
  record->done = 1;
}

void Intents::end(uint64_t unique) {
  sync::MutexLock lock(mutex_);
  end_locked(unique);
}

void Intents::end_locked(uint64_t unique) {
  Record* record = find(unique);
  if (record == nullptr) return;
  record->unique = 0;
  std::atomic_signal_fence(std::memory_order_release);
  for (const uint32_t bytes : {record->first, record->second, record->answer}) {
    if (bytes != 0) bytes_.free(bytes);
  }
  records_.free(by_unique_[key_of(unique)]);
  by_unique_.erase(key_of(unique));
  inherited_.erase(key_of(unique));
}

Intents::Left Intents::left_locked(uint64_t unique, const Record& record) const {
  Left left{.unique = unique,
            .done = record.done != 0,
            .error = static_cast<int>(record.error),
            .answer = std::string(record.answer == 0 ? "" : bytes_.get(record.answer)),
            .before = {.first = {}, .second = {}, .how = record.how}};
  if (auto first = decode_saved_node(bytes_.get(record.first)); first.ok()) {
    left.before.first = std::move(first).value();
  }
  if (auto second = decode_saved_node(bytes_.get(record.second)); second.ok()) {
    left.before.second = std::move(second).value();
  }
  return left;
}

std::optional<Intents::Left> Intents::left(uint64_t unique) const {
  sync::MutexLock lock(mutex_);
  const auto found = inherited_.find(key_of(unique));
  if (found == inherited_.end()) return {};
  return left_locked(key_of(unique), records_[found->second]);
}

std::vector<Intents::Left> Intents::all_left() const {
  std::vector<Left> all;
  sync::MutexLock lock(mutex_);
  for (const auto& [unique, index] : inherited_) {
    all.push_back(left_locked(unique, records_[index]));
  }
  std::sort(all.begin(), all.end(),
            [](const Left& a, const Left& b) { return a.unique < b.unique; });
  return all;
}

size_t Intents::count() const {
  sync::MutexLock lock(mutex_);
  return by_unique_.size();
}

}  // namespace netfs::vfs
