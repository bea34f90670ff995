// What is theirs and what is ours: conflicts of bytes, and a file of which it is not known how far
// we had come with it.

#include <algorithm>
#include <map>
#include <utility>

#include "journal/peeks.h"
#include "journal/upload_beside.h"
#include "journal/uploader.h"

namespace netfs::journal {

namespace {

// So much of a file in doubt is looked at where nothing was written to it.
constexpr uint64_t kGapBytesMax = 1 << 30;
// And so much of ours is compared with what stands beside.
constexpr uint64_t kCompareBytesMax = 64 << 20;
constexpr size_t kCompareRecordsMax = 2048;

uint64_t gap_bytes(const std::vector<BatchBytes::Piece>& pieces) {
  uint64_t bytes = 0;
  for (const BatchBytes::Piece& piece : pieces) {
    if (piece.changes.empty()) bytes += piece.range.length_bytes;
  }
  return bytes;
}

void add_checksum(std::string& to, uint32_t checksum) {
  for (size_t i = 0; i < sizeof(checksum); ++i) {
    to.push_back(static_cast<char>(checksum >> (8 * i)));
  }
}

uint32_t checksum_at(const std::string& older, size_t index) {
  uint32_t checksum = 0;
  for (size_t i = sizeof(checksum); i > 0; --i) {
    checksum = checksum << 8 | static_cast<uint8_t>(older[index * sizeof(checksum) + i - 1]);
  }
  return checksum;
}

// Where it is noted what is known of a part, if that is a whole block.
std::optional<uint32_t>* block_of(ByteRange part, KnownBlocks& blocks) {
  if (part.length_bytes != kPieceBytes) return nullptr;
  const size_t at = part.offset_bytes / kPieceBytes;
  if (at >= blocks.size()) blocks.resize(at + 1);
  return &blocks[at];
}

// Of the rest what is not known has to be read too, in order with the pieces that are there. False:
// that is too much.
bool add_unknown(const std::vector<ByteRange>& rest, KnownBlocks& blocks,
                 std::vector<BatchBytes::Piece>& pieces) {
  const size_t before = pieces.size();
  uint64_t bytes = 0;
  for (const ByteRange& part : rest) {
    const std::optional<uint32_t>* block = block_of(part, blocks);
    if (block != nullptr && *block) continue;
    bytes += part.length_bytes;
    pieces.push_back({.range = part});
    if (bytes <= kRestReadMax) continue;
    pieces.resize(before);
    return false;
  }
  std::sort(pieces.begin(), pieces.end(), [](const auto& a, const auto& b) {
    return a.range.offset_bytes < b.range.offset_bytes;
  });
  return true;
}

}  // namespace

// What earlier batches of the file have brought.
std::vector<RecordPlace> Uploader::kept_of(const Batch& batch) {
  sync::MutexLock lock(journal_.mutex_);
  return journal_.overlay_.node(batch.changes.front().node)->kept;
}

Result<BatchBytes> Uploader::bytes_of(const Batch& batch, uint64_t size_before) {
  BatchBytes bytes(size_before);
  for (const Change& change : batch.changes) {
    std::string data;
    const Record record = TRY(journal_.log().read(change.place, &data));
    bytes.add(record, std::move(data));
  }
  return bytes;
}

// Notes what is to be written over, and what is not.  False: it has changed meanwhile.
Result<bool> Uploader::peek(Batch& batch) {
  batch.older.clear();
  batch.rest.clear();
  batch.peeked = false;
  const BatchBytes bytes = TRY(bytes_of(batch, batch.seen.attributes.size_bytes));
  if (batch.blocks.empty()) {
    batch.blocks = sums_.take(batch.changes.front().node, batch.seen.validator);
  }
  std::vector<BatchBytes::Piece> pieces = bytes.pieces(bytes.size_before());
  std::erase_if(pieces, [](const BatchBytes::Piece& piece) { return !piece.older; });
  const std::optional<std::vector<ByteRange>> rest = bytes.rest();
  const bool tells_rest = rest && add_unknown(*rest, batch.blocks, pieces);
  std::map<uint64_t, uint32_t> parts;  // of the rest, that were read, by their offsets
  if (!pieces.empty()) {
    Result<std::unique_ptr<OriginFile>> file = journal_.inner().open(*batch.path, soon());
    // It may be for writing only: then it cannot be told.
    batch.peeked = file.is_error(EACCES);
    if (batch.peeked) return true;
    if (!file.ok()) return file.error();
    std::string older;
    const auto see = [&](const BatchBytes::Piece& piece, std::string_view there) -> Result<bool> {
      const uint32_t checksum = checksum_of(there);
      if (piece.older) {
        add_checksum(older, checksum);
      } else {
        parts[piece.range.offset_bytes] = checksum;
      }
      return true;
    };
    TRY(see_all(journal_, *file.value(), pieces, see));
    batch.older = std::move(older);
    const std::optional<NodeInfo> now = TRY(look(*batch.path));
    if (!now || !(now->validator == batch.seen.validator)) return false;
  }
  std::string sums;
  for (size_t i = 0; tells_rest && i < rest->size(); ++i) {
    const ByteRange& part = (*rest)[i];
    const auto read = parts.find(part.offset_bytes);
    std::optional<uint32_t>* block = block_of(part, batch.blocks);
    if (block != nullptr && read != parts.end()) *block = read->second;
    add_checksum(sums, read != parts.end() ? read->second : block->value());
  }
  if (tells_rest) add_checksum(batch.rest, checksum_of(sums));
  batch.peeked = true;
  return true;
}

// What the file holds since the batch is there, as of `version`.
void Uploader::remember(Batch& batch, const Validator& version) {
  const Result<BatchBytes> bytes = bytes_of(batch, batch.seen.attributes.size_bytes);
  if (!bytes.ok()) return;
  bytes.value().pass_on(batch.blocks);
  sums_.put(batch.changes.front().node, version, std::move(batch.blocks));
}

// A batch was begun and the file is another since: whether that is our own doing, and nobody
// else's.  It is if its bytes are those of before (a mode changed), or if all of what is or was to
// be written over is explained by what we write and what was there when we began, all else is as it
// was then, and something says that we were there; or if all is as it was then but its time, which
// a write that fails before its first byte (ENOSPC) sets as well: nobody's bytes are written over.
Result<bool> Uploader::holds_ours(Batch& batch, const NodeInfo& there) {
  if (!TRY(is_explained(batch, there))) return false;
  // What was read may be of before somebody's change: then all of it once more, from the opening.
  const std::optional<NodeInfo> now = TRY(look(*batch.path));
  if (now && now->validator == there.validator) {
    batch.compared = {};  // what comes from now on is looked at anew
    return true;
  }
  return Error(EAGAIN, "journal.upload", "it changes while it is looked at");
}

Result<bool> Uploader::is_explained(Batch& batch, const NodeInfo& there) {
  const Attributes& a = there.attributes;
  const Attributes& seen = batch.seen.attributes;
  if (a.type != FileType::kRegular || seen.type != a.type) return false;
  if (!batch.seen.identity.empty() && there.identity != batch.seen.identity) return false;
  const bool set = !(a.mtime == Timestamp{});
  if (seen.size_bytes == a.size_bytes && seen.mtime == a.mtime && set) return true;
  const BatchBytes bytes = TRY(bytes_of(batch, seen.size_bytes));
  if (!bytes.may_be_of(a.size_bytes)) return false;
  bool ours = bytes.is_of_ours(a.size_bytes) || bytes.brings_nothing();
  for (const Change& change : batch.changes) {
    if (change.kind != RecordKind::kSetAttributes) continue;
    const Record record = TRY(journal_.log().read(change.place, nullptr));
    ours = ours || (record.change.mtime && record.change.mtime->time == a.mtime);
  }
  ours = ours || a.size_bytes == seen.size_bytes;
  std::vector<BatchBytes::Piece> pieces = parted(bytes.pieces(a.size_bytes));
  const std::optional<std::vector<ByteRange>> ranges = bytes.rest();
  // What is not known is not ours.
  if (!ranges || (batch.rest.empty() && !ranges->empty())) return false;
  std::vector<BatchBytes::Piece> rest;
  for (const ByteRange& range : *ranges) rest.push_back({.range = range});
  if (gap_bytes(pieces) + gap_bytes(rest) > kGapBytesMax) return false;
  if (pieces.empty() && rest.empty()) return ours;
  Compared& compared = batch.compared;
  const bool goes_on = compared.version && *compared.version == there.validator &&
                       there.validator.strength != ValidatorStrength::kNone;
  if (!goes_on) compared = {.version = there.validator};
  const auto skip = [](std::vector<BatchBytes::Piece>& all, size_t count) {
    all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(std::min(count, all.size())));
  };
  skip(pieces, compared.pieces);
  skip(rest, compared.sums.size() / sizeof(uint32_t));
  const std::unique_ptr<OriginFile> file = TRY(journal_.inner().open(*batch.path, soon()));
  bool explained = true;
  TRY(see_all(journal_, *file, pieces,
              [&](const BatchBytes::Piece& piece, std::string_view shown) -> Result<bool> {
                const bool whole = shown.size() == piece.range.length_bytes;
                const bool held = whole && bytes.holds(piece, shown);
                const bool told =
                    piece.older && (*piece.older + 1) * sizeof(uint32_t) <= batch.older.size();
                explained = held || (whole && told &&
                                     checksum_of(shown) == checksum_at(batch.older, *piece.older));
                if (!explained) return false;
                compared.ours = compared.ours || (held && !piece.changes.empty());
                ++compared.pieces;
                return true;
              }));
  if (!explained || !(ours || compared.ours)) return false;
  TRY(see_all(journal_, *file, rest,
              [&](const BatchBytes::Piece&, std::string_view shown) -> Result<bool> {
                add_checksum(compared.sums, checksum_of(shown));
                return true;
              }));
  return ranges->empty() || checksum_of(compared.sums) == checksum_at(batch.rest, 0);
}

