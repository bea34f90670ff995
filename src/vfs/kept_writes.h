#pragma once
// KeptWrites: copies of writes that were answered and are not at the origin yet, in arena memory,
// so that whoever serves the mount after this process brings them there.
//
// Thread-safe; a leaf: it calls nobody.  Records and bytes have checksums.
//
//   const uint64_t number = kept.put(node, range, bytes);   // before the write is answered
//   kept.remove(number);                                     // once it is at the origin, or failed
//   for (const KeptWrites::Left& one : kept.left()) ...      // of a process before this one

#include <array>
#include <cstddef>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/byte_range.h"
#include "fuse/wire.h"
#include "sync/mutex.h"
#include "vfs/arena.h"
#include "vfs/bytes_arena.h"
#include "vfs/lock_classes.h"

namespace netfs::vfs {

class KeptWrites {
 public:
  explicit KeptWrites(Ref<ArenaMemory> memory);

  // At most kWriteBytesMax.  Never 0; greater than any before.
  uint64_t put(fuse::NodeId node, ByteRange range, std::span<const std::byte> bytes)
      EXCLUDES(mutex_);
  void remove(uint64_t number) EXCLUDES(mutex_);

  struct Left {
    fuse::NodeId node;  // 0: its record is damaged, and nobody knows whose it was
    uint64_t number = 0;
    ByteRange range;
  };
  // What a process before this one left, in the order in which it was written; what nobody knows
  // of comes last.
  [[nodiscard]] std::vector<Left> left() EXCLUDES(mutex_);
  // The bytes of one of those, as long as it was not removed.  False: they are damaged.
  [[nodiscard]] bool copy(const Left& left, std::span<std::byte> to) EXCLUDES(mutex_);

  // Between these two the next put() is of that one, whose place and number stay: written again, it
  // comes before whatever was written after it.  Whether it was put.  By the one thread that takes
  // over.
  void begin_again(const Left& left) EXCLUDES(mutex_);
  [[nodiscard]] bool end_again() EXCLUDES(mutex_);

  [[nodiscard]] size_t count() const EXCLUDES(mutex_);

 private:
  struct Record {
    uint64_t node_id;  // 0: free
    uint64_t number;
    uint64_t offset_bytes;
    uint32_t length_bytes;
    uint32_t pieces;     // their indices, among the bytes
    uint32_t bytes_crc;  // of what lies in them
    uint32_t crc;        // of all the above
  };
  template <size_t kBytes>
  struct Piece {
    std::byte bytes[kBytes];
  };
  static constexpr size_t kSmallBytes = 4096;
  static constexpr size_t kLargeBytes = size_t{64} << 10;
  using Small = Piece<kSmallBytes>;
  using Large = Piece<kLargeBytes>;

  // Short writes lie in small pieces, long ones in large ones.
  static bool is_small(size_t length) { return length <= 4 * kSmallBytes; }
  static size_t piece_bytes(size_t length) { return is_small(length) ? kSmallBytes : kLargeBytes; }
  [[nodiscard]] std::span<std::byte> piece(bool small, uint32_t index) REQUIRES(mutex_);
  [[nodiscard]] std::vector<uint32_t> pieces_of(const Record& record) REQUIRES(mutex_);
  static uint32_t crc_of(const Record& record);
  void restore() REQUIRES(mutex_);
  bool restore_pieces(const Record& record, std::vector<bool>& small, std::vector<bool>& large)
      REQUIRES(mutex_);

  mutable sync::Mutex mutex_{kKeptWritesLock};
  Arena<Record> records_ GUARDED_BY(mutex_);
  Arena<Small> small_ GUARDED_BY(mutex_);
  Arena<Large> large_ GUARDED_BY(mutex_);
  BytesArena indices_ GUARDED_BY(mutex_);
  std::unordered_map<uint64_t, uint32_t> by_number_ GUARDED_BY(mutex_);
  std::vector<Left> left_ GUARDED_BY(mutex_);
  std::unordered_set<uint64_t> without_bytes_ GUARDED_BY(mutex_);  // those that are damaged
  uint64_t last_ GUARDED_BY(mutex_) = 0;
  uint64_t again_ GUARDED_BY(mutex_) = 0;
};

}  // namespace netfs::vfs
