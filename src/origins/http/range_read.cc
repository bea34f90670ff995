#include "origins/http/range_read.h"

#include <cstring>
#include <utility>

namespace netfs::origins::http {

namespace {

TransferRequest request_of(const FileState& file, const Subrequest& subrequest) {
  return {.method = Method::kGet,
          .url = file.source().url,
          .range = subrequest.range(),
          .if_range = file.source().edition.if_range,
          .deadline = subrequest.deadline()};
}

}  // namespace

void RangeRead::start(Ref<FileState> file, Subrequest& subrequest) {
  if (subrequest.range().empty()) return subrequest.terminated({});
  if (file->is_open() && !file->has_ranges()) {
    file->side().whole_read = true;
    return file->read_by_stream(subrequest);
  }
  Engine& engine = file->side().engine;
  engine.start(make_ref<RangeRead>(std::move(file), subrequest));
}

RangeRead::RangeRead(Ref<FileState> file, Subrequest& subrequest)
    : Transfer(request_of(*file, subrequest)), file_(std::move(file)), subrequest_(subrequest) {}

Result<void> RangeRead::head(const ResponseHead& head) {
  TRY(file_->open_by(head));
  answer_ = TRY(judge_answer(file_->side(), file_->source(), subrequest_.range(), head));
  if (head.status() == 206) {
    file_->side().ranges_ignored = false;
    file_->side().ranges_seen = true;
    file_->side().whole_read = false;
  }
  const uint64_t size = file_->source().edition.size_bytes;
  const ByteRange asked = subrequest_.range();
  if (answer_.whole && !answer_.changed && asked.offset_bytes == 0 && asked.end_bytes() >= size) {
    answer_.whole = false;
    answer_.range = {0, size};
    answer_.ends_file = true;
  }
  // Of neither is a byte wanted here: the transfer is cut, and ended() knows why.
  if (answer_.changed || answer_.whole) return Error(ECANCELED, "http.read");
  return {};
}

Result<Transfer::Taken> RangeRead::body(std::span<const std::byte> bytes) {
  // The text of a 416 is nobody's.
  if (answer_.range.empty()) {
    unwanted_bytes_ += bytes.size();
    if (unwanted_bytes_ <= kUnwantedBytesMax) return Taken::kAll;
    return Error(ECANCELED, "http.read");
  }
  if (bytes.size() > answer_.range.length_bytes - got_bytes_) {
    return Error(EIO, "http.read", file_->source().url + ": a longer part than the server said");
  }
  std::memcpy(subrequest_.destination().data() + got_bytes_, bytes.data(), bytes.size());
  got_bytes_ += bytes.size();
  subrequest_.progress(got_bytes_);
  return Taken::kAll;
}

void RangeRead::ended(Result<void> result) {
  if (answer_.whole && !answer_.changed) {
    file_->note_ranges_ignored();
    file_->side().whole_read = true;
    return file_->read_by_stream(subrequest_);
  }
  if (unwanted_bytes_ > kUnwantedBytesMax) result = {};
  const bool complete = got_bytes_ == answer_.range.length_bytes;
  // Promised by its head and then not sent: no connection that happened to be lost, more likely.
  const bool lost = result.ok() || result.is_error(ECONNRESET);
  if (lost && !complete && got_bytes_ == 0) {
    result = Error(EIO, "http.read", file_->source().url + ": a part without its bytes");
  }
  ReadOutcome outcome = outcome_of(file_->source(), result, got_bytes_, answer_);
  outcome.hit_end_of_file = complete && answer_.ends_file && outcome.transferred_bytes.ok();
  subrequest_.terminated(std::move(outcome));
}

}  // namespace netfs::origins::http
