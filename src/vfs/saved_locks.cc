#include "vfs/saved_locks.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/drawn.h"
#include "vfs/arena_kinds.h"

namespace netfs::vfs {

namespace {

constexpr uint8_t kIsLost = 1;
constexpr uint8_t kIsLostNow = 2;

bool is_before(const LockedRange& a, const LockedRange& b) {
  return a.span.first < b.span.first;
}

}  // namespace

SavedLocks::SavedLocks(Ref<ArenaMemory> memory) : records_(std::move(memory), arena_kind::kLocks) {
  sync::MutexLock lock(mutex_);
  restore();
}

SavedLocks::Owner SavedLocks::owner_of(const Record& record) {
  return {.node = fuse::NodeId(record.node_id),
          .handle = fuse::HandleId(record.handle_id),
          .kind = static_cast<LockKind>(record.kind),
          .owner = record.owner,
          .lost = (record.lost & kIsLost) != 0,
          .lost_now = (record.lost & kIsLostNow) != 0};
}

LockedRange SavedLocks::range_of(const Record& record) {
  return {.owner = record.owner,
          .mode = static_cast<LockMode>(record.mode),
          .span = {record.first, record.last},
          .pid = record.pid};
}

// Also where one bit of it is another: a serial that was given has several (last_serial_).
bool SavedLocks::is_free(const Record& record) {
  return std::popcount(record.serial) <= 1;
}

bool SavedLocks::is_sound(const Record& record) {
  const bool names_somebody = record.number != 0 && record.node_id != 0;
  const bool has_range = record.first <= record.last && record.last <= kLockEnd;
  const auto mode = static_cast<LockMode>(record.mode);
  const bool holds = mode == LockMode::kShared || mode == LockMode::kExclusive;
  if (record.crc != crc_of(record)) return false;
  return names_somebody && has_range && holds &&
         record.kind <= static_cast<uint8_t>(LockKind::kWhole);
}

uint32_t SavedLocks::crc_of(const Record& record) {
  static_assert(std::has_unique_object_representations_v<Record>);
  return crc32c(std::as_bytes(std::span(&record, 1)).first(offsetof(Record, crc)));
}

bool SavedLocks::are_whole(const Ref<ArenaMemory>& memory) {
  Arena<Record> records(memory, arena_kind::kLocks);
  for (uint32_t i = 0; i < records.limit(); ++i) {
    if (!is_free(records[i]) && !is_sound(records[i])) return false;
  }
  return true;
}

uint64_t SavedLocks::new_number() {
  sync::MutexLock lock(mutex_);
  for (;;) {
    const uint64_t number = drawn<uint64_t>() >> (64 - kNumberBits);
    if (number != 0 && !by_number_.contains(number)) return number;
  }
}

uint32_t SavedLocks::add(uint64_t number, const Owner& owner, const LockedRange& range) {
  const uint32_t index = records_.allocate();
  Record record{};
  record.serial = ++last_serial_;
  record.number = number;
  record.node_id = owner.node.value;
  record.handle_id = owner.handle.value;
  record.owner = owner.owner;
  record.first = range.span.first;
  record.last = range.span.last;
  record.pid = range.pid;
  record.kind = static_cast<uint8_t>(owner.kind);
  record.mode = static_cast<uint8_t>(range.mode);
  record.lost =
      static_cast<uint8_t>((owner.lost ? kIsLost : 0) | (owner.lost_now ? kIsLostNow : 0));
  record.crc = crc_of(record);
  const uint64_t serial = std::exchange(record.serial, 0);
  records_[index] = record;
  std::atomic_signal_fence(std::memory_order_release);
  records_[index].serial = serial;
  std::atomic_signal_fence(std::memory_order_release);
  return index;
}

void SavedLocks::set(uint64_t number, const Owner& owner, const std::vector<LockedRange>& ranges) {
  NETFS_ASSERT(number != 0);
  sync::MutexLock lock(mutex_);
  std::vector<uint32_t>& has = by_number_[number];
  std::vector<LockedRange> wanted = ranges;
  std::sort(wanted.begin(), wanted.end(), is_before);
  std::vector<uint32_t> stay;
  std::vector<uint32_t> go;
  std::vector<bool> there(wanted.size());
  for (const uint32_t index : has) {
    const LockedRange range = range_of(records_[index]);
    const auto found = std::lower_bound(wanted.begin(), wanted.end(), range, is_before);
    const auto place = static_cast<size_t>(found - wanted.begin());
    const bool same = found != wanted.end() && *found == range && !there[place] &&
                      owner_of(records_[index]) == owner;
    if (same) there[place] = true;
    (same ? stay : go).push_back(index);
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!there[i]) stay.push_back(add(number, owner, wanted[i]));
  }
  for (const uint32_t index : go) {
    records_[index].serial = 0;
    records_.free(index);
  }
  count_ = count_ + stay.size() - has.size();
  has = std::move(stay);
  if (has.empty()) by_number_.erase(number);
}

// What is damaged is left out; the rest is whole.
void SavedLocks::restore() {
  for (uint32_t i = records_.limit(); i-- > 0;) {
    Record& record = records_[i];
    if (is_free(record) || !is_sound(record)) {
      record.serial = 0;
      records_.free(i);
      continue;
    }
    by_number_[record.number].push_back(i);
    last_serial_ = std::max(last_serial_, record.serial);
  }
  std::map<uint64_t, Left> oldest_first;
  for (auto& [number, indices] : by_number_) {
    std::sort(indices.begin(), indices.end(), [this](uint32_t a, uint32_t b) REQUIRES(mutex_) {
      return records_[a].serial < records_[b].serial;
    });
    const Owner owner = owner_of(records_[indices.back()]);
    std::vector<LockedRange> by_age;
    for (const uint32_t index : indices) {
      by_age.push_back(range_of(records_[index]));
      by_age.back().owner = owner.owner;
    }
    count_ += indices.size();
    oldest_first[records_[indices.front()].serial] = {
        .number = number, .owner = owner, .ranges = LockRanges::made_of(by_age).of(owner.owner)};
  }
  for (auto& [serial, left] : oldest_first) left_.push_back(std::move(left));
}

std::vector<SavedLocks::Left> SavedLocks::left() {
  sync::MutexLock lock(mutex_);
  return std::exchange(left_, {});
}

size_t SavedLocks::count() const {
  sync::MutexLock lock(mutex_);
  return count_;
}

}  // namespace netfs::vfs
