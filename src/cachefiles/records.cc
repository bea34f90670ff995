#include "cachefiles/records.h"

#include <bit>

#include "base/assert.h"
#include "base/byte_range.h"
#include "base/crc32c.h"
#include "cachefiles/byte_codec.h"
#include "cachefiles/limits.h"

namespace netfs::cachefiles {

namespace {

constexpr uint8_t kRecordVersion = 1;
constexpr uint8_t kAsExtents = 0;
constexpr uint8_t kAsBitmap = 1;
constexpr uint16_t kFlagMaySeal = 1;

uint32_t crc_of(std::string_view key, std::string_view value) {
  const uint32_t of_key = crc32c(std::as_bytes(std::span(key.data(), key.size())));
  return crc32c(std::as_bytes(std::span(value.data(), value.size())), of_key);
}

ByteWriter begin_record() {
  ByteWriter writer;
  writer.little(kRecordVersion);
  return writer;
}

std::string finish_record(std::string_view key, ByteWriter writer) {
  const uint32_t crc = crc_of(key, writer.bytes());
  writer.little(crc);
  return writer.take();
}

// The body of a sound record of this version.
std::optional<ByteReader> open_record(std::string_view key, std::string_view value) {
  if (value.size() < 5) return std::nullopt;
  const std::string_view body = value.substr(0, value.size() - 4);
  if (ByteReader(value.substr(body.size())).little<uint32_t>() != crc_of(key, body)) {
    return std::nullopt;
  }
  ByteReader reader(body);
  if (reader.little<uint8_t>() != kRecordVersion) return std::nullopt;
  return reader;
}

ByteWriter begin_key(KeySpace space) {
  ByteWriter writer;
  writer.little(static_cast<uint8_t>(space));
  return writer;
}

std::string part_key(KeySpace space, ObjectId object) {
  ByteWriter writer = begin_key(space);
  writer.big(object.value);
  return writer.take();
}

std::string part_key(KeySpace space, ObjectId object, uint32_t part) {
  ByteWriter writer = begin_key(space);
  writer.big(object.value);
  writer.big(part);
  return writer.take();
}

struct Extent {
  uint32_t first = 0;
  uint32_t count = 0;
};

std::vector<Extent> extents_of(const PresenceWords& words) {
  std::vector<Extent> extents;
  for (uint32_t block = 0; block < words.size() * kBlocksPerChunk;) {
    const uint64_t word = words[block / kBlocksPerChunk] >> (block % kBlocksPerChunk);
    if (word == 0) {
      block = static_cast<uint32_t>(round_down(block, kBlocksPerChunk) + kBlocksPerChunk);
      continue;
    }
    const auto skip = static_cast<uint32_t>(std::countr_zero(word));
    const auto count = static_cast<uint32_t>(std::countr_one(word >> skip));
    block += skip;
    if (!extents.empty() && extents.back().first + extents.back().count == block) {
      extents.back().count += count;
    } else {
      extents.push_back({block, count});
    }
    block += count;
  }
  return extents;
}

}  // namespace

std::string meta_key() {
  return begin_key(KeySpace::kMeta).take();
}

std::string volume_key_of(std::string_view volume_key) {
  ByteWriter writer = begin_key(KeySpace::kVolume);
  writer.raw(volume_key);
  return writer.take();
}

std::string object_prefix(VolumeId volume, std::string_view identity) {
  ByteWriter writer = begin_key(KeySpace::kObject);
  writer.big(volume.value);
  writer.big(static_cast<uint16_t>(identity.size()));
  writer.raw(identity);
  return writer.take();
}

std::string object_key(VolumeId volume, std::string_view identity, ObjectId object) {
  ByteWriter writer;
  writer.raw(object_prefix(volume, identity));
  writer.big(object.value);
  return writer.take();
}

std::string recency_key(int64_t last_use_seconds, ObjectId object) {
  ByteWriter writer = begin_key(KeySpace::kRecency);
  writer.big(static_cast<uint64_t>(last_use_seconds));
  writer.big(object.value);
  return writer.take();
}

std::string presence_prefix(ObjectId object) {
  return part_key(KeySpace::kPresence, object);
}
std::string presence_key(ObjectId object, uint32_t segment) {
  return part_key(KeySpace::kPresence, object, segment);
}
std::string checksums_prefix(ObjectId object) {
  return part_key(KeySpace::kChecksums, object);
}
std::string checksums_key(ObjectId object, uint32_t chunk) {
  return part_key(KeySpace::kChecksums, object, chunk);
}

std::optional<ObjectKeyParts> parse_object_key(std::string_view key) {
  ByteReader reader(key);
  if (reader.little<char>() != static_cast<char>(KeySpace::kObject)) return std::nullopt;
  ObjectKeyParts parts;
  parts.volume = VolumeId(reader.big<uint32_t>());
  const auto length = reader.big<uint16_t>();
  if (length > kIdentityBytesMax) return std::nullopt;
  parts.identity = reader.raw(length);
  parts.object = ObjectId(reader.big<uint64_t>());
  if (!reader.at_end()) return std::nullopt;
  return parts;
}

std::optional<RecencyKeyParts> parse_recency_key(std::string_view key) {
  ByteReader reader(key);
  if (reader.little<char>() != static_cast<char>(KeySpace::kRecency)) return std::nullopt;
  RecencyKeyParts parts;
  parts.last_use_seconds = static_cast<int64_t>(reader.big<uint64_t>());
  parts.object = ObjectId(reader.big<uint64_t>());
  if (!reader.at_end()) return std::nullopt;
  return parts;
}

std::optional<uint32_t> parse_part_number(std::string_view key) {
  if (key.size() != 13) return std::nullopt;
  return ByteReader(key.substr(9)).big<uint32_t>();
}

std::string encode_meta(std::string_view key, const MetaRecord& record) {
  ByteWriter writer = begin_record();
  writer.little(record.epoch);
  writer.little(record.unclean_epoch);
  writer.little(static_cast<uint8_t>(record.clean));
  writer.little(record.next_volume);
  writer.little(record.next_object);
  writer.little(record.allocated_bytes);
  writer.little(record.object_count);
  writer.little(record.sealed_count);
  return finish_record(key, std::move(writer));
}

std::optional<MetaRecord> decode_meta(std::string_view key, std::string_view value) {
  std::optional<ByteReader> reader = open_record(key, value);
  if (!reader) return std::nullopt;
  MetaRecord record;
  record.epoch = reader->little<uint32_t>();
  record.unclean_epoch = reader->little<uint32_t>();
  record.clean = reader->little<uint8_t>() != 0;
  record.next_volume = reader->little<uint32_t>();
  record.next_object = reader->little<uint64_t>();
  record.allocated_bytes = reader->little<uint64_t>();
  record.object_count = reader->little<uint64_t>();
  record.sealed_count = reader->little<uint64_t>();
  if (!reader->at_end()) return std::nullopt;
  return record;
}

std::string encode_volume(std::string_view key, VolumeId volume) {
  ByteWriter writer = begin_record();
  writer.little(volume.value);
  return finish_record(key, std::move(writer));
}

std::optional<VolumeId> decode_volume(std::string_view key, std::string_view value) {
  std::optional<ByteReader> reader = open_record(key, value);
  if (!reader) return std::nullopt;
  const VolumeId volume(reader->little<uint32_t>());
  if (!reader->at_end()) return std::nullopt;
  return volume;
}

std::string encode_object(std::string_view key, const ObjectRecord& record) {
  ByteWriter writer = begin_record();
  writer.little(static_cast<uint8_t>(record.state));
  writer.little(static_cast<uint8_t>(kBlockShift));
  writer.little(static_cast<uint8_t>(kPageShift));
  writer.little(static_cast<uint16_t>(record.may_seal ? kFlagMaySeal : 0));
  writer.little(record.transform);
  writer.little(record.quota_class);
  writer.little(record.pin_count);
  writer.little(record.local_base);
  writer.little(record.pack_object);
  writer.little(record.pack_offset);
  writer.little(record.verified_epoch);
  writer.little(record.size_bytes);
  writer.little(record.stored_bytes);
  writer.little(record.allocated_bytes);
  writer.little(record.last_use.seconds);
  writer.little(record.last_use.nanoseconds);
  writer.little(static_cast<uint8_t>(record.validator.strength));
  writer.little(record.validator.changed_at.seconds);
  writer.little(record.validator.changed_at.nanoseconds);
  writer.text(record.validator.bytes);
  writer.text(record.path);
  return finish_record(key, std::move(writer));
}

std::optional<ObjectRecord> decode_object(std::string_view key, std::string_view value) {
  std::optional<ByteReader> reader = open_record(key, value);
  if (!reader) return std::nullopt;
  ObjectRecord record;
  const auto state = reader->little<uint8_t>();
  if (state < 1 || state > 3) return std::nullopt;  // local states are not ours to understand yet
  record.state = static_cast<StoredState>(state);
  const auto block_shift = reader->little<uint8_t>();
  const auto page_shift = reader->little<uint8_t>();
  if (block_shift != kBlockShift || page_shift != kPageShift) return std::nullopt;
  record.may_seal = (reader->little<uint16_t>() & kFlagMaySeal) != 0;
  record.transform = reader->little<uint16_t>();
  if (record.transform != 0) return std::nullopt;  // bytes that we could not turn back
  record.quota_class = reader->little<uint16_t>();
  record.pin_count = reader->little<uint32_t>();
  record.local_base = reader->little<uint64_t>();
  record.pack_object = reader->little<uint64_t>();
  if (record.pack_object != 0) return std::nullopt;
  record.pack_offset = reader->little<uint64_t>();
  record.verified_epoch = reader->little<uint32_t>();
  record.size_bytes = reader->little<uint64_t>();
  if (record.size_bytes > kFileBytesMax) return std::nullopt;
  record.stored_bytes = reader->little<uint64_t>();
  record.allocated_bytes = reader->little<uint64_t>();
  record.last_use.seconds = reader->little<int64_t>();
  record.last_use.nanoseconds = reader->little<uint32_t>();
  const auto strength = reader->little<uint8_t>();
  if (strength > static_cast<uint8_t>(ValidatorStrength::kStrong)) return std::nullopt;
  record.validator.strength = static_cast<ValidatorStrength>(strength);
  record.validator.changed_at.seconds = reader->little<int64_t>();
  record.validator.changed_at.nanoseconds = reader->little<uint32_t>();
  record.validator.bytes = reader->text(kValidatorBytesMax);
  record.path = reader->text(kPathBytesMax);
  if (!reader->at_end()) return std::nullopt;
  return record;
}

std::string encode_recency(std::string_view key, std::string_view object_key) {
  ByteWriter writer = begin_record();
  writer.raw(object_key);
  return finish_record(key, std::move(writer));
}

std::optional<std::string> decode_recency(std::string_view key, std::string_view value) {
  std::optional<ByteReader> reader = open_record(key, value);
  if (!reader) return std::nullopt;
  return std::string(reader->raw(reader->left()));
}

std::string encode_presence(std::string_view key, const PresenceWords& words) {
  NETFS_ASSERT(words.size() <= kChunksPerSegment);
  const std::vector<Extent> extents = extents_of(words);
  ByteWriter writer = begin_record();
  writer.little(static_cast<uint16_t>(words.size()));
  if (extents.size() <= words.size()) {
    writer.little(kAsExtents);
    for (const Extent& extent : extents) {
      writer.little(extent.first);
      writer.little(extent.count);
    }
  } else {
    writer.little(kAsBitmap);
    for (const uint64_t word : words) writer.little(word);
  }
  return finish_record(key, std::move(writer));
}

std::optional<PresenceWords> decode_presence(std::string_view key, std::string_view value) {
  std::optional<ByteReader> reader = open_record(key, value);
  if (!reader) return std::nullopt;
  const auto count = reader->little<uint16_t>();
  const auto kind = reader->little<uint8_t>();
  if (count > kChunksPerSegment) return std::nullopt;
  PresenceWords words(count, 0);
  if (kind == kAsBitmap) {
    for (uint64_t& word : words) word = reader->little<uint64_t>();
    if (!reader->at_end()) return std::nullopt;
    return words;
  }
  if (kind != kAsExtents) return std::nullopt;
  uint64_t from = 0;
  while (reader->ok() && !reader->at_end()) {
    const auto first = reader->little<uint32_t>();
    const auto length = reader->little<uint32_t>();
    const uint64_t end = uint64_t{first} + length;
    if (first < from || end > words.size() * kBlocksPerChunk) return std::nullopt;
    for (uint64_t block = first; block < end; ++block) {
      words[block / kBlocksPerChunk] |= uint64_t{1} << (block % kBlocksPerChunk);
    }
    from = end;
  }
  if (!reader->ok()) return std::nullopt;
  return words;
}

std::string encode_checksums(std::string_view key, const ChecksumsRecord& record) {
  ByteWriter writer = begin_record();
  writer.little(record.present);
  for (const uint32_t crc : record.page_crcs) writer.little(crc);
  return finish_record(key, std::move(writer));
}

std::optional<ChecksumsRecord> decode_checksums(std::string_view key, std::string_view value) {
  std::optional<ByteReader> reader = open_record(key, value);
  if (!reader) return std::nullopt;
  ChecksumsRecord record;
  record.present = reader->little<uint64_t>();
  if (reader->left() % 4 != 0 || reader->left() / 4 > kBlocksPerChunk * kPagesPerBlock) {
    return std::nullopt;
  }
  record.page_crcs.reserve(reader->left() / 4);
  while (reader->left() > 0) record.page_crcs.push_back(reader->little<uint32_t>());
  if (!reader->ok()) return std::nullopt;
  return record;
}

}  // namespace netfs::cachefiles
