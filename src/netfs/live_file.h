#pragma once
// LiveFile: the WritableFile of `--write=through`.  Its verbs stand in files of their own:
//   live_file.cc      life, turns, attributes
//   live_copy.cc      names and copies
//   live_read.cc      reads that go to the origin
//   write_issue.cc    a write gets its turn, is tiled and issued
//   write_collect.cc  a part's outcome; the request is collected and finished
//   write_retry.cc    what failed is tried again or given up; a lost handle is opened anew
//
// Turns: changes of the file run one at a time in the order they came: a write until its last part
// has ended, others while their caller holds the turn.
//
// Thread-safe.  No I/O and no answer under its lock.

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netfs/library_core.h"
#include "netfs/live_read.h"
#include "netfs/writable_file.h"
#include "netfs/write_request.h"
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
  [[nodiscard]] bool changed() const override { return changed_.load(); }
  void moved(const std::string& path) override EXCLUDES(mutex_);

  // For the requests.
  void end_write(WriteRequest& request, Error error) EXCLUDES(mutex_);
  void end_read(LiveRead& request, Error error) EXCLUDES(mutex_);
  [[nodiscard]] std::string what_it_waits_for(const WriteRequest& request) const EXCLUDES(mutex_);
  [[nodiscard]] std::string what_it_waits_for(const LiveRead& request) const EXCLUDES(mutex_);
  [[nodiscard]] std::string path() const EXCLUDES(mutex_);
  [[nodiscard]] LibraryCore& core() const { return *core_; }

 private:
  friend class WritePiece;
  friend class LiveReadPiece;
  class Turn;

  struct Waiter {
    bool granted = false;
  };
  struct Next {
    Ref<WriteRequest> write;  // or
    Waiter* waiter = nullptr;
  };

  // live_file.cc
  Result<std::shared_ptr<OriginFile>> write_handle(Deadline deadline) EXCLUDES(mutex_);
  Witnessed witness_locked(Seen seen) REQUIRES(mutex_);
  void forget_stored() EXCLUDES(mutex_);
  void end_turn() EXCLUDES(mutex_);
  void next_turn() EXCLUDES(mutex_);

  // live_read.cc
  void issue_read(const Ref<LiveRead>& request) EXCLUDES(mutex_);
  void open_reader(const Ref<LiveRead>& request) EXCLUDES(mutex_);
  void read_piece_ended(const Ref<LiveRead>& request, size_t part,
                        const std::shared_ptr<OriginFile>& handle, const ReadOutcome& outcome)
      EXCLUDES(mutex_);
  void collect_read(const Ref<LiveRead>& request, std::optional<Error> error) EXCLUDES(mutex_);
  void finish_read(LiveRead& request, Result<ReadResult> result) EXCLUDES(mutex_);

  // write_issue.cc
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
  void reopen_for(const Ref<WriteRequest>& request) EXCLUDES(mutex_);

  const Ref<LibraryCore> core_;
  OriginWriter& writer_;
  const FileVersion version_;
  const Ref<File> before_;
  std::atomic<bool> changed_{false};

  mutable sync::Mutex mutex_{kLiveFileLock};
  sync::CondVar turn_granted_;
  std::string path_ GUARDED_BY(mutex_);
  std::shared_ptr<OriginFile> write_handle_ GUARDED_BY(mutex_);
  std::shared_ptr<OriginFile> read_handle_ GUARDED_BY(mutex_);
  std::optional<Validator> last_seen_ GUARDED_BY(mutex_);
  std::deque<Next> turns_ GUARDED_BY(mutex_);
  bool turn_taken_ GUARDED_BY(mutex_) = false;
};

}  // namespace netfs
