#include "netfs/limited_origin.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "netfs/limited_writer.h"

namespace netfs {

namespace {

constexpr uint64_t kPiecesASecond = 4;
constexpr uint64_t kPageBytes = 4096;

}  // namespace

ByteRange paced_piece(ByteRange range, uint64_t bytes_per_second) {
  const uint64_t most = std::max(bytes_per_second / kPiecesASecond, LimitedOrigin::kPieceMin);
  if (bytes_per_second == 0 || range.length_bytes <= most) return range;
  const uint64_t end = (range.offset_bytes + most) / kPageBytes * kPageBytes;
  return {range.offset_bytes, end - range.offset_bytes};
}

PieceTime::PieceTime(Deadline deadline)
    : time_(deadline.at == MonoTime::max() ? Duration::max()
                                           : deadline.at - Clock::system().now()) {}

Deadline PieceTime::from_now() const {
  if (time_ == Duration::max()) return Deadline::never();
  return Deadline::after(Clock::system(), time_);
}

// A read that goes piece by piece; deletes itself when it ends.
class LimitedOrigin::Read {
 public:
  Read(LimitedOrigin& origin, Subrequest& outer)
      : origin_(origin), outer_(outer), time_(outer.deadline()) {}

  void go_on() {
    const ByteRange whole = outer_.range();
    const ByteRange rest{whole.offset_bytes + done_bytes_, whole.length_bytes - done_bytes_};
    const bool in_pieces = origin_.capabilities().range_reads;
    const ByteRange piece = in_pieces ? paced_piece(rest, origin_.down_.bytes_per_second()) : rest;
    outer_.time_moved(Deadline::never());
    origin_.down_.wait(
        piece.length_bytes, [this, piece] { send(piece); }, [this] { return outer_.awaited(); });
  }

 private:
  class Piece final : public Subrequest {
   public:
    Piece(Read& read, ByteRange range, Deadline deadline)
        : Subrequest(read.outer_.file(), range,
                     read.outer_.destination().subspan(read.done_bytes_, range.length_bytes),
                     deadline),
          read_(read) {}

    void progress(uint64_t bytes) override {
      if (read_.confirm_first_) return;
      read_.outer_.progress(read_.done_bytes_ + std::min(bytes, range().length_bytes));
    }
    void terminated(ReadOutcome outcome) override {
      const std::unique_ptr<Piece> self(this);
      read_.ended(range().length_bytes, std::move(outcome));
    }

   private:
    Read& read_;
  };

  void send(ByteRange piece) {
    const Deadline deadline = time_.from_now();
    outer_.time_moved(deadline);
    origin_.inner_.issue_read(*new Piece(*this, piece, deadline));  // deletes itself
  }

  void ended(uint64_t asked_bytes, ReadOutcome outcome) {
    // What the first answer said of the file goes for all that came.
    if (!validator_before_) validator_before_ = outcome.validator_before;
    if (!size_before_) size_before_ = outcome.size_before;
    confirm_first_ = confirm_first_ || outcome.confirm_first;
    Result<uint64_t>& came = outcome.transferred_bytes;
    if (came.ok() && came.value() > asked_bytes) came = Error(EPROTO, "netfs.limited_read");
    const bool whole = came.ok() && came.value() == asked_bytes;
    if (came.ok()) {
      done_bytes_ += came.value();
      if (!whole) origin_.down_.give_back(asked_bytes - came.value());
    }
    if (whole && !outcome.hit_end_of_file && done_bytes_ < outer_.range().length_bytes) {
      if (!confirm_first_) outer_.progress(done_bytes_);
      go_on();
      return;
    }
    const std::unique_ptr<Read> self(this);
    // What came before an error is whole; who wants the rest asks again.
    if (came.ok() || done_bytes_ > 0) outcome.transferred_bytes = done_bytes_;
    outcome.validator_before = std::move(validator_before_);
    outcome.size_before = size_before_;
    outcome.confirm_first = confirm_first_;
    outer_.terminated(std::move(outcome));
  }

  LimitedOrigin& origin_;
  Subrequest& outer_;
  const PieceTime time_;
  uint64_t done_bytes_ = 0;
  std::optional<Validator> validator_before_;
  std::optional<uint64_t> size_before_;
  bool confirm_first_ = false;
};

LimitedOrigin::LimitedOrigin(Origin& inner) : inner_(inner) {
  if (OriginWriter* writer = inner.writer()) writer_ = std::make_unique<LimitedWriter>(*writer);
}

LimitedOrigin::~LimitedOrigin() = default;

void LimitedOrigin::limit(const Bandwidth& bandwidth) {
  down_.set(bandwidth.down);
  if (writer_) writer_->limit(bandwidth.up);
}

Bandwidth LimitedOrigin::limit() const {
  return {.up = writer_ ? writer_->limit() : 0, .down = down_.bytes_per_second()};
}

OriginWriter* LimitedOrigin::writer() {
  return writer_.get();
}

void LimitedOrigin::issue_read(Subrequest& subrequest) {
  if (down_.bytes_per_second() == 0) return inner_.issue_read(subrequest);
  (new Read(*this, subrequest))->go_on();
}

}  // namespace netfs
