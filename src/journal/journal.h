#pragma once
// Journal: the state that the origin which is shown, its writer and the uploader share: the log,
// the overlay, and the queue of changes that are not at the origin.
//
// A change is checked, gets its place in the log and becomes visible in one step under the lock;
// it is written to the disk after that, before its call returns.  What was asked of the origin
// meanwhile is looked at again under the lock, so that of two changes here one is the first.
//
// A call of the origin by path may run while the uploader moves names there.  Whoever makes one
// takes a Glance before, and asks afterwards whether it still stands.
//
// Thread-safe; the inner origin and the disk outlive it.

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "journal/journal_log.h"
#include "journal/lock_classes.h"
#include "journal/overlay.h"
#include "journal/recent_looks.h"
#include "netfs/origin.h"
#include "netfs/origin_writer.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::journal {

struct JournalOptions {
  Origin& inner;  // has a writer
  cachefiles::Disk& disk;
  std::string directory;
  Duration timeout = std::chrono::seconds(30);  // of one call of the inner origin
  Duration retry_first = kRetryFirst;
  Duration retry_max = kRetryMax;
  Duration sync_after = kSyncAfter;
  uint64_t segment_bytes = kSegmentBytes;
  // What the journal may take of the disk: at that, a change waits for the upload.
  uint64_t size_max = kJournalBytes;
  // How long an origin, or this disk, may fail at one change in a way that says nothing.
  Duration trouble_max = kTroubleMax;
  // Whom belongs what is made without an owner; absent: the root is asked, and has to be there.
  std::optional<Owner> owner{};
  bool uploads = true;  // else nothing goes to the origin until it is opened again
  // Told, by the uploader's thread and under no lock, of each path at which users see something
  // else from now on than they have made: it went to `beside`, or was set aside.  Must not wait for
  // whoever waits for the upload.
  std::function<void(const std::string& path, const std::string& beside)> went_elsewhere = nullptr;
};

// For `netfs status`.
struct JournalStatus {
  size_t pending = 0;          // changes
  uint64_t pending_bytes = 0;  // of file data in them
  Timestamp oldest;            // when the oldest was made; 0: none
  uint64_t uploaded = 0;
  uint64_t conflicts = 0;
  uint64_t set_aside = 0;
  std::string last_error;  // why the oldest does not go on; empty: it does
};

class Journal {
 public:
  static Result<std::unique_ptr<Journal>> open(JournalOptions options);
  // Of a journal with nothing pending nothing stays on the disk.
  ~Journal();

  [[nodiscard]] Origin& inner() const { return options_.inner; }
  [[nodiscard]] OriginWriter& writer() const { return *options_.inner.writer(); }
  [[nodiscard]] JournalLog& log() const { return *log_; }
  [[nodiscard]] const JournalOptions& options() const { return options_; }
  [[nodiscard]] Timestamp now() const { return Clock::system().wall(); }

  // Where a path, or a node, leads.
  struct Glance {
    NodeId node = NodeId::kNone;
    NodeState state;                         // of the node
    std::optional<std::string> origin_path;  // none: the origin has nothing of it
    bool all_is_known = false;               // see Overlay::Found
    uint64_t moves = 0;

    // Whether its type is a matter of what is pending; else the origin knows better.
    [[nodiscard]] bool type_is_ours() const {
      return node != NodeId::kNone && !(origin_path && state.asks_origin()) &&
             state.type != FileType::kUnknown;
    }
  };
  // ENOENT, ENOTDIR.
  Result<Glance> glance(const std::string& path) EXCLUDES(mutex_);
  Result<Glance> glance(NodeId node) EXCLUDES(mutex_);
  // Whether an answer of the origin's to what was seen may be believed.  If not, waits until the
  // uploader has done what made it doubtful; ETIMEDOUT.
  enum class Stands : uint8_t { kYes, kNo };
  // What was asked for: a file as it is, or all names of a directory but those made since.
  enum class Asked : uint8_t { kFile, kNames };
  Result<Stands> stands(const std::string& path, NodeId node, const Glance& glance, int answer,
                        Deadline deadline, Asked what = Asked::kFile) EXCLUDES(mutex_);

