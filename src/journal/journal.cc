// Opening and waiting; looks are in journal_look.cc, changes in journal_commit.cc.

#include "journal/journal.h"

#include <algorithm>
#include <utility>

#include "telemetry/log.h"

namespace netfs::journal {

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

std::string name_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

Result<std::unique_ptr<Journal>> Journal::open(JournalOptions options) {
  std::unique_ptr<Journal> journal(new Journal(std::move(options)));
  TRY(journal->read_log());
  if (journal->options_.owner) {
    journal->owner_ = *journal->options_.owner;
  } else {
    const Deadline soon = Deadline::after(Clock::system(), journal->options_.timeout);
    const NodeInfo root = TRY(journal->inner().stat("", soon));
    journal->owner_ = {root.attributes.uid, root.attributes.gid};
  }
  TRY(journal->ask_for_unknown());
  return journal;
}

Journal::~Journal() {
  bool empty = false;
  {
    sync::MutexLock lock(mutex_);
    empty = queue_.empty();
  }
  if (empty && log_) log_->finish();
}

// What the process before has done is done here again, in memory: its changes and, between them,
// what became of them at the origin.
Result<void> Journal::read_log() {
  std::vector<std::pair<Record, RecordPlace>> records;
  log_ = TRY(JournalLog::open({.disk = options_.disk,
                               .directory = options_.directory,
                               .volume_key = options_.inner.volume_key(),
                               .sync_after = options_.sync_after,
                               .segment_bytes = options_.segment_bytes},
                              [&](const Record& record, const RecordPlace& place) {
                                records.emplace_back(record, place);
                              }));
  if (!log_->damage().empty()) telemetry::log_error("journal", "{}", log_->damage());
  mark_ = "journal";
  for (int shift = 56; shift >= 0; shift -= 8) {
    mark_.push_back(static_cast<char>(log_->generation() >> shift));
  }
  sync::MutexLock lock(mutex_);
  for (const auto& [record, place] : records) replay_locked(record, place);
  uploaded_ = 0;
  // Where it is nobody knows until the uploader has looked.
  if (begun_ && !queue_.empty() && moves_names(queue_.front().kind)) {
    ++moves_;
    if (queue_.front().aside.directory != NodeId::kNone) doubted_ = queue_.front().victim;
  }
  log_->owe(queue_.size());
  if (!queue_.empty()) {
    telemetry::log_info("journal", "{} changes wait to be uploaded since before", queue_.size());
  }
  return {};
}

void Journal::replay_locked(const Record& record, const RecordPlace& place) {
  if (record.kind == RecordKind::kBegin) {
    begun_ = Begun{record.upto, record.beside, record.sure, record.info, record.older, record.rest};
    return;
  }
  if (record.kind == RecordKind::kDone) {
    size_t count = 0;
    while (count < queue_.size() && queue_[count].sequence <= record.upto) ++count;
    // Looked up as it was said: before that is done.
    const NodeId id = overlay_.told(queue_, record.told, record.path);
    NodeId above = NodeId::kNone;
    if (id != NodeId::kNone && record.where == Where::kElsewhere) {
      above = overlay_.told(queue_, record.above, record.to);
      if (above == NodeId::kNone && record.above.next == 0) {
        above = overlay_.touch(record.to, FileType::kDirectory).id;
      }
    }
    finish_locked(count, {.failed = record.failed,
                          .beside = record.beside,
                          .after = std::nullopt,
                          .left = record.left,
                          .aside = std::nullopt,
                          .left_aside = record.left_aside});
    overlay_.believe(id, above, record);
    // What it tells of began before what is here, or may have.
    Node* node = overlay_.node(id);
    const bool may_lack = count == 0 || !std::exchange(told_done_, true);
    if (may_lack && node != nullptr && node->state.pending > 0) node->not_whole = true;
    done_ = record.upto;
    begun_.reset();
    return;
  }
  const std::optional<Change> change = overlay_.apply(record, place);
  if (!change) return;
  queue_.push_back(*change);
  made_at_.push_back(record.time);
  pending_bytes_ += place.data_bytes;
}

// What is said of the first `count` changes of the queue when they are done.
Record Journal::done_locked(size_t count, const Went& went) const {
  Record done{.kind = RecordKind::kDone,
              .upto = queue_[count - 1].sequence,
              .beside = went.beside,
              .failed = went.failed};
  overlay_.say_where(queue_, count, went, done);
  return done;
}

void Journal::finish_locked(size_t count, const Went& went) {
  for (size_t i = 0; i < count; ++i) {
    const Change change = queue_.front();
    Went one = went;
    if (i + 1 < count) one.after.reset();  // a rename is alone
    overlay_.done(change, one);
    done_ = change.sequence;
    pending_bytes_ -= change.place.data_bytes;
    queue_.pop_front();
    made_at_.pop_front();
  }
  uploaded_ += count;
}

void Journal::let_go_of_kept() {
  uint64_t done = 0;
  {
    sync::MutexLock lock(mutex_);
    overlay_.let_go_of_kept();
    done = done_;
  }
  const uint64_t upto = log_->releasable(done);
  if (upto == 0 || !log_->sync(log_->last_sequence()).ok()) return;
  log_->release(upto);
}

// Files whose first changes are at the origin, and nothing says any more what they were like.
Result<void> Journal::ask_for_unknown() {
  std::vector<std::pair<NodeId, std::string>> files;
  {
    sync::MutexLock lock(mutex_);
    for (const NodeId id : overlay_.unknown()) {
      if (id == doubted_) continue;
      files.emplace_back(id, overlay_.path_there(*overlay_.node(id)).value_or(""));
    }
  }
  for (const auto& [id, path] : files) {
    const Deadline soon = Deadline::after(Clock::system(), options_.timeout);
    Result<NodeInfo> info = inner().stat(path, soon);
    if (!info.ok() && !info.is_error(ENOENT) && !info.is_error(ENOTDIR)) return info.error();
    if (!info.ok()) continue;  // its change may have been done: the uploader will see
    sync::MutexLock lock(mutex_);
    overlay_.learned(id, info.value());
  }
  return {};
}

Result<void> Journal::keep_aside(Record record, std::string_view data) {
  const auto bytes = std::as_bytes(std::span(data.data(), data.size()));
  const EncodedRecord encoded = encode_record(record, encode_body(record), bytes);
  const std::string whole = encoded.front + std::string(data) + encoded.padding;
  const std::unique_ptr<cachefiles::DiskFile> file =
      TRY(options_.disk.open(options_.directory + "/set-aside", cachefiles::OpenMode::kCreate));
  const uint64_t end = TRY(file->stat()).size_bytes;
  const Result<void> written =
      file->write(end, std::as_bytes(std::span(whole.data(), whole.size())));
  if (!written.ok()) {
    (void)file->truncate(end);
    return written;
  }
  TRY(file->sync_data());
  return options_.disk.sync_directory(options_.directory);
}

std::vector<Journal::ShownName> Journal::names_in(NodeId directory) {
  std::vector<ShownName> names;
  sync::MutexLock lock(mutex_);
  Node* node = overlay_.node(directory);
  if (node == nullptr) return names;
  for (const auto& [name, entry] : node->entries) {
    ShownName shown{.name = name};
    if (entry.node != NodeId::kNone) {
      Node& child = *overlay_.node(entry.node);
      shown.glance = glance_locked(child);
      shown.in_place = child.there == child.here;
    }
    names.push_back(std::move(shown));
  }
  return names;
}

void Journal::add_trouble_locked(std::string sentence) {
  troubles_.push_back(std::move(sentence));
  if (troubles_.size() > kTroublesKept) troubles_.pop_front();
}

NodeId Journal::open_node(const std::string& path, const Glance& before, FileType type,
                          const std::optional<NodeInfo>& raw) {
  sync::MutexLock lock(mutex_);
  if (!is_same_locked(path, NodeId::kNone, before)) return NodeId::kNone;
  Node& node = overlay_.touch(path, type);
  overlay_.opened(node);
  if (raw && node.state.pending == 0) {
    // What somebody else made of it is what will be changed.
    const bool as_we_left_it = node.state.base && node.state.base->validator == raw->validator;
    if (!as_we_left_it) node.state.changed = 0;
    if (!as_we_left_it) node.state.shown_as.reset();
    node.state.base = *raw;
    node.expected = raw->validator;
  }
  return node.id;
}

void Journal::forget(NodeId id) {
  sync::MutexLock lock(mutex_);
  Node* node = overlay_.node(id);
  if (node == nullptr || node->state.pending > 0) return;
  node->state.base.reset();
  node->state.shown_as.reset();
  node->state.changed = 0;
  node->expected.reset();
}

void Journal::close_node(NodeId node) {
  sync::MutexLock lock(mutex_);
  overlay_.closed(node);
}

Journal::Bytes Journal::bytes_in(NodeId id, ByteRange range) {
  Bytes bytes;
  sync::MutexLock lock(mutex_);
  const Node* node = overlay_.node(id);
  if (node == nullptr) return bytes;
  bytes.only_below = node->state.pending == 0 && node->there;
  bytes.beside = node->beside;
  bytes.size = node->state.size_bytes();
  bytes.visible = node->visible_bytes();
  bytes.extents = node->extents.in(range);
  return bytes;
}

Result<void> Journal::go_on() const {
  sync::MutexLock lock(mutex_);
  return stopping_ ? Result<void>(Error(ECANCELED, "journal.upload")) : Result<void>();
}

uint64_t Journal::newest() const {
  sync::MutexLock lock(mutex_);
  return queue_.empty() ? 0 : queue_.back().sequence;
}

bool Journal::drain(uint64_t upto, Deadline deadline) {
  sync::MutexLock lock(mutex_);
  hurry_ = !queue_.empty();
  changed_.notify_all();
  while (!queue_.empty() && queue_.front().sequence <= upto) {
    if (!changed_.wait_until(mutex_, deadline.at)) return false;
  }
  return true;
}

std::vector<std::string> Journal::take_troubles() {
  sync::MutexLock lock(mutex_);
  std::vector<std::string> all(troubles_.begin(), troubles_.end());
  troubles_.clear();
  return all;
}

bool Journal::take_trouble(NodeId id) {
  sync::MutexLock lock(mutex_);
  Node* node = overlay_.node(id);
  return node != nullptr && std::exchange(node->trouble, false);
}

JournalStatus Journal::status() const {
  sync::MutexLock lock(mutex_);
  return {.pending = queue_.size(),
          .pending_bytes = pending_bytes_,
          .oldest = made_at_.empty() ? Timestamp{} : made_at_.front(),
          .uploaded = uploaded_,
          .conflicts = conflicts_,
          .set_aside = set_aside_,
          .last_error = last_error_};
}

}  // namespace netfs::journal
