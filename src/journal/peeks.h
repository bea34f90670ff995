#pragma once
// Peeks: reads of a file at the origin, piece by piece, for whoever compares it with what is known.

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "journal/batch_bytes.h"
#include "journal/journal.h"
#include "journal/limits.h"
#include "journal/waited.h"

namespace netfs::journal {

constexpr uint64_t kPeekBytes = 256 << 10;

// Reads of one file, a number of them on their way, in the order in which they are taken.
class Peeks {
 public:
  // Each has the whole of a call's time.
  Peeks(Journal& journal, OriginFile& file) : journal_(journal), file_(file) {}
  ~Peeks() {
    for (const auto& one : reads_) (void)one->read.take();
  }

  [[nodiscard]] bool is_full() const { return reads_.size() >= kWritesInFlight; }
  void ask(ByteRange range) {
    reads_.push_back(std::make_unique<One>(file_, range, soon()));
    journal_.inner().issue_read(reads_.back()->read);
  }
  // What the file has of it: it may end in it.
  Result<std::string> take() {
    const std::unique_ptr<One> one = std::move(reads_.front());
    reads_.pop_front();
    uint64_t done = TRY(one->read.take().transferred_bytes);
    for (uint64_t got = done; got > 0 && done < one->bytes.size(); done += got) {
      TRY(journal_.go_on());
      const std::span<std::byte> rest = one->span().subspan(done);
      const ByteRange range{one->range.offset_bytes + done, rest.size()};
      got = TRY(WaitedRead(file_, range, rest, soon()).run(journal_.inner()).transferred_bytes);
    }
    one->bytes.resize(done);
    return std::move(one->bytes);
  }

 private:
  struct One {
    One(OriginFile& file, ByteRange wanted, Deadline deadline)
        : range(wanted), bytes(wanted.length_bytes, '\0'), read(file, range, span(), deadline) {}
    std::span<std::byte> span() { return std::as_writable_bytes(std::span(bytes)); }
    ByteRange range;
    std::string bytes;
    WaitedRead read;
  };
  [[nodiscard]] Deadline soon() const {
    return Deadline::after(Clock::system(), journal_.options().timeout);
  }

  Journal& journal_;
  OriginFile& file_;
  std::deque<std::unique_ptr<One>> reads_;
};

// Shows each piece what the file has of it.  `see` says whether to go on; ECANCELED: the upload is
// to stop.
template <class See>
Result<void> see_all(Journal& journal, OriginFile& file,
                     const std::vector<BatchBytes::Piece>& pieces, See see) {
  // Neighbours are read at once.
  std::vector<ByteRange> runs;
  for (const BatchBytes::Piece& piece : pieces) {
    const bool joins = !runs.empty() && runs.back().end_bytes() == piece.range.offset_bytes &&
                       runs.back().length_bytes + piece.range.length_bytes <= kPeekBytes;
    if (joins) runs.back().length_bytes += piece.range.length_bytes;
    if (!joins) runs.push_back(piece.range);
  }
  Peeks peeks(journal, file);
  size_t asked = 0;
  auto piece = pieces.begin();
  for (const ByteRange& run : runs) {
    TRY(journal.go_on());
    while (asked < runs.size() && !peeks.is_full()) peeks.ask(runs[asked++]);
    const std::string bytes = TRY(peeks.take());
    for (; piece != pieces.end() && run.contains(piece->range); ++piece) {
      const uint64_t at = std::min(piece->range.offset_bytes - run.offset_bytes, bytes.size());
      const std::string_view shown = std::string_view(bytes).substr(at, piece->range.length_bytes);
      if (!TRY(see(*piece, shown))) return {};
    }
  }
  return {};
}

// Long pieces in parts, none of which is long.
inline std::vector<BatchBytes::Piece> parted(std::vector<BatchBytes::Piece> pieces) {
  std::vector<BatchBytes::Piece> parts;
  for (BatchBytes::Piece& piece : pieces) {
    while (piece.range.length_bytes > kPeekBytes) {
      parts.push_back(piece);
      parts.back().range.length_bytes = kPeekBytes;
      piece.range = {piece.range.offset_bytes + kPeekBytes, piece.range.length_bytes - kPeekBytes};
    }
    parts.push_back(std::move(piece));
  }
  return parts;
}

}  // namespace netfs::journal
