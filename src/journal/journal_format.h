#pragma once
// The journal's bytes: segments of records, as docs/journal-format.md has them.
//
// A segment begins with a header of kSegmentHeaderBytes; records follow, each at a multiple of 8:
//   magic 4 | CRC-32C of what follows of header and body 4 | body length 4 | data length 4 |
//   sequence 8 | durable 8 | CRC-32C of the data 4 | kind 1 | zeroes 3 | body | data | zeroes
// Integers are little-endian.  Sequences are contiguous, over segments too.  `durable` is up to
// which sequence the journal was on the disk when the record was written: what is missing below it
// is damage, and no power cut explains it.
//
// Pure; a decoder believes nothing: what it does not like is an empty answer.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/crc32c.h"
#include "netfs/attributes.h"
#include "netfs/origin_writer.h"

namespace netfs::journal {

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline uint32_t checksum_of(std::string_view bytes) {
  return crc32c(bytes_of(bytes));
}

// The layout of what everybody has to understand.
constexpr uint32_t kFormatVersion = 1;
// What came later has a bit.  A segment with an incompatible one that is not known is refused; a
// compatible one may be ignored: its records are of kinds from kFirstAddition on, which whoever
// does not know them skips, and a later segment without it says that somebody has.
struct JournalForm {
  uint16_t incompatible = 0;
  uint16_t compatible = 0;

  friend bool operator==(const JournalForm&, const JournalForm&) = default;
};
// A rename may give what it replaces another name.
constexpr uint16_t kKeepsReplaced = 1;
// Of this netfs.
constexpr JournalForm kJournalForm{.incompatible = kKeepsReplaced};
constexpr size_t kSegmentHeaderBytes = 4096;
constexpr size_t kRecordHeaderBytes = 40;
constexpr size_t kRecordAlign = 8;
constexpr size_t kBodyBytesMax = 64 << 10;
constexpr size_t kDataBytesMax = 8 << 20;
constexpr size_t kPathBytesMax = 16 << 10;
constexpr size_t kVolumeKeyBytesMax = 3 << 10;
constexpr size_t kOlderBytesMax = 48 << 10;
constexpr size_t kRestBytes = sizeof(uint32_t);

enum class RecordKind : uint8_t {
  kKnown = 1,      // a file of the origin's as it was before the changes that follow
  kMake,           // anything under a new name
  kRemove,         // a name
  kRename,         // a name becomes another
  kSetAttributes,  // of a path
  kWrite,          // bytes of a file, in the record's data
  kAllocate,       // fallocate(2) of a range
  kBegin,          // the changes up to `upto` that are not done may be under way at the origin
  kDone,           // those up to `upto` are done there, or never will be
};

// Kinds from here on may be skipped.
constexpr uint32_t kFirstAddition = 128;
constexpr uint32_t kLastAddition = 255;
constexpr bool is_addition(RecordKind kind) {
  return static_cast<uint32_t>(kind) >= kFirstAddition;
}
constexpr bool is_kind(uint32_t number) {
  const bool known = number >= static_cast<uint32_t>(RecordKind::kKnown) &&
                     number <= static_cast<uint32_t>(RecordKind::kDone);
  return known || (number >= kFirstAddition && number <= kLastAddition);
}

// Whether it changes the tree, and so is carried out at the origin.
constexpr bool is_change(RecordKind kind) {
  return kind >= RecordKind::kMake && kind <= RecordKind::kAllocate;
}

// Where the origin has what users have at a path.
enum class Where : uint8_t {
  kUnsaid,
  kInPlace,
  kElsewhere,  // in a directory by the users' path of that, under a name
  kNowhere,
};

// A file or directory: what the change `next` changes, or replaces; if that is 0, what users have
// at the path that goes with it.
struct Told {
  uint64_t next = 0;
  bool replaced = false;
};

// Which fields count is a matter of the kind.
struct Record {
  RecordKind kind = RecordKind::kBegin;
  uint64_t sequence = 0;
  uint64_t durable = 0;

  std::string path;
  std::string to;                         // kRename
  std::string aside;                      // kRename: what had that name gets this; empty: it goes
  Timestamp time;                         // of a change, by the clock here
  NodeInfo info;                          // kKnown; kBegin: what changes, as it was just before
  NewNode made;                           // kMake
  RemoveKind remove = RemoveKind::kFile;  // kRemove
  RenameHow how = RenameHow::kReplace;    // kRename
  AttributeChange change;                 // kSetAttributes: no time is "now"
  ByteRange range;                        // kWrite, kAllocate
  uint32_t mode = 0;                      // kAllocate
  uint64_t upto = 0;                      // kBegin, kDone
  std::string beside;   // kBegin, kDone: the name that it gets there instead of its own
  bool sure = false;    // kBegin: what has that name is ours
  std::string older;    // kBegin: checksums of the bytes that are written over (BatchBytes), 4 each
  std::string rest;     // kBegin: a checksum of those that are not (Uploader::peek), if it is told
  bool failed = false;  // kDone: it was not done
  // kDone: where that of which it tells (`told`, `path`) is there since.  kElsewhere: by the name
  // `there` in the directory (`above`, `to`).
  Where where = Where();
  Told told;
  Told above;
  std::string there;
  std::optional<Validator> left;  // kDone: as it was left there
  // kDone of a rename: as that was left which has the name `aside` there; none: nothing has.
  std::optional<Validator> left_aside;

  friend bool operator==(const Record& a, const Record& b);
};

struct SegmentHeader {
  uint64_t number = 0;          // of the segment
  uint64_t generation = 0;      // of the journal: one more at each opening
  uint64_t first_sequence = 0;  // of its first record, at least
  std::string volume_key;
  JournalForm form = kJournalForm;

  friend bool operator==(const SegmentHeader&, const SegmentHeader&) = default;
};

// kSegmentHeaderBytes long.
std::string encode_segment_header(const SegmentHeader& header);
std::optional<SegmentHeader> decode_segment_header(std::string_view bytes);
// Of a segment that another version of netfs has made: its format.
std::optional<uint32_t> other_format(std::string_view bytes);

// What a record without its header takes; stays what it is when `sequence` and `durable` are set.
std::string encode_body(const Record& record);

// How long a record is in its segment.
constexpr size_t record_bytes(size_t body_bytes, size_t data_bytes) {
  return (kRecordHeaderBytes + body_bytes + data_bytes + kRecordAlign - 1) / kRecordAlign *
         kRecordAlign;
}

// Header and body and the padding after `data`: the data's own bytes are not copied.
struct EncodedRecord {
  std::string front;
  std::string padding;
};
EncodedRecord encode_record(const Record& record, std::string_view body,
                            std::span<const std::byte> data);

// What a record's header says; its checksum can only be looked at with the body.
struct RecordHeader {
  uint32_t crc = 0;
  uint32_t body_bytes = 0;
  uint32_t data_bytes = 0;
  uint64_t sequence = 0;
  uint64_t durable = 0;
  uint32_t data_crc = 0;
  RecordKind kind = RecordKind::kBegin;

  [[nodiscard]] size_t bytes() const { return record_bytes(body_bytes, data_bytes); }
};
// kRecordHeaderBytes of `bytes`; lengths that it gives are within the bounds.
std::optional<RecordHeader> decode_record_header(std::string_view bytes);
// `front`: the header and the body.
std::optional<Record> decode_record(std::string_view front);
bool is_data_of(const RecordHeader& header, std::span<const std::byte> data);

}  // namespace netfs::journal