// What is beside was made by us; whether nobody has put anything else into it since: it is a part
// of a copy of theirs, and of ours.
Result<bool> Uploader::is_ours_beside(const Batch& batch, const std::string& path, uint64_t size) {
  if (size == 0) return true;
  std::vector<RecordPlace> places = kept_of(batch);
  for (const Change& change : batch.changes) places.push_back(change.place);
  BatchBytes bytes(0);
  uint64_t held = 0;
  for (const RecordPlace& place : places) held += place.data_bytes;
  // More than can be held and compared: it was made by us a moment ago.
  if (held > kCompareBytesMax || places.size() > kCompareRecordsMax) return true;
  for (const RecordPlace& place : places) {
    std::string data;
    const Record record = TRY(journal_.log().read(place, &data));
    bytes.add(record, std::move(data));
  }
  const std::vector<BatchBytes::Piece> pieces = parted(bytes.pieces(size));
  const std::unique_ptr<OriginFile> beside = TRY(journal_.inner().open(path, soon()));
  Result<std::unique_ptr<OriginFile>> theirs = journal_.inner().open(*batch.path, soon());
  if (!theirs.ok() && may_pass(theirs.code()) != Passes::kNo) return theirs.error();
  bool explained = true;
  const Result<void> seen =
      see_all(journal_, *beside, pieces,
              [&](const BatchBytes::Piece& piece, std::string_view shown) -> Result<bool> {
                std::string below;
                if (theirs.ok() && !bytes.holds(piece, shown)) {
                  Peeks peeks(journal_, *theirs.value());
                  peeks.ask(piece.range);
                  below = TRY(peeks.take());
                }
                explained = bytes.holds(piece, shown, &below);
                return explained;
              });
  TRY(seen);
  return explained;
}

