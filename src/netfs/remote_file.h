#pragma once
// RemoteFile: one version of one file of the origin, as the library reads it.
//
// It holds the block table, the origin's handle (opened with the first miss, shared by all) and the
// cookie.  The verbs stand in files of their own:
//   remote_file.cc   life, hits, hand-out, superseding
//   read_issue.cc    a request is sliced, its fetches made and issued; readahead
//   fetch_unasked.cc the same for who has not even opened the file yet
//   fill_holes.cc    a file that is nearly all here is completed
//   read_collect.cc  a subrequest's outcome fills its fetch; requests are collected and finished
//   read_retry.cc    what failed is tried again, handed on or given up
//   read_confirm.cc  outcomes without a validator: the origin is asked, many at a time
//
// Thread-safe.  Functions ending in _locked change state under mutex_ and put what remains to be
// done into a FollowUp, which is run after the lock is released: no I/O and no answer under it.

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netfs/block_table.h"
#include "netfs/fetch.h"
#include "netfs/follow_up.h"
#include "netfs/library.h"
#include "netfs/library_core.h"
#include "netfs/lock_classes.h"
#include "netfs/read_request.h"
#include "netfs/readahead.h"
#include "netfs/slice.h"
#include "sync/mutex.h"

namespace netfs {

class FetchRead;

class RemoteFile final : public File {
 public:
  // `cookie`: null when this file is not cached.
  RemoteFile(Ref<LibraryCore> core, std::string key, FileVersion version, Ref<Cookie> cookie);
  ~RemoteFile() override;

  [[nodiscard]] const FileVersion& version() const override { return version_; }
  [[nodiscard]] std::unique_ptr<ReadStream> open_stream() override;
  void read(ReadStream* stream, ByteRange range, const sync::Context& context,
            ReadDone done) override;
  std::optional<size_t> read_at_once(ReadStream* stream, ByteRange range,
                                     std::span<std::byte> to) override;
  Result<UniqueFd> hand_out() override;
  [[nodiscard]] bool sealed() const override;
  void supersede() override;
  [[nodiscard]] bool superseded() const override { return superseded_.load(); }
  void fill_holes() override;
  void forget_racy() override;
  std::optional<uint64_t> fetch_unasked(uint64_t bytes_max) override EXCLUDES(mutex_);

  // For the library: ends a request that is not finished.
  void end_request(ReadRequest& request, Error error) EXCLUDES(mutex_);
  [[nodiscard]] MonoTime waits_until(const ReadRequest& request) const EXCLUDES(mutex_);
  [[nodiscard]] std::string what_it_waits_for(const ReadRequest& request) const EXCLUDES(mutex_);
  // For the library: closes the origin's file if nothing needs it now; a later miss opens it again.
  bool close_idle_handle() EXCLUDES(mutex_);
  // For the block memory: a filled fetch leaves the table.
  void drop(Fetch& fetch) EXCLUDES(mutex_);

  // For the library: it is this file's turn to read ahead.
  void pump() EXCLUDES(mutex_);

  [[nodiscard]] LibraryCore& core() const { return *core_; }

 private:
  friend class FetchRead;
  friend struct FollowUp;

  // kRead: it is open once its first read was answered (Origin::open_by_read).
  enum class OpenedBy : uint8_t { kOpen, kRead };

  // Whether versions of this file can be told apart at all.
  [[nodiscard]] bool has_validator() const {
    return version_.validator.strength != ValidatorStrength::kNone;
  }

  // remote_file.cc
  ReadaheadPlan note(ReadStream* stream, ByteRange range) const;
  [[nodiscard]] ReadaheadLimits readahead_limits() const;
  bool read_hit(ByteRange range, ReadDone& done, MonoTime began);
  bool read_present(ByteRange range, std::span<std::byte> to, MonoTime began);
  [[nodiscard]] bool all_present(ByteRange range) const;
  void perform(FollowUp& follow);
  void store(Fetch& fetch);

  // read_issue.cc
  void start(const Ref<ReadRequest>& request) EXCLUDES(mutex_);
  void read_ahead(ReadStream& stream, const ReadaheadPlan& plan) EXCLUDES(mutex_);
  struct Reached {
    uint64_t end_bytes;     // what lies before it is here or on its way
    uint64_t issued_bytes;  // and so much of that was begun now
  };
  Reached fetch_all_ahead(ByteRange range) EXCLUDES(mutex_);
  Reached fetch_ahead(ByteRange blocks, uint64_t piece_bytes) EXCLUDES(mutex_);
  Run occupancy_locked(BlockIndex block, uint64_t count_max, bool skip_cache) REQUIRES(mutex_);
  void plan_part_locked(const Ref<ReadRequest>& request, size_t at, const ReadPart& part,
                        FollowUp& follow) REQUIRES(mutex_);
  void add_fetch_parts_locked(const Ref<ReadRequest>& request, const ReadPart& slice,
                              std::vector<ReadPart>& parts, FollowUp& follow) REQUIRES(mutex_);
  Ref<Fetch> new_fetch_locked(ByteRange range, Ref<Buffer> buffer, uint64_t request_id)
      REQUIRES(mutex_);
  void pump_locked(FollowUp& follow) REQUIRES(mutex_);
  [[nodiscard]] std::unique_ptr<OriginFile> open_by_read() EXCLUDES(mutex_);
  void open_asked() EXCLUDES(mutex_);
  void open_in_turn() EXCLUDES(mutex_);
  void open_origin() EXCLUDES(mutex_);
  void take_opened(Result<std::unique_ptr<OriginFile>> outcome, OpenedBy by) EXCLUDES(mutex_);
  void issue(FollowUp::Issue issue);
  void read_cache(const FollowUp::CacheRead& read, Waiting waiting) EXCLUDES(mutex_);
  void cache_read_ended(const FollowUp::CacheRead& read, Ref<Buffer> buffer,
                        const Result<void>& result) EXCLUDES(mutex_);

