#include "netfs/remote_file.h"

#include <algorithm>
#include <utility>

#include "netfs/offload.h"
#include "netfs/read_stream.h"

namespace netfs {

namespace {

constexpr uint32_t kBlockBytesWithoutCache = 64 << 10;

}  // namespace

RemoteFile::RemoteFile(Ref<LibraryCore> core, std::string key, FileVersion version,
                       Ref<Cookie> cookie)
    : core_(std::move(core)),
      key_(std::move(key)),
      version_(std::move(version)),
      cookie_(std::move(cookie)),
      block_bytes_(cookie_ ? cookie_->block_bytes() : kBlockBytesWithoutCache) {}

// Nobody holds a reference any more: no request, no subrequest, no work.
RemoteFile::~RemoteFile() {
  core_->forget_file(key_, this);
  core_->forget_handle(this);
  sync::MutexLock lock(mutex_);
  for (const auto& [begin, fetch] : table_.all()) {
    core_->memory.remove(*fetch);
    if (fetch->request_id == 0 && fetch->consumed_bytes == 0) {
      core_->stats.readahead_bytes_wasted.add(fetch->range.length_bytes);
    }
  }
}

std::unique_ptr<ReadStream> RemoteFile::open_stream() {
  return std::make_unique<ReadStream>();
}

bool RemoteFile::all_present(ByteRange range) const {
  const uint64_t first = range.offset_bytes / block_bytes_;
  const uint64_t count = (range.end_bytes() - 1) / block_bytes_ - first + 1;
  return cookie_->present(BlockIndex(first)) &&
         (count == 1 || cookie_->run_length(BlockIndex(first), count) >= count);
}

void RemoteFile::read(ReadStream* stream, ByteRange range, const sync::Context& context,
                      ReadDone done) {
  core_->stats.reads.issued.add();
  if (!asked_) asked_ = true;
  range = cut_at_end(range, version_.size_bytes);
  if (range.empty()) {
    core_->stats.reads.done.add();
    done(ReadResult{});
    return;
  }
  const MonoTime began = core_->now();
  const ReadaheadPlan plan = note(stream, range);
  if (!read_hit(range, done, began)) {
    const uint64_t id = core_->next_request_id.fetch_add(1, std::memory_order_relaxed);
    Ref<RemoteFile> self(this);
    start(make_ref<ReadRequest>(id, std::move(self), range, context, std::move(done), began,
                                began + core_->options.timeout));
  }
  if (!plan.ranges.empty()) read_ahead(*stream, plan);
}

// What to fetch beyond a read that is being answered.
ReadaheadPlan RemoteFile::note(ReadStream* stream, ByteRange range) const {
  const bool whole = cookie_ && cookie_->state() >= ObjectState::kComplete;
  if (stream == nullptr || !core_->options.readahead || whole) return {};
  return stream->note(range, readahead_limits());
}

ReadaheadLimits RemoteFile::readahead_limits() const {
  return {
      .file_bytes = version_.size_bytes,
      .window_bytes_max = core_->options.pool.budget_bytes() / 2,
      .link_bytes = core_->link.link_bytes(),
      .trip_bytes = core_->link.trip_bytes(),
      .reads_ahead = core_->capabilities.reads_ahead,
      .read_bytes_max = std::min<uint64_t>(core_->capabilities.read_bytes_max, kBufferBytesMax)};
}

std::optional<size_t> RemoteFile::read_at_once(ReadStream* stream, ByteRange range,
                                               std::span<std::byte> to) {
  range = cut_at_end(range, version_.size_bytes);
  if (!cookie_ || range.empty() || core_->closing || !all_present(range)) return std::nullopt;
  if (!read_present(range, to.first(range.length_bytes), core_->now())) return std::nullopt;
  core_->stats.reads.issued.add();
  if (!asked_) asked_ = true;
  const ReadaheadPlan plan = note(stream, range);
  if (!plan.ranges.empty()) read_ahead(*stream, plan);
  return range.length_bytes;
}

// All of it is in the cache and can be read without waiting for the disk.
bool RemoteFile::read_hit(ByteRange range, ReadDone& done, MonoTime began) {
  if (!cookie_ || range.length_bytes > kBufferBytesMax || core_->closing) return false;
  if (!all_present(range)) return false;
  Ref<Buffer> buffer = core_->options.pool.allocate_for_reader(range.length_bytes);
  if (!read_present(range, buffer->writable().first(range.length_bytes), began)) return false;
  ReadResult result;
  result.slices.push_back({std::move(buffer), 0, range.length_bytes});
  done(std::move(result));
  return true;
}

// Reads and counts a hit; false when it would wait or the cache is in trouble.
bool RemoteFile::read_present(ByteRange range, std::span<std::byte> to, MonoTime began) {
  LibraryStats& stats = core_->stats;
  stats.cache_reads.issued.add();
  const Result<void> read = cookie_->read(range.offset_bytes, to, Waiting::kNever);
  if (!read.ok()) {
    // EAGAIN is no failure: a request is made and its turn comes in the read pool.
    (read.is_error(EAGAIN) ? stats.cache_reads.done : stats.cache_reads.failed).add();
    return false;
  }
  stats.cache_reads.done.add();
  stats.reads.done.add();
  stats.hits.add();
  stats.bytes_cache.add(range.length_bytes);
  stats.hit_latency.record(core_->now() - began);
  return true;
}

Result<UniqueFd> RemoteFile::hand_out() {
  if (!cookie_) return Error(EBUSY, "netfs.hand_out");
  return cookie_->hand_out();
}

bool RemoteFile::sealed() const {
  if (!cookie_) return false;
  const ObjectState state = cookie_->state();
  return state == ObjectState::kSealed || state == ObjectState::kHandedOut;
}

void RemoteFile::supersede() {
  {
    sync::MutexLock lock(mutex_);
    superseded_ = true;
    if (discarded_) return;
    discarded_ = true;
  }
  core_->forget_file(key_, this);
  // After the stores of this version that are queued; stores that come later find it dead.
  if (cookie_) core_->offload().discard(cookie_);
}

void RemoteFile::end_request(ReadRequest& request, Error error) {
  FollowUp follow{Ref<RemoteFile>(this)};
  {
    sync::MutexLock lock(mutex_);
    if (request.finished) return;
    const MonoTime now = core_->now();
    for (const ReadPart& part : request.parts) {
      // What the origin has not answered in time is given up for those who come later, too.
      const bool expired = part.fetch && part.fetch->busy() && part.fetch->deadline <= now;
      if (expired && table_.erase(*part.fetch)) part.fetch->abandoned = true;
    }
    finish_locked(request, std::move(error), follow);
  }
  std::move(follow).run();
}

bool RemoteFile::close_idle_handle() {
  std::shared_ptr<OriginFile> closed;  // destroyed without the lock
  sync::MutexLock lock(mutex_);
  if (in_flight_ > 0 || !queued_.empty() || opening_) return false;
  closed = std::move(handle_);
  handle_ = nullptr;
  handle_confirmed_ = false;
  lock.unlock();
  return true;
}

void RemoteFile::drop(Fetch& fetch) {
  sync::MutexLock lock(mutex_);
  if (!table_.erase(fetch)) return;
  if (fetch.request_id == 0 && fetch.consumed_bytes == 0) {
    core_->stats.readahead_bytes_wasted.add(fetch.range.length_bytes);
  }
}

void RemoteFile::forget_racy() {
  std::vector<Ref<Fetch>> racy;
  sync::MutexLock lock(mutex_);
  handle_old_ = handle_old_ || (handle_racy_ && handle_ && handle_->holds_bytes());
  for (const auto& [begin, fetch] : table_.all()) {
    if (fetch->racy) racy.push_back(fetch);
  }
  for (const Ref<Fetch>& fetch : racy) {
    table_.erase(*fetch);
    fetch->abandoned = true;  // of what is on its way, only those have the bytes who wait already
    core_->memory.remove(*fetch);
  }
}

void RemoteFile::store(Fetch& fetch) {
  const BlockIndex first(fetch.range.offset_bytes / block_bytes_);
  core_->offload().store({.cookie = cookie_,
                          .first = first,
                          .data = fetch.slice(fetch.range),
                          .ticket = fetch.ticket});
}

std::string RemoteFile::what_it_waits_for(const ReadRequest& request) const {
  sync::MutexLock lock(mutex_);
  if (request.finished) return "its answer to be taken";
  unsigned origin = 0;
  unsigned cache = 0;
  const Fetch* first = nullptr;
  for (const ReadPart& part : request.parts) {
    if (part.done) continue;
    if (!part.fetch) {
      ++cache;
      continue;
    }
    ++origin;
    if (first == nullptr) first = part.fetch.get();
  }
  std::string text;
  if (origin > 0) {
    text = "origin " + std::to_string(origin) + " of " + std::to_string(request.parts.size());
    switch (first->state) {
      case FetchState::kQueued:
        text += opening_ ? " (opening the file)" : " (queued)";
        break;
      case FetchState::kBackingOff:
        text += " (retry after failure " + std::to_string(first->failures) + ")";
        break;
      case FetchState::kConfirming:
        text += " (confirming the version)";
        break;
      case FetchState::kInFlight:
      case FetchState::kFilled:
      case FetchState::kFailed:
        break;
    }
  }
  if (cache > 0) text += (text.empty() ? "cache " : ", cache ") + std::to_string(cache);
  return text.empty() ? "collection" : text;
}

ReadRequest::ReadRequest(uint64_t number, Ref<RemoteFile> of, ByteRange asked,
                         const sync::Context& asker, ReadDone answer, MonoTime now, MonoTime until)
    : Request(number, asked, asker, now, until), file(std::move(of)), done(std::move(answer)) {}

ReadRequest::~ReadRequest() = default;

void ReadRequest::end(Error error) {
  file->end_request(*this, std::move(error));
}

MonoTime ReadRequest::waits_until() const {
  return file->waits_until(*this);
}
std::string ReadRequest::path() const {
  return file->version().path;
}

std::string ReadRequest::what_it_waits_for() const {
  return file->what_it_waits_for(*this);
}

}  // namespace netfs
