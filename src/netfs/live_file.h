#pragma once
// LiveFile: the WritableFile that goes to its origin.  Its verbs stand in files of their own:
//   live_file.cc      life, turns, attributes
//   live_copy.cc      names and copies
//   live_read.cc      reads that go to the origin
//   live_settle.cc    kept writes: who hears of them, who waits for them
//   write_issue.cc    a write is kept or waits, gets its turn, is tiled and issued
//   write_collect.cc  a part's outcome; the request is collected and finished
//   write_retry.cc    what failed is tried again or given up; a lost handle is opened anew
//
// Turns (write_turns.h): a write has one until its last part has ended, others while their caller
// holds it.
//
// Thread-safe.  No I/O and no answer under its lock.

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netfs/library_core.h"
#include "netfs/live_read.h"
#include "netfs/writable_file.h"
#include "netfs/write_request.h"
#include "netfs/write_turns.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs {

class WritePiece;

class LiveFile final : public WritableFile {
 public:
  // `before`: the version that was read here until now, or null.  `opened.file` may be null: then
  // it is only read, by `reader`.
  LiveFile(Ref<LibraryCore> core, OriginWriter& writer, FileVersion version, OpenedFile opened,
           std::unique_ptr<OriginFile> reader, Ref<File> before);
  ~LiveFile() override;

  [[nodiscard]] const FileVersion& version() const override { return version_; }
  [[nodiscard]] std::unique_ptr<ReadStream> open_stream() override;
  void read(ReadStream* stream, ByteRange range, const sync::Context& context,
            ReadDone done) override;
  std::optional<size_t> read_at_once(ReadStream* stream, ByteRange range,
                                     std::span<std::byte> to) override;
  Result<UniqueFd> hand_out() override;
  [[nodiscard]] bool sealed() const override { return false; }
  void fill_holes() override {}
  void supersede() override {}

  void write(ByteRange range, BufferSlice data, WritePieces pieces, const sync::Context& context,
             WriteDone done) override;
  Result<Witnessed> set_attributes(const AttributeChange& change, Deadline deadline) override;
  Result<Witnessed> allocate(uint32_t mode, ByteRange range, Deadline deadline) override;
  Result<void> sync(SyncKind kind, Deadline deadline) override;
  Result<NodeInfo> link(const std::string& to, Deadline deadline) override;
  Result<CopiedFile> copy_from(const FileRef& from, const Copying& what,
                               Deadline deadline) override;
  [[nodiscard]] FileRef as_ref() const override EXCLUDES(mutex_);
  [[nodiscard]] std::shared_ptr<OriginFile> open_by() const override EXCLUDES(mutex_);
  void watch(Ref<LandingWatch> watch) override EXCLUDES(mutex_);
  void saw(const Validator& validator) override EXCLUDES(mutex_);
  [[nodiscard]] size_t kept_writes() const override { return kept_writes_.load(); }
  [[nodiscard]] uint64_t keeps() const override { return keeps_.load(); }
  [[nodiscard]] uint64_t kept_end_bytes() const override EXCLUDES(mutex_);
  void settle(Settled done) override EXCLUDES(mutex_);
  [[nodiscard]] WriteErrors write_errors() const override EXCLUDES(mutex_);
  [[nodiscard]] bool changed() const override { return changed_.load(); }
  void moved(const std::string& path) override EXCLUDES(mutex_);

  // For the requests.
  void end_write(WriteRequest& request, Error error) EXCLUDES(mutex_);
  void end_read(LiveRead& request, Error error) EXCLUDES(mutex_);
  [[nodiscard]] MonoTime waits_until(const WriteRequest& request) const EXCLUDES(mutex_);
  [[nodiscard]] MonoTime waits_until(const LiveRead& request) const EXCLUDES(mutex_);
  // Until when the writes that are under way have time; nullopt: none is, or none was held back.
  [[nodiscard]] std::optional<MonoTime> held_until() const EXCLUDES(mutex_);
  [[nodiscard]] std::string what_it_waits_for(const WriteRequest& request) const EXCLUDES(mutex_);
  [[nodiscard]] std::string what_it_waits_for(const LiveRead& request) const EXCLUDES(mutex_);
  [[nodiscard]] std::string path() const EXCLUDES(mutex_);
  [[nodiscard]] LibraryCore& core() const { return *core_; }

  // For the library: what has not begun fails.
  void give_up(const Error& error) EXCLUDES(mutex_);

 private:
  friend class WritePiece;
  friend class LiveReadPiece;
  class Turn;

