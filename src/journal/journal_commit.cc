// A change: checked as a local file system would, recorded, seen.

#include <algorithm>
#include <utility>

#include "journal/journal.h"

namespace netfs::journal {

namespace {

// A path is put into a record after the room for it was made.
constexpr uint64_t kPathSlack = kPathBytesMax;
// A kKnown without its path.
constexpr uint64_t kKnownBytes = 1024;

bool lies_in(const std::string& path, const std::string& directory) {
  return path.size() > directory.size() && path[directory.size()] == '/' &&
         path.compare(0, directory.size(), directory) == 0;
}

// The origin was asked, and has nothing of that name any more: what was remembered of it goes. What
// was made since is not what was asked for.
void let_go_of_gone(Overlay& overlay, const std::string& path, NodeId gone, uint64_t known) {
  Node* node = overlay.find(path).node;
  if (node == nullptr || node->id != gone || node->state.changed != known) return;
  if (node->state.pending > 0 || !node->there || !node->here) return;
  if (!node->entries.empty() || node->state.names_pending > 0) return;
  overlay.node(node->here->directory)->entries.erase(node->here->name);
  node->here.reset();
}

// As somebody else has left it, perhaps.
void see_anew(Node& node, const NodeInfo& raw) {
  const bool as_we_left_it = node.state.base && node.state.base->validator == raw.validator;
  node.state.base = raw;
  // A directory has no versions: what is done in it changes it.
  if (raw.attributes.type == FileType::kDirectory) return;
  node.expected = raw.validator;
  if (as_we_left_it) return;
  node.state.changed = 0;
  node.state.shown_as.reset();
}

// Not ESTALE to a handle: whoever opened it anew by its name would write into another file.
Result<std::string> path_of(Overlay& overlay, NodeId id, bool by_handle) {
  const Node* node = overlay.node(id);
  std::optional<std::string> path = node ? overlay.path_here(*node) : std::nullopt;
  if (by_handle && (!path || node->adrift)) {
    return Error(EIO, "journal", "what was written by this handle went elsewhere");
  }
  if (!path) return Error(ESTALE, "journal");
  return std::move(*path);
}

}  // namespace

// A record that has its place and is to be written.
struct Journal::Ready {
  RecordPlace place;
  Record record;
  std::string body;
  std::span<const std::byte> data;
};

Result<void> Journal::check_parent_locked(const std::string& path) {
  const Overlay::Found found = overlay_.find(parent_of(path));
  if (found.leads == Overlay::Leads::kToOrigin) return {};
  if (found.leads == Overlay::Leads::kToNode) {
    const FileType type = found.node->state.type;
    if (type == FileType::kDirectory || type == FileType::kUnknown) return {};
    return Error(ENOTDIR, "journal");
  }
  return Error(found.leads == Overlay::Leads::kNowhere ? ENOENT : ENOTDIR, "journal");
}

// As far as is known here; what the origin has in it was looked at before.
Result<void> Journal::check_empty_locked(const std::string& path) {
  const Overlay::Found found = overlay_.find(path);
  if (found.node == nullptr) return {};
  for (const auto& [name, entry] : found.node->entries) {
    if (entry.node != NodeId::kNone) return Error(ENOTEMPTY, "journal");
  }
  return {};
}

Result<void> Journal::check_locked(const Record& record) {
  if (record.kind == RecordKind::kMake) {
    TRY(check_parent_locked(record.path));
    const bool taken = overlay_.find(record.path).leads == Overlay::Leads::kToNode;
    return taken ? Result<void>(Error(EEXIST, "journal.make")) : Result<void>();
  }
  (void)TRY(find_locked(record.path));
  if (record.kind == RecordKind::kRemove) return check_empty_locked(record.path);
  if (record.kind != RecordKind::kRename) return {};
  if (lies_in(record.to, record.path)) return Error(EINVAL, "journal.rename");
  TRY(check_parent_locked(record.to));
  const bool taken = overlay_.find(record.to).leads == Overlay::Leads::kToNode;
  if (taken && record.how == RenameHow::kNoReplace) return Error(EEXIST, "journal.rename");
  if (!record.aside.empty()) {
    TRY(check_parent_locked(record.aside));
    const bool free = overlay_.find(record.aside).leads != Overlay::Leads::kToNode;
    if (!free) return Error(EEXIST, "journal.rename");
  }
  return check_empty_locked(record.to);
}

void Journal::ready_locked(JournalLog::Room& room, Record record, std::span<const std::byte> data,
                           std::vector<Ready>& all) {
  std::string body = encode_body(record);
  if (record.kind == RecordKind::kRename) {
    recent_.all_changed();
  } else {
    recent_.changed(record.path);
  }
  const RecordPlace place = log_->append(room, record, body.size(), data.size());
  const std::optional<Change> change = overlay_.apply(record, place);
  if (change) {
    queue_.push_back(*change);
    made_at_.push_back(record.time);
    pending_bytes_ += data.size();
    log_->owe(queue_.size());
  }
  all.push_back({place, std::move(record), std::move(body), data});
}

// What the origin has of it, before the first change.
void Journal::make_known_locked(JournalLog::Room& room, const std::string& path,
                                const std::optional<NodeInfo>& raw, uint64_t known_when_asked,
                                std::vector<Ready>& all) {
  const Overlay::Found found = overlay_.find(path);
  const bool here = found.leads == Overlay::Leads::kToNode;
  if (here && (found.node->state.pending > 0 || !found.node->there)) return;
  if (!here && found.leads != Overlay::Leads::kToOrigin) return;
  Record known{.kind = RecordKind::kKnown, .path = path};
  // What was asked before our own upload came in between is old.
  const bool fresh = !here || found.node->state.changed == known_when_asked;
  if (raw && fresh) {
    known.info = *raw;
    if (here) see_anew(*found.node, *raw);
  } else if (here && found.node->state.base) {
    known.info = *found.node->state.base;
  } else {
    return;
  }
  if (known.info.attributes.type == FileType::kDirectory && here) found.node->state.base.reset();
  ready_locked(room, std::move(known), {}, all);
}

// Whoever makes more than is uploaded waits for the upload.
Result<void> Journal::wait_for_space() {
  const auto is_full = [&] { return log_->bytes() >= options_.size_max; };
  if (!is_full()) return {};
  // Whoever asks has that time for all of it, and is to hear of this before.
  const Deadline until = Deadline::after(Clock::system(), options_.timeout / 2);
  sync::MutexLock lock(mutex_);
  hurry_ = true;
  changed_.notify_all();
  while (is_full()) {
    if (stopping_ || !changed_.wait_until(mutex_, until.at)) {
      return Error(ENOSPC, "journal", "the journal is full: what is in it is not uploaded yet");
    }
  }
  return {};
}

// What could be given back is, before anyone is told that the disk is full.
Result<JournalLog::Room> Journal::make_room(uint64_t bytes) {
  Result<JournalLog::Room> made = log_->make_room(bytes);
  if (!made.is_error(ENOSPC) && !made.is_error(EDQUOT)) return made;
  let_go_of_kept();
  return log_->make_room(bytes);
}

Result<Journal::Committed> Journal::commit(Wanted wanted) {
  Record& record = wanted.record;
  record.time = now();
  if (record.kind == RecordKind::kMake && !record.made.owner) record.made.owner = owner_;
  const uint64_t body = encode_body(record).size();
  const uint64_t known = (wanted.raw_target ? 2 : 1) * (kPathSlack + kKnownBytes);
  TRY(wait_for_space());
  const uint64_t needed = record_bytes(body + kPathSlack, wanted.data.size()) + known + 64;
  JournalLog::Room room = TRY(make_room(needed));
  std::vector<Ready> all;
  Committed committed;
  {
    sync::MutexLock lock(mutex_);
    if (wanted.node != NodeId::kNone) {
      record.path = TRY(path_of(overlay_, wanted.node, wanted.by_handle));
    }
    if (std::max({record.path.size(), record.to.size(), record.aside.size()}) > kPathBytesMax) {
      return Error(ENAMETOOLONG, "journal");
    }
    const bool is_new = record.kind == RecordKind::kMake ||
                        (record.kind == RecordKind::kRename && record.how == RenameHow::kNoReplace);
    if (is_new) {
      const bool made = record.kind == RecordKind::kMake;
      let_go_of_gone(overlay_, made ? record.path : record.to, wanted.gone, wanted.known_gone);
    }
    TRY(check_locked(record));
    const NodeInfo* raw = wanted.raw ? &*wanted.raw : nullptr;
    if (record.kind != RecordKind::kMake) {
      make_known_locked(room, record.path, wanted.raw, wanted.known, all);
      const Overlay::Found found = overlay_.find(record.path);
      if (found.node != nullptr) {
        committed.seen.before = show(glance_locked(*found.node), raw).validator;
      } else if (raw != nullptr) {
        committed.seen.before = raw->validator;
      }
    }
    if (record.kind == RecordKind::kRename && wanted.raw_target) {
      make_known_locked(room, record.to, wanted.raw_target, wanted.known_target, all);
    }
    const bool renamed = record.kind == RecordKind::kRename;
    const std::string shown_at = renamed ? record.to : record.path;
    ready_locked(room, record, wanted.data, all);
    committed.sequence = all.back().record.sequence;
    const Overlay::Found found = overlay_.find(shown_at);
    if (found.node != nullptr) {
      committed.node = found.node->id;
      committed.seen.after = show(glance_locked(*found.node), raw);
      // The handle that create() answers with.
      if (record.kind == RecordKind::kMake) overlay_.opened(*found.node);
    }
  }
  Result<void> written;
  for (const Ready& ready : all) {
    const Result<void> one = log_->write(ready.place, ready.record, ready.body, ready.data);
    if (!one.ok()) written = one;
  }
  if (written.ok()) written = log_->wait_for_all(committed.sequence);
  {
    sync::MutexLock lock(mutex_);
    changed_.notify_all();
  }
  if (!written.ok()) {
    if (record.kind == RecordKind::kMake) close_node(committed.node);
    return written.error();
  }
  return committed;
}

}  // namespace netfs::journal
