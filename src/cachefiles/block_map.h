#pragma once
// BlockMap: which blocks of an object are present, and the checksums of their pages.
//
// Presence is a bit a block, in words that a reader loads without a lock; an object that is whole
// needs no words.  Checksums lie in chunks of 64 blocks that come and go: a chunk that the index
// also has may be dropped and loaded again.
//
// Publish order of a store: data is written, then its CRCs are set, then its presence bit, with
// release; a reader loads the bit with acquire, then the CRCs, then the data.  So a bit never shows
// what is not there yet.
//
// Thread-safety: present(), run_length(), word() and CrcChunk from any thread; the calls that
// change are made under the object's mutex.

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>

#include "base/ref.h"
#include "cachefiles/limits.h"
#include "cachefiles/records.h"

namespace netfs::cachefiles {

// Checksums of up to 64 blocks.
class CrcChunk : public RefCounted<CrcChunk> {
 public:
  explicit CrcChunk(size_t page_count)
      : page_count_(page_count), crcs_(new std::atomic<uint32_t>[page_count]()) {}

  // Whether the CRCs of a block (0 to 63 within the chunk) are known; acquire.
  [[nodiscard]] bool known(uint64_t block) const {
    return (known_.load(std::memory_order_acquire) >> block & 1) != 0;
  }
  [[nodiscard]] uint64_t known_bits() const { return known_.load(std::memory_order_acquire); }
  [[nodiscard]] uint32_t crc(uint64_t page) const {
    return crcs_[page].load(std::memory_order_relaxed);
  }
  // Sets the CRCs of one block, then makes them known; release.
  void set_block(uint64_t block, std::span<const uint32_t> page_crcs) {
    for (size_t i = 0; i < page_crcs.size(); ++i) {
      crcs_[block * kPagesPerBlock + i].store(page_crcs[i], std::memory_order_relaxed);
    }
    known_.fetch_or(uint64_t{1} << block, std::memory_order_release);
  }
  [[nodiscard]] size_t page_count() const { return page_count_; }
  // Pages of one block: fewer in the last block of a file.
  [[nodiscard]] size_t pages_of(uint64_t block) const {
    const size_t first = block * kPagesPerBlock;
    return first >= page_count_ ? 0 : std::min<size_t>(kPagesPerBlock, page_count_ - first);
  }

  // As it is recorded, of the blocks in `present` that are known.
  [[nodiscard]] ChecksumsRecord to_record(uint64_t present) const;
  // Nothing when the record does not fit a chunk of so many pages.
  static Ref<CrcChunk> from_record(const ChecksumsRecord& record, size_t page_count);

 private:
  const size_t page_count_;
  std::atomic<uint64_t> known_{0};
  std::unique_ptr<std::atomic<uint32_t>[]> crcs_;
};

class BlockMap {
 public:
  explicit BlockMap(uint64_t size_bytes);
  ~BlockMap();
  BlockMap(const BlockMap&) = delete;
  BlockMap& operator=(const BlockMap&) = delete;

  [[nodiscard]] uint64_t block_count() const { return block_count_; }
  [[nodiscard]] uint64_t chunk_count() const {
    return (block_count_ + kBlocksPerChunk - 1) / kBlocksPerChunk;
  }
  // Pages of one chunk: fewer in the last.
  [[nodiscard]] size_t pages_of_chunk(uint64_t chunk) const;

  [[nodiscard]] bool present(uint64_t block) const {
    return block < block_count_ &&
           (word(block / kBlocksPerChunk) >> (block % kBlocksPerChunk) & 1) != 0;
  }
  // Presence of the 64 blocks of a chunk; acquire.
  [[nodiscard]] uint64_t word(uint64_t chunk) const;
  [[nodiscard]] uint64_t run_length(uint64_t block, uint64_t count_max) const;
  [[nodiscard]] uint64_t present_count() const {
    return present_count_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] bool whole() const { return present_count() == block_count_; }

  void set_present(uint64_t block);
  // False when it was absent already.
  bool clear(uint64_t block);
  void set_whole();
  // Sets the words of one segment, as loaded from the index.
  void load_segment(uint64_t segment, const PresenceWords& words);
  [[nodiscard]] PresenceWords segment(uint64_t segment) const;

 private:
  using Word = std::atomic<uint64_t>;
  [[nodiscard]] uint64_t full_word(uint64_t chunk) const;
  Word* words();  // made on first use

  const uint64_t size_bytes_;
  const uint64_t block_count_;
  std::atomic<uint64_t> present_count_{0};
  std::atomic<bool> all_{false};  // whole, and there are no words
  std::atomic<Word*> words_{nullptr};
};

}  // namespace netfs::cachefiles