  // A file as users see it.
  struct Looked {
    Glance glance;
    std::optional<NodeInfo> raw;  // as the origin shows it, if it was asked
    NodeInfo info;
  };
  Result<Looked> look(const std::string& path, Deadline deadline) EXCLUDES(mutex_);
  Result<Looked> look(NodeId node, Deadline deadline) EXCLUDES(mutex_);
  // What the origin had at a path when it was last looked at, if that was a moment ago.
  [[nodiscard]] RecentLooks::Saw saw_lately(const std::string& path) EXCLUDES(mutex_);
  [[nodiscard]] NodeInfo show(const Glance& glance, const NodeInfo* raw) const;
  [[nodiscard]] const std::string& mark() const { return mark_; }

  // What is in a directory: names that are not simply the origin's.
  struct ShownName {
    std::string name;
    std::optional<Glance> glance;  // none: there is nothing of that name
    bool in_place = false;         // the origin has it under this name
  };
  std::vector<ShownName> names_in(NodeId directory) EXCLUDES(mutex_);

  // A change to be made.
  struct Wanted {
    Record record;
    NodeId node = NodeId::kNone;  // its path goes into the record
    bool by_handle = false;       // else by a path, as of when it was looked at
    // As the origin shows what changes, and what a rename replaces; `known` and `known_target`:
    // NodeState::changed when that was asked.
    std::optional<NodeInfo> raw;
    uint64_t known = 0;
    std::optional<NodeInfo> raw_target;
    uint64_t known_target = 0;
    // What was known by the new name before the origin was asked, and had nothing of it.
    NodeId gone = NodeId::kNone;
    uint64_t known_gone = 0;
    std::span<const std::byte> data;
  };
  struct Committed {
    uint64_t sequence = 0;
    NodeId node = NodeId::kNone;
    Seen seen;
  };
  Result<Committed> commit(Wanted wanted) EXCLUDES(mutex_);

  // An open file.  `raw`: as the origin showed it just now.  None: the path leads elsewhere than it
  // did at the glance.
  NodeId open_node(const std::string& path, const Glance& before, FileType type,
                   const std::optional<NodeInfo>& raw) EXCLUDES(mutex_);
  void close_node(NodeId node) EXCLUDES(mutex_);
  struct Bytes {
    uint64_t size = 0;
    uint64_t visible = 0;         // of what the origin has
    bool only_below = false;      // all of it is the origin's
    bool beside = false;          // by the path that it has there, not by what was open
    std::vector<Extent> extents;  // in the range
  };
  Bytes bytes_in(NodeId node, ByteRange range) EXCLUDES(mutex_);

  // For whoever works at the origin for long: ECANCELED when the upload is to stop.
  Result<void> go_on() const EXCLUDES(mutex_);

  // We changed it at the origin ourselves, past the journal; or made a name there.
  void forget(NodeId node) EXCLUDES(mutex_);
  void made_past(const std::string& path) EXCLUDES(mutex_);

  // The last change there is; 0: none.
  [[nodiscard]] uint64_t newest() const EXCLUDES(mutex_);
  // Waits until all up to it is at the origin, or was set aside; false: not by then.
  bool drain(uint64_t upto, Deadline deadline) EXCLUDES(mutex_);
  // All that is pending now.
  bool drain(Deadline deadline) EXCLUDES(mutex_) { return drain(newest(), deadline); }
  // Until when the uploads that a limit of bandwidth held back have time; max while one is held.
  [[nodiscard]] MonoTime upload_until() const { return upload_until_; }
  void upload_time_moved(Deadline deadline) { upload_until_ = deadline.at; }
  // What went beside or was set aside, a sentence each, and was not yet told; it is told once.
  std::vector<std::string> take_troubles() EXCLUDES(mutex_);
  // The same of one file.
  bool take_trouble(NodeId node) EXCLUDES(mutex_);
  [[nodiscard]] JournalStatus status() const EXCLUDES(mutex_);

 private:
  friend class Uploader;

  // A batch that was begun and is not known to be done.
  struct Begun {
    uint64_t upto = 0;
    std::string beside;
    bool sure = false;
    NodeInfo seen;
    std::string older;
    std::string rest;

    friend bool operator==(const Begun& a, const Begun& b) {
      return a.upto == b.upto && a.beside == b.beside && a.sure == b.sure && a.older == b.older &&
             a.rest == b.rest && a.seen.attributes == b.seen.attributes &&
             a.seen.validator == b.seen.validator && a.seen.identity == b.seen.identity;
    }
  };

