#pragma once
// Uploader: one thread that carries out at the inner origin what the journal holds, in its order.
//
// Changes of one file that follow each other are one batch: the file is opened once, its validator
// compared once with what we last saw, writes that do not overlap are on their way together, and
// the time of the last one is set.  Whatever fails in a way that may pass is tried again, at
// growing intervals, for ever; what fails without a reason (EIO, EBADMSG), for a while.  What
// cannot be carried out is set aside: in the file `set-aside` of the journal's directory, counted,
// and logged.
//
// What is done is not done again.  A batch is looked at first; then the log says durably that it is
// begun (kBegin); then calls that change something go out; then the origin is asked to keep it;
// then the log says that it is done and how (kDone), durably before the next one is begun.  So
// there is one batch at most of which it is not known how far it came: of which a kBegin says that
// it was begun, or in which a call of this process has failed.  It is in doubt: what is looked at
// then may be our own, and each kind of change tells it from somebody else's as well as it can
// (upload_names.cc, upload_doubt.cc).  Nothing goes to the origin that is not durable here.
//
// A conflict, that somebody else has changed what we change, keeps both: theirs where it is, ours
// beside it as NAME.netfs-conflict-N, and there go the changes of it that wait behind.  That it
// goes beside, and by which name, is in the kBegin before it does.  When all of it is there, who
// still has it open can write to it no more.
//
// stop(), or the destructor, stops it behind the calls that are under way, also in the midst of a
// batch: that is in doubt then.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "journal/batch_bytes.h"
#include "journal/block_sums.h"
#include "journal/journal.h"
#include "sync/thread.h"

namespace netfs::journal {

class Uploader {
 public:
  explicit Uploader(Journal& journal);
  ~Uploader() { stop(); }
  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;
  // For good; waits.  Once more is nothing.
  void stop();

 private:
  // How much of a file in doubt is explained, as of one version of it: a link may fail sooner than
  // all of it can be read.
  struct Compared {
    std::optional<Validator> version;
    size_t pieces = 0;  // so many of those that are written to,
    bool ours = false;  // and one of them is ours,
    std::string sums;   // and of so many of the rest the checksums
  };
  // What goes out together, as it was when it was taken.
  struct Batch {
    std::vector<Change> changes;
    std::optional<std::string> path;    // there, of the node
    std::optional<std::string> target;  // kMake, kRename: where to
    std::optional<Validator> expected;
    std::optional<Validator> victim_expected;  // kRename: of what it replaces,
    bool victim_elsewhere = false;             // which is there by another name, or not at all
    std::optional<std::string> aside;          // and gets this one, if it is to live on:
    std::optional<NodeInfo> given;             // as it was when it had
    std::string shown_path;                    // for whoever reads of it
    bool is_directory = false;
    bool last = false;  // nothing of the node is pending behind it
    Timestamp mtime;
    std::optional<uint32_t> permissions;  // that it is to have in the end

    // How far it came.
    bool begun = false;     // a call that changes something may have gone out
    std::string beside;     // it is a conflict: ours has, or gets, this name
    bool sure = false;      // what is there by that name is ours
    NodeInfo seen;          // what changes, as it was just before that,
    std::string older;      // and its bytes that are written over (Record::older);
    std::string rest;       // and a checksum of those that are not (Record::rest);
    bool peeked = false;    // which were looked at
    KnownBlocks blocks;     // what is known of the latter, for the next batch
    Journal::Begun said;    // the last that the log says of all that
    Compared compared;      // in doubt: how far it came in that
    bool moving = false;    // Journal::moves_ is odd
    bool restored = false;  // directories were made anew for it
  };
  // What became of it.
  struct Outcome {
    std::optional<NodeInfo> after;
    std::optional<NodeInfo> aside;  // of a rename: what was replaced and has its other name
    bool conflict = false;
    bool failed = false;
    bool theirs = false;    // what is there is a version of somebody else's
    bool may_lack = false;  // ours has perhaps not all that was made here,
    bool unread = false;    // or nothing of theirs where nothing was written
  };
  // A file that is opened for a batch.
  enum class Whose : uint8_t {
    kLeft,    // as we left it, or nothing is known of how we did
    kOther,   // another version, which may be our own doing where the batch is in doubt
    kOurs,    // which it is
    kTheirs,  // it is somebody else's, or no file
  };
  struct Opening {
    OpenedFile file;
    Whose whose = Whose::kLeft;
  };
  // Failures that say nothing, of one batch.
  struct Trouble {
    MonoTime since;
    unsigned tries = 0;
  };

