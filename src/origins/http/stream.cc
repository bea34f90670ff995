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

Stream::Stream(ReadSide& side, ReadSource source) : side_(side), source_(std::move(source)) {}
Stream::~Stream() = default;

// Whether it was refused for lying too far beyond a place where the stream can be.
bool Stream::refused(Subrequest& subrequest, uint64_t from) const {
  const uint64_t offset = subrequest.range().offset_bytes;
  if (offset <= from || offset - from <= kSkipBytesMax) return false;
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
  const bool to_come = (download_ || complete_) && later_.empty() && offset >= window_begins;
  if (!to_come) {
    if (refused(subrequest, 0)) return;
    later_.push_back(&subrequest);
    if (readers_.empty()) begin_pass();
    return;
  }
  if (refused(subrequest, position_)) return;
  Reader reader{.subrequest = &subrequest};
  if (serve(reader, window_begins, window_)) return end_reader(reader, {});
  readers_.push_back(reader);
  if (!std::exchange(paused_, false)) return;
  side_.engine.resume(*download_);
}

void Stream::close() {
  drop_download();
}

void Stream::begin_pass() {
  drop_download();
  if (later_.empty()) return;
  for (Subrequest* subrequest : later_) readers_.push_back({.subrequest = subrequest});
  later_.clear();
  answer_ = {};
  make_room();
  download_ = make_ref<Download>(*this);
  side_.open_streams.push_back(this);
  watch();
  side_.engine.start(download_);
}

void Stream::make_room() {
  const size_t most = std::max<size_t>(side_.engine.settings().connections / 2, 1);
  const std::list<Stream*> open = side_.open_streams;
  for (Stream* stream : open) {
    if (side_.open_streams.size() < most) return;
    if (stream->readers_.empty() && stream->later_.empty()) stream->drop_download();
  }
}

void Stream::drop_download() {
  side_.open_streams.remove(this);
  position_ = 0;
  window_.clear();
  window_.shrink_to_fit();
  paused_ = complete_ = false;
  const Ref<Download> dropped = std::exchange(download_, nullptr);
  if (!dropped) return;
  dropped->leave();
  side_.engine.cancel(*dropped, Error(ECANCELED, "http.stream"));
}

Result<void> Stream::head_came(const ResponseHead& head) {
  answer_ = TRY(judge_answer(side_, source_, {}, head));
  if (!answer_.whole) return Error(EIO, "http.read", source_.url + ": a part, unasked");
  if (answer_.changed) return Error(ECANCELED, "http.read");
  return {};
}

Result<bool> Stream::bytes_came(std::span<const std::byte> bytes) {
  if (readers_.empty()) {
    paused_ = true;
    idle_since_ = side_.engine.now();
    return false;
  }
  if (bytes.size() > size_bytes() - position_) {
    return Error(EIO, "http.read", source_.url + ": the body is longer than the server said");
  }
  const uint64_t begin = position_;
  position_ += bytes.size();
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
      if (self->readers_.empty()) self->begin_pass();
    });
  }
  return true;
}

bool Stream::serve(Reader& reader, uint64_t begin, std::span<const std::byte> bytes) const {
  const ByteRange range = reader.subrequest->range();
  const uint64_t wanted_end = std::min(range.end_bytes(), size_bytes());
  const uint64_t from = reader.next_byte();
  const uint64_t to = std::min(wanted_end, begin + bytes.size());
  if (from >= begin && from < to) {
    std::memcpy(reader.subrequest->destination().data() + reader.got_bytes,
                bytes.data() + (from - begin), to - from);
    reader.got_bytes += to - from;
    reader.subrequest->progress(reader.got_bytes);
  }
  return reader.next_byte() == wanted_end;
}

void Stream::end_reader(const Reader& reader, const Result<void>& result) const {
  ReadOutcome outcome = outcome_of(result, reader.got_bytes, answer_);
  outcome.hit_end_of_file = result.ok() && reader.next_byte() == size_bytes();
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
  if (outcome.ok()) {
    side_.open_streams.remove(this);
    complete_ = true;
    paused_ = false;
    idle_since_ = side_.engine.now();
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
  if (download_ || complete_ || !readers_.empty()) watch();
}

}  // namespace netfs::origins::http
