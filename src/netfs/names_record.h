#pragma once
// NamesEncoder and NamesDecoder: one listing of a directory as bytes, and back.
//
// docs/cache-format.md ("Names") describes every byte.  Integers are little-endian or varints of
// seven bits; the whole ends in a CRC32C.  The decoder takes any bytes: what is not a sound record
// of this version and of this directory gives nothing.  It borrows its bytes.
//
//   NamesEncoder encoder("dir", head);
//   encoder.add(entry, nullptr);
//   std::string bytes = encoder.finish(took);
//
//   std::optional<NamesDecoder> decoder = NamesDecoder::open(bytes, "dir");
//   while (std::optional<StoredName> one = decoder->next()) ...

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "netfs/attributes.h"

namespace netfs {

// Lengths that a record may claim.
inline constexpr size_t kNamesPathBytesMax = 8192;
inline constexpr size_t kNameBytesMax = 255;
inline constexpr size_t kNameIdentityBytesMax = 1024;
inline constexpr size_t kNameValidatorBytesMax = 64;
inline constexpr size_t kNameTargetBytesMax = 4095;
inline constexpr size_t kNamesBootBytesMax = 64;
// Larger ones are not kept: some 600,000 names.
inline constexpr size_t kNamesBytesMax = size_t{64} << 20;

// When a directory was listed, by the clocks of this machine, and which one it was.
struct NamesHead {
  Timestamp listed_at;    // when that began
  int64_t uptime_ns = 0;  // the same, since the machine started
  std::string boot;       // which start that was; empty: nobody knows
  bool for_ever = false;  // by a mount that was told that the tree never changes
  std::string identity;   // the directory's, and what else was seen of it last before that
  Validator validator;    // without its time
  Timestamp mtime;
  Timestamp ctime;
  Duration took{};  // of a record that is read: how long it took
};

struct StoredName {
  OriginEntry entry;
  std::optional<std::string> target;  // of a symbolic link, where it was known
};

class NamesEncoder {
 public:
  NamesEncoder(std::string_view path, const NamesHead& head);
  // `target` may be null.
  void add(const OriginEntry& entry, const std::string* target);
  // It is not to be kept.
  void give_up();
  // Whether all of it can be kept.
  [[nodiscard]] bool fits() const { return fits_; }
  // Of the entries alone, without targets: equal where a directory is what it was.
  [[nodiscard]] uint32_t entries_crc() const { return fits_ ? crc_ : 0; }
  [[nodiscard]] std::string finish(Duration took);

 private:
  std::string bytes_;
  uint32_t crc_ = 0;
  uint32_t count_ = 0;
  bool fits_ = true;
};

class NamesDecoder {
 public:
  static std::optional<NamesDecoder> open(std::string_view bytes, std::string_view path);

  [[nodiscard]] const NamesHead& head() const { return head_; }
  [[nodiscard]] uint32_t entries_crc() const { return entries_crc_; }
  // Of the entries.
  [[nodiscard]] uint32_t count() const { return count_; }
  // Their bytes, less those that next() has given.
  [[nodiscard]] std::string_view entries() const { return rest_; }
  // Nothing after the last.
  std::optional<StoredName> next();
  // As next(), and only what stands there.
  struct Place {
    const char* begin;
    std::string_view name;
    FileType type;
  };
  std::optional<Place> skip();

  // From one of the places of a sound record.
  static NamesDecoder at(std::string_view place);
  // Of the one that next() will give.
  [[nodiscard]] std::string_view next_name() const;

 private:
  NamesDecoder() = default;
  NamesHead head_;
  std::string_view rest_;  // of the entries
  uint32_t entries_crc_ = 0;
  uint32_t count_ = 0;
};

// The target of a link, where it is known now.
using TargetOf = std::function<std::optional<std::string>(const OriginEntry& link)>;

// The same record with targets of links that it has not; all else stays, also when it was listed.
// Empty: there is none to add, or no room, or it is no sound record of that directory.
[[nodiscard]] std::string add_targets(std::string_view bytes, std::string_view path,
                                      const TargetOf& target_of);

}  // namespace netfs
