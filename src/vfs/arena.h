#pragma once
// Arena<Record>: plain fixed-size records in mapped memory, named by index.
//
// What the kernel knows of us and will not say twice (nodeids with their lookup counts, handles,
// backing ids) lies in arenas and not scattered over the heap, so that it can one day be kept
// outside this process.  So a record holds no pointer and is trivially copyable; what hangs off it
// on the heap is found by index.  Records do not move; freed ones are used again.
//
// Thread-safety: the caller's lock.

#include <cstdint>
#include <sys/mman.h>
#include <type_traits>
#include <vector>

#include "base/assert.h"

namespace netfs::vfs {

template <class Record>
class Arena {
  static_assert(std::is_trivially_copyable_v<Record>);

 public:
  Arena() = default;
  ~Arena() {
    for (void* chunk : chunks_) ::munmap(chunk, kChunkRecords * sizeof(Record));
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Index of a zeroed or formerly freed record; its bytes are as they were left.
  uint32_t allocate() {
    if (!free_.empty()) {
      const uint32_t index = free_.back();
      free_.pop_back();
      return index;
    }
    if (count_ == chunks_.size() * kChunkRecords) {
      void* chunk = ::mmap(nullptr, kChunkRecords * sizeof(Record), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      NETFS_ASSERT(chunk != MAP_FAILED);  // as for any allocation: no memory ends the process
      chunks_.push_back(chunk);
    }
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
  static constexpr uint32_t kChunkRecords = 4096;

  std::vector<void*> chunks_;
  std::vector<uint32_t> free_;
  uint32_t count_ = 0;
};

}  // namespace netfs::vfs
