#pragma once
// The session's table of live requests, one fixed part for each reading thread; inner to the room.
//
// A slot is filled by its queue's thread alone and emptied by whoever answers.  Its life:
//   0 free -> unique: live -> kAnswering: the one who won the exchange sends the answer -> 0.
// Uniques of the kernel are even and above 1, so 1 is free to mean kAnswering.  All else in a slot
// is for display: a reader that sees the same unique before and after has seen one request.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/clock.h"
#include "base/result.h"
#include "fuse/session.h"

namespace netfs::fuse {

inline constexpr size_t kSlotsPerQueue = 512;
inline constexpr uint64_t kAnswering = 1;

struct Session::Slot {
  std::atomic<uint64_t> unique{0};
  std::atomic<uint64_t> interrupted{0};  // the unique that an INTERRUPT named
  std::atomic<uint64_t> node{0};
  std::atomic<int64_t> arrived_ns{0};
  std::atomic<uint32_t> opcode{0};
  std::atomic<uint32_t> pid{0};
};

struct Session::Queue {
  Queue() = default;
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  Result<void> map_buffer(size_t bytes);
  // A free slot, or null.  By the queue's thread only.
  Slot* find_free();

  unsigned thread_index = 0;
  unsigned channel_queue = 0;
  std::span<std::byte> buffer;  // mapped, page-aligned
  size_t cursor = 0;            // where the search for a free slot begins
  std::array<Slot, kSlotsPerQueue> slots;
};

}  // namespace netfs::fuse
