#include "netfs/limited_writer.h"

#include <cerrno>
#include <memory>
#include <utility>

#include "netfs/limited_origin.h"

namespace netfs {

// A write that goes piece by piece; deletes itself when it ends.
class LimitedWriter::Write {
 public:
  Write(LimitedWriter& writer, WriteSubrequest& outer)
      : writer_(writer), outer_(outer), time_(outer.deadline()) {}

  void go_on() {
    const ByteRange whole = outer_.range();
    const ByteRange rest{whole.offset_bytes + done_bytes_, whole.length_bytes - done_bytes_};
    const ByteRange piece = paced_piece(rest, writer_.up_.bytes_per_second());
    outer_.time_moved(Deadline::never());
    writer_.up_.wait(piece.length_bytes, [this, piece] { send(piece); });
  }

 private:
  class Piece final : public WriteSubrequest {
   public:
    Piece(Write& write, ByteRange range, Deadline deadline)
        : WriteSubrequest(write.outer_.file(), range,
                          write.outer_.source().subspan(write.done_bytes_, range.length_bytes),
                          write.wants(range.length_bytes), deadline),
          write_(write) {}

    void terminated(WriteOutcome outcome) override {
      const std::unique_ptr<Piece> self(this);
      write_.ended(range().length_bytes, std::move(outcome));
    }

   private:
    Write& write_;
  };

  void send(ByteRange piece) {
    const Deadline deadline = time_.from_now();
    outer_.time_moved(deadline);
    writer_.inner_.issue_write(*new Piece(*this, piece, deadline));  // deletes itself
  }

  // Of the first piece what was before it, of the last what is after it.
  [[nodiscard]] WantsSeen wants(uint64_t piece_bytes) const {
    const bool last = done_bytes_ + piece_bytes == outer_.range().length_bytes;
    return {.before = outer_.wants().before && done_bytes_ == 0,
            .after = outer_.wants().after && last};
  }

  void ended(uint64_t asked_bytes, WriteOutcome outcome) {
    Result<uint64_t>& went = outcome.transferred_bytes;
    if (went.ok() && went.value() > asked_bytes) went = Error(EPROTO, "netfs.limited_write");
    const bool whole = went.ok() && went.value() == asked_bytes;
    if (done_bytes_ == 0) before_ = std::move(outcome.seen.before);
    if (went.ok()) done_bytes_ += went.value();
    if (whole && done_bytes_ < outer_.range().length_bytes) return go_on();
    const std::unique_ptr<Write> self(this);
    outcome.seen.before = std::move(before_);
    // What went before an error is there; the rest is tried again.
    if (went.ok() || done_bytes_ > 0) outcome.transferred_bytes = done_bytes_;
    outer_.terminated(std::move(outcome));
  }

  LimitedWriter& writer_;
  WriteSubrequest& outer_;
  const PieceTime time_;
  uint64_t done_bytes_ = 0;
  std::optional<Validator> before_;
};

void LimitedWriter::issue_write(WriteSubrequest& subrequest) {
  if (up_.bytes_per_second() == 0) return inner_.issue_write(subrequest);
  (new Write(*this, subrequest))->go_on();
}

}  // namespace netfs
