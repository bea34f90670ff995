// What becomes of names at the origin.

#include <utility>

#include "journal/upload_beside.h"
#include "journal/uploader.h"
#include "telemetry/log.h"

namespace netfs::journal {

namespace {

// Of whom it was nobody knows.
constexpr uint32_t kRestoredPermissions = 0700;

// Whether the one was moved and is the other: by its identity, or by what a move does not change.
bool is_same_file(const NodeInfo& a, const NodeInfo& b) {
  if (a.attributes.type != b.attributes.type) return false;
  if (!a.identity.empty() && !b.identity.empty()) return a.identity == b.identity;
  if (a.attributes.type == FileType::kDirectory) return a.attributes.mtime == b.attributes.mtime;
  return a.attributes.size_bytes == b.attributes.size_bytes &&
         a.attributes.mtime == b.attributes.mtime;
}

}  // namespace

std::string sibling(const std::string& path, const std::string& name) {
  const std::string above = parent_of(path);
  return above.empty() ? name : above + "/" + name;
}

std::string conflict_name(const std::string& path, unsigned number) {
  const std::string suffix = ".netfs-conflict-" + std::to_string(number);
  return name_of(path).substr(0, kConflictNameBytesMax - suffix.size()) + suffix;
}

// Nothing: there is nothing.
Result<std::optional<NodeInfo>> Uploader::look(const std::string& path) {
  Result<NodeInfo> there = journal_.inner().stat(path, soon());
  if (there.is_error(ENOENT) || there.is_error(ENOTDIR)) return std::optional<NodeInfo>();
  return std::optional<NodeInfo>(TRY(std::move(there)));
}

// As durable as the origin can make it, and it is not asked for more than it has words for.  Of
// names and attributes not for more than it lets us, either; of bytes that is no excuse.
Result<void> Uploader::keep_there(const FileAt& file) {
  Result<void> kept = writer().sync(file, SyncKind::kAll, soon());
  if (kept.ok() || may_pass(kept.code()) != Passes::kNo) return kept;
  const int code = kept.code();
  const bool no_words = code == EOPNOTSUPP || code == ENOSYS || code == EINVAL;
  if (no_words || file.open == nullptr) return {};
  return Error(EIO, "journal.upload", kept.error().message());
}

// Somebody has removed the directory there in which we make something: it is made anew.  False: it
// is there.
Result<bool> Uploader::restore_above(Batch& batch, const std::string& path) {
  const std::string above = parent_of(path);
  if (above.empty() || TRY(look(above))) return false;
  (void)TRY(restore_above(batch, above));
  const NewNode directory{.type = FileType::kDirectory, .permissions = kRestoredPermissions};
  const Result<NodeInfo> made = writer().make(above, directory, soon());
  if (!made.ok() && !made.is_error(EEXIST)) return made.error();
  telemetry::log_warn("journal", "conflict: '{}' was removed at the origin: it is made anew",
                      above);
  batch.restored = true;
  return true;
}

Result<Uploader::Outcome> Uploader::make(Batch& batch) {
  if (!batch.target) return Error(ENOENT, "journal.upload", "its directory is not there");
  const Record record = TRY(journal_.log().read(batch.changes.front().place, nullptr));
  if (!batch.beside.empty()) return make_beside(batch, record);
  const bool doubtful = batch.begun;
  TRY(begin(batch));
  Result<NodeInfo> made = writer().make(*batch.target, record.made, soon());
  if (made.is_error(ENOENT) && TRY(restore_above(batch, *batch.target))) {
    made = writer().make(*batch.target, record.made, soon());
  }
  if (made.is_error(EEXIST)) {
    NodeInfo there = TRY(journal_.inner().stat(*batch.target, soon()));
    const FileType type = record.made.type;
    if (there.attributes.type != type) return make_beside(batch, record);
    if (type == FileType::kSymlink) {
      const std::string target = TRY(journal_.inner().read_link(*batch.target, soon()));
      if (target != record.made.target) return make_beside(batch, record);
    }
    // What we have made and not written to is empty.
    const bool is_ours = doubtful && there.attributes.size_bytes == 0;
    if (type == FileType::kRegular && !is_ours) return make_beside(batch, record);
    // Two who make one directory, or one link, have made one.
    if (doubtful && type != FileType::kSymlink) {
      const AttributeChange as_wanted{.permissions = record.made.permissions};
      const FileAt at{.path = *batch.target};
      const Seen seen = TRY(writer().set_attributes(at, as_wanted, soon()));
      there = seen.after ? *seen.after : TRY(journal_.inner().stat(*batch.target, soon()));
    }
    made = std::move(there);
  }
  if (!made.ok()) return made.error();
  TRY(keep_there({.path = parent_of(*batch.target)}));
  return Outcome{.after = std::move(made).value()};
}

Result<Uploader::Outcome> Uploader::make_beside(Batch& batch, const Record& record) {
  Outcome outcome{.conflict = true};
  const std::string tried = batch.beside;
  const auto make_there = [&](const std::string& path) -> Result<void> {
    Result<NodeInfo> made = writer().make(path, record.made, soon());
    if (made.is_error(EEXIST)) {
      const NodeInfo there = TRY(journal_.inner().stat(path, soon()));
      // Ours of an attempt before, as far as can be told.
      const bool is_ours = name_of(path) == tried && record.made.type == FileType::kRegular &&
                           there.attributes.type == FileType::kRegular &&
                           there.attributes.size_bytes == 0;
      if (!is_ours) return made.error();
      made = there;
    }
    outcome.after = TRY(std::move(made));
    return {};
  };
  const std::string path = TRY(beside(batch, *batch.target, make_there));
  TRY(keep_there({.path = parent_of(path)}));
  return outcome;
}

Result<Uploader::Outcome> Uploader::remove(Batch& batch) {
  if (!batch.path) return Outcome{};  // it never came there
  const auto stays = [&](const char* why) {
    telemetry::log_warn("journal", "conflict: '{}' was removed here and {} at the origin: it stays",
                        batch.shown_path, why);
    return Outcome{.conflict = true};
  };
  const Record record = TRY(journal_.log().read(batch.changes.front().place, nullptr));
  if (record.remove == RemoveKind::kFile) {
    const std::optional<NodeInfo> there = TRY(look(*batch.path));
    if (!there) return Outcome{};
    const bool changed = batch.expected && !(there->validator == *batch.expected);
    if (changed || there->attributes.type == FileType::kDirectory) return stays("changed");
  }
  TRY(begin(batch));
  Result<void> removed = writer().remove(*batch.path, record.remove, soon());
  if (removed.is_error(ENOTEMPTY)) return stays("has something new");
  if (removed.is_error(ENOTDIR) || removed.is_error(EISDIR)) return stays("replaced");
  if (!removed.ok() && !removed.is_error(ENOENT)) return removed.error();
  TRY(keep_there({.path = parent_of(*batch.path)}));
  return Outcome{};
}

// Whether what changes is at `to`, and not any more where it was.  ENOENT: it is nowhere.
Result<bool> Uploader::was_moved(const Batch& batch, const std::string& to) {
  const std::optional<NodeInfo> source = TRY(look(*batch.path));
  if (source && is_same_file(*source, batch.seen)) return false;
  const std::optional<NodeInfo> target = TRY(look(to));
  if (target && is_same_file(*target, batch.seen)) return true;
  if (source) return false;
  if (!target) return Error(ENOENT, "journal.upload", "it was moved, and is not there any more");
  return true;
}

Result<Uploader::Outcome> Uploader::moved(Batch& batch, const std::string& to) {
  Outcome outcome;
  // Gone again: what is done to it next finds that out.
  outcome.after = TRY(look(to));
  // What was not ours before is not ours by its new name.
  const bool was_theirs =
      !batch.is_directory && batch.expected && !(batch.seen.validator == *batch.expected);
  // Nor is what was written to since it was looked at: a move changes neither size nor time.
  const bool written = outcome.after && !batch.is_directory &&
                       (outcome.after->attributes.size_bytes != batch.seen.attributes.size_bytes ||
                        outcome.after->attributes.mtime != batch.seen.attributes.mtime);
  outcome.theirs =
      was_theirs || written || (outcome.after && !is_same_file(*outcome.after, batch.seen));
  TRY(keep_there({.path = parent_of(to)}));
  const std::string from = parent_of(*batch.path);
  if (from != parent_of(to)) TRY(keep_there({.path = from}));
  if (outcome.theirs) outcome.after.reset();
  if (batch.aside) outcome.aside = TRY(look(*batch.aside));
  return outcome;
}

// It never will be.  A file that was to be replaced is not without a name for that.
Result<Uploader::Outcome> Uploader::not_done(const Batch& batch) {
  Outcome outcome{.failed = true};
  if (!batch.aside) return outcome;
  outcome.aside = TRY(look(*batch.aside));
  if (!outcome.aside || TRY(look(*batch.target))) return outcome;
  const Result<void> back =
      writer().rename(*batch.aside, *batch.target, RenameHow::kNoReplace, soon());
  if (back.ok()) outcome.aside.reset();
  // Who has it open has it by its other name, if that is forbidden, too.
  if (!back.ok() && may_pass(back.code()) != Passes::kNo) return back.error();
  return outcome;
}

// What is replaced gets its other name besides, so that the one it loses is never without a file:
// true; or, where there are no hard links, instead.  Nobody else makes such a name.
Result<bool> Uploader::give_aside(Batch& batch) {
  // Somebody was here since it was looked at: once more from the front.
  const auto is_other = [](int code) { return code == ENOENT || code == EEXIST; };
  const Error again(ETIMEDOUT, "journal.upload");
  const Result<NodeInfo> linked = writer().link({.path = *batch.target}, *batch.aside, soon());
  if (linked.ok()) {
    batch.given = linked.value();
    return true;
  }
  if (is_other(linked.code())) return again;
  // SFTP has few words: that there are no links, or not of this file, may be any of these.
  const bool no_links = linked.is_error(EIO) || may_pass(linked.code()) == Passes::kNo;
  if (!no_links) return linked.error();
  const Result<void> renamed =
      writer().rename(*batch.target, *batch.aside, RenameHow::kNoReplace, soon());
  if (renamed.ok()) return false;
  return is_other(renamed.code()) ? again : renamed.error();
}

// Before the name leads to another file: who looks for this one finds it by its other name from now
// on, and who looked by the old one before looks once more.
void Uploader::say_aside(const Batch& batch) {
  sync::MutexLock lock(journal_.mutex_);
  journal_.overlay_.lives_aside(batch.changes.front());
  journal_.doubted_ = NodeId::kNone;
}

Result<Uploader::Outcome> Uploader::rename(Batch& batch) {
  if (!batch.path) return Error(ENOENT, "journal.upload", "it is not there");
  if (!batch.target) return Error(ENOENT, "journal.upload", "its new directory is not there");
  if (!batch.beside.empty()) return rename_beside(batch);
  if (batch.begun && TRY(was_moved(batch, *batch.target))) return moved(batch, *batch.target);
  const std::optional<NodeInfo> source = TRY(look(*batch.path));
  if (!source) return Error(ENOENT, "journal.upload", "it is not there");
  const Record record = TRY(journal_.log().read(batch.changes.front().place, nullptr));
  const std::optional<NodeInfo> taken = TRY(look(*batch.target));
  std::optional<NodeInfo> aside;
  if (batch.aside && batch.begun) aside = TRY(look(*batch.aside));
  if (aside) say_aside(batch);
  // A directory that is replaced is empty, or the origin says so: it is no version of anything, and
  // what we took out of it has changed it.
  const bool counts = taken && taken->attributes.type != FileType::kDirectory;
  const bool is_other = batch.victim_elsewhere || (counts && batch.victim_expected &&
                                                   !(taken->validator == *batch.victim_expected));
  bool changed = counts && is_other;
  // It has its other name, of an attempt before: what has this one is the same, or somebody's.
  // Or somebody has written to it since.
  if (taken && aside) {
    const bool written =
        batch.given && (taken->attributes.size_bytes != batch.given->attributes.size_bytes ||
                        taken->attributes.mtime != batch.given->attributes.mtime);
    changed = written || !is_same_file(*taken, *aside);
  }
  if (taken && !counts && batch.aside) changed = true;
  if (!changed) {
    batch.seen = *source;
    TRY(begin(batch));
    bool stays = taken.has_value();
    if (stays && batch.aside && !aside) {
      stays = TRY(give_aside(batch));
      say_aside(batch);
    }
    // What was to be replaced, and is gone, leaves nothing to replace.
    const RenameHow how = stays ? record.how : RenameHow::kNoReplace;
    Result<void> renamed = writer().rename(*batch.path, *batch.target, how, soon());
    if (renamed.is_error(ENOENT) && TRY(restore_above(batch, *batch.target))) {
      renamed = writer().rename(*batch.path, *batch.target, how, soon());
    }
    if (renamed.ok()) return moved(batch, *batch.target);
    const bool is_taken = renamed.is_error(EEXIST) || renamed.is_error(ENOTEMPTY) ||
                          renamed.is_error(EISDIR) || (taken && renamed.is_error(ENOTDIR));
    if (!is_taken) return renamed.error();
  } else {
    batch.seen = *source;
  }
  return rename_beside(batch);
}

Result<Uploader::Outcome> Uploader::rename_beside(Batch& batch) {
  const auto rename_to = [&](const std::string& to) -> Result<void> {
    if (TRY(was_moved(batch, to))) return {};
    return writer().rename(*batch.path, to, RenameHow::kNoReplace, soon());
  };
  const std::string path = TRY(beside(batch, *batch.target, rename_to));
  Outcome outcome = TRY(moved(batch, path));
  outcome.conflict = true;
  return outcome;
}

}  // namespace netfs::journal
