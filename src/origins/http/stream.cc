#include "origins/http/stream.h"

#include <algorithm>
#include <cstring>
#include <spdlog/fmt/fmt.h>

#include "origins/http/transfer.h"

namespace netfs::origins::http {

namespace {

// Readahead issues pieces of a MiB from several threads: one may come after the next.
constexpr size_t kWindowBytes = size_t{4} << 20;
// A connection on which nobody reads is given up after this: who reads slowly would else have the
// file sent from its start again and again.
constexpr Duration kIdleMax = std::chrono::seconds(55);
// The end of a file that has come whole is kept this long.
constexpr Duration kKeepEnd = std::chrono::seconds(5);
constexpr size_t kKeptEndBytes = size_t{1} << 20;
constexpr Duration kGranule = std::chrono::seconds(1);  // of Last-Modified
// Who reads behind somebody who was served within this gets a download of his own.
constexpr Duration kJustRead = std::chrono::seconds(5);
// So long the version that a strong head names goes for what comes behind it, as behind a range's.
constexpr Duration kHeadSpeaks = std::chrono::seconds(1);
constexpr Duration kWatchEvery = std::chrono::seconds(1);

}  // namespace

// The whole file on its way.
class Stream::Download final : public Transfer {
 public:
  explicit Download(Stream& stream)
      : Transfer({.method = Method::kGet, .url = stream.source_.url}), stream_(&stream) {}

  Result<void> head(const ResponseHead& head) override {
    return stream_ ? stream_->head_came(head) : Error(ECANCELED, "http.stream");
  }
  Result<Taken> body(std::span<const std::byte> bytes) override {
    if (!stream_) return Error(ECANCELED, "http.stream");
    return TRY(stream_->bytes_came(bytes)) ? Taken::kAll : Taken::kPause;
  }
  void ended(Result<void> result) override {
    if (const Ref<Stream> stream = std::move(stream_)) stream->download_ended(result);
  }
  // Nothing more is told.
  void leave() { stream_ = nullptr; }