  void run();
  std::optional<Batch> next();
  Batch describe_locked(size_t count) REQUIRES(journal_.mutex_);
  bool upload(Batch& batch);
  Result<void> begin(Batch& batch);
  bool is_hopeless(const Error& error, Trouble& trouble) const;
  bool finished(Batch& batch, const Outcome& outcome);
  void tell_elsewhere(const Batch& batch);
  void release();
  // `what`: which of the files it is that waits; empty: all of them.
  void wait_before_retry(const Error& error, const std::string& what, Duration& wait);
  Result<void> set_aside(const Batch& batch, const Error& error);
  void set_moving(Batch& batch, bool moving);

  Result<Outcome> carry_out(Batch& batch);
  Result<Outcome> make(Batch& batch);
  Result<bool> restore_above(Batch& batch, const std::string& path);
  Result<Outcome> make_beside(Batch& batch, const Record& record);
  Result<Outcome> remove(Batch& batch);
  Result<Outcome> rename(Batch& batch);
  Result<Outcome> rename_beside(Batch& batch);
  Result<bool> give_aside(Batch& batch);
  void say_aside(const Batch& batch);
  Result<Outcome> not_done(const Batch& batch);
  Result<bool> was_moved(const Batch& batch, const std::string& to);
  Result<Outcome> moved(Batch& batch, const std::string& to);
  Result<Outcome> change_file(Batch& batch);
  Result<Outcome> change_attributes(Batch& batch);
  Result<Outcome> keep_both(Batch& batch);
  Result<void> open_beside(Batch& batch, const std::string& path, const std::string& tried,
                           OpenedFile& opened);
  std::vector<RecordPlace> kept_of(const Batch& batch);
  Result<BatchBytes> bytes_of(const Batch& batch, uint64_t size_before);
  Result<bool> peek(Batch& batch);
  void remember(Batch& batch, const Validator& version);
  Result<bool> holds_ours(Batch& batch, const NodeInfo& there);
  Result<bool> is_explained(Batch& batch, const NodeInfo& there);
  Result<bool> is_ours_beside(const Batch& batch, const std::string& path, uint64_t size);
  // Its size after it; `size`: before.
  Result<uint64_t> apply_all(const Batch& batch, const std::string& path, OriginFile& file,
                             uint64_t size);
  Result<uint64_t> apply(std::span<const RecordPlace> places, const std::string& path,
                         OriginFile& file, uint64_t size);
  Result<void> apply_kept(const Batch& batch, const std::string& path, OriginFile& file);
  Result<void> apply_one(const Record& record, const std::string& path, OriginFile& file);
  Result<void> write_zeroes(OriginFile& file, ByteRange range);
  Result<bool> copy_below(const std::string& from, OriginFile& to);
  Result<Opening> open_file(Batch& batch);
  Result<Outcome> finish_file(const Batch& batch, const std::string& path, OriginFile* file);
  Result<void> keep_there(const FileAt& file);
  Result<std::optional<NodeInfo>> look(const std::string& path);
  template <class Make>
  Result<std::string> beside(Batch& batch, const std::string& path, Make make);
  [[nodiscard]] Deadline soon() const;
  [[nodiscard]] OriginWriter& writer() const { return journal_.writer(); }

  Journal& journal_;
  bool log_failed_ = false;  // the last error was the journal's own
  BlockSums sums_;
  sync::Thread thread_;
};

// Whether it may go well another time: kSome: nobody knows.
enum class Passes : uint8_t { kYes, kSome, kNo };
Passes may_pass(int error);

}  // namespace netfs::journal
