#pragma once
// Records: the keys and values of the index as bytes, and back.
//
// docs/cache-format.md describes every one.  Integers in keys are big-endian, so that bytes sort as
// numbers; in values little-endian.  Each value ends in a CRC32C over key and value, so a flipped,
// torn or misplaced record is found.  Decoders take any bytes: what is not a record of this version
// gives nothing.
//
// Pure functions; thread-safe.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/strong_id.h"
#include "netfs/attributes.h"

namespace netfs::cachefiles {

using ObjectId = StrongId<struct ObjectIdTag>;
using VolumeId = StrongId<struct VolumeIdTag, uint32_t>;

// The first byte of a key.
enum class KeySpace : char {
  kMeta = 'M',
  kVolume = 'V',
  kObject = 'O',
  kRecency = 'R',
  kPresence = 'B',
  kChecksums = 'C',
  kName = 'N',          // reserved: directory entries
  kAttributes = 'A',    // reserved: attributes of inodes
  kNegativeName = 'G',  // reserved: names known to be missing
  kDirtyMark = 'D',     // reserved: objects that may hold local writes
  kPin = 'P',           // reserved: what is never culled
};

[[nodiscard]] std::string meta_key();
[[nodiscard]] std::string volume_key_of(std::string_view volume_key);
[[nodiscard]] std::string object_prefix(VolumeId volume, std::string_view identity);
[[nodiscard]] std::string object_key(VolumeId volume, std::string_view identity, ObjectId object);
[[nodiscard]] std::string recency_key(int64_t last_use_seconds, ObjectId object);
[[nodiscard]] std::string presence_prefix(ObjectId object);
[[nodiscard]] std::string presence_key(ObjectId object, uint32_t segment);
[[nodiscard]] std::string checksums_prefix(ObjectId object);
[[nodiscard]] std::string checksums_key(ObjectId object, uint32_t chunk);

struct ObjectKeyParts {
  VolumeId volume;
  std::string identity;
  ObjectId object;
};
[[nodiscard]] std::optional<ObjectKeyParts> parse_object_key(std::string_view key);
struct RecencyKeyParts {
  int64_t last_use_seconds = 0;
  ObjectId object;
};
[[nodiscard]] std::optional<RecencyKeyParts> parse_recency_key(std::string_view key);
// The segment or chunk number at the end of a presence or checksums key.
[[nodiscard]] std::optional<uint32_t> parse_part_number(std::string_view key);

struct MetaRecord {
  uint32_t epoch = 0;          // counts the starts
  uint32_t unclean_epoch = 0;  // the last one that began after an unclean end
  bool clean = true;           // the end was clean; the totals below hold then
  uint32_t next_volume = 1;
  uint64_t next_object = 1;
  uint64_t allocated_bytes = 0;
  uint64_t object_count = 0;
  uint64_t sealed_count = 0;
  friend bool operator==(const MetaRecord&, const MetaRecord&) = default;
};

// States as they stand on disk; HandedOut and Dead live in memory only.
enum class StoredState : uint8_t {
  kPartial = 1,
  kComplete = 2,
  kSealed = 3,
  kLocal = 16,      // reserved: written here, not uploaded
  kUploading = 17,  // reserved
  kClean = 18,      // reserved: uploaded
};

struct ObjectRecord {
  StoredState state = StoredState::kPartial;
  bool may_seal = false;
  uint16_t transform = 0;       // reserved: encryption, compression; 0 is none
  uint16_t quota_class = 0;     // reserved
  uint32_t pin_count = 0;       // reserved
  uint64_t local_base = 0;      // reserved: the object whose version a local one was made from
  uint64_t pack_object = 0;     // reserved: the object that holds this one's bytes
  uint64_t pack_offset = 0;     // reserved
  uint32_t verified_epoch = 0;  // of a sealed one: when it was last read back
  uint64_t size_bytes = 0;
  uint64_t stored_bytes = 0;
  uint64_t allocated_bytes = 0;
  Timestamp last_use;
  Validator validator;
  std::string path;

  friend bool operator==(const ObjectRecord&, const ObjectRecord&) = default;
};

// One segment of a presence map: 512 words of 64 blocks, the lowest bit first.
using PresenceWords = std::vector<uint64_t>;

// One chunk's checksums: of each present block its pages, in order.
struct ChecksumsRecord {
  uint64_t present = 0;
  std::vector<uint32_t> page_crcs;
  friend bool operator==(const ChecksumsRecord&, const ChecksumsRecord&) = default;
};

[[nodiscard]] std::string encode_meta(std::string_view key, const MetaRecord& record);
[[nodiscard]] std::optional<MetaRecord> decode_meta(std::string_view key, std::string_view value);
[[nodiscard]] std::string encode_volume(std::string_view key, VolumeId volume);
[[nodiscard]] std::optional<VolumeId> decode_volume(std::string_view key, std::string_view value);
[[nodiscard]] std::string encode_object(std::string_view key, const ObjectRecord& record);
[[nodiscard]] std::optional<ObjectRecord> decode_object(std::string_view key,
                                                        std::string_view value);
// The value of a recency record is the object's key.
[[nodiscard]] std::string encode_recency(std::string_view key, std::string_view object_key);
[[nodiscard]] std::optional<std::string> decode_recency(std::string_view key,
                                                        std::string_view value);
// As extents or as a bitmap, whichever is shorter.
[[nodiscard]] std::string encode_presence(std::string_view key, const PresenceWords& words);
[[nodiscard]] std::optional<PresenceWords> decode_presence(std::string_view key,
                                                           std::string_view value);
[[nodiscard]] std::string encode_checksums(std::string_view key, const ChecksumsRecord& record);
[[nodiscard]] std::optional<ChecksumsRecord> decode_checksums(std::string_view key,
                                                              std::string_view value);

}  // namespace netfs::cachefiles
