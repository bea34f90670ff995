#include "journal/journaled_writer.h"

#include <linux/falloc.h>
#include <set>
#include <utility>

#include "journal/journaled_file.h"

namespace netfs::journal {

namespace {

WriteCapabilities capabilities_of(const OriginWriter& inner) {
  WriteCapabilities made = inner.write_capabilities();
  made.write_bytes_max = std::min<uint64_t>(made.write_bytes_max, kDataBytesMax);
  made.files_outlive_names = false;
  made.changes_by_handle = true;
  made.keeps_replaced = true;
  made.tells_holes = false;
  made.copies = false;
  made.nameless_files = false;
  return made;
}

bool is_plain(FileType type) {
  return type == FileType::kRegular || type == FileType::kDirectory || type == FileType::kSymlink;
}

constexpr uint32_t kNameBytesMax = 255;

}  // namespace

JournaledWriter::JournaledWriter(Journal& journal)
    : journal_(journal),
      capabilities_(capabilities_of(journal.writer())),
      writes_({.name = "netfs-jwrite", .threads = 1}) {}

Result<Journal::Looked> JournaledWriter::look(const FileAt& file, Deadline deadline) {
  if (file.open == nullptr) return journal_.look(file.path, deadline);
  return journal_.look(static_cast<JournaledFile&>(*file.open).node(), deadline);
}

Result<Journal::Glance> JournaledWriter::must_be_absent(const std::string& path, bool believed,
                                                        Deadline deadline) {
  if (name_of(path).size() > kNameBytesMax) return Error(ENAMETOOLONG, "journal.make");
  Result<Journal::Glance> glance = journal_.glance(path);
  if (glance.is_error(ENOTDIR)) return glance.error();
  if (glance.ok() && glance.value().all_is_known) return glance;
  // A node that is known here is looked at: its name may be there in spite of what is believed.
  if (glance.ok() && glance.value().node == NodeId::kNone && believed) return glance;
  if (glance.ok() && journal_.saw_lately(path) != RecentLooks::Saw::kNothing) {
    const Result<Journal::Looked> there = journal_.look(path, deadline);
    if (there.ok()) return Error(EEXIST, "journal.make");
    if (!there.is_error(ENOENT)) return there.error();
  }
  TRY(must_be_directory(parent_of(path), deadline));
  return glance.ok() ? std::move(glance).value() : Journal::Glance{};
}

Result<void> JournaledWriter::must_be_directory(const std::string& path, Deadline deadline) {
  const Result<Journal::Glance> glance = journal_.glance(path);
  const bool was_seen = path.empty() || journal_.saw_lately(path) == RecentLooks::Saw::kDirectory;
  if (glance.ok() && was_seen) return {};
  const Journal::Looked looked = TRY(journal_.look(path, deadline));
  return looked.info.attributes.type == FileType::kDirectory
             ? Result<void>()
             : Result<void>(Error(ENOTDIR, "journal.make"));
}

Result<Journal::Committed> JournaledWriter::commit_new(const std::string& path, const NewNode& what,
                                                       Deadline deadline) {
  const Journal::Glance before = TRY(must_be_absent(path, what.believed_absent, deadline));
  Journal::Wanted wanted{.record = {.kind = RecordKind::kMake, .path = path, .made = what},
                         .gone = before.node,
                         .known_gone = before.state.changed};
  return journal_.commit(std::move(wanted));
}

Result<NodeInfo> JournaledWriter::make(const std::string& path, const NewNode& what,
                                       Deadline deadline) {
  if (!is_plain(what.type)) {
    (void)TRY(must_be_absent(path, /*believed=*/false, deadline));
    const std::string place = TRY(place_of_new(path, deadline));
    NodeInfo info = TRY(journal_.writer().make(place, what, deadline));
    journal_.made_past(path);
    info.identity.clear();
    return info;
  }
  Journal::Committed made = TRY(commit_new(path, what, deadline));
  journal_.close_node(made.node);
  return std::move(*made.seen.after);
}

Result<OpenedFile> JournaledWriter::create(const std::string& path, const NewNode& what,
                                           Deadline deadline) {
  Journal::Committed made = TRY(commit_new(path, what, deadline));
  return OpenedFile{.file = std::make_unique<JournaledFile>(journal_, made.node, nullptr),
                    .readable = true,
                    .info = std::move(*made.seen.after)};
}

// What the origin has is opened there: it may refuse.
Result<OpenedFile> JournaledWriter::open_for_writing(const std::string& path, Deadline deadline) {
  for (;;) {
    const Journal::Looked looked = TRY(journal_.look(path, deadline));
    const FileType type = looked.info.attributes.type;
    if (type == FileType::kDirectory) return Error(EISDIR, "journal.open");
    if (type == FileType::kSymlink) return Error(ELOOP, "journal.open");
    if (type != FileType::kRegular) return Error(EINVAL, "journal.open");
    OpenedFile opened{.file = nullptr, .readable = true, .info = looked.info};
    std::shared_ptr<OriginFile> inner;
    std::optional<NodeInfo> raw;
    if (looked.raw) {
      Result<OpenedFile> below =
          journal_.writer().open_for_writing(*looked.glance.origin_path, deadline);
      const Journal::Stands stand =
          TRY(journal_.stands(path, NodeId::kNone, looked.glance, below.code(), deadline));
      if (stand == Journal::Stands::kNo) continue;
      if (!below.ok()) return std::move(below).error();
      raw = below.value().info;
      opened.info = journal_.show(looked.glance, &*raw);
      if (below.value().readable) inner = std::move(below.value().file);
    }
    const NodeId node = journal_.open_node(path, looked.glance, looked.info.attributes.type, raw);
    if (node == NodeId::kNone) continue;
    opened.file = std::make_unique<JournaledFile>(journal_, node, std::move(inner));
    return opened;
  }
}

Result<bool> JournaledWriter::is_empty(const std::string& path, Deadline deadline) {
  for (;;) {
    const Journal::Glance glance = TRY(journal_.glance(path));
    std::set<std::string> gone;
    for (const Journal::ShownName& name : journal_.names_in(glance.node)) {
      // What was made or moved here; what is where it was, the origin tells.
      if (name.glance && !name.in_place) return false;
      if (!name.glance) gone.insert(name.name);
    }
    if (!glance.origin_path) return true;
    bool empty = true;
    const Result<void> listed =
        journal_.inner().list(*glance.origin_path, deadline, [&](const OriginEntry& entry) {
          empty = empty && gone.contains(entry.name);
          return Result<void>();
        });
    const Journal::Stands stand =
        TRY(journal_.stands(path, NodeId::kNone, glance, listed.code(), deadline));
    if (stand == Journal::Stands::kNo) continue;
    TRY(listed);
    return empty;
  }
}

Result<void> JournaledWriter::remove(const std::string& path, RemoveKind kind, Deadline deadline) {
  const Journal::Looked looked = TRY(journal_.look(path, deadline));
  const bool is_directory = looked.info.attributes.type == FileType::kDirectory;
  if (kind == RemoveKind::kFile && is_directory) return Error(EISDIR, "journal.remove");
  if (kind == RemoveKind::kDirectory) {
    if (!is_directory) return Error(ENOTDIR, "journal.remove");
    if (!TRY(is_empty(path, deadline))) return Error(ENOTEMPTY, "journal.remove");
  }
  // It changes what the origin shows of its other names, which may be looked at next.
  if (!is_directory && looked.raw && looked.raw->attributes.link_count > 1) {
    const FileAt there = TRY(settled({.path = path}, deadline));
    return journal_.writer().remove(there.path, kind, deadline);
  }
  Journal::Wanted wanted{.record = {.kind = RecordKind::kRemove, .path = path, .remove = kind},
                         .raw = looked.raw,
                         .known = looked.glance.state.changed};
  TRY(journal_.commit(std::move(wanted)));
  return {};
}

Result<void> JournaledWriter::rename(const std::string& from, const std::string& to, RenameHow how,
                                     Deadline deadline) {
  if (how != RenameHow::kReplace && how != RenameHow::kNoReplace) {
    return Error(EINVAL, "journal.rename");
  }
  (void)TRY(rename({.kind = RecordKind::kRename, .path = from, .to = to, .how = how}, deadline));
  return {};
}

Result<bool> JournaledWriter::replace(const std::string& from, const std::string& to,
                                      const std::string& kept, Deadline deadline) {
  return rename({.kind = RecordKind::kRename, .path = from, .to = to, .aside = kept}, deadline);
}

Result<bool> JournaledWriter::rename(Record record, Deadline deadline) {
  const std::string from = record.path;
  const std::string to = record.to;
  const RenameHow how = record.how;
  if (name_of(to).size() > kNameBytesMax) return Error(ENAMETOOLONG, "journal.rename");
  const Journal::Looked source = TRY(journal_.look(from, deadline));
  const Result<Journal::Glance> before = journal_.glance(to);
  const Result<Journal::Looked> target = journal_.look(to, deadline);
  if (!target.ok() && !target.is_error(ENOENT)) return target.error();
  Journal::Wanted wanted{
      .record = std::move(record), .raw = source.raw, .known = source.glance.state.changed};
  if (!target.ok()) {
    const Journal::Looked parent = TRY(journal_.look(parent_of(to), deadline));
    if (parent.info.attributes.type != FileType::kDirectory) {
      return Error(ENOTDIR, "journal.rename");
    }
    // What somebody else has put there meanwhile is not to be replaced.
    wanted.record.how = RenameHow::kNoReplace;
    wanted.record.aside.clear();
    if (before.ok()) wanted.gone = before.value().node;
    if (before.ok()) wanted.known_gone = before.value().state.changed;
    TRY(journal_.commit(std::move(wanted)));
    return false;
  }
  if (how == RenameHow::kNoReplace) return Error(EEXIST, "journal.rename");
  if (from == to) return false;
  const bool is_directory = source.info.attributes.type == FileType::kDirectory;
  const bool onto_directory = target.value().info.attributes.type == FileType::kDirectory;
  if (is_directory && !onto_directory) return Error(ENOTDIR, "journal.rename");
  if (!is_directory && onto_directory) return Error(EISDIR, "journal.rename");
  if (onto_directory && !wanted.record.aside.empty()) return Error(EISDIR, "journal.rename");
  if (onto_directory && !TRY(is_empty(to, deadline))) {
    return Error(ENOTEMPTY, "journal.rename");
  }
  wanted.raw_target = target.value().raw;
  wanted.known_target = target.value().glance.state.changed;
  const Journal::Committed renamed = TRY(journal_.commit(std::move(wanted)));
  // Whoever replaces a file by a new one wants the one or the other after a power cut.
  TRY(journal_.log().sync(renamed.sequence));
  return true;
}

Result<Seen> JournaledWriter::set_attributes(const FileAt& file, const AttributeChange& change,
                                             Deadline deadline) {
  const Journal::Looked looked = TRY(look(file, deadline));
  const FileType type = looked.info.attributes.type;
  if (change.size_bytes && type != FileType::kRegular) {
    return Error(type == FileType::kDirectory ? EISDIR : EINVAL, "journal.truncate");
  }
  if (change.size_bytes && static_cast<int64_t>(*change.size_bytes) < 0) {
    return Error(EFBIG, "journal.truncate");
  }
  Journal::Wanted wanted{
      .record = {.kind = RecordKind::kSetAttributes, .path = file.path, .change = change},
      .node = looked.glance.node,
      .by_handle = file.open != nullptr,
      .raw = looked.raw,
      .known = looked.glance.state.changed};
  const Timestamp now = journal_.now();
  for (std::optional<NewTime>* time : {&wanted.record.change.atime, &wanted.record.change.mtime}) {
    if (*time && (*time)->now) *time = NewTime{.now = false, .time = now};
  }
  return TRY(journal_.commit(std::move(wanted))).seen;
}

void JournaledWriter::issue_write(WriteSubrequest& subrequest) {
  const bool posted = writes_.post([this, &subrequest] { write(subrequest); });
  if (!posted) subrequest.terminated({.transferred_bytes = Error(ENOTCONN, "journal.write")});
}

void JournaledWriter::write(WriteSubrequest& subrequest) {
  const auto run = [&]() -> Result<Seen> {
    const NodeId node = static_cast<JournaledFile&>(subrequest.file()).node();
    const Journal::Glance glance = TRY(journal_.glance(node));
    Journal::Wanted wanted{.record = {.kind = RecordKind::kWrite, .range = subrequest.range()},
                           .node = node,
                           .by_handle = true,
                           .data = subrequest.source()};
    // The first change of it, and what it is like is not known any more.
    if (glance.origin_path && glance.state.pending == 0 && !glance.state.base) {
      Journal::Looked looked = TRY(journal_.look(node, subrequest.deadline()));
      wanted.raw = std::move(looked.raw);
      wanted.known = looked.glance.state.changed;
    }
    return TRY(journal_.commit(std::move(wanted))).seen;
  };
  Result<Seen> seen = run();
  if (!seen.ok()) return subrequest.terminated({.transferred_bytes = seen.error()});
  subrequest.terminated(
      {.transferred_bytes = subrequest.range().length_bytes, .seen = std::move(seen).value()});
}

Result<Seen> JournaledWriter::allocate(OriginFile& file, uint32_t mode, ByteRange range,
                                       Deadline deadline) {
  constexpr uint32_t kKnown = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
  if ((mode & ~kKnown) != 0) return Error(EOPNOTSUPP, "journal.allocate");
  const Journal::Looked looked =
      TRY(journal_.look(static_cast<JournaledFile&>(file).node(), deadline));
  Journal::Wanted wanted{.record = {.kind = RecordKind::kAllocate, .range = range, .mode = mode},
                         .node = looked.glance.node,
                         .by_handle = true,
                         .raw = looked.raw,
                         .known = looked.glance.state.changed};
  return TRY(journal_.commit(std::move(wanted))).seen;
}

// What went beside, or was set aside, is told once to whoever has it open and asks.
Result<void> JournaledWriter::sync(const FileAt& file, SyncKind /*kind*/, Deadline deadline) {
  TRY(sync_all(deadline));
  if (file.open == nullptr) return {};
  const NodeId node = static_cast<JournaledFile&>(*file.open).node();
  if (!journal_.take_trouble(node)) return {};
  return Error(EIO, "journal.sync", "it was changed at the origin too, or is not taken there");
}

Result<void> JournaledWriter::sync_all(Deadline /*deadline*/) {
  return journal_.log().sync(journal_.log().last_sequence());
}

}  // namespace netfs::journal
