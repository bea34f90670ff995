#include "journal/journal_log.h"

#include <algorithm>

#include "telemetry/log.h"

namespace netfs::journal {

JournalLog::JournalLog(Options options, std::unique_ptr<cachefiles::DiskFile> owner)
    : options_(std::move(options)), owner_(std::move(owner)) {}

Result<std::unique_ptr<JournalLog>> JournalLog::open(Options options, const RecordSink& sink) {
  if (options.volume_key.size() > kVolumeKeyBytesMax) {
    return Error(ENAMETOOLONG, "journal.open");
  }
  cachefiles::Disk& disk = options.disk;
  const Result<void> made = disk.make_directory(options.directory);
  if (!made.ok() && !made.is_error(EEXIST)) return made.error();
  std::unique_ptr<cachefiles::DiskFile> owner = TRY(disk.lock(options.directory + "/lock"));
  Scanned scanned = TRY(
      scan_journal(disk, options.directory, options.volume_key, ScanFor::kUse, sink, options.form));
  // Whoever made a segment in it has done that.
  if (scanned.segments.empty()) {
    const size_t slash = options.directory.rfind('/');
    TRY(disk.sync_directory(slash == std::string::npos ? "." : options.directory.substr(0, slash)));
  }
  std::unique_ptr<JournalLog> log(new JournalLog(std::move(options), std::move(owner)));
  log->damage_ = scanned.damage;
  // Also after a journal that is gone: what was cached by its validators must not be believed.
  const Timestamp now = log->options_.clock.wall();
  const auto microseconds = static_cast<uint64_t>(now.seconds) * 1'000'000 + now.nanoseconds / 1000;
  log->generation_ = std::max(scanned.generation + 1, microseconds);
  SegmentRef fresh = TRY(log->go_on_behind(scanned));
  // Of processes that have changed nothing; one that comes back is as empty then.
  std::erase_if(scanned.segments, [&](const SegmentRef& segment) {
    return segment->is_empty() && !segment->keep && log->options_.disk.remove(segment->path).ok();
  });
  {
    sync::MutexLock lock(log->mutex_);
    log->segments_.assign(scanned.segments.begin(), scanned.segments.end());
    log->segments_.push_back(std::move(fresh));
    log->end_bytes_ = kSegmentHeaderBytes;
    log->next_sequence_ = scanned.next_sequence;
    // After a kill what was read may never have been on the disk, but for what is known to be.
    log->durable_ = scanned.durable;
    if (log->durable_ + 1 < scanned.next_sequence) {
      log->oldest_unsynced_ = log->options_.clock.now();
    }
  }
  if (log->options_.sync_after > Duration(0)) {
    log->timer_ = sync::Thread("netfs-journal", [raw = log.get()] { raw->run(); });
  }
  return log;
}

// The segment for what comes.  Users wait for whoever takes over, so nothing is synced for it; but
// of two segments that may both be gone after a power cut the later one alone must not be there.
Result<SegmentRef> JournalLog::go_on_behind(const Scanned& scanned) {
  if (scanned.last_begins > scanned.durable) TRY(options_.disk.sync_directory(options_.directory));
  for (const SegmentRef& segment : scanned.segments) {
    segment->named = segment->last_sequence <= scanned.durable;
  }
  const auto make = [&] {
    return make_segment(scanned.next_number, scanned.next_sequence, 0, Durable::kWithRecords);
  };
  Result<SegmentRef> made = make();
  if (!made.is_error(ENOSPC) && !made.is_error(EDQUOT)) return made;
  // What a process before this one had kept for itself and not used.
  for (const SegmentRef& segment : scanned.segments) {
    if (segment->is_empty()) (void)segment->file->truncate(kSegmentHeaderBytes);
  }
  return make();
}

JournalLog::~JournalLog() {
  SegmentRef last;
  uint64_t end = 0;
  {
    sync::MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    if (!segments_.empty() && !broken_) last = segments_.back();
    end = end_bytes_;
  }
  timer_.join();
  const Result<void> synced = sync(last_sequence());
  // What it does not need is given back.
  if (last && synced.ok() && !finished_) (void)last->file->truncate(end);
}

// Gone for good, or kept under a name that is no segment's.
Result<void> JournalLog::remove_segment(const Segment& segment) {
  cachefiles::Disk& disk = options_.disk;
  const Result<void> gone = segment.keep ? disk.rename(segment.path, segment.path + ".damaged")
                                         : disk.remove(segment.path);
  if (!gone.ok() && !gone.is_error(ENOENT)) return gone;
  return disk.sync_directory(options_.directory);
}

void JournalLog::finish() {
  if (!sync(last_sequence()).ok()) return;
  std::deque<SegmentRef> all;
  {
    sync::MutexLock lock(mutex_);
    while (syncing_ || rotating_ || !writing_.empty()) changed_.wait(mutex_);
    if (broken_) return;
    all = segments_;
    finished_ = true;
  }
  for (const SegmentRef& segment : all) {
    const Result<void> gone = remove_segment(*segment);
    if (gone.ok()) continue;
    telemetry::log_warn("journal", "{} stays: {}", segment->path, gone.error().message());
    return;
  }
}

// Named and whole before a record can be in it.
Result<SegmentRef> JournalLog::make_segment(uint64_t number, uint64_t first_sequence,
                                            uint64_t needed, Durable when) {
  SegmentRef segment = std::make_shared<Segment>();
  segment->path = segment_path(options_.directory, number);
  segment->number = number;
  cachefiles::Disk& disk = options_.disk;
  segment->file = TRY(disk.open(segment->path, cachefiles::OpenMode::kCreateNew));
  const uint64_t least =
      std::max(kSegmentBytesLeast, needed + kSegmentHeaderBytes + kProgressBytes);
  // Where much is owed, a whole segment's room besides.
  const bool is_much = needed > options_.segment_bytes / 2;
  segment->size_bytes =
      is_much ? least + options_.segment_bytes : std::max(options_.segment_bytes, least);
  Result<void> made = segment->file->allocate(segment->size_bytes);
  if ((made.is_error(ENOSPC) || made.is_error(EDQUOT)) && segment->size_bytes > least) {
    segment->size_bytes = least;
    made = segment->file->allocate(least);
  }
  if (made.ok()) {
    const std::string header = encode_segment_header({.number = number,
                                                      .generation = generation_,
                                                      .first_sequence = first_sequence,
                                                      .volume_key = options_.volume_key,
                                                      .form = options_.form});
    made = segment->file->write(0, bytes_of(header));
  }
  segment->named = when == Durable::kNow;
  if (made.ok() && segment->named) made = segment->file->sync_data();
  if (made.ok() && segment->named) made = disk.sync_directory(options_.directory);
  if (!made.ok()) {
    (void)disk.remove(segment->path);
    return made.error();
  }
  return segment;
}

Result<void> JournalLog::usable_locked() const {
  if (broken_) return Error(EIO, broken_->context(), broken_->detail());
  return {};
}

uint64_t JournalLog::free_locked(For what) const {
  const uint64_t taken =
      end_bytes_ + kept_bytes_ + (what == For::kChange ? kProgressBytes + owed_bytes_ : 0);
  const uint64_t size = segments_.back()->size_bytes;
  return taken < size ? size - taken : 0;
}

Result<JournalLog::Room> JournalLog::make_room(uint64_t bytes, For what) {
  sync::MutexLock lock(mutex_);
  for (;;) {
    TRY(usable_locked());
    if (free_locked(what) >= bytes) break;
    if (rotating_) {
      changed_.wait(mutex_);
      continue;
    }
    TRY(rotate(bytes));
  }
  kept_bytes_ += bytes;
  return Room(*this, bytes);
}

// A new segment for what comes, rooms that are kept included.  One at a time.
Result<void> JournalLog::rotate(uint64_t needed) {
  // Nothing is in it and it is all kept: whoever keeps it will use it or give it back.
  if (end_bytes_ == kSegmentHeaderBytes && kept_bytes_ > 0) {
    changed_.wait(mutex_);
    return {};
  }
  rotating_ = true;
  const uint64_t number = segments_.back()->number + 1;
  const uint64_t first = next_sequence_;
  const uint64_t bytes = needed + kept_bytes_ + owed_bytes_;
  mutex_.unlock();
  Result<SegmentRef> made = make_segment(number, first, bytes, Durable::kNow);
  mutex_.lock();
  rotating_ = false;
  changed_.notify_all();
  if (!made.ok()) return made.error();
  segments_.push_back(std::move(made).value());
  end_bytes_ = kSegmentHeaderBytes;
  return {};
}

void JournalLog::give_back(uint64_t bytes) {
  sync::MutexLock lock(mutex_);
  kept_bytes_ -= bytes;
  changed_.notify_all();
}

RecordPlace JournalLog::append(Room& room, Record& record, size_t body_bytes, size_t data_bytes) {
  const uint64_t bytes = record_bytes(body_bytes, data_bytes);
  NETFS_ASSERT(bytes <= room.bytes_);
  sync::MutexLock lock(mutex_);
  // What was kept for it may have been kept in the segment before; there was room in this for it.
  NETFS_ASSERT(end_bytes_ + bytes <= segments_.back()->size_bytes);
  room.bytes_ -= bytes;
  kept_bytes_ -= bytes;
  record.sequence = next_sequence_++;
  record.durable = durable_;
  RecordPlace place{segments_.back(), end_bytes_, record.sequence,
                    static_cast<uint32_t>(body_bytes), static_cast<uint32_t>(data_bytes)};
  end_bytes_ += bytes;
  place.segment->last_sequence = record.sequence;
  writing_.insert(record.sequence);
  if (oldest_unsynced_ == MonoTime::max()) oldest_unsynced_ = options_.clock.now();
  return place;
}

Result<void> JournalLog::write(const RecordPlace& place, const Record& record,
                               std::string_view body, std::span<const std::byte> data) {
  const EncodedRecord encoded = encode_record(record, body, data);
  cachefiles::DiskFile& file = *place.segment->file;
  // The front last: a record without its data is then none.
  const uint64_t behind = place.offset + encoded.front.size();
  Result<void> written = data.empty() ? Result<void>() : file.write(behind, data);
  if (written.ok()) written = file.write(place.offset, bytes_of(encoded.front));
  sync::MutexLock lock(mutex_);
  writing_.erase(place.sequence);
  changed_.notify_all();
  if (!written.ok() && !broken_) {
    broken_ = written.error();
    telemetry::log_error("journal", "{}: {}; nothing more can be changed", options_.directory,
                         written.error().message());
  }
  return usable_locked();
}

Result<void> JournalLog::wait_for_all(uint64_t sequence) {
  sync::MutexLock lock(mutex_);
  return wait_for_all_locked(sequence);
}

Result<void> JournalLog::wait_for_all_locked(uint64_t sequence) {
  while (!writing_.empty() && *writing_.begin() <= sequence) changed_.wait(mutex_);
  return usable_locked();
}

Result<RecordPlace> JournalLog::put(Record& record, std::span<const std::byte> data, For what) {
  const std::string body = encode_body(record);
  Room room = TRY(make_room(record_bytes(body.size(), data.size()), what));
  RecordPlace place = append(room, record, body.size(), data.size());
  TRY(write(place, record, body, data));
  return place;
}

void JournalLog::owe(uint64_t changes) {
  sync::MutexLock lock(mutex_);
  owed_bytes_ = changes * kProgressBytesEach;
}

uint64_t JournalLog::last_sequence() const {
  sync::MutexLock lock(mutex_);
  return next_sequence_ - 1;
}

uint64_t JournalLog::durable_sequence() const {
  sync::MutexLock lock(mutex_);
  return durable_;
}

uint64_t JournalLog::segments() const {
  sync::MutexLock lock(mutex_);
  return segments_.size();
}

uint64_t JournalLog::bytes() const {
  sync::MutexLock lock(mutex_);
  uint64_t bytes = end_bytes_;
  for (size_t i = 0; i + 1 < segments_.size(); ++i) bytes += segments_[i]->size_bytes;
  return bytes;
}

void JournalLog::wait_written(uint64_t sequence) {
  sync::MutexLock lock(mutex_);
  while (writing_.contains(sequence)) changed_.wait(mutex_);
}

Result<Record> JournalLog::read(const RecordPlace& place, std::string* data) {
  wait_written(place.sequence);
  std::string front(kRecordHeaderBytes + place.body_bytes, '\0');
  cachefiles::DiskFile& file = *place.segment->file;
  const auto whole = [](std::string& to) {
    return std::span<std::byte>(reinterpret_cast<std::byte*>(to.data()), to.size());
  };
  const size_t got = TRY(file.read(place.offset, whole(front)));
  std::optional<Record> record = decode_record(std::string_view(front).substr(0, got));
  if (!record || record->sequence != place.sequence) return Error(EBADMSG, "journal.read");
  if (data == nullptr) return std::move(*record);
  data->resize(place.data_bytes);
  const size_t behind = TRY(file.read(place.offset + front.size(), whole(*data)));
  if (behind != data->size() || !is_data_of(*decode_record_header(front), bytes_of(*data))) {
    return Error(EBADMSG, "journal.read");
  }
  return std::move(*record);
}

Result<void> JournalLog::read_data(const RecordPlace& place, uint64_t offset,
                                   std::span<std::byte> to) {
  NETFS_ASSERT(offset + to.size() <= place.data_bytes);
  wait_written(place.sequence);
  const uint64_t at = place.offset + kRecordHeaderBytes + place.body_bytes + offset;
  const size_t got = TRY(place.segment->file->read(at, to));
  if (got != to.size()) return Error(EIO, "journal.read");
  return {};
}

void JournalLog::keep(const RecordPlace& place) {
  sync::MutexLock lock(mutex_);
  place.segment->keep = true;
}

uint64_t JournalLog::releasable(uint64_t upto) const {
  sync::MutexLock lock(mutex_);
  uint64_t last = 0;
  for (size_t i = 0; i + 1 < segments_.size() && segments_[i]->last_sequence <= upto; ++i) {
    last = std::max(last, segments_[i]->last_sequence);
  }
  return last;
}

void JournalLog::release(uint64_t upto) {
  sync::MutexLock lock(mutex_);
  while (releasing_) changed_.wait(mutex_);
  // One that is being synced is not taken from under it, and order is kept.
  while (segments_.size() > 1 && segments_.front()->last_sequence <= upto && !syncing_) {
    const SegmentRef done = segments_.front();
    segments_.pop_front();
    releasing_ = true;
    lock.unlock();
    const Result<void> removed = remove_segment(*done);
    lock.lock();
    releasing_ = false;
    changed_.notify_all();
    if (removed.ok()) continue;
    telemetry::log_warn("journal", "{} stays: {}", done->path, removed.error().message());
    segments_.push_front(done);
    return;
  }
}

}  // namespace netfs::journal