  // live_file.cc
  Result<std::shared_ptr<OriginFile>> write_handle(Deadline deadline) EXCLUDES(mutex_);
  Witnessed witness_locked(Seen seen, size_t others) REQUIRES(mutex_);
  void forget_stored() EXCLUDES(mutex_);
  void end_turn() EXCLUDES(mutex_);
  void end_turn(const WriteRequest& request) EXCLUDES(mutex_);
  void next_turn() EXCLUDES(mutex_);

  // live_time.cc
  [[nodiscard]] std::optional<MonoTime> held_until_locked() const REQUIRES(mutex_);
  void time_moved(LiveRead& request, size_t part, MonoTime until) EXCLUDES(mutex_);
  void time_moved(WriteRequest& request, size_t part, MonoTime until) EXCLUDES(mutex_);

  // live_read.cc
  void issue_read(const Ref<LiveRead>& request) EXCLUDES(mutex_);
  void open_reader(const Ref<LiveRead>& request) EXCLUDES(mutex_);
  void read_piece_ended(const Ref<LiveRead>& request, size_t part,
                        const std::shared_ptr<OriginFile>& handle, const ReadOutcome& outcome)
      EXCLUDES(mutex_);
  void collect_read(const Ref<LiveRead>& request, std::optional<Error> error) EXCLUDES(mutex_);
  void finish_read(LiveRead& request, Result<ReadResult> result) EXCLUDES(mutex_);

  // live_settle.cc
  std::vector<Ref<WriteRequest>> note_failure_locked(const WriteRequest& failed, int code)
      REQUIRES(mutex_);
  void end_unbegun(const Ref<WriteRequest>& request, const Error& error) EXCLUDES(mutex_);
  void land(const Ref<WriteRequest>& request, Result<Written> result) EXCLUDES(mutex_);
  void tell_of_loss(const std::vector<Ref<WriteRequest>>& lost, int code) EXCLUDES(mutex_);
  void settled(const WriteRequest& request) EXCLUDES(mutex_);
  void report_loss(const WriteRequest& failed, uint64_t landed_bytes,
                   const std::vector<Ref<WriteRequest>>& behind, int code) EXCLUDES(mutex_);

  // write_issue.cc
  uint64_t room_to_keep(const BufferSlice& data, WritePieces pieces) EXCLUDES(mutex_);
  uint64_t keep_copy(ByteRange range, const BufferSlice& data) EXCLUDES(mutex_);
  void drop_copies(const std::vector<uint64_t>& copies) EXCLUDES(mutex_);
  void keep_locked(const Ref<WriteRequest>& request) REQUIRES(mutex_);
  Ref<WriteRequest> together(const std::vector<Ref<WriteRequest>>& parts) REQUIRES(mutex_);
  void begin_write(const Ref<WriteRequest>& request) EXCLUDES(mutex_);
  void issue_write(const Ref<WriteRequest>& request) EXCLUDES(mutex_);

  // write_collect.cc
  void write_piece_ended(const Ref<WriteRequest>& request, size_t part,
                         const std::shared_ptr<OriginFile>& handle, WriteOutcome outcome)
      EXCLUDES(mutex_);
  void collect_write(const Ref<WriteRequest>& request) EXCLUDES(mutex_);
  void finish_write(const Ref<WriteRequest>& request, Result<Written> result) EXCLUDES(mutex_);

  // write_retry.cc
  // No error: a part of it was taken.
  void retry_write(const Ref<WriteRequest>& request, const std::optional<Error>& error)
      EXCLUDES(mutex_);
  void wake_write(const Ref<WriteRequest>& request) EXCLUDES(mutex_);
  void reopen_for(const Ref<WriteRequest>& request) EXCLUDES(mutex_);

  const Ref<LibraryCore> core_;
  OriginWriter& writer_;
  const FileVersion version_;
  const Ref<File> before_;
  std::atomic<bool> changed_{false};
  std::atomic<bool> held_back_{false};  // writes of it have been, by a limit of bandwidth

  mutable sync::Mutex mutex_{kLiveFileLock};
  sync::CondVar turn_granted_;
  std::string path_ GUARDED_BY(mutex_);
  std::shared_ptr<OriginFile> write_handle_ GUARDED_BY(mutex_);
  std::shared_ptr<OriginFile> read_handle_ GUARDED_BY(mutex_);
  std::optional<Validator> last_seen_ GUARDED_BY(mutex_);
  WriteTurns turns_ GUARDED_BY(mutex_);
  WriteErrors errors_ GUARDED_BY(mutex_);
  // The last write failed: until one has arrived, none is kept, so that its writer hears of it.
  bool failing_ GUARDED_BY(mutex_) = false;
  Ref<LandingWatch> watch_ GUARDED_BY(mutex_);
  std::atomic<size_t> kept_writes_{0};  // set under mutex_, as is:
  std::atomic<uint64_t> keeps_{0};      // the last one's number
};

}  // namespace netfs