// Ours of an attempt before (`tried`, if there was one) is gone on with; else it is made.
Result<void> Uploader::open_beside(Batch& batch, const std::string& path, const std::string& tried,
                                   OpenedFile& opened) {
  const NewNode what{.type = FileType::kRegular, .permissions = batch.permissions.value_or(0600)};
  if (!batch.sure) {
    Result<OpenedFile> made = writer().create(path, what, soon());
    if (made.is_error(ENOENT) && TRY(restore_above(batch, path))) {
      made = writer().create(path, what, soon());
    }
    if (made.is_error(EEXIST) && name_of(path) == tried) {
      // It may have been made without our knowing, and then it is empty.
      const NodeInfo there = TRY(journal_.inner().stat(path, soon()));
      const bool is_empty =
          there.attributes.type == FileType::kRegular && there.attributes.size_bytes == 0;
      if (is_empty) made = writer().open_for_writing(path, soon());
    }
    opened = TRY(std::move(made));
    batch.sure = true;
    return begin(batch);
  }
  Result<OpenedFile> found = writer().open_for_writing(path, soon());
  // Somebody has removed it: once more, by another name.
  if (found.is_error(ENOENT)) return Error(EEXIST, "journal.conflict");
  opened = TRY(std::move(found));
  const Result<bool> ours = is_ours_beside(batch, path, opened.info.attributes.size_bytes);
  if (!ours.ok() && may_pass(ours.code()) != Passes::kNo) return ours.error();
  if (!ours.ok() || !ours.value()) return Error(EEXIST, "journal.conflict");
  const FileAt at{.path = path, .open = opened.file.get()};
  (void)TRY(writer().set_attributes(at, {.size_bytes = 0}, soon()));
  return {};
}

// Ours goes beside theirs: what is theirs where ours has nothing, for what it was before is gone.
Result<Uploader::Outcome> Uploader::keep_both(Batch& batch) {
  OpenedFile opened;
  const std::string tried = batch.beside;
  const auto open = [&](const std::string& to) { return open_beside(batch, to, tried, opened); };
  const std::string path = TRY(beside(batch, *batch.path, open));
  Outcome outcome{.conflict = true};
  outcome.unread = !TRY(copy_below(*batch.path, *opened.file));
  {
    sync::MutexLock lock(journal_.mutex_);
    const Node* node = journal_.overlay_.node(batch.changes.front().node);
    outcome.may_lack = node->not_whole;
  }
  TRY(apply_kept(batch, path, *opened.file));
  TRY(apply_all(batch, path, *opened.file, 0));
  outcome.after = TRY(finish_file(batch, path, opened.file.get())).after;
  TRY(keep_there({.path = parent_of(path)}));
  return outcome;
}

}  // namespace netfs::journal
