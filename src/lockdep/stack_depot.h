#pragma once
// StackDepot: keeps each stack once and gives it a 32-bit id.
//
// Thread-safe and lock-free: intern() and get() may be called from any thread and from a signal
// handler that interrupts either.  Nothing is allocated but mapped chunks of 1 MiB; nothing is ever
// given back before the depot ends.  So an id, and the span that get() returns, are valid as long
// as the depot lives: one that is never destroyed gives ids that are valid for ever.
//
// A stack is return addresses, innermost first.  The empty stack has id kNoStack.  A stack longer
// than kStackFramesMax keeps its innermost frames.  Equal stacks get equal ids; two threads that
// bring the same new stack at the same moment get one id as well.
//
// Out of memory, or beyond 2^32 words of 8 bytes, intern() returns kNoStack and counts it in
// dropped(); what was kept stays.
//
//   StackId id = depot.intern(frames);
//   std::span<const uintptr_t> same = depot.get(id);

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace netfs::lockdep {

using StackId = uint32_t;
inline constexpr StackId kNoStack = 0;
inline constexpr size_t kStackFramesMax = 256;

class StackDepot {
 public:
  // Maps address space for the tables, of which only what is used costs memory; stops the process
  // where there is none.
  StackDepot();
  ~StackDepot();
  StackDepot(const StackDepot&) = delete;
  StackDepot& operator=(const StackDepot&) = delete;

  [[nodiscard]] StackId intern(std::span<const uintptr_t> frames) noexcept;
  // Of an id that this depot gave out.
  [[nodiscard]] std::span<const uintptr_t> get(StackId id) const noexcept;

  [[nodiscard]] size_t stack_count() const { return count_.load(std::memory_order_relaxed); }
  [[nodiscard]] size_t dropped() const { return dropped_.load(std::memory_order_relaxed); }
  // Words of the chunks given to records.
  [[nodiscard]] size_t bytes_used() const {
    return next_word_.load(std::memory_order_relaxed) * sizeof(uint64_t);
  }

 private:
  // Lies in a chunk, never across two; its frames follow it.  Written before it is published.
  struct Record {
    StackId next;    // in the same bucket
    uint32_t count;  // of frames
    uint64_t hash;
    [[nodiscard]] const uintptr_t* frames() const {
      return reinterpret_cast<const uintptr_t*>(this + 1);
    }
  };
  static_assert(sizeof(uintptr_t) == sizeof(uint64_t), "a frame is a word");

  static constexpr size_t kChunkWords = size_t{1} << 17;  // 1 MiB
  static constexpr size_t kChunks = (size_t{1} << 32) / kChunkWords;
  static constexpr size_t kBuckets = size_t{1} << 18;
  static constexpr size_t kRecordWords = sizeof(Record) / sizeof(uint64_t);
  static_assert(kRecordWords + kStackFramesMax < kChunkWords);

  [[nodiscard]] const Record* record(StackId id) const noexcept;
  // Looks in a bucket's list from `from` up to `end`, which is not looked at.
  [[nodiscard]] StackId find(StackId from, StackId end, uint64_t hash,
                             std::span<const uintptr_t> frames) const noexcept;
  // Room for a record of so many words; null where there is none.
  [[nodiscard]] Record* allocate(size_t words, StackId& id) noexcept;
  [[nodiscard]] uint64_t* chunk(size_t index) noexcept;

  // Both in one mapping: kChunks pointers, then kBuckets heads.
  std::atomic<uint64_t*>* chunks_;
  std::atomic<StackId>* heads_;
  std::atomic<uint64_t> next_word_{1};  // word 0 is kNoStack
  std::atomic<size_t> count_{0};
  std::atomic<size_t> dropped_{0};
};

}  // namespace netfs::lockdep
