// What becomes of a file's bytes and attributes at the origin.

#include <algorithm>
#include <linux/falloc.h>
#include <list>
#include <utility>

#include "journal/upload_beside.h"
#include "journal/uploader.h"
#include "journal/waited.h"

namespace netfs::journal {

namespace {

constexpr uint64_t kCopyBytes = 1 << 20;
constexpr uint32_t kOwnerWrites = 0200;

class Sent final : public WaitedWrite {
 public:
  Sent(Journal& journal, OriginFile& file, ByteRange range, std::span<const std::byte> source,
       WantsSeen wants, Deadline deadline)
      : WaitedWrite(file, range, source, wants, deadline), journal_(journal) {}
  void time_moved(Deadline deadline) override { journal_.upload_time_moved(deadline); }

 private:
  Journal& journal_;
};

// Writes that are on their way; each keeps its bytes.
class Flight {
 public:
  // Each has the whole of a call's time.
  Flight(Journal& journal, OriginFile& file) : journal_(journal), file_(file) {}
  ~Flight() { (void)land_all(); }

  // In parts that pay, behind those that it overlaps; ECANCELED: the upload is to stop.
  Result<void> send(uint64_t offset, std::string data) {
    const ByteRange whole{offset, data.size()};
    if (data.empty()) return {};
    for (const One& one : flying_) {
      if (!one.range.intersect(whole).empty()) {
        TRY(land_all());
        break;
      }
    }
    // Whole pieces, where what is in doubt is told by them.
    uint64_t part_max = std::max<uint64_t>(writer().write_capabilities().write_bytes_max, 1);
    if (part_max > kPieceBytes) part_max = round_down(part_max, kPieceBytes);
    const auto kept = std::make_shared<std::string>(std::move(data));
    for (uint64_t at = 0; at < kept->size();) {
      const uint64_t length = std::min<uint64_t>(part_max, kept->size() - at);
      while (flying_.size() >= kWritesInFlight) TRY(land_first());
      TRY(journal_.go_on());
      issue({offset + at, length}, kept, at);
      at += length;
    }
    return {};
  }

  Result<void> land_all() {
    Result<void> all;
    while (!flying_.empty()) {
      Result<void> one = land_first();
      if (!one.ok() && all.ok()) all = std::move(one);
    }
    return all;
  }

 private:
  struct One {
    ByteRange range;
    std::shared_ptr<std::string> bytes;
    uint64_t at = 0;
    std::unique_ptr<Sent> write;
  };

  void issue(ByteRange range, std::shared_ptr<std::string> bytes, uint64_t at) {
    const auto source = bytes_of(*bytes).subspan(at, range.length_bytes);
    One one{range, std::move(bytes), at,
            std::make_unique<Sent>(journal_, file_, range, source,
                                   WantsSeen{.before = false, .after = false},
                                   Deadline::after(Clock::system(), journal_.options().timeout))};
    flying_.push_back(std::move(one));
    writer().issue_write(*flying_.back().write);
  }

  // What fell short goes once more.
  Result<void> land_first() {
    One one = std::move(flying_.front());
    flying_.pop_front();
    const WriteOutcome outcome = one.write->take();
    const uint64_t taken = TRY(outcome.transferred_bytes);
    if (taken > one.range.length_bytes || (taken == 0 && !one.range.empty())) {
      return Error(EIO, "journal.upload");
    }
    if (taken < one.range.length_bytes) {
      TRY(journal_.go_on());
      issue({one.range.offset_bytes + taken, one.range.length_bytes - taken}, one.bytes,
            one.at + taken);
    }
    return {};
  }

  [[nodiscard]] OriginWriter& writer() const { return journal_.writer(); }

