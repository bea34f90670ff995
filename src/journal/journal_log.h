#pragma once
// JournalLog: the journal on disk: records are appended, become durable in order, are read again,
// and go, a segment at a time, when they are done with.
//
// Appending has four steps, so that nothing is written under a lock: make_room() waits for the
// disk to have space, append() gives the record its place in the order (memory only), write()
// writes it, and wait_for_all() waits for those of others before it: if the process dies what is
// behind a record that is not there is not there either, and a change that was answered has to be.
// A record that has its place must be written.  sync() waits until all up to a sequence
// is durable: one fdatasync for all who wait; without it that happens within Options::sync_after.
// After a crash what is there is a prefix of what was appended, with all in it that was synced.
//
// A disk that fails a write or a sync has broken the journal: from then on everything is EIO until
// it is opened again, for nobody knows what the disk holds.  ENOSPC comes from make_room() alone.
//
// One process owns a journal: EBUSY.  Thread-safe; the disk outlives it.
//
//   Room room = TRY(log.make_room(record_bytes(body.size(), data.size())));
//   ... take the lock that orders changes ...
//   const RecordPlace place = log.append(room, record, body.size(), data.size());
//   ... release it ...
//   TRY(log.write(place, record, body, data));
//   TRY(log.wait_for_all(place.sequence));  // and whoever asked is answered

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "cachefiles/disk.h"
#include "journal/journal_format.h"
#include "journal/journal_scan.h"
#include "journal/limits.h"
#include "journal/lock_classes.h"
#include "journal/segment.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs::journal {

class JournalLog {
 public:
  struct Options {
    cachefiles::Disk& disk;
    std::string directory;  // made if it is missing
    std::string volume_key;
    const Clock& clock = Clock::system();
    Duration sync_after = kSyncAfter;  // zero: only sync() does
    uint64_t segment_bytes = kSegmentBytes;
    JournalForm form = kJournalForm;
  };

  // Space that is kept for records that are about to be appended.
  class Room {
   public:
    Room(Room&& other) noexcept : log_(std::exchange(other.log_, nullptr)), bytes_(other.bytes_) {}
    Room& operator=(Room&&) = delete;
    ~Room() {
      if (log_ != nullptr) log_->give_back(bytes_);
    }

   private:
    friend class JournalLog;
    Room(JournalLog& log, uint64_t bytes) : log_(&log), bytes_(bytes) {}
    JournalLog* log_;
    uint64_t bytes_;
  };

  enum class For : uint8_t { kChange, kProgress };

  // `sink` is given what is there, before it returns.
  static Result<std::unique_ptr<JournalLog>> open(Options options, const RecordSink& sink);
  ~JournalLog();

  // What could not be read, in a sentence; empty: nothing.
  [[nodiscard]] const std::string& damage() const { return damage_; }
  // Another for each opening.
  [[nodiscard]] uint64_t generation() const { return generation_; }

  // ENOSPC, EDQUOT; EIO.
  Result<Room> make_room(uint64_t bytes, For what = For::kChange) EXCLUDES(mutex_);
  // Sets the record's sequence.
  RecordPlace append(Room& room, Record& record, size_t body_bytes, size_t data_bytes)
      EXCLUDES(mutex_);
  Result<void> write(const RecordPlace& place, const Record& record, std::string_view body,
                     std::span<const std::byte> data) EXCLUDES(mutex_);
  // Until all up to it are written.
  Result<void> wait_for_all(uint64_t sequence) EXCLUDES(mutex_);
  // make_room(), append() and write() at once.
  Result<RecordPlace> put(Record& record, std::span<const std::byte> data = {},
                          For what = For::kChange) EXCLUDES(mutex_);

  // So many changes are to be uploaded, and what is said of that has its space.
  void owe(uint64_t changes) EXCLUDES(mutex_);

