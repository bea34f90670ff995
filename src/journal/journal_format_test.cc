// Goal: what is encoded is decoded again, byte for byte, and nothing else is.

#include "journal/journal_format.h"

#include <gtest/gtest.h>
#include <span>
#include <string>
#include <vector>

namespace netfs::journal {
namespace {

std::vector<Record> one_of_each() {
  std::vector<Record> all;
  Record known{.kind = RecordKind::kKnown, .path = "a/b"};
  known.info.attributes = {.type = FileType::kRegular,
                           .permissions = 0640,
                           .uid = 7,
                           .gid = 8,
                           .link_count = 2,
                           .size_bytes = 1 << 20,
                           .allocated_bytes = 4096,
                           .mtime = {-5, 999'999'999}};
  known.info.identity = "ino 5";
  known.info.validator = {ValidatorStrength::kStrong, std::string("\0\xff etag", 7), {12, 34}};
  all.push_back(known);
  Record make{.kind = RecordKind::kMake, .path = "link", .time = {1'700'000'000, 5}};
  make.made = {.type = FileType::kSymlink, .permissions = 0777, .target = "../x"};
  make.made.owner = Owner{1, 2};
  all.push_back(make);
  all.push_back({.kind = RecordKind::kRemove, .path = "d", .remove = RemoveKind::kDirectory});
  all.push_back(
      {.kind = RecordKind::kRename, .path = "from", .to = "to/x", .how = RenameHow::kNoReplace});
  all.push_back({.kind = RecordKind::kRename, .path = "from", .to = "to/x", .aside = "to/y"});
  Record change{.kind = RecordKind::kSetAttributes, .path = "f"};
  change.change.permissions = 04711;
  change.change.size_bytes = 0;
  change.change.mtime = NewTime{.time = {3, 4}};
  all.push_back(change);
  all.push_back({.kind = RecordKind::kWrite, .path = "f", .range = {1ULL << 40, 5}});
  all.push_back({.kind = RecordKind::kAllocate, .path = "f", .range = {10, 20}, .mode = 3});
  all.push_back({.kind = RecordKind::kBegin, .upto = 77});
  Record begin{.kind = RecordKind::kBegin, .upto = 78, .beside = "f.netfs-conflict-1"};
  begin.sure = true;
  begin.info = known.info;
  begin.older = std::string("\1\2\3\4\0\6\7\xff", 8);
  begin.rest = std::string("\xff\0\1\2", 4);
  all.push_back(begin);
  Record done{.kind = RecordKind::kDone, .upto = 76, .beside = "f.netfs-conflict-1"};
  done.left = Validator{ValidatorStrength::kWeak, "mtime+size", {9, 9}};
  all.push_back(done);
  all.push_back({.kind = RecordKind::kDone, .upto = 76, .failed = true});
  Record aside{.kind = RecordKind::kDone, .upto = 80};
  aside.left_aside = Validator{ValidatorStrength::kWeak, "ctime", {8, 8}};
  all.push_back(aside);
  Record elsewhere{.kind = RecordKind::kDone, .path = "d/f", .to = "e", .upto = 79};
  elsewhere.where = Where::kElsewhere;
  elsewhere.told = {.next = 81, .replaced = true};
  elsewhere.above = {.next = 82};
  elsewhere.there = "old";
  all.push_back(elsewhere);
  uint64_t sequence = 40;
  for (Record& record : all) {
    record.sequence = ++sequence;
    record.durable = 39;
  }
  return all;
}

std::string_view data_of(const Record& record) {
  return record.kind == RecordKind::kWrite ? std::string_view("bytes") : std::string_view();
}

std::string encoded(const Record& record) {
  const std::string_view data = data_of(record);
  const EncodedRecord one = encode_record(record, encode_body(record), bytes_of(data));
  return one.front + std::string(data) + one.padding;
}

TEST(JournalFormat, EveryKindComesBackAsItWas) {
  for (const Record& record : one_of_each()) {
    const std::string bytes = encoded(record);
    EXPECT_EQ(bytes.size() % kRecordAlign, 0U);
    const std::optional<RecordHeader> header = decode_record_header(bytes);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->bytes(), bytes.size());
    EXPECT_EQ(header->sequence, record.sequence);
    EXPECT_EQ(header->durable, 39U);
    const size_t front = kRecordHeaderBytes + header->body_bytes;
    const std::optional<Record> back = decode_record(bytes.substr(0, front));
    ASSERT_TRUE(back) << "kind " << static_cast<int>(record.kind);
    EXPECT_TRUE(*back == record) << "kind " << static_cast<int>(record.kind);
    EXPECT_TRUE(is_data_of(*header, bytes_of(data_of(record))));
  }
}

TEST(JournalFormat, NoFlippedBitGoesUnseen) {
  for (const Record& record : one_of_each()) {
    const std::string bytes = encoded(record);
    const size_t whole = kRecordHeaderBytes + encode_body(record).size() + data_of(record).size();
    for (size_t bit = 0; bit < whole * 8; ++bit) {
      std::string flipped = bytes;
      flipped[bit / 8] ^= static_cast<char>(1 << (bit % 8));
      const std::optional<RecordHeader> header = decode_record_header(flipped);
      if (!header || header->bytes() > flipped.size()) continue;
      const size_t front = kRecordHeaderBytes + header->body_bytes;
      const bool good =
          decode_record(std::string_view(flipped).substr(0, front)) &&
          is_data_of(*header,
                     bytes_of(std::string_view(flipped).substr(front, header->data_bytes)));
      EXPECT_FALSE(good) << "kind " << static_cast<int>(record.kind) << " bit " << bit;
    }
  }
}

TEST(JournalFormat, ASegmentsHeaderComesBackAndADamagedOneDoesNot) {
  const SegmentHeader header{
      .number = 3, .generation = 9, .first_sequence = 100, .volume_key = "k"};
  std::string bytes = encode_segment_header(header);
  ASSERT_EQ(bytes.size(), kSegmentHeaderBytes);
  ASSERT_TRUE(decode_segment_header(bytes));
  EXPECT_EQ(*decode_segment_header(bytes), header);
  EXPECT_FALSE(decode_segment_header(std::string_view(bytes).substr(1)));
  for (const size_t at : {0UL, 8UL, 16UL, 40UL, 4000UL, kSegmentHeaderBytes - 1}) {
    std::string damaged = bytes;
    damaged[at] ^= 1;
    EXPECT_FALSE(decode_segment_header(damaged)) << at;
  }
}

TEST(JournalFormat, ChecksumsAreWhole) {
  for (const size_t bytes : {0, 1, 3, 4, 5, 8}) {
    Record older{.kind = RecordKind::kBegin, .older = std::string(bytes, 'x')};
    const std::string front = encoded(older);
    const size_t length = kRecordHeaderBytes + encode_body(older).size();
    EXPECT_EQ(decode_record(front.substr(0, length)).has_value(), bytes % 4 == 0) << bytes;
    if (bytes > kRestBytes) continue;
    Record rest{.kind = RecordKind::kBegin, .rest = std::string(bytes, 'x')};
    const std::string other = encoded(rest);
    const size_t rest_length = kRecordHeaderBytes + encode_body(rest).size();
    EXPECT_EQ(decode_record(other.substr(0, rest_length)).has_value(), bytes % 4 == 0) << bytes;
  }
}

TEST(JournalFormat, PathsThatLeadElsewhereAreNoRecords) {
  for (const char* path : {"..", "a/../b", "/a", "a/", "a//b", "."}) {
    const Record record{.kind = RecordKind::kRemove, .path = path};
    const std::string bytes = encoded(record);
    const size_t front = kRecordHeaderBytes + encode_body(record).size();
    EXPECT_FALSE(decode_record(bytes.substr(0, front))) << path;
  }
}

}  // namespace
}  // namespace netfs::journal
