#include "vfs/intents.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <span>
#include <utility>

#include "base/crc32c.h"
#include "fuse/protocol.h"
#include "vfs/arena_kinds.h"

namespace netfs::vfs {

namespace {

uint64_t key_of(uint64_t unique) {
  return unique & ~fuse::proto::kUniqueResend;
}

// Not a change, but that some of them are lost: no request has that number, for theirs are even.
constexpr uint64_t kSomeAreLost = ~fuse::proto::kUniqueResend;

template <class Word, size_t kCount>
uint32_t crc_of_words(const std::array<Word, kCount>& words, uint32_t before = 0) {
  return crc32c(std::as_bytes(std::span(words)), before);
}

}  // namespace

static_assert(fuse::proto::kUniqueResend == uint64_t{1} << 63, "no key has that bit");

uint32_t Intents::crc_of(uint64_t unique, const Record& record) {
  return crc_of_words(std::array{record.how, record.first, record.second},
                      crc_of_words(std::array{unique}));
}

// Never 0.
uint32_t Intents::done_of(const Record& record) {
  return crc_of_words(std::array{record.error, record.answer},
                      crc_of_words(std::array{record.unique})) |
         1;
}

// Never 0.
uint32_t Intents::under_way_of(uint64_t unique) {
  return crc_of_words(std::array{key_of(unique)}) | 1;
}

bool Intents::is_whole(const Record& record) const {
  if (record.crc != crc_of(record.unique, record)) return false;
  if (record.done != 0 && record.done != done_of(record)) return false;
  return decode_saved_node(bytes_.get(record.first)).ok() &&
         decode_saved_node(bytes_.get(record.second)).ok() &&
         (record.answer == 0 || !bytes_.get(record.answer).empty());
}

Intents::Intents(Ref<ArenaMemory> memory, bool lost)
    : records_(memory, arena_kind::kIntents), bytes_(memory, arena_kind::kIntentBytes) {
  sync::MutexLock lock(mutex_);
  std::vector<uint32_t> used;
  std::vector<uint32_t> damaged;  // or free
  for (uint32_t i = records_.limit(); i-- > 0;) {
    Record& record = records_[i];
    const bool whole = record.unique != 0 && is_whole(record);
    if (!whole || !by_unique_.emplace(record.unique & ~kUsed, i).second) {
      lost |= record.unique != 0;
      damaged.push_back(i);
      continue;
    }
    for (const uint32_t bytes : {record.first, record.second, record.answer}) {
      if (bytes != 0) used.push_back(bytes);
    }
  }
  inherited_ = by_unique_;
  bytes_.keep_only(used);
  lost_ = inherited_.erase(kSomeAreLost) > 0;
  // A process after this one is to know it, too, whenever this one dies: before they are free.
  if (lost && !lost_) begin_locked(kSomeAreLost, {});
  lost_ |= lost;
  for (const uint32_t i : damaged) {
    records_[i].unique = 0;
    records_.free(i);
  }
}

Intents::Record* Intents::find(uint64_t unique) {
  const auto found = by_unique_.find(key_of(unique));
  return found == by_unique_.end() ? nullptr : &records_[found->second];
}

void Intents::begin(uint64_t unique, const Before& before) {
  sync::MutexLock lock(mutex_);
  end_locked(unique);
  begin_locked(unique, before);
}

void Intents::begin_locked(uint64_t unique, const Before& before) {
  const uint32_t index = records_.allocate();
  Record& record = records_[index];
  record.done = 0;
  record.error = 0;
  record.how = before.how;
  record.first = bytes_.put(encode(before.first));
  record.second = bytes_.put(encode(before.second));
  record.answer = 0;
  record.under_way = under_way_of(unique);
  record.crc = crc_of(key_of(unique) | kUsed, record);
  by_unique_[key_of(unique)] = index;
  // From here on it is one, also for a process after this one.
  std::atomic_signal_fence(std::memory_order_release);
  record.unique = key_of(unique) | kUsed;
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
  record->done = done_of(*record);
}

void Intents::end(uint64_t unique) {
  sync::MutexLock lock(mutex_);
  end_locked(unique);
}

void Intents::set_under_way(uint64_t unique, bool under_way) {
  sync::MutexLock lock(mutex_);
  if (Record* record = find(unique)) record->under_way = under_way ? under_way_of(unique) : 0;
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
            .under_way = record.under_way == under_way_of(unique),
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