  // The last sequence there is; 0: none.
  [[nodiscard]] uint64_t last_sequence() const EXCLUDES(mutex_);
  [[nodiscard]] uint64_t durable_sequence() const EXCLUDES(mutex_);
  Result<void> sync(uint64_t sequence) EXCLUDES(mutex_);

  // Waits until it is written, and checks it.  EBADMSG: it is damaged.
  Result<Record> read(const RecordPlace& place, std::string* data) EXCLUDES(mutex_);
  // Bytes of a record's data, unchecked.
  Result<void> read_data(const RecordPlace& place, uint64_t offset, std::span<std::byte> to)
      EXCLUDES(mutex_);

  // What cannot be read of it stays for a person to look at, when its segment is done with.
  void keep(const RecordPlace& place) EXCLUDES(mutex_);
  // The last sequence of the segments that could go if all up to `upto` is done with; 0: none.
  [[nodiscard]] uint64_t releasable(uint64_t upto) const EXCLUDES(mutex_);
  // All up to this sequence is done with, and what says so is durable.  Segments go in their order,
  // each for good before the next: after a power cut what is left is an end of the journal.
  void release(uint64_t upto) EXCLUDES(mutex_);
  // All of it is done with, and nothing more comes: its files go.  The last call but the
  // destructor.
  void finish() EXCLUDES(mutex_);
  [[nodiscard]] uint64_t segments() const EXCLUDES(mutex_);
  // What it takes of the disk.
  [[nodiscard]] uint64_t bytes() const EXCLUDES(mutex_);

 private:
  JournalLog(Options options, std::unique_ptr<cachefiles::DiskFile> owner);

  // When a segment that is made is durable, empty as it is: now, or with what comes into it.
  enum class Durable : uint8_t { kNow, kWithRecords };
  Result<SegmentRef> make_segment(uint64_t number, uint64_t first_sequence, uint64_t needed,
                                  Durable when);
  Result<SegmentRef> go_on_behind(const Scanned& scanned);
  Result<void> rotate(uint64_t needed) REQUIRES(mutex_);
  Result<void> wait_for_all_locked(uint64_t sequence) REQUIRES(mutex_);
  Result<void> sync_written(uint64_t sequence) REQUIRES(mutex_);
  [[nodiscard]] Result<void> usable_locked() const REQUIRES(mutex_);
  void give_back(uint64_t bytes) EXCLUDES(mutex_);
  void wait_written(uint64_t sequence) EXCLUDES(mutex_);
  Result<void> remove_segment(const Segment& segment);
  void run() EXCLUDES(mutex_);
  [[nodiscard]] uint64_t free_locked(For what) const REQUIRES(mutex_);

  const Options options_;
  const std::unique_ptr<cachefiles::DiskFile> owner_;  // of the lock file
  std::string damage_;
  uint64_t generation_ = 0;

  mutable sync::Mutex mutex_{kLogLock};
  sync::CondVar changed_;  // something was written, synced, made, or it stops
  std::deque<SegmentRef> segments_ GUARDED_BY(mutex_);  // the last is written to
  uint64_t end_bytes_ GUARDED_BY(mutex_) = 0;           // of the last one
  uint64_t kept_bytes_ GUARDED_BY(mutex_) = 0;          // by rooms
  uint64_t owed_bytes_ GUARDED_BY(mutex_) = 0;          // for what will be said of the upload
  uint64_t next_sequence_ GUARDED_BY(mutex_) = 1;
  uint64_t durable_ GUARDED_BY(mutex_) = 0;
  std::set<uint64_t> writing_ GUARDED_BY(mutex_);  // have their place and are not yet written
  MonoTime oldest_unsynced_ GUARDED_BY(mutex_) = MonoTime::max();
  bool rotating_ GUARDED_BY(mutex_) = false;
  bool syncing_ GUARDED_BY(mutex_) = false;
  bool releasing_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::atomic<bool> finished_{false};
  std::optional<Error> broken_ GUARDED_BY(mutex_);
  sync::Thread timer_;
};

}  // namespace netfs::journal