  explicit Journal(JournalOptions options) : options_(std::move(options)) {}
  Result<Looked> look(const std::string& path, NodeId node, Deadline deadline) EXCLUDES(mutex_);
  Result<std::optional<NodeInfo>> ask(const std::string& path, NodeId node, const Glance& before,
                                      Deadline deadline) EXCLUDES(mutex_);
  // What the origin will not take, as it was recorded, for a person to look at.
  Result<void> keep_aside(Record record, std::string_view data) EXCLUDES(mutex_);
  Result<void> read_log();
  void replay_locked(const Record& record, const RecordPlace& place) REQUIRES(mutex_);
  [[nodiscard]] Record done_locked(size_t count, const Went& went) const REQUIRES(mutex_);
  // The first `count` changes of the queue are done.
  void finish_locked(size_t count, const Went& went) REQUIRES(mutex_);
  // Of files that are not done nothing is kept any more of what is.
  void let_go_of_kept() EXCLUDES(mutex_);
  void add_trouble_locked(std::string sentence) REQUIRES(mutex_);
  // ENOSPC: the journal is as long as it may be, and nothing is uploaded.
  Result<void> wait_for_space() EXCLUDES(mutex_);
  Result<JournalLog::Room> make_room(uint64_t bytes) EXCLUDES(mutex_);
  [[nodiscard]] bool is_same_locked(const std::string& path, NodeId node, const Glance& before)
      REQUIRES(mutex_);
  [[nodiscard]] bool has_same_names_locked(const std::string& path, const Glance& before)
      REQUIRES(mutex_);
  Result<void> ask_for_unknown() EXCLUDES(mutex_);
  Glance glance_locked(Node& node) REQUIRES(mutex_);
  Result<Glance> find_locked(const std::string& path) REQUIRES(mutex_);
  Result<void> check_locked(const Record& record) REQUIRES(mutex_);
  Result<void> check_parent_locked(const std::string& path) REQUIRES(mutex_);
  Result<void> check_empty_locked(const std::string& path) REQUIRES(mutex_);
  struct Ready;
  void ready_locked(JournalLog::Room& room, Record record, std::span<const std::byte> data,
                    std::vector<Ready>& all) REQUIRES(mutex_);
  void make_known_locked(JournalLog::Room& room, const std::string& path,
                         const std::optional<NodeInfo>& raw, uint64_t known_when_asked,
                         std::vector<Ready>& all) REQUIRES(mutex_);

  const JournalOptions options_;
  std::unique_ptr<JournalLog> log_;
  std::string mark_;
  Owner owner_;  // of what is made without one

  mutable sync::Mutex mutex_{kStateLock};
  std::atomic<MonoTime> upload_until_{MonoTime::min()};
  sync::CondVar changed_;  // there is a change, one is done, or it stops
  Overlay overlay_ GUARDED_BY(mutex_);
  RecentLooks recent_ GUARDED_BY(mutex_);
  std::deque<Change> queue_ GUARDED_BY(mutex_);
  std::deque<Timestamp> made_at_ GUARDED_BY(mutex_);  // of each in the queue
  uint64_t pending_bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t done_ GUARDED_BY(mutex_) = 0;           // up to this sequence
  std::optional<Begun> begun_ GUARDED_BY(mutex_);  // by the process before
  bool told_done_ GUARDED_BY(mutex_) = false;      // a kDone was read
  uint64_t moves_ GUARDED_BY(mutex_) = 0;          // of names at the origin; odd: one is on its way
  // What a rename replaces that the process before had begun: it may have its other name already.
  NodeId doubted_ GUARDED_BY(mutex_) = NodeId::kNone;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool hurry_ GUARDED_BY(mutex_) = false;  // somebody waits: no back-off
  uint64_t uploaded_ GUARDED_BY(mutex_) = 0;
  uint64_t conflicts_ GUARDED_BY(mutex_) = 0;
  uint64_t set_aside_ GUARDED_BY(mutex_) = 0;
  std::string last_error_ GUARDED_BY(mutex_);
  std::deque<std::string> troubles_ GUARDED_BY(mutex_);
};

inline bool moves_names(RecordKind kind) {
  return kind == RecordKind::kRename || kind == RecordKind::kRemove;
}

// The directory of a path, and its last component.
std::string parent_of(const std::string& path);
std::string name_of(const std::string& path);

}  // namespace netfs::journal
