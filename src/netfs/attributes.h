#pragma once
// Attributes, validator and identity: what an origin says of one file.
//
// Value types.  Times are those of the origin; sizes are bytes.

#include <cstdint>
#include <string>

#include "base/clock.h"

namespace netfs {

enum class FileType : uint8_t {
  kUnknown,
  kRegular,
  kDirectory,
  kSymlink,
  kFifo,
  kSocket,
  kCharDevice,
  kBlockDevice
};

struct Attributes {
  FileType type = FileType::kUnknown;
  uint32_t permissions = 0;  // 07777
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t link_count = 1;
  uint64_t size_bytes = 0;
  uint64_t allocated_bytes = 0;  // 0 where the origin does not say; then the size, rounded up
  Timestamp atime;
  Timestamp mtime;
  Timestamp ctime;
  uint64_t device = 0;  // rdev, of devices only

  friend bool operator==(const Attributes&, const Attributes&) = default;
};

enum class ValidatorStrength : uint8_t {
  kNone,    // the origin gives nothing: nothing is kept past its TTL
  kWeak,    // equal validators may hide a change within one granule of time
  kStrong,  // equal validators mean equal bytes
};

// A version of a file's bytes.  Two files with equal validators hold the same bytes, as far as the
// strength goes.
struct Validator {
  ValidatorStrength strength = ValidatorStrength::kNone;
  std::string bytes;     // opaque, 64 bytes at most
  Timestamp changed_at;  // of a weak one: when the origin says the bytes last changed

  friend bool operator==(const Validator& a, const Validator& b) {
    return a.strength == b.strength && a.bytes == b.bytes;
  }
};

// A weak validator that is younger than a granule may stay as it is while the bytes change again.
inline bool is_racy(const Validator& validator, Duration granule, Timestamp now) {
  if (validator.strength == ValidatorStrength::kStrong) return false;
  const Timestamp changed = validator.changed_at;
  const int64_t elapsed = (now.seconds - changed.seconds) * 1'000'000'000 +
                          (static_cast<int64_t>(now.nanoseconds) - changed.nanoseconds);
  return elapsed < granule.count();
}

// One file as its origin shows it now.
struct NodeInfo {
  Attributes attributes;
  Validator validator;
  std::string identity;  // opaque, survives rename; empty where the path is the identity
};

struct OriginEntry {
  std::string name;  // one component, as the origin sent it: unchecked
  NodeInfo info;
};

struct FileSystemStats {
  uint64_t block_bytes = 4096;
  uint64_t blocks = 0;
  uint64_t blocks_free = 0;
  uint64_t blocks_available = 0;
  uint64_t files = 0;
  uint64_t files_free = 0;
  uint32_t name_length_max = 255;
};

}  // namespace netfs