 private:
  Ref<Stream> stream_;
};

Stream::Stream(ReadSide& side, ReadSource source)
    : side_(side), source_(std::move(source)), record_(side.records->of(source_)) {}
Stream::~Stream() = default;

// Whether it was refused for lying too far beyond what was read, or for costing too much.
bool Stream::refused(Subrequest& subrequest, bool new_pass) const {
  const uint64_t offset = subrequest.range().offset_bytes;
  const uint64_t from = std::max(record_->furthest_byte, new_pass ? 0 : position_);
  const bool too_far = offset > from && offset - from > kSkipBytesMax;
  if (!too_far && !(new_pass && record_->wasteful(subrequest.range()))) return false;
  ReadOutcome outcome;
  outcome.transferred_bytes =
      Error(EOPNOTSUPP, "http.read",
            fmt::format("{}: the server has no ranges, and byte {} is too far from what was read",
                        source_.url, offset));
  subrequest.terminated(std::move(outcome));
  return true;
}

void Stream::add(Subrequest& subrequest) {
  const uint64_t offset = subrequest.range().offset_bytes;
  if (offset >= size_bytes()) {
    return subrequest.terminated({.transferred_bytes = uint64_t{0}, .hit_end_of_file = true});
  }
  const uint64_t window_begins = position_ - window_.size();
  if (!comes_by(offset)) {
    if (refused(subrequest, true)) return;
    later_.push_back(&subrequest);
    if (readers_.empty()) begin_pass();
    return;
  }
  if (refused(subrequest, false)) return;
  Reader reader{.subrequest = &subrequest};
  if (serve(reader, window_begins, window_)) return end_reader(reader, {});
  readers_.push_back(reader);
  if (!std::exchange(paused_, false)) return;
  side_.engine.resume(*download_);
}

bool Stream::comes_by(uint64_t offset) const {
  const bool any = (download_ || complete_) && later_.empty();
  return any && offset >= position_ - window_.size();
}

bool Stream::is_read() const {
  if (!download_) return false;
  return !readers_.empty() || (served_at_ && side_.engine.now() < *served_at_ + kJustRead);
}

std::optional<MonoTime> Stream::idle_since() const {
  if (!paused_ || !readers_.empty() || !later_.empty()) return std::nullopt;
  return idle_since_;
}

void Stream::close() {
  drop_download();
  if (readers_.empty() && later_.empty()) side_.turns.leave(*this);
}

void Stream::begin_pass() {
  drop_download();
  if (later_.empty()) return side_.turns.leave(*this);
  watch();
  side_.turns.ask(*this);
}

void Stream::turn_came() {
  if (later_.empty()) return side_.turns.end(*this);
  for (Subrequest* subrequest : later_) readers_.push_back({.subrequest = subrequest});
  later_.clear();
  answer_ = {};
  stood_still_ = false;
  download_ = make_ref<Download>(*this);
  side_.engine.start(download_);
}

void Stream::drop_download() {
  position_ = 0;
  window_.clear();
  window_.shrink_to_fit();
  paused_ = complete_ = false;
  const Ref<Stream> self(this);
  if (const Ref<Download> dropped = std::exchange(download_, nullptr)) {
    dropped->leave();
    side_.engine.cancel(*dropped, Error(ECANCELED, "http.stream"));
  }
  side_.turns.end(*this);
}

Result<void> Stream::head_came(const ResponseHead& head) {
  answer_ = TRY(judge_answer(side_, source_, {}, head));
  if (!answer_.whole) return Error(EIO, "http.read", source_.url + ": a part, unasked");
  if (answer_.changed) return Error(ECANCELED, "http.read");
  head_came_at_ = side_.engine.now();
  return {};
}

// Whether what comes now is of the version that the head has named, as far as it is of what comes
// behind the head of a range.  A server goes on with whatever is in the file by then: what was
// written over in place while the stream stood still comes under the old head.
bool Stream::head_speaks() const {
  // Nothing can be asked while it comes; once it stands still, who asks ends it.
  if (side_.engine.settings().connections == 1) return answer_.validator || !stood_still_;
  if (stood_still_) return false;
  return answer_.validator && side_.engine.now() - head_came_at_ < kHeadSpeaks;
}

Result<bool> Stream::bytes_came(std::span<const std::byte> bytes) {
  if (readers_.empty()) {
    paused_ = stood_still_ = true;
    idle_since_ = side_.engine.now();
    // Not from here: we are inside libcurl.
    side_.engine.post([self = Ref<Stream>(this)] { self->side_.turns.make_room(); });
    return false;
  }
  if (bytes.size() > size_bytes() - position_) {
    return Error(EIO, "http.read", source_.url + ": the body is longer than the server said");
  }
  const uint64_t begin = position_;
  position_ += bytes.size();
  record_->passed_bytes += bytes.size();
  if (window_.size() >= 2 * kWindowBytes) {
    window_.erase(window_.begin(), window_.end() - static_cast<ptrdiff_t>(kWindowBytes));
  }
  window_.insert(window_.end(), bytes.begin(), bytes.end());
  std::vector<Reader> complete;
  std::erase_if(readers_, [&](Reader& reader) {
    const bool has_all = serve(reader, begin, bytes);
    if (has_all) complete.push_back(reader);
    return has_all;
  });
  for (const Reader& reader : complete) end_reader(reader, {});
  if (readers_.empty() && !later_.empty()) {
    // Not from here: we are inside libcurl.
    side_.engine.post([self = Ref<Stream>(this)] {
      if (self->readers_.empty() && !self->later_.empty()) self->begin_pass();
    });
  }
  return true;
}

bool Stream::serve(Reader& reader, uint64_t begin, std::span<const std::byte> bytes) {
  const ByteRange range = reader.subrequest->range();
  const uint64_t wanted_end = std::min(range.end_bytes(), size_bytes());
  const uint64_t from = reader.next_byte();
  const uint64_t to = std::min(wanted_end, begin + bytes.size());
  if (from >= begin && from < to) {
    std::memcpy(reader.subrequest->destination().data() + reader.got_bytes,
                bytes.data() + (from - begin), to - from);
    reader.got_bytes += to - from;
    record_->delivered_bytes += to - from;
    record_->furthest_byte = std::max(record_->furthest_byte, to);
    served_at_ = side_.engine.now();
    if (head_speaks()) reader.subrequest->progress(reader.got_bytes);
  }
  return reader.next_byte() == wanted_end;
}

void Stream::end_reader(const Reader& reader, const Result<void>& result) const {
  ReadOutcome outcome = outcome_of(source_, result, reader.got_bytes, answer_);
  outcome.hit_end_of_file = result.ok() && reader.next_byte() == size_bytes();
  if (!answer_.changed && !head_speaks()) {
    outcome.validator_after = std::nullopt;
    outcome.confirm_first = true;
  }
  reader.subrequest->terminated(std::move(outcome));
}

void Stream::download_ended(const Result<void>& result) {
  Result<void> outcome = result;
  const bool lost = outcome.ok() || (outcome.is_error(ECONNRESET) && answer_.whole);
  if (lost && position_ != size_bytes()) {
    outcome = Error(position_ == 0 ? EIO : ECONNRESET, "http.read",
                    source_.url + ": the body is shorter than the server said");
  }
  download_ = nullptr;
  // Where the version could hide a change, who comes later may be of another open: he is sent it
  // anew.
  const bool hides = is_racy(source_.edition.validator, kGranule, {side_.engine.wall_seconds(), 0});
  if (outcome.ok() && !hides) {
    complete_ = true;
    paused_ = false;
    idle_since_ = side_.engine.now();
    if (window_.size() > kKeptEndBytes) {
      window_ = std::vector<std::byte>(window_.end() - static_cast<ptrdiff_t>(kKeptEndBytes),
                                       window_.end());
    }
    side_.turns.end(*this);
  } else {
    drop_download();
  }
  std::vector<Reader> readers;
  readers.swap(readers_);
  for (const Reader& reader : readers) end_reader(reader, outcome);
  if (!later_.empty()) begin_pass();
}

void Stream::watch() {
  if (std::exchange(watched_, true)) return;
  side_.engine.post_at(side_.engine.now() + kWatchEvery, [self = Ref<Stream>(this)] {
    self->watched_ = false;
    self->check_deadlines();
  });
}

void Stream::check_deadlines() {
  const MonoTime now = side_.engine.now();
  std::vector<Reader> late;
  std::erase_if(readers_, [&](const Reader& reader) {
    const bool is_late = reader.subrequest->deadline().passed(now);
    if (is_late) late.push_back(reader);
    return is_late;
  });
  std::erase_if(later_, [&](Subrequest* subrequest) {
    const bool is_late = subrequest->deadline().passed(now);
    if (is_late) late.push_back({.subrequest = subrequest});
    return is_late;
  });
  if (readers_.empty() && !later_.empty()) {
    begin_pass();
  } else if (readers_.empty()) {
    // A server that was too slow, or that nobody has asked for long.
    const bool idle =
        (paused_ && now - idle_since_ >= kIdleMax) || (complete_ && now - idle_since_ >= kKeepEnd);
    if (!late.empty() || idle) drop_download();
  }
  for (const Reader& reader : late) end_reader(reader, Error(ETIMEDOUT, "http.read"));
  if (later_.empty() && readers_.empty() && !download_) side_.turns.leave(*this);
  if (download_ || complete_ || !readers_.empty() || !later_.empty()) watch();
}

}  // namespace netfs::origins::http
