#include "cachefiles/block_map.h"

#include <algorithm>
#include <bit>

#include "base/assert.h"

namespace netfs::cachefiles {

ChecksumsRecord CrcChunk::to_record(uint64_t present) const {
  ChecksumsRecord record;
  record.present = present & known_bits();
  for (uint64_t block = 0; block < kBlocksPerChunk; ++block) {
    if ((record.present >> block & 1) == 0) continue;
    for (size_t page = 0; page < pages_of(block); ++page) {
      record.page_crcs.push_back(crc(block * kPagesPerBlock + page));
    }
  }
  return record;
}

Ref<CrcChunk> CrcChunk::from_record(const ChecksumsRecord& record, size_t page_count) {
  Ref<CrcChunk> chunk = make_ref<CrcChunk>(page_count);
  std::span<const uint32_t> rest(record.page_crcs);
  for (uint64_t block = 0; block < kBlocksPerChunk; ++block) {
    if ((record.present >> block & 1) == 0) continue;
    const size_t pages = chunk->pages_of(block);
    if (pages == 0 || pages > rest.size()) return nullptr;
    chunk->set_block(block, rest.first(pages));
    rest = rest.subspan(pages);
  }
  if (!rest.empty()) return nullptr;
  return chunk;
}

BlockMap::BlockMap(uint64_t size_bytes)
    : size_bytes_(size_bytes), block_count_((size_bytes + kBlockBytes - 1) / kBlockBytes) {}

BlockMap::~BlockMap() {
  delete[] words_.load();
}

size_t BlockMap::pages_of_chunk(uint64_t chunk) const {
  const uint64_t pages = (size_bytes_ + kPageBytes - 1) / kPageBytes;
  const uint64_t first = chunk * kBlocksPerChunk * kPagesPerBlock;
  NETFS_ASSERT(first < pages);
  return std::min<uint64_t>(pages - first, kBlocksPerChunk * kPagesPerBlock);
}

uint64_t BlockMap::full_word(uint64_t chunk) const {
  const uint64_t first = chunk * kBlocksPerChunk;
  if (first >= block_count_) return 0;
  const uint64_t count = std::min(block_count_ - first, kBlocksPerChunk);
  return count == kBlocksPerChunk ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

BlockMap::Word* BlockMap::words() {
  Word* words = words_.load(std::memory_order_relaxed);
  if (words) return words;
  words = new Word[chunk_count()]();
  words_.store(words, std::memory_order_release);
  return words;
}

uint64_t BlockMap::word(uint64_t chunk) const {
  if (all_.load(std::memory_order_acquire)) return full_word(chunk);
  const Word* words = words_.load(std::memory_order_acquire);
  if (!words || chunk >= chunk_count()) return 0;
  return words[chunk].load(std::memory_order_acquire);
}

uint64_t BlockMap::run_length(uint64_t block, uint64_t count_max) const {
  if (block >= block_count_) return 0;
  const uint64_t end =
      std::min(block_count_, count_max > block_count_ - block ? block_count_ : block + count_max);
  const bool wanted = present(block);
  uint64_t at = block;
  while (at < end) {
    const uint64_t bit = at % kBlocksPerChunk;
    uint64_t bits = word(at / kBlocksPerChunk) >> bit;
    if (!wanted) bits = ~bits;
    const uint64_t room = kBlocksPerChunk - bit;
    const uint64_t alike = std::min<uint64_t>(static_cast<uint64_t>(std::countr_one(bits)), room);
    at += alike;
    if (alike < room) break;
  }
  return std::min(at, end) - block;
}

void BlockMap::set_present(uint64_t block) {
  NETFS_ASSERT(block < block_count_);
  const uint64_t bit = uint64_t{1} << (block % kBlocksPerChunk);
  const uint64_t before = words()[block / kBlocksPerChunk].fetch_or(bit, std::memory_order_release);
  if ((before & bit) == 0) present_count_.fetch_add(1, std::memory_order_relaxed);
}

bool BlockMap::clear(uint64_t block) {
  NETFS_ASSERT(block < block_count_);
  if (all_.load(std::memory_order_relaxed)) {
    Word* full = words();
    for (uint64_t chunk = 0; chunk < chunk_count(); ++chunk) {
      full[chunk].store(full_word(chunk), std::memory_order_relaxed);
    }
    all_.store(false, std::memory_order_release);
  }
  const uint64_t bit = uint64_t{1} << (block % kBlocksPerChunk);
  const uint64_t before =
      words()[block / kBlocksPerChunk].fetch_and(~bit, std::memory_order_acq_rel);
  if ((before & bit) == 0) return false;
  present_count_.fetch_sub(1, std::memory_order_relaxed);
  return true;
}

void BlockMap::set_whole() {
  present_count_.store(block_count_, std::memory_order_relaxed);
  all_.store(true, std::memory_order_release);
}

void BlockMap::load_segment(uint64_t segment, const PresenceWords& loaded) {
  const uint64_t first = segment * kChunksPerSegment;
  uint64_t added = 0;
  for (uint64_t i = 0; i < loaded.size() && first + i < chunk_count(); ++i) {
    const uint64_t bits = loaded[i] & full_word(first + i);
    words()[first + i].store(bits, std::memory_order_release);
    added += static_cast<uint64_t>(std::popcount(bits));
  }
  present_count_.fetch_add(added, std::memory_order_relaxed);
}

PresenceWords BlockMap::segment(uint64_t segment) const {
  const uint64_t first = segment * kChunksPerSegment;
  const uint64_t end = std::min(first + kChunksPerSegment, chunk_count());
  PresenceWords out;
  for (uint64_t chunk = first; chunk < end; ++chunk) out.push_back(word(chunk));
  return out;
}

}  // namespace netfs::cachefiles
