#include "origins/sftp/write_job.h"

#include <algorithm>
#include <utility>

namespace netfs::origins::sftp {

SftpWriteFile::~SftpWriteFile() {
  const Ref<Connection> there = connection();
  if (there && there->handles().remove(handle_)) there->submit_close(handle_);
}

Ref<Connection> SftpWriteFile::connection() const {
  Ref<Connection> there = pool_.find(serial_);
  if (there && !there->up()) return nullptr;
  return there;
}

class WriteJob::Piece final : public Operation {
 public:
  Piece(WriteJob& job, uint64_t offset, std::span<const std::byte> from)
      : job_(job), offset_bytes_(offset), from_(from) {}

  void answered(PacketType type, Reader body) override {
    const Result<Status> status =
        type == PacketType::kStatus ? decode_status(body) : Error(EIO, "sftp.write");
    if (!status.ok()) {
      error_ = status.error();
    } else if (status.value() != Status::kOk) {
      const int code = errno_of(status.value());
      error_ = Error(code != 0 ? code : EIO, "sftp.write");
      unexplained_ = status.value() == Status::kFailure;
    }
    job_.part_ended();
  }
  void failed(const Error& error) override {
    error_ = error;
    job_.part_ended();
  }
  bool submit() {
    return job_.connection_->submit(*this, [this](Packet& out, uint32_t id) {
      append_write(out, id, job_.handle_, offset_bytes_, from_);
    });
  }

  [[nodiscard]] const std::optional<Error>& error() const { return error_; }
  [[nodiscard]] bool unexplained() const { return unexplained_; }
  [[nodiscard]] uint64_t length_bytes() const { return from_.size(); }

 private:
  WriteJob& job_;
  const uint64_t offset_bytes_;
  const std::span<const std::byte> from_;
  std::optional<Error> error_;
  bool unexplained_ = false;
};

class WriteJob::Stat final : public Operation {
 public:
  explicit Stat(WriteJob& job) : job_(job) {}
  void answered(PacketType type, Reader body) override {
    if (type == PacketType::kAttrs) {
      if (Result<NodeInfo> got = body.attributes(); got.ok()) info = std::move(got).value();
    }
    job_.part_ended();  // without it nothing was seen
  }
  void failed(const Error& /*error*/) override { job_.part_ended(); }
  std::optional<NodeInfo> info;

 private:
  WriteJob& job_;
};

class WriteJob::Why final : public Operation {
 public:
  explicit Why(WriteJob& job) : job_(job) {}
  void answered(PacketType type, Reader body) override {
    if (type == PacketType::kExtendedReply) code = why_full(body);
    job_.part_ended();
  }
  void failed(const Error& /*error*/) override { job_.part_ended(); }
  int code = 0;

 private:
  WriteJob& job_;
};

WriteJob::WriteJob(WriteSubrequest& subrequest, Ref<Connection> connection, std::string handle,
                   std::string root)
    : subrequest_(subrequest),
      connection_(std::move(connection)),
      handle_(std::move(handle)),
      root_(std::move(root)) {}
WriteJob::~WriteJob() = default;

bool WriteJob::submit_stat(Stat& stat) {
  return connection_->submit(stat, [this](Packet& out, uint32_t id) {
    append_handle_request(out, PacketType::kFstat, id, handle_);
  });
}

void WriteJob::run() {
  const ByteRange range = subrequest_.range();
  const uint64_t piece_max = std::max<uint64_t>(1, connection_->greeting().write_bytes_max);
  for (uint64_t at = 0; at < range.length_bytes; at += piece_max) {
    const uint64_t length = std::min(piece_max, range.length_bytes - at);
    pieces_.push_back(std::make_unique<Piece>(*this, range.offset_bytes + at,
                                              subrequest_.source().subspan(at, length)));
  }
  if (subrequest_.wants().before) before_ = std::make_unique<Stat>(*this);
  if (subrequest_.wants().after) after_ = std::make_unique<Stat>(*this);
  ref_get();  // until finish()
  {
    sync::MutexLock lock(mutex_);
    // Ours as well, so that it cannot finish before all is asked.
    under_way_ = 1 + static_cast<unsigned>(pieces_.size()) + (before_ ? 1 : 0) + (after_ ? 1 : 0);
  }
  const Error lost(ENOTCONN, "sftp.write");
  if (before_ && !submit_stat(*before_)) before_->failed(lost);
  for (const auto& piece : pieces_) {
    if (!piece->submit()) piece->failed(lost);
  }
  if (after_ && !submit_stat(*after_)) after_->failed(lost);
  part_ended();
}

void WriteJob::part_ended() {
  bool ask_why = false;
  {
    sync::MutexLock lock(mutex_);
    if (--under_way_ > 0) return;
    ask_why = !why_ && connection_->greeting().version.statvfs &&
              std::any_of(pieces_.begin(), pieces_.end(),
                          [](const auto& piece) { return piece->unexplained(); });
    if (ask_why) {
      why_ = std::make_unique<Why>(*this);
      under_way_ = 1;
    }
  }
  if (!ask_why) return finish();
  const bool asked = connection_->submit(*why_, [this](Packet& out, uint32_t id) {
    append_extended(out, id, "statvfs@openssh.com", root_);
  });
  if (!asked) why_->failed(Error(ENOTCONN, "sftp.write"));
}

void WriteJob::finish() {
  WriteOutcome outcome;
  uint64_t in_order = 0;
  for (const auto& piece : pieces_) {
    if (const std::optional<Error>& error = piece->error()) {
      Error told = *error;
      if (piece->unexplained() && why_ && why_->code != 0) told = Error(why_->code, "sftp.write");
      // What came before it is written; the next attempt hears of the rest.  Of a connection that
      // is lost nothing is known.
      if (in_order == 0 || told.code() == ENOTCONN) outcome.transferred_bytes = told;
      break;
    }
    in_order += piece->length_bytes();
  }
  if (outcome.transferred_bytes.ok()) outcome.transferred_bytes = in_order;
  if (before_ && before_->info) outcome.seen.before = before_->info->validator;
  if (after_ && after_->info) outcome.seen.after = std::move(after_->info);
  subrequest_.terminated(std::move(outcome));
  ref_put();
}

}  // namespace netfs::origins::sftp
