#include "origins/http/edition.h"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

namespace netfs::origins::http {

namespace {

// Validator::bytes holds 64 at most.
constexpr size_t kTagBytesMax = 48;

// FNV-1a; a long tag is told from others by its beginning and two of these.
uint64_t hash(std::string_view text, uint64_t seed) {
  uint64_t value = 0xcbf29ce484222325U ^ seed;
  for (const char c : text) {
    value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  return value;
}

std::string shortened(std::string_view tag) {
  if (tag.size() <= kTagBytesMax) return std::string(tag);
  return fmt::format("{}#{:016x}{:016x}", tag.substr(0, 15), hash(tag, 0),
                     hash(tag, 0x9e3779b97f4a7c15U));
}

std::string time_and_size(int64_t mtime_seconds, uint64_t size_bytes) {
  return fmt::format("{:x}-{:x}", mtime_seconds, size_bytes);
}

}  // namespace

Edition edition_of(const ResponseHead& head, uint64_t size_bytes, int64_t wall_seconds) {
  Edition edition =
      edition_of(head.entity_tag(), head.last_modified(), size_bytes, skew_of(head, wall_seconds));
  edition.ranges_said = head.accept_ranges() == "bytes";
  edition.ranges_denied = head.accept_ranges() == "none";
  return edition;
}

int64_t skew_of(const ResponseHead& head, int64_t wall_seconds) {
  return head.date() ? wall_seconds - *head.date() : 0;
}

Edition edition_of(const std::optional<EntityTag>& tag, std::optional<int64_t> mtime_seconds,
                   uint64_t size_bytes, int64_t skew_seconds) {
  Edition edition;
  edition.size_bytes = size_bytes;
  edition.mtime_seconds = mtime_seconds.value_or(0);
  if (tag && !tag->weak) edition.if_range = tag->text;
  const std::string dated = mtime_seconds ? time_and_size(*mtime_seconds, size_bytes) : "";
  Validator& validator = edition.validator;
  if (tag && !tag->weak && tag->opaque() != dated) {
    validator = {.strength = ValidatorStrength::kStrong, .bytes = shortened(tag->opaque())};
  } else if (mtime_seconds) {
    validator = {.strength = ValidatorStrength::kWeak, .bytes = dated};
    if (tag && tag->weak)
      validator.bytes = fmt::format("{:.24} {:016x}", dated, hash(tag->text, 0));
    validator.changed_at.seconds = *mtime_seconds + skew_seconds;
  }
  return edition;
}

NodeInfo Edition::info() const {
  NodeInfo info;
  info.attributes.type = FileType::kRegular;
  info.attributes.permissions = 0444;
  info.attributes.uid = ::geteuid();
  info.attributes.gid = ::getegid();
  info.attributes.size_bytes = size_bytes;
  info.attributes.mtime.seconds = mtime_seconds;
  info.attributes.atime = info.attributes.ctime = info.attributes.mtime;
  info.validator = validator;
  return info;
}

NodeInfo directory_info() {
  NodeInfo info;
  info.attributes.type = FileType::kDirectory;
  info.attributes.permissions = 0555;
  info.attributes.uid = ::geteuid();
  info.attributes.gid = ::getegid();
  return info;
}

Sameness compare(const Edition& expected, const Edition& seen) {
  const bool expects = expected.validator.strength != ValidatorStrength::kNone;
  const bool says = seen.validator.strength != ValidatorStrength::kNone;
  const bool same_size = seen.size_bytes == expected.size_bytes;
  const bool same_tag = !expected.if_range.empty() && seen.if_range == expected.if_range;
  if (same_tag || seen.validator == expected.validator) {
    if (same_size) return Sameness::kSame;
    // Equal tags of files of two sizes are nonsense.
    return expects ? Sameness::kSomething : Sameness::kChanged;
  }
  return says || !expects ? Sameness::kChanged : Sameness::kSomething;
}

}  // namespace netfs::origins::http
