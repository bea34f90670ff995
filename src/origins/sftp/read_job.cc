#include "origins/sftp/read_job.h"

#include <algorithm>

namespace netfs::origins::sftp {

namespace {
// Large enough that a packet's overhead is nothing, small enough that the first bytes of a
// subrequest come early.
constexpr uint64_t kPieceBytes = 128 * 1024;
}  // namespace

class ReadJob::Piece final : public Operation {
 public:
  Piece(ReadJob& job, ByteRange range, std::span<std::byte> to)
      : job_(job), range_(range), to_(to) {}

  [[nodiscard]] std::span<std::byte> destination() const override { return to_.subspan(done_); }
  void data_read(uint64_t bytes) override {
    // A server that answers without a byte would be asked for ever: it counts as the end of file.
    if (bytes == 0) hit_end_ = true;
    done_ += bytes;
    job_.piece_ended(*this);
  }
  void answered(PacketType type, Reader body) override {
    if (type != PacketType::kStatus) return job_.part_failed(Error(EIO, "sftp.read"));
    const Result<Status> status = decode_status(body);
    if (!status.ok()) return job_.part_failed(Error(EIO, "sftp.read"));
    if (status.value() != Status::kEof) {
      const int code = errno_of(status.value());
      return job_.part_failed(Error(code != 0 ? code : EIO, "sftp.read"));
    }
    hit_end_ = true;
    job_.piece_ended(*this);
  }
  void failed(const Error& error) override { job_.part_failed(error); }

  [[nodiscard]] ByteRange rest() const {
    return {range_.offset_bytes + done_, range_.length_bytes - done_};
  }
  [[nodiscard]] bool complete() const { return hit_end_ || done_ == range_.length_bytes; }
  [[nodiscard]] bool hit_end() const { return hit_end_; }
  [[nodiscard]] uint64_t done() const { return done_; }

 private:
  ReadJob& job_;
  const ByteRange range_;
  const std::span<std::byte> to_;
  uint64_t done_ = 0;
  bool hit_end_ = false;
};

class ReadJob::Stat final : public Operation {
 public:
  explicit Stat(ReadJob& job) : job_(job) {}
  void answered(PacketType type, Reader body) override {
    if (type == PacketType::kAttrs) {
      if (Result<NodeInfo> info = body.attributes(); info.ok()) {
        sync::MutexLock lock(job_.mutex_);
        job_.validator_ = std::move(info).value().validator;
      }
    }
    job_.part_ended();  // without it the library asks in another way
  }
  void failed(const Error& error) override { job_.part_failed(error); }

 private:
  ReadJob& job_;
};

ReadJob::ReadJob(Subrequest& subrequest) : subrequest_(subrequest) {}
ReadJob::~ReadJob() = default;

void ReadJob::fail(const Error& error) {
  ReadOutcome outcome;
  outcome.transferred_bytes = error;
  subrequest_.terminated(std::move(outcome));
}

void ReadJob::run(Ref<Connection> connection, std::string handle) {
  connection_ = std::move(connection);
  handle_ = std::move(handle);
  const ByteRange range = subrequest_.range();
  const uint64_t piece_max =
      std::min<uint64_t>(kPieceBytes, connection_->greeting().read_bytes_max);
  for (uint64_t at = 0; at < range.length_bytes; at += piece_max) {
    const uint64_t length = std::min(piece_max, range.length_bytes - at);
    pieces_.push_back(std::make_unique<Piece>(*this, ByteRange{range.offset_bytes + at, length},
                                              subrequest_.destination().subspan(at, length)));
  }
  stat_ = std::make_unique<Stat>(*this);
  ref_get();  // until finish()
  {
    sync::MutexLock lock(mutex_);
    under_way_ = 1;  // ours, so that it cannot finish before all is asked
  }
  for (const auto& piece : pieces_) ask(*piece);
  ask_stat();
  part_ended();
}

void ReadJob::ask(Piece& piece) {
  {
    sync::MutexLock lock(mutex_);
    ++under_way_;
  }
  const ByteRange rest = piece.rest();
  const bool asked = connection_->submit(
      piece, [&](Packet& out, uint32_t id) { append_read(out, id, handle_, rest); });
  if (!asked) part_failed(Error(ENOTCONN, "sftp.read"));
}

void ReadJob::ask_stat() {
  {
    sync::MutexLock lock(mutex_);
    ++under_way_;
    again_ = false;
  }
  const bool asked = connection_->submit(*stat_, [&](Packet& out, uint32_t id) {
    append_handle_request(out, PacketType::kFstat, id, handle_);
  });
  if (!asked) part_failed(Error(ENOTCONN, "sftp.read"));
}

void ReadJob::piece_ended(Piece& piece) {
  if (!piece.complete() && subrequest_.deadline().passed(connection_->now())) {
    // Short answers came again and again; each was in time, all together are not.
    sync::MutexLock lock(mutex_);
    if (!error_) error_ = Error(ETIMEDOUT, "sftp.read");
  } else if (!piece.complete()) {
    ask(piece);
    // An FSTAT already asked comes before these bytes.  Said after asking: ask_stat(), which takes
    // it back, may run beside us and would else come first with its request and last with this.
    sync::MutexLock lock(mutex_);
    again_ = true;
  } else {
    uint64_t in_order = 0;
    for (const auto& each : pieces_) {
      in_order += each->done();
      if (!each->complete() || each->hit_end()) break;
    }
    subrequest_.progress(in_order);
  }
  part_ended();
}

void ReadJob::part_failed(const Error& error) {
  {
    sync::MutexLock lock(mutex_);
    // The first, but for a part that came too late to be asked: what the server did to one that was
    // asked says more, and who hears of it first depends on threads.
    if (!error_ || error_->code() == ENOTCONN) error_ = error;
  }
  part_ended();
}

void ReadJob::part_ended() {
  bool stat_again = false;
  {
    sync::MutexLock lock(mutex_);
    if (--under_way_ > 0) return;
    stat_again = again_ && !error_;
    if (stat_again) ++under_way_;  // ours, while the FSTAT is asked
  }
  if (!stat_again) return finish();
  ask_stat();
  part_ended();
}

void ReadJob::finish() {
  connection_->bytes_wanted -= length_bytes();
  connection_->handles().unuse(handle_);
  ReadOutcome outcome;
  {
    sync::MutexLock lock(mutex_);
    outcome.validator_after = validator_;
    if (error_) outcome.transferred_bytes = *error_;
  }
  if (outcome.transferred_bytes.ok()) {
    uint64_t in_order = 0;
    for (const auto& piece : pieces_) {
      in_order += piece->done();
      if (piece->hit_end()) {
        outcome.hit_end_of_file = true;
        break;
      }
    }
    outcome.transferred_bytes = in_order;
  }
  subrequest_.terminated(std::move(outcome));
  ref_put();
}

}  // namespace netfs::origins::sftp
