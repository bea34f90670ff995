#pragma once
// Arena<Record>: plain fixed-size records in arena memory (arena_memory.h), named by index.
//
// What the kernel knows of us and will not say twice (nodeids with their lookup counts, handles,
// backing ids) lies in arenas and not scattered over the heap, so that the process which serves the
// mount after this one finds it.  So a record holds no pointer and is trivially copyable; what
// hangs off it on the heap is found by index.  Records do not move; freed ones are used again.  A
// killed process leaves them as its last store did: what is written in several steps counts by the
// last.
//
// Thread-safety: the caller's lock.

#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "vfs/arena_memory.h"

namespace netfs::vfs {

template <class Record>
class Arena {
  static_assert(std::is_trivially_copyable_v<Record>);

 public:
  // What an earlier process left of this kind is there; the caller frees what he has no use for.
  Arena(Ref<ArenaMemory> memory, uint8_t kind)
      : memory_(std::move(memory)),
        kind_(kind),
        chunks_(memory_->chunks(kind)),
        count_(static_cast<uint32_t>(chunks_.size()) * kChunkRecords) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Index of a zeroed or formerly freed record; its bytes are as they were left.
  uint32_t allocate() {
    if (!free_.empty()) {
      const uint32_t index = free_.back();
      free_.pop_back();
      return index;
    }
    if (count_ == chunks_.size() * kChunkRecords) chunks_.push_back(memory_->add_chunk(kind_));
    return count_++;
  }
  void free(uint32_t index) { free_.push_back(index); }

  [[nodiscard]] Record& operator[](uint32_t index) {
    NETFS_ASSERT(index < count_);
    return static_cast<Record*>(chunks_[index / kChunkRecords])[index % kChunkRecords];
  }
  // One past the highest index ever given out.
  [[nodiscard]] uint32_t limit() const { return count_; }
  [[nodiscard]] uint32_t in_use() const { return count_ - static_cast<uint32_t>(free_.size()); }

 private:
  static constexpr uint32_t kChunkRecords = ArenaMemory::kChunkBytes / sizeof(Record);

  const Ref<ArenaMemory> memory_;
  const uint8_t kind_;
  std::vector<void*> chunks_;
  std::vector<uint32_t> free_;
  uint32_t count_ = 0;
};

}  // namespace netfs::vfs
