// The order of things; what is done for each kind of change is in upload_names.cc and
// upload_file.cc.

#include "journal/uploader.h"

#include <utility>

#include "journal/upload_beside.h"
#include "telemetry/log.h"

namespace netfs::journal {

namespace {

std::string path_below(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

bool is_of_bytes(RecordKind kind) {
  return kind == RecordKind::kWrite || kind == RecordKind::kSetAttributes ||
         kind == RecordKind::kAllocate;
}

}  // namespace

Passes may_pass(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ENAMETOOLONG:
    case EINVAL:
    case EOPNOTSUPP:
    case ENOSYS:
    case EFBIG:
    case ELOOP:
    case ENOTDIR:
    case EISDIR:
    case ENOENT:
    case EEXIST:
    case ENOTEMPTY:
    case EXDEV:
    case EMLINK:
    case EILSEQ:
    case EBADF:
    case ENXIO:
    case ENODEV:
      return Passes::kNo;
    case EIO:
    case EBADMSG:
    case EPROTO:
    case ERANGE:
    case EOVERFLOW:
      return Passes::kSome;
    default:
      return Passes::kYes;
  }
}

Uploader::Uploader(Journal& journal)
    : journal_(journal), thread_("netfs-upload", [this] { run(); }) {}

void Uploader::stop() {
  {
    sync::MutexLock lock(journal_.mutex_);
    journal_.stopping_ = true;
    journal_.changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

Deadline Uploader::soon() const {
  return Deadline::after(Clock::system(), journal_.options().timeout);
}

void Uploader::run() {
  while (std::optional<Batch> batch = next()) {
    if (!upload(*batch)) return;
  }
}

// The next batch; nothing: it stops.
std::optional<Uploader::Batch> Uploader::next() {
  sync::MutexLock lock(journal_.mutex_);
  std::deque<Change>& queue = journal_.queue_;
  while (queue.empty() && !journal_.stopping_) journal_.changed_.wait(journal_.mutex_);
  if (journal_.stopping_) return std::nullopt;
  size_t count = 1;
  // What was begun before is done once more as it was.
  if (journal_.begun_ && journal_.begun_->upto >= queue.front().sequence) {
    while (count < queue.size() && queue[count].sequence <= journal_.begun_->upto) ++count;
    Batch batch = describe_locked(count);
    batch.begun = true;
    batch.said = *journal_.begun_;
    batch.beside = batch.said.beside;
    batch.sure = batch.said.sure;
    batch.seen = batch.said.seen;
    batch.older = batch.said.older;
    batch.rest = batch.said.rest;
    batch.peeked = !batch.older.empty() || !batch.rest.empty();
    batch.moving = journal_.moves_ % 2 != 0;
    return batch;
  }
  uint64_t bytes = queue.front().place.data_bytes;
  if (is_of_bytes(queue.front().kind)) {
    while (count < queue.size() && count < kBatchRecords && bytes < kBatchBytes &&
           is_of_bytes(queue[count].kind) && !queue[count].cuts &&
           queue[count].node == queue.front().node) {
      bytes += queue[count].place.data_bytes;
      ++count;
    }
  }
  return describe_locked(count);
}

Uploader::Batch Uploader::describe_locked(size_t count) {
  Batch batch;
  Overlay& overlay = journal_.overlay_;
  batch.changes.assign(journal_.queue_.begin(),
                       journal_.queue_.begin() + static_cast<std::ptrdiff_t>(count));
  const Change& first = batch.changes.front();
  const Node& node = *overlay.node(first.node);
  batch.path = overlay.path_there(node);
  batch.expected = node.expected;
  batch.shown_path = overlay.path_here(node).value_or(batch.path.value_or(""));
  batch.is_directory = node.state.type == FileType::kDirectory;
  batch.last = node.state.pending == count;
  if (node.state.base) batch.permissions = node.state.base->attributes.permissions;
  if (node.state.permissions) batch.permissions = node.state.permissions;
  batch.mtime = node.state.mtime.value_or(node.state.changed_at);
  if (first.kind == RecordKind::kMake || first.kind == RecordKind::kRename) {
    const Node* directory = overlay.node(first.at.directory);
    const std::optional<std::string> above = overlay.path_there(*directory);
    if (above) batch.target = path_below(*above, first.at.name);
  }
  if (first.victim != NodeId::kNone) {
    const Node& victim = *overlay.node(first.victim);
    batch.victim_expected = victim.expected;
    batch.victim_elsewhere = overlay.path_there(victim) != batch.target;
    const bool lives_on = first.aside.directory != NodeId::kNone;
    const std::optional<std::string> above =
        lives_on ? overlay.path_there(*overlay.node(first.aside.directory)) : std::nullopt;
    if (above) batch.aside = path_below(*above, first.aside.name);
  }
  return batch;
}

// What is begun must be known to be begun after a power cut, and how.
Result<void> Uploader::begin(Batch& batch) {
  const Journal::Begun now{
      batch.changes.back().sequence, batch.beside, batch.sure, batch.seen, batch.older, batch.rest};
  if (batch.begun && now == batch.said) return {};
  Record record{.kind = RecordKind::kBegin,
                .info = now.seen,
                .upto = now.upto,
                .beside = now.beside,
                .sure = now.sure,
                .older = now.older,
                .rest = now.rest};
  JournalLog& log = journal_.log();
  log_failed_ = true;
  Result<RecordPlace> place = log.put(record, {}, JournalLog::For::kProgress);
  if (!place.ok() && !record.older.empty()) {
    // For this no space is kept on a full disk: without it, what is in doubt is a conflict.
    record.older.clear();
    place = log.put(record, {}, JournalLog::For::kProgress);
  }
  // With it all that says what was done before.
  const uint64_t sequence = TRY(std::move(place)).sequence;
  TRY(log.sync(sequence));
  log_failed_ = false;
  batch.begun = true;
  batch.said = now;
  return {};
}

// While names move, whoever misses one waits (Journal::stands()).
void Uploader::set_moving(Batch& batch, bool moving) {
  if (!moves_names(batch.changes.front().kind) || batch.moving == moving) return;
  sync::MutexLock lock(journal_.mutex_);
  batch.moving = moving;
  ++journal_.moves_;
  journal_.changed_.notify_all();
}

// False: it is to stop.
bool Uploader::upload(Batch& batch) {
  Duration wait = journal_.options().retry_first;
  Trouble trouble;
  bool is_set_aside = false;
  for (;;) {
    log_failed_ = true;
    const Result<void> known = journal_.log().sync(batch.changes.back().sequence);
    log_failed_ = false;
    Error error = known.ok() ? Error(0, "") : known.error();
    if (known.ok()) {
      set_moving(batch, true);
      Result<Outcome> outcome = is_set_aside ? not_done(batch) : carry_out(batch);
      const bool failed = !outcome.ok() && !log_failed_ && !is_set_aside;
      if (failed && is_hopeless(outcome.error(), trouble)) {
        const Result<void> kept = set_aside(batch, outcome.error());
        is_set_aside = kept.ok();
        outcome = kept.ok() ? not_done(batch) : kept.error();
      }
      if (outcome.ok()) return finished(batch, outcome.value());
      error = outcome.error();
      // What may have been moved is looked for when that is known.
      if (!batch.begun) set_moving(batch, false);
    }
    const bool is_ours = log_failed_ || !known.ok();
    if (is_ours) journal_.let_go_of_kept();
    wait_before_retry(error, is_ours ? "" : batch.shown_path, wait);
    sync::MutexLock lock(journal_.mutex_);
    if (journal_.stopping_) return false;
  }
}

bool Uploader::is_hopeless(const Error& error, Trouble& trouble) const {
  const Passes passes = may_pass(error.code());
  if (passes != Passes::kSome) return passes == Passes::kNo;
  const MonoTime now = Clock::system().now();
  if (trouble.tries++ == 0) trouble.since = now;
  const bool long_enough = now - trouble.since >= journal_.options().trouble_max;
  return trouble.tries >= kTroubleTries && long_enough;
}

void Uploader::wait_before_retry(const Error& error, const std::string& what, Duration& wait) {
  const std::string why = (what.empty() ? "" : "'" + what + "': ") + error.message();
  const MonoTime until = Clock::system().now() + wait;
  wait = std::min(wait * 2, journal_.options().retry_max);
  sync::MutexLock lock(journal_.mutex_);
  if (journal_.stopping_) return;
  if (journal_.last_error_ != why) {
    journal_.last_error_ = why;
    telemetry::log_warn("journal", "the upload waits: {}", why);
  }
  while (!journal_.stopping_ && !journal_.hurry_ && Clock::system().now() < until) {
    journal_.changed_.wait_until(journal_.mutex_, until);
  }
  journal_.hurry_ = false;
}

// False: it is to stop, and does not say so.
bool Uploader::finished(Batch& batch, const Outcome& outcome) {
  Went went{.failed = outcome.failed,
            .beside = batch.beside,
            .after = outcome.after,
            .left = std::nullopt,
            .aside = outcome.aside,
            .left_aside = std::nullopt};
  if (outcome.aside) went.left_aside = outcome.aside->validator;
  const bool is_ours = outcome.after && !outcome.theirs && !batch.is_directory;
  if (is_ours) went.left = outcome.after->validator;
  JournalLog& log = journal_.log();
  Duration wait = journal_.options().retry_first;
  for (;;) {
    uint64_t needed = 0;
    {
      sync::MutexLock lock(journal_.mutex_);
      needed =
          record_bytes(encode_body(journal_.done_locked(batch.changes.size(), went)).size(), 0);
    }
    Result<JournalLog::Room> room = log.make_room(needed, JournalLog::For::kProgress);
    if (!room.ok()) {
      journal_.let_go_of_kept();
      wait_before_retry(room.error(), "", wait);
      sync::MutexLock lock(journal_.mutex_);
      if (journal_.stopping_) return false;
      continue;
    }
    RecordPlace place;
    Record done;
    std::string body;
    {
      // In one step: what is changed here after it is recorded behind it.
      sync::MutexLock lock(journal_.mutex_);
      done = journal_.done_locked(batch.changes.size(), went);
      body = encode_body(done);
      if (record_bytes(body.size(), 0) > needed) continue;  // it was moved meanwhile
      place = log.append(room.value(), done, body.size(), 0);
      journal_.finish_locked(batch.changes.size(), went);
      journal_.doubted_ = NodeId::kNone;
      log.owe(journal_.queue_.size());
      journal_.begun_.reset();
      if (outcome.conflict) {
        ++journal_.conflicts_;
        std::string ours = batch.beside.empty() ? "it stays" : "ours is " + batch.beside;
        if (outcome.may_lack) ours += ", which may lack what was uploaded long before";
        if (outcome.unread)
          ours += ", which lacks what was not written here: theirs may not be read";
        journal_.add_trouble_locked("'" + batch.shown_path +
                                    "' was changed at the origin too: " + ours);
      }
      if (batch.restored) {
        ++journal_.conflicts_;
        journal_.add_trouble_locked("the directory of '" + batch.shown_path +
                                    "' was removed at the origin: it was made anew");
      }
      journal_.last_error_.clear();
      journal_.changed_.notify_all();
    }
    set_moving(batch, false);
    // If it fails, the journal is broken, and says so to the next.
    (void)log.write(place, done, body, {});
    if (outcome.conflict || outcome.failed) tell_elsewhere(batch);
    release();
    return true;
  }
}

void Uploader::tell_elsewhere(const Batch& batch) {
  const auto& tell = journal_.options().went_elsewhere;
  if (!tell) return;
  tell(batch.shown_path,
       batch.beside.empty() ? std::string() : sibling(batch.shown_path, batch.beside));
}

// Segments of which all is done go, when that is durable.
void Uploader::release() {
  JournalLog& log = journal_.log();
  uint64_t done = 0;
  {
    sync::MutexLock lock(journal_.mutex_);
    done = journal_.done_;
    // What is kept of files may take half of the space that there is.
    const uint64_t kept = journal_.overlay_.first_kept();
    if (kept != 0 && log.bytes() < journal_.options().size_max / 2) done = std::min(done, kept - 1);
    if (kept != 0 && kept <= done) journal_.overlay_.let_go_of_kept();
  }
  const uint64_t upto = log.releasable(done);
  if (upto == 0) return;
  if (!log.sync(log.last_sequence()).ok()) return;
  log.release(upto);
  sync::MutexLock lock(journal_.mutex_);
  journal_.changed_.notify_all();
}

Result<Uploader::Outcome> Uploader::carry_out(Batch& batch) {
  switch (batch.changes.front().kind) {
    case RecordKind::kMake:
      return make(batch);
    case RecordKind::kRemove:
      return remove(batch);
    case RecordKind::kRename:
      return rename(batch);
    default:
      return change_file(batch);
  }
}

// Kept in a file of its own, as it was recorded; what cannot be read stays in its segment.
Result<void> Uploader::set_aside(const Batch& batch, const Error& error) {
  std::string where = journal_.options().directory + "/set-aside";
  for (const Change& change : batch.changes) {
    std::string data;
    const Result<Record> record = journal_.log().read(change.place, &data);
    if (record.ok()) {
      TRY(journal_.keep_aside(record.value(), data));
    } else {
      journal_.log().keep(change.place);
      where = change.place.segment->path + ".damaged";
    }
  }
  telemetry::log_error("journal",
                       "'{}': {} change(s) made here cannot be uploaded ({}); set aside in {}",
                       batch.shown_path, batch.changes.size(), error.message(), where);
  sync::MutexLock lock(journal_.mutex_);
  journal_.set_aside_ += batch.changes.size();
  journal_.add_trouble_locked("'" + batch.shown_path + "' could not be uploaded (" +
                              error.message() + "): set aside in " + where);
  return {};
}

}  // namespace netfs::journal
