#include "journal/batch_bytes.h"

#include <algorithm>
#include <bitset>
#include <linux/falloc.h>
#include <map>
#include <utility>

#include "journal/limits.h"

namespace netfs::journal {

namespace {

// So much of all zeroes of a batch is told of in pieces; what is more, a range as one: of writes
// there is not so much that it matters.
constexpr uint64_t kPiecedBytesMax = 32 << 20;
// Of longer files it is not told what stays as it is.
constexpr uint64_t kRestedBytesMax = kBlocksKept * kPieceBytes;

// A block of which a batch brings parts.
struct Parts {
  std::string bytes = std::string(kPieceBytes, '\0');
  std::bitset<kPieceBytes> brought;
};

}  // namespace

void BatchBytes::add(const Record& record, std::string data) {
  if (record.kind == RecordKind::kSetAttributes) {
    if (record.change.size_bytes) cut_ = record.change.size_bytes;
    return;
  }
  if (record.kind == RecordKind::kWrite) {
    if (!data.empty()) brought_.push_back({record.range, std::move(data), false});
    return;
  }
  const bool zeroes = (record.mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
  if (zeroes) brought_.push_back({record.range, "", true});
  if ((record.mode & FALLOC_FL_KEEP_SIZE) == 0) made_room_.push_back(record.range);
}

uint64_t BatchBytes::bottom() const {
  return std::min(size_before_, cut_.value_or(size_before_));
}

std::vector<BatchBytes::Piece> BatchBytes::pieces(uint64_t size) const {
  std::vector<uint64_t> ends = {bottom(), size};
  uint64_t zeroes = kPiecedBytesMax;
  for (const Brought& one : brought_) {
    const uint64_t pieced =
        one.zeroes ? std::min(one.range.length_bytes, zeroes) : one.range.length_bytes;
    if (one.zeroes) zeroes -= pieced;
    for (uint64_t at = 0; at < pieced; at += kPieceBytes) {
      ends.push_back(one.range.offset_bytes + at);
    }
    ends.push_back(one.range.offset_bytes + pieced);
    ends.push_back(one.range.end_bytes());
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  std::vector<Piece> pieces;
  size_t older = 0;
  for (size_t i = 0; i + 1 < ends.size() && ends[i] < size; ++i) {
    Piece piece{.range = {ends[i], ends[i + 1] - ends[i]}};
    piece.above = ends[i] >= bottom();
    for (size_t change = 0; change < brought_.size(); ++change) {
      const ByteRange& range = brought_[change].range;
      const bool covers = range.offset_bytes <= ends[i] && ends[i + 1] <= range.end_bytes();
      if (covers) piece.changes.push_back(change);
    }
    if (piece.changes.empty() && !piece.above) continue;
    const bool told = !piece.above && piece.range.length_bytes <= kPieceBytes;
    if (told && older < kOlderPiecesMax) piece.older = older++;
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

std::optional<std::vector<ByteRange>> BatchBytes::rest() const {
  if (bottom() > kRestedBytesMax) return std::nullopt;
  std::vector<ByteRange> brought;
  for (const Brought& one : brought_) brought.push_back(one.range);
  std::sort(brought.begin(), brought.end(),
            [](const ByteRange& a, const ByteRange& b) { return a.offset_bytes < b.offset_bytes; });
  brought.push_back({bottom(), 0});
  std::vector<ByteRange> rest;
  uint64_t at = 0;
  for (const ByteRange& next : brought) {
    const uint64_t end = std::min(next.offset_bytes, bottom());
    while (at < end) {
      const uint64_t length = std::min(end, round_down(at, kPieceBytes) + kPieceBytes) - at;
      rest.push_back({at, length});
      at += length;
    }
    at = std::max(at, next.end_bytes());
  }
  return rest;
}

void BatchBytes::pass_on(KnownBlocks& blocks) const {
  const size_t whole = bottom() / kPieceBytes;
  if (blocks.size() > whole) blocks.resize(whole);
  std::map<uint64_t, Parts> parted;
  for (const Brought& one : brought_) {
    if (one.range.end_bytes() > kRestedBytesMax) return blocks.clear();
    for (uint64_t at = one.range.offset_bytes; at < one.range.end_bytes();) {
      const uint64_t block = at / kPieceBytes;
      const uint64_t end = std::min(one.range.end_bytes(), (block + 1) * kPieceBytes);
      const std::string bytes = one.zeroes
                                    ? std::string(end - at, '\0')
                                    : one.bytes.substr(at - one.range.offset_bytes, end - at);
      if (blocks.size() <= block) blocks.resize(block + 1);
      blocks[block].reset();
      if (bytes.size() == kPieceBytes) {
        parted.erase(block);
        blocks[block] = checksum_of(bytes);
      } else {
        Parts& parts = parted[block];
        const uint64_t from = at % kPieceBytes;
        parts.bytes.replace(from, bytes.size(), bytes);
        for (uint64_t i = 0; i < bytes.size(); ++i) parts.brought.set(from + i);
        if (parts.brought.all()) blocks[block] = checksum_of(parts.bytes);
      }
      at = end;
    }
  }
}

bool BatchBytes::may_be_of(uint64_t size) const {
  if (size == size_before_ || size == cut_) return true;
  if (size < bottom()) return false;
  for (const Brought& one : brought_) {
    if (!one.zeroes && one.range.offset_bytes < size && size <= one.range.end_bytes()) return true;
  }
  for (const ByteRange& range : made_room_) {
    if (range.offset_bytes < size && size <= range.end_bytes()) return true;
  }
  return false;
}

bool BatchBytes::is_of_ours(uint64_t size) const {
  return size == cut_ || (size != size_before_ && may_be_of(size));
}

bool BatchBytes::holds(const Piece& piece, std::string_view bytes, const std::string* below) const {
  for (size_t i = 0; i < bytes.size(); ++i) {
    bool explained = piece.above && bytes[i] == '\0';
    if (below != nullptr) explained = explained || (i < below->size() && bytes[i] == (*below)[i]);
    for (size_t at = 0; !explained && at < piece.changes.size(); ++at) {
      const Brought& one = brought_[piece.changes[at]];
      const uint64_t offset = piece.range.offset_bytes - one.range.offset_bytes + i;
      explained = bytes[i] == (one.zeroes ? '\0' : one.bytes[offset]);
    }
    if (!explained) return false;
  }
  return true;
}

}  // namespace netfs::journal