  Journal& journal_;
  OriginFile& file_;
  std::list<One> flying_;
};

}  // namespace

// A file that its owner may not write was open here before it became that: it is made writable for
// the batch.  Theirs is not.
Result<Uploader::Opening> Uploader::open_file(Batch& batch) {
  Result<OpenedFile> opened = writer().open_for_writing(*batch.path, soon());
  if (opened.ok()) {
    const bool is_other = batch.expected && !(opened.value().info.validator == *batch.expected);
    return Opening{.file = std::move(opened).value(),
                   .whose = is_other ? Whose::kOther : Whose::kLeft};
  }
  const bool other_there = opened.is_error(ENOENT) || opened.is_error(EISDIR) ||
                           opened.is_error(ELOOP) || opened.is_error(EINVAL) ||
                           opened.is_error(ENOTDIR);
  if (other_there) return Opening{.whose = Whose::kTheirs};
  if (!opened.is_error(EACCES)) return opened.error();
  const std::optional<NodeInfo> looked = TRY(look(*batch.path));
  if (!looked) return Opening{.whose = Whose::kTheirs};
  const NodeInfo& there = *looked;
  const bool is_other = batch.expected && !(there.validator == *batch.expected);
  if (is_other && !(batch.begun && TRY(holds_ours(batch, there)))) {
    return Opening{.whose = Whose::kTheirs};
  }
  if (!batch.permissions || (*batch.permissions & kOwnerWrites) != 0) return opened.error();
  if (!is_other) batch.seen = there;
  TRY(begin(batch));
  const AttributeChange writable{.permissions = *batch.permissions | kOwnerWrites};
  (void)TRY(writer().set_attributes({.path = *batch.path}, writable, soon()));
  Opening made{.file = TRY(writer().open_for_writing(*batch.path, soon())),
               .whose = is_other ? Whose::kOurs : Whose::kLeft};
  // It is what was looked at, but for its mode.
  const NodeInfo& found = made.file.info;
  const bool is_same = found.identity == there.identity &&
                       found.attributes.size_bytes == there.attributes.size_bytes &&
                       found.attributes.mtime == there.attributes.mtime;
  if (!is_same) made.whose = Whose::kTheirs;
  return made;
}

// The bytes come first; what is there in the end is asked last.
Result<Uploader::Outcome> Uploader::change_file(Batch& batch) {
  if (!batch.path) return Error(ENOENT, "journal.upload", "it is not there");
  bool bytes = false;
  for (const Change& change : batch.changes) {
    if (change.kind != RecordKind::kSetAttributes) {
      bytes = true;
    } else {
      const Record record = TRY(journal_.log().read(change.place, nullptr));
      bytes = bytes || record.change.size_bytes.has_value();
    }
  }
  if (!bytes) return change_attributes(batch);
  if (!batch.beside.empty()) return keep_both(batch);
  const Opening opened = TRY(open_file(batch));
  if (opened.whose == Whose::kTheirs) return keep_both(batch);
  OriginFile& file = *opened.file.file;
  const NodeInfo& found = opened.file.info;
  if (opened.whose == Whose::kOther) {
    const bool ours = batch.begun && TRY(holds_ours(batch, found));
    if (!ours) return keep_both(batch);
    // It was made writable for us, and no byte of it was written yet: what is written over is noted
    // now, or nobody could tell after another interruption.
    const bool untouched = found.attributes.size_bytes == batch.seen.attributes.size_bytes &&
                           found.attributes.mtime == batch.seen.attributes.mtime;
    if (untouched && !batch.peeked) {
      batch.seen = found;
      if (!TRY(peek(batch))) return keep_both(batch);
    }
  } else if (opened.whose == Whose::kLeft) {
    const bool known = batch.peeked && batch.seen.validator == found.validator;
    batch.seen = found;
    if (batch.expected && !known && !TRY(peek(batch))) return keep_both(batch);
  }
  TRY(begin(batch));
  const uint64_t size = TRY(apply_all(batch, *batch.path, file, found.attributes.size_bytes));
  Outcome outcome = TRY(finish_file(batch, *batch.path, &file));
  // Somebody has put another version there, or theirs into this one, while ours was on its way.
  const std::optional<NodeInfo> there = TRY(look(*batch.path));
  const bool theirs = !there || !outcome.after || there->identity != outcome.after->identity ||
                      there->attributes.type != FileType::kRegular ||
                      there->attributes.size_bytes != size ||
                      there->attributes.mtime != outcome.after->attributes.mtime;
  if (theirs) return keep_both(batch);
  outcome.after = there;
  remember(batch, there->validator);
  return outcome;
}

// Modes and owners are set of whatever is there; times belong to the bytes.
Result<Uploader::Outcome> Uploader::change_attributes(Batch& batch) {
  const std::string& path = *batch.path;
  NodeInfo there = TRY(journal_.inner().stat(path, soon()));
  Outcome outcome;
  const bool is_other = batch.expected && !(there.validator == *batch.expected);
  // In doubt, our own change of attributes leaves size and time of the bytes, or sets that time.
  const auto is_as = [&](const Attributes& a, const std::optional<Timestamp>& mtime) {
    return there.attributes.size_bytes == a.size_bytes &&
           (there.attributes.mtime == a.mtime || (mtime && there.attributes.mtime == *mtime));
  };
  AttributeChange all;
  for (const Change& change : batch.changes) {
    const Record record = TRY(journal_.log().read(change.place, nullptr));
    if (record.change.mtime) all.mtime = record.change.mtime;
  }
  const std::optional<Timestamp> mtime =
      all.mtime ? std::optional<Timestamp>(all.mtime->time) : std::nullopt;
  outcome.theirs =
      is_other && !batch.is_directory && !(batch.begun && is_as(batch.seen.attributes, mtime));
  if (!is_other) batch.seen = there;
  TRY(begin(batch));
  for (const Change& change : batch.changes) {
    TRY(journal_.go_on());
    Record record = TRY(journal_.log().read(change.place, nullptr));
    if (outcome.theirs) record.change.atime = record.change.mtime = std::nullopt;
    outcome.after = TRY(writer().set_attributes({.path = path}, record.change, soon())).after;
  }
  // To be synced it is opened: who waits there at a FIFO would have a reader for a moment, and what
  // a device would do nobody knows.
  const FileType type = there.attributes.type;
  const bool is_plain = type == FileType::kRegular || type == FileType::kDirectory;
  if (is_plain) TRY(keep_there({.path = path}));
  if (!outcome.after) outcome.after = TRY(look(path));
  if (outcome.theirs) outcome.after.reset();
  return outcome;
}

Result<uint64_t> Uploader::apply_all(const Batch& batch, const std::string& path, OriginFile& file,
                                     uint64_t size) {
  std::vector<RecordPlace> places;
  for (const Change& change : batch.changes) places.push_back(change.place);
  return apply(places, path, file, size);
}

// What earlier batches have brought, in portions.
Result<void> Uploader::apply_kept(const Batch& batch, const std::string& path, OriginFile& file) {
  const std::vector<RecordPlace> kept = kept_of(batch);
  for (auto at = kept.begin(); at != kept.end();) {
    uint64_t bytes = 0;
    const auto from = at;
    while (at != kept.end() && bytes < kBatchBytes) bytes += (at++)->data_bytes;
    TRY(apply(std::span(from, at), path, file, 0));
  }
  return {};
}

Result<uint64_t> Uploader::apply(std::span<const RecordPlace> places, const std::string& path,
                                 OriginFile& file, uint64_t size) {
  Flight flight(journal_, file);
  for (const RecordPlace& place : places) {
    TRY(journal_.go_on());
    std::string data;
    const Record record = TRY(journal_.log().read(place, &data));
    const bool allocates = record.kind == RecordKind::kAllocate;
    const bool longer = allocates ? (record.mode & FALLOC_FL_KEEP_SIZE) == 0 : !data.empty();
    if (longer) size = std::max(size, record.range.end_bytes());
    size = record.change.size_bytes.value_or(size);
    if (record.kind == RecordKind::kWrite) {
      TRY(flight.send(record.range.offset_bytes, std::move(data)));
      continue;
    }
    TRY(flight.land_all());
    TRY(apply_one(record, path, file));
  }
  TRY(flight.land_all());
  return size;
}

Result<void> Uploader::apply_one(const Record& record, const std::string& path, OriginFile& file) {
  const FileAt at{.path = path, .open = &file};
  if (record.kind == RecordKind::kSetAttributes) {
    TRY(writer().set_attributes(at, record.change, soon()));
    return {};
  }
  const Result<Seen> allocated = writer().allocate(file, record.mode, record.range, soon());
  if (allocated.ok()) return {};
  if (!allocated.is_error(EOPNOTSUPP)) return allocated.error();
  // In words that every origin has.
  const NodeInfo now = TRY(journal_.inner().stat(path, soon()));
  const uint64_t size = now.attributes.size_bytes;
  const bool keeps_size = (record.mode & FALLOC_FL_KEEP_SIZE) != 0;
  const bool zeroes = (record.mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
  if (zeroes) TRY(write_zeroes(file, record.range.intersect({0, size})));
  if (keeps_size || record.range.end_bytes() <= size) return {};
  TRY(writer().set_attributes(at, {.size_bytes = record.range.end_bytes()}, soon()));
  return {};
}

Result<void> Uploader::write_zeroes(OriginFile& file, ByteRange range) {
  Flight flight(journal_, file);
  for (uint64_t done = 0; done < range.length_bytes;) {
    const uint64_t part = std::min(kCopyBytes, range.length_bytes - done);
    TRY(flight.send(range.offset_bytes + done, std::string(part, '\0')));
    done += part;
  }
  return flight.land_all();
}

// The time of the last change is what users have seen.
Result<Uploader::Outcome> Uploader::finish_file(const Batch& batch, const std::string& path,
                                                OriginFile* file) {
  AttributeChange change;
  if (batch.last) change.mtime = NewTime{.time = batch.mtime};
  if (batch.permissions && (*batch.permissions & kOwnerWrites) == 0) {
    change.permissions = batch.permissions;
  }
  Outcome outcome;
  const FileAt at{.path = path, .open = file};
  outcome.after = TRY(writer().set_attributes(at, change, soon())).after;
  TRY(keep_there(at));
  if (!outcome.after) outcome.after = TRY(journal_.inner().stat(path, soon()));
  return outcome;
}

// False: what is there may not be read.
Result<bool> Uploader::copy_below(const std::string& from, OriginFile& to) {
  Result<std::unique_ptr<OriginFile>> opened = journal_.inner().open(from, soon());
  const bool is_none = opened.is_error(ENOENT) || opened.is_error(EISDIR) ||
                       opened.is_error(ELOOP) || opened.is_error(ENOTDIR) ||
                       opened.is_error(EINVAL);
  if (is_none) return true;
  if (opened.is_error(EACCES) || opened.is_error(EPERM)) return false;
  if (!opened.ok()) return opened.error();
  Flight flight(journal_, to);
  for (uint64_t at = 0;;) {
    TRY(journal_.go_on());
    std::string part(kCopyBytes, '\0');
    const std::span<std::byte> into(reinterpret_cast<std::byte*>(part.data()), part.size());
    const ReadOutcome read =
        WaitedRead(*opened.value(), {at, part.size()}, into, soon()).run(journal_.inner());
    const uint64_t got = TRY(read.transferred_bytes);
    if (got == 0) break;
    part.resize(got);
    TRY(flight.send(at, std::move(part)));
    at += got;
  }
  TRY(flight.land_all());
  return true;
}

}  // namespace netfs::journal
