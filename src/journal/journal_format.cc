#include "journal/journal_format.h"

#include <limits>

#include "base/assert.h"
#include "cachefiles/byte_codec.h"

namespace netfs::journal {

namespace {

using cachefiles::ByteReader;
using cachefiles::ByteWriter;

constexpr uint32_t kRecordMagic = 0x31524a4e;           // "NJR1"
constexpr uint64_t kSegmentMagic = 0x3130534e524a464e;  // "NFJRNS01"
constexpr size_t kCheckedFrom = 8;                      // of a record: what its CRC is over
constexpr size_t kValidatorBytesMax = 64;
constexpr size_t kIdentityBytesMax = 256;
constexpr uint64_t kBytesMax = std::numeric_limits<int64_t>::max();

// What a decoded number must not pass, else the whole is nothing.
template <class Enum>
bool take_enum(ByteReader& in, Enum& to, Enum max) {
  const auto value = in.little<uint8_t>();
  if (value > static_cast<uint8_t>(max)) return false;
  to = static_cast<Enum>(value);
  return true;
}

void put(ByteWriter& out, const Timestamp& time) {
  out.little(time.seconds);
  out.little(time.nanoseconds);
}
bool take(ByteReader& in, Timestamp& time) {
  time.seconds = in.little<int64_t>();
  time.nanoseconds = in.little<uint32_t>();
  return time.nanoseconds < 1'000'000'000;
}

void put(ByteWriter& out, const Validator& validator) {
  out.little(static_cast<uint8_t>(validator.strength));
  out.text(validator.bytes);
  put(out, validator.changed_at);
}
bool take(ByteReader& in, Validator& validator) {
  if (!take_enum(in, validator.strength, ValidatorStrength::kStrong)) return false;
  validator.bytes = in.text(kValidatorBytesMax);
  return take(in, validator.changed_at);
}

void put(ByteWriter& out, const NodeInfo& info) {
  const Attributes& a = info.attributes;
  out.little(static_cast<uint8_t>(a.type));
  for (const uint32_t number : {a.permissions, a.uid, a.gid, a.link_count}) out.little(number);
  for (const uint64_t number : {a.size_bytes, a.allocated_bytes, a.device}) out.little(number);
  for (const Timestamp& time : {a.atime, a.mtime, a.ctime}) put(out, time);
  put(out, info.validator);
  out.text(info.identity.size() <= kIdentityBytesMax ? info.identity : std::string());
}
bool take(ByteReader& in, NodeInfo& info) {
  Attributes& a = info.attributes;
  if (!take_enum(in, a.type, FileType::kBlockDevice)) return false;
  for (uint32_t* it : {&a.permissions, &a.uid, &a.gid, &a.link_count}) *it = in.little<uint32_t>();
  for (uint64_t* it : {&a.size_bytes, &a.allocated_bytes, &a.device}) *it = in.little<uint64_t>();
  if (!take(in, a.atime) || !take(in, a.mtime) || !take(in, a.ctime)) return false;
  if (!take(in, info.validator)) return false;
  info.identity = in.text(kIdentityBytesMax);
  return a.size_bytes <= kBytesMax;
}

constexpr uint8_t kHasUnmasked = 1;
constexpr uint8_t kHasOwner = 2;

void put(ByteWriter& out, const NewNode& made) {
  out.little(static_cast<uint8_t>(made.type));
  out.little(
      static_cast<uint8_t>((made.unmasked ? kHasUnmasked : 0) | (made.owner ? kHasOwner : 0)));
  out.little(made.permissions);
  out.little(made.unmasked.value_or(0));
  out.little(made.owner ? made.owner->uid : 0);
  out.little(made.owner ? made.owner->gid : 0);
  out.little(made.device);
  out.text(made.target);
}
bool take(ByteReader& in, NewNode& made) {
  if (!take_enum(in, made.type, FileType::kBlockDevice)) return false;
  const auto has = in.little<uint8_t>();
  made.permissions = in.little<uint32_t>();
  const auto unmasked = in.little<uint32_t>();
  Owner owner;
  owner.uid = in.little<uint32_t>();
  owner.gid = in.little<uint32_t>();
  if ((has & kHasUnmasked) != 0) made.unmasked = unmasked;
  if ((has & kHasOwner) != 0) made.owner = owner;
  made.device = in.little<uint64_t>();
  made.target = in.text(kPathBytesMax);
  return (has & ~(kHasUnmasked | kHasOwner)) == 0;
}

constexpr uint8_t kHasPermissions = 1;
constexpr uint8_t kHasUid = 2;
constexpr uint8_t kHasGid = 4;
constexpr uint8_t kHasSize = 8;
constexpr uint8_t kHasAtime = 16;
constexpr uint8_t kHasMtime = 32;

void put(ByteWriter& out, const AttributeChange& change) {
  out.little(static_cast<uint8_t>((change.permissions ? kHasPermissions : 0) |
                                  (change.uid ? kHasUid : 0) | (change.gid ? kHasGid : 0) |
                                  (change.size_bytes ? kHasSize : 0) |
                                  (change.atime ? kHasAtime : 0) | (change.mtime ? kHasMtime : 0)));
  out.little(change.permissions.value_or(0));
  out.little(change.uid.value_or(0));
  out.little(change.gid.value_or(0));
  out.little(change.size_bytes.value_or(0));
  put(out, change.atime ? change.atime->time : Timestamp{});
  put(out, change.mtime ? change.mtime->time : Timestamp{});
}
bool take(ByteReader& in, AttributeChange& change) {
  const auto has = in.little<uint8_t>();
  const auto permissions = in.little<uint32_t>();
  const auto uid = in.little<uint32_t>();
  const auto gid = in.little<uint32_t>();
  const auto size = in.little<uint64_t>();
  NewTime atime;
  NewTime mtime;
  if (!take(in, atime.time) || !take(in, mtime.time) || size > kBytesMax || has >= 64) return false;
  if ((has & kHasPermissions) != 0) change.permissions = permissions;
  if ((has & kHasUid) != 0) change.uid = uid;
  if ((has & kHasGid) != 0) change.gid = gid;
  if ((has & kHasSize) != 0) change.size_bytes = size;
  if ((has & kHasAtime) != 0) change.atime = atime;
  if ((has & kHasMtime) != 0) change.mtime = mtime;
  return true;
}

// Relative, of components that are names.
bool is_path(std::string_view path) {
  if (path.empty()) return true;
  if (path.find('\0') != std::string_view::npos) return false;
  for (;;) {
    const std::string_view name = path.substr(0, path.find('/'));
    if (name.empty() || name == "." || name == "..") return false;
    if (name.size() == path.size()) return true;
    path.remove_prefix(name.size() + 1);
  }
}
bool take_path(ByteReader& in, std::string& path) {
  path = in.text(kPathBytesMax);
  return is_path(path);
}

void put(ByteWriter& out, const std::optional<Validator>& validator) {
  out.little(static_cast<uint8_t>(validator ? 1 : 0));
  if (validator) put(out, *validator);
}
bool take(ByteReader& in, std::optional<Validator>& validator) {
  const auto has = in.little<uint8_t>();
  return has == 0 || (has == 1 && take(in, validator.emplace()));
}

void put(ByteWriter& out, bool flag) {
  out.little(static_cast<uint8_t>(flag ? 1 : 0));
}
bool take(ByteReader& in, bool& flag) {
  const auto value = in.little<uint8_t>();
  flag = value == 1;
  return value <= 1;
}

void put(ByteWriter& out, const Told& told) {
  out.little(told.next);
  put(out, told.replaced);
}
bool take(ByteReader& in, Told& told) {
  told.next = in.little<uint64_t>();
  return take(in, told.replaced);
}

// One component, or none.
bool take_name(ByteReader& in, std::string& name) {
  name = in.text(kPathBytesMax);
  return is_path(name) && name.find('/') == std::string::npos;
}

bool take(ByteReader& in, ByteRange& range) {
  range.offset_bytes = in.little<uint64_t>();
  range.length_bytes = in.little<uint64_t>();
  return range.offset_bytes <= kBytesMax && range.length_bytes <= kBytesMax - range.offset_bytes;
}

bool take_fields(ByteReader& in, Record& record, bool seen = false) {
  switch (record.kind) {
    case RecordKind::kKnown:
      return take(in, record.info);
    case RecordKind::kMake:
      return take(in, record.made);
    case RecordKind::kRemove:
      return take_enum(in, record.remove, RemoveKind::kDirectory);
    case RecordKind::kRename:
      return take_path(in, record.to) && take_enum(in, record.how, RenameHow::kExchange) &&
             (in.at_end() || (take_path(in, record.aside) && !record.aside.empty()));
    case RecordKind::kSetAttributes:
      return take(in, record.change);
    case RecordKind::kWrite:
      return take(in, record.range);
    case RecordKind::kAllocate:
      record.mode = in.little<uint32_t>();
      return take(in, record.range);
    case RecordKind::kBegin:
      record.upto = in.little<uint64_t>();
      if (!take_name(in, record.beside) || !take(in, record.sure) || !take(in, seen)) return false;
      record.older = in.text(kOlderBytesMax);
      record.rest = in.text(kRestBytes);
      if ((record.older.size() | record.rest.size()) % kRestBytes != 0) return false;
      if (!seen) return true;
      return take(in, record.info) && record.info.attributes.type != FileType::kUnknown;
    case RecordKind::kDone:
      record.upto = in.little<uint64_t>();
      return take_name(in, record.beside) && take(in, record.failed) &&
             take_enum(in, record.where, Where::kNowhere) && take_path(in, record.to) &&
             take(in, record.told) && take(in, record.above) && take_name(in, record.there) &&
             take(in, record.left) &&
             (in.at_end() || (take(in, record.left_aside) && record.left_aside));
  }
  return false;
}

}  // namespace

bool operator==(const Record& a, const Record& b) {
  return a.kind == b.kind && a.sequence == b.sequence && a.durable == b.durable &&
         encode_body(a) == encode_body(b);
}

std::string encode_segment_header(const SegmentHeader& header) {
  NETFS_ASSERT(header.volume_key.size() <= kVolumeKeyBytesMax);
  ByteWriter out;
  out.little(kSegmentMagic);
  out.little(kFormatVersion);
  for (const uint16_t bits : {header.form.incompatible, header.form.compatible}) out.little(bits);
  for (const uint64_t number : {header.number, header.generation, header.first_sequence}) {
    out.little(number);
  }
  out.text(header.volume_key);
  std::string bytes = out.take();
  bytes.resize(kSegmentHeaderBytes - sizeof(uint32_t), '\0');
  ByteWriter crc;
  crc.little(checksum_of(bytes));
  return bytes + crc.take();
}

std::optional<SegmentHeader> decode_segment_header(std::string_view bytes) {
  if (bytes.size() < kSegmentHeaderBytes) return std::nullopt;
  bytes = bytes.substr(0, kSegmentHeaderBytes);
  const std::string_view checked = bytes.substr(0, bytes.size() - sizeof(uint32_t));
  ByteReader crc(bytes.substr(checked.size()));
  if (crc.little<uint32_t>() != checksum_of(checked)) return std::nullopt;
  ByteReader in(checked);
  if (in.little<uint64_t>() != kSegmentMagic) return std::nullopt;
  if (in.little<uint32_t>() != kFormatVersion) return std::nullopt;
  SegmentHeader header;
  header.form.incompatible = in.little<uint16_t>();
  header.form.compatible = in.little<uint16_t>();
  header.number = in.little<uint64_t>();
  header.generation = in.little<uint64_t>();
  header.first_sequence = in.little<uint64_t>();
  header.volume_key = in.text(kVolumeKeyBytesMax);
  if (!in.ok()) return std::nullopt;
  return header;
}

std::optional<uint32_t> other_format(std::string_view bytes) {
  ByteReader in(bytes.substr(0, sizeof(uint64_t) + sizeof(uint32_t)));
  const auto magic = in.little<uint64_t>();
  const auto version = in.little<uint32_t>();
  if (!in.ok() || magic != kSegmentMagic || version == kFormatVersion) return std::nullopt;
  return version;
}

std::string encode_body(const Record& record) {
  ByteWriter out;
  put(out, record.time);
  out.text(record.path);
  switch (record.kind) {
    case RecordKind::kKnown:
      put(out, record.info);
      break;
    case RecordKind::kMake:
      put(out, record.made);
      break;
    case RecordKind::kRemove:
      out.little(static_cast<uint8_t>(record.remove));
      break;
    case RecordKind::kRename:
      out.text(record.to);
      out.little(static_cast<uint8_t>(record.how));
      if (!record.aside.empty()) out.text(record.aside);
      break;
    case RecordKind::kSetAttributes:
      put(out, record.change);
      break;
    case RecordKind::kAllocate:
      out.little(record.mode);
      [[fallthrough]];
    case RecordKind::kWrite:
      out.little(record.range.offset_bytes);
      out.little(record.range.length_bytes);
      break;
    case RecordKind::kDone:
      out.little(record.upto);
      out.text(record.beside);
      put(out, record.failed);
      out.little(static_cast<uint8_t>(record.where));
      out.text(record.to);
      put(out, record.told);
      put(out, record.above);
      out.text(record.there);
      put(out, record.left);
      if (record.left_aside) put(out, record.left_aside);
      break;
    case RecordKind::kBegin:
      out.little(record.upto);
      out.text(record.beside);
      put(out, record.sure);
      // Most need it not, and there is one for each change.
      put(out, record.info.attributes.type != FileType::kUnknown);
      out.text(record.older);
      out.text(record.rest);
      if (record.info.attributes.type != FileType::kUnknown) put(out, record.info);
      break;
  }
  return out.take();
}

EncodedRecord encode_record(const Record& record, std::string_view body,
                            std::span<const std::byte> data) {
  NETFS_ASSERT(body.size() <= kBodyBytesMax);
  NETFS_ASSERT(data.size() <= kDataBytesMax);
  ByteWriter rest;
  rest.little(static_cast<uint32_t>(body.size()));
  rest.little(static_cast<uint32_t>(data.size()));
  rest.little(record.sequence);
  rest.little(record.durable);
  rest.little(crc32c(data));
  rest.little(static_cast<uint32_t>(record.kind));  // and three zeroes
  rest.raw(body);
  ByteWriter front;
  front.little(kRecordMagic);
  front.little(checksum_of(rest.bytes()));
  front.raw(rest.bytes());
  EncodedRecord encoded{.front = front.take(), .padding = {}};
  const size_t bytes = encoded.front.size() + data.size();
  encoded.padding.resize(record_bytes(body.size(), data.size()) - bytes, '\0');
  return encoded;
}

std::optional<RecordHeader> decode_record_header(std::string_view bytes) {
  if (bytes.size() < kRecordHeaderBytes) return std::nullopt;
  ByteReader in(bytes.substr(0, kRecordHeaderBytes));
  if (in.little<uint32_t>() != kRecordMagic) return std::nullopt;
  RecordHeader header;
  header.crc = in.little<uint32_t>();
  header.body_bytes = in.little<uint32_t>();
  header.data_bytes = in.little<uint32_t>();
  header.sequence = in.little<uint64_t>();
  header.durable = in.little<uint64_t>();
  header.data_crc = in.little<uint32_t>();
  const auto kind = in.little<uint32_t>();
  header.kind = static_cast<RecordKind>(kind);
  if (!is_kind(kind) || header.body_bytes > kBodyBytesMax || header.data_bytes > kDataBytesMax) {
    return std::nullopt;
  }
  return header;
}

std::optional<Record> decode_record(std::string_view front) {
  const std::optional<RecordHeader> header = decode_record_header(front);
  if (!header || front.size() != kRecordHeaderBytes + header->body_bytes) return std::nullopt;
  if (checksum_of(front.substr(kCheckedFrom)) != header->crc) return std::nullopt;
  Record record;
  record.kind = header->kind;
  record.sequence = header->sequence;
  record.durable = header->durable;
  if (is_addition(record.kind)) return record;  // what is in it is for who knows it
  ByteReader in(front.substr(kRecordHeaderBytes));
  if (!take(in, record.time) || !take_path(in, record.path)) return std::nullopt;
  if (!take_fields(in, record) || !in.at_end()) return std::nullopt;
  const uint64_t data_bytes =
      record.kind == RecordKind::kWrite ? record.range.length_bytes : uint64_t{0};
  if (header->data_bytes != data_bytes) return std::nullopt;
  return record;
}

bool is_data_of(const RecordHeader& header, std::span<const std::byte> data) {
  return data.size() == header.data_bytes && crc32c(data) == header.data_crc;
}

}  // namespace netfs::journal
