#pragma once
// BytesArena: strings of bytes in arena memory, named by a number, for what records cannot hold.
//
// Slots of a few sizes, each with its length and a checksum.  A string is written once and never
// changed; whoever wants another puts another, stores its number, and frees the old one, so that a
// process which is killed leaves one of the two.  What nobody names is free after a restart.
//
// Thread-safety: the caller's lock.

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "vfs/arena_memory.h"

namespace netfs::vfs {

class BytesArena {
 public:
  static constexpr size_t kBytesMax = 2040;

  // Its chunks have the kinds from `first_kind` on, kSizes.size() of them.
  BytesArena(Ref<ArenaMemory> memory, uint8_t first_kind);

  // Never 0.  At most kBytesMax.
  uint32_t put(std::string_view bytes);
  void free(uint32_t number);
  // Until it is freed; empty where there is none, it is free, or it is damaged.
  [[nodiscard]] std::string_view get(uint32_t number) const;
  // Of what an earlier process left, these are in use: called once, before put().
  void keep_only(const std::vector<uint32_t>& used);

  [[nodiscard]] size_t in_use() const { return in_use_; }

  static constexpr std::array<uint32_t, 8> kSizes = {64, 128, 192, 256, 384, 512, 1024, 2048};

 private:
  struct Slot {
    uint32_t length;
    uint32_t crc;
  };
  struct Size {
    std::vector<void*> chunks;
    std::vector<uint32_t> free;
    uint32_t count = 0;  // slots that were given out ever
  };
  [[nodiscard]] Slot* slot(uint32_t number) const;
  static uint32_t slots_of(size_t size) {
    return static_cast<uint32_t>(ArenaMemory::kChunkBytes / kSizes[size]);
  }

  const Ref<ArenaMemory> memory_;
  const uint8_t first_kind_;
  std::array<Size, kSizes.size()> sizes_;
  size_t in_use_ = 0;
};

}  // namespace netfs::vfs