  // fetch_unasked.cc
  void open_unasked() EXCLUDES(mutex_);
  void open_unasked_now() EXCLUDES(mutex_);
  // The origin's file, once what nobody asked for is here: whoever closes it holds no lock.
  [[nodiscard]] std::shared_ptr<OriginFile> take_idle_handle_locked() REQUIRES(mutex_);

  // fill_holes.cc
  [[nodiscard]] std::vector<ByteRange> small_holes() const;
  void store_again(ByteRange hole) EXCLUDES(mutex_);

  // read_collect.cc
  void piece_progressed(Fetch& fetch, uint64_t end_bytes) EXCLUDES(mutex_);
  void piece_ended(const FollowUp::Issue& issue, ReadOutcome outcome) EXCLUDES(mutex_);
  void collect_piece_locked(Fetch& fetch, ByteRange piece, const ReadOutcome& outcome,
                            FollowUp& follow) REQUIRES(mutex_);
  // False when the outcome was of another version.
  bool check_validator_locked(Fetch& fetch, const ReadOutcome& outcome, FollowUp& follow)
      REQUIRES(mutex_);
  void filled_locked(Fetch& fetch, FollowUp& follow) REQUIRES(mutex_);
  void keep_locked(Fetch& fetch, FollowUp& follow) REQUIRES(mutex_);
  void wake_waiters_locked(Fetch& fetch, FollowUp& follow) REQUIRES(mutex_);
  void collect_locked(ReadRequest& request, FollowUp& follow) REQUIRES(mutex_);
  bool collect_part_locked(ReadPart& part) REQUIRES(mutex_);
  void finish_locked(ReadRequest& request, Result<ReadResult> result, FollowUp& follow)
      REQUIRES(mutex_);
  void count_finish(const ReadRequest& request, const Result<ReadResult>& result);

  // read_retry.cc
  void trouble_locked(Fetch& fetch, const Error& error, FollowUp& follow) REQUIRES(mutex_);
  void fail_fetch_locked(Fetch& fetch, const Error& error, bool final, FollowUp& follow)
      REQUIRES(mutex_);
  void fail_waiter_locked(const Ref<ReadRequest>& request, Fetch& fetch, const Error& error,
                          bool final, FollowUp& follow) REQUIRES(mutex_);
  void retry_now(Fetch& fetch) EXCLUDES(mutex_);
  void time_moved(Fetch& fetch, MonoTime until) EXCLUDES(mutex_);
  void requeue_locked(Fetch& fetch) REQUIRES(mutex_);
  void stale_locked(Fetch& fetch, FollowUp& follow) REQUIRES(mutex_);

  // read_confirm.cc
  void confirm_later_locked(Fetch& fetch, FollowUp& follow) REQUIRES(mutex_);
  void confirm_soon_locked(bool awaited, FollowUp& follow) REQUIRES(mutex_);
  void confirm() EXCLUDES(mutex_);
  void confirmed_locked(Fetch& fetch, FollowUp& follow) REQUIRES(mutex_);

  const Ref<LibraryCore> core_;
  const std::string key_;
  const FileVersion version_;
  const Ref<Cookie> cookie_;
  const uint32_t block_bytes_;

  mutable sync::Mutex mutex_{kFileLock};
  BlockTable table_ GUARDED_BY(mutex_);
  std::deque<Ref<Fetch>> queued_ GUARDED_BY(mutex_);  // wait for the handle or for their turn
  unsigned in_flight_ GUARDED_BY(mutex_) = 0;
  std::shared_ptr<OriginFile> handle_ GUARDED_BY(mutex_);
  bool opening_ GUARDED_BY(mutex_) = false;
  // That stands in a queue behind other opens for nobody: who comes to wait opens it himself.
  bool opening_later_ GUARDED_BY(mutex_) = false;
  bool handle_by_read_ GUARDED_BY(mutex_) = false;
  bool handle_proven_ GUARDED_BY(mutex_) = false;   // a read has opened it: it is this version
  bool failed_by_read_ GUARDED_BY(mutex_) = false;  // who waits has it opened by open() from now on
  bool handle_unasked_ GUARDED_BY(mutex_) = false;  // and nobody has asked for what it reads
  // It was read while the version could hide a change: what it holds is of that time.
  bool handle_racy_ GUARDED_BY(mutex_) = false;
  bool handle_old_ GUARDED_BY(mutex_) = false;     // who opened the file since is to have another
  uint64_t handle_serial_ GUARDED_BY(mutex_) = 0;  // how many were opened
  // Since the handle was opened, the origin said that it is this version.
  bool handle_confirmed_ GUARDED_BY(mutex_) = false;
  // Outcomes come without a validator: bytes may be given out before their outcome.
  bool outcomes_lack_validator_ GUARDED_BY(mutex_) = false;
  std::vector<Ref<Fetch>> unconfirmed_ GUARDED_BY(mutex_);
  bool confirming_ GUARDED_BY(mutex_) = false;
  bool confirming_later_ GUARDED_BY(mutex_) = false;  // behind others that nobody waits for
  std::atomic<bool> asked_{false};                    // somebody has read it
  std::atomic<bool> superseded_{false};               // nothing more is fetched; set under mutex_
  bool discarded_ GUARDED_BY(mutex_) = false;         // and the cache was told
};

}  // namespace netfs
