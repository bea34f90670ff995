#pragma once
// BatchBytes: what may stand in a file while the changes of one batch are on their way to it, piece
// by piece.  A batch sets the size with its first change, or not at all.
//
// Below the size that the file had, or was cut to, a piece of what is written holds the bytes of
// one of the changes or, whole, older ones, which are known by their checksums.  Above it each byte
// is of one of the changes, or zero.  The rest of the file is as it was: nothing is done to it.
//
// Pure; not thread-safe.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_range.h"
#include "journal/journal_format.h"

namespace netfs::journal {

// Origins write what they are sent whole, or whole blocks of it.
constexpr uint64_t kPieceBytes = 4096;
// Pieces of which older bytes are told: what a kBegin has space for.
constexpr size_t kOlderPiecesMax = kOlderBytesMax / sizeof(uint32_t);

// The checksum of each whole piece of a file (of kPieceBytes, from its front on) that is known.
using KnownBlocks = std::vector<std::optional<uint32_t>>;

class BatchBytes {
 public:
  struct Piece {
    ByteRange range;
    std::vector<size_t> changes;  // that bring bytes to all of it
    bool above = false;           // the older bytes of it are zeroes
    std::optional<size_t> older;  // its place among the checksums
  };

  // `size_before`: of the file.
  explicit BatchBytes(uint64_t size_before) : size_before_(size_before) {}
  void add(const Record& record, std::string data);

  // Of a file of this size, those to which something is done, or was nothing before; in order.
  [[nodiscard]] std::vector<Piece> pieces(uint64_t size) const;
  // What was there and stays as it is, in order, parted at each kPieceBytes of the file.  None: it
  // is too long for that.
  [[nodiscard]] std::optional<std::vector<ByteRange>> rest() const;
  // Makes of what was known before all of it was done what is known after it.
  void pass_on(KnownBlocks& blocks) const;
  [[nodiscard]] uint64_t size_before() const { return size_before_; }
  // Whether the file may have this size meanwhile.
  [[nodiscard]] bool may_be_of(uint64_t size) const;
  // Whether the size alone says that something was done.
  [[nodiscard]] bool is_of_ours(uint64_t size) const;

  [[nodiscard]] bool brings_nothing() const { return brought_.empty(); }

  // Each byte is of one of the changes, or zero where the piece is above, or (if it is not null)
  // that of `below`, which may be shorter.
  [[nodiscard]] bool holds(const Piece& piece, std::string_view bytes,
                           const std::string* below = nullptr) const;

 private:
  struct Brought {
    ByteRange range;
    std::string bytes;
    bool zeroes = false;
  };
  [[nodiscard]] uint64_t bottom() const;

  const uint64_t size_before_;
  std::optional<uint64_t> cut_;
  std::vector<Brought> brought_;
  std::vector<ByteRange> made_room_;  // and may have brought nothing but their length
};

}  // namespace netfs::journal
