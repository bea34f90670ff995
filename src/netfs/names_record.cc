#include "netfs/names_record.h"

#include <span>

#include "base/crc32c.h"

namespace netfs {

namespace {

constexpr std::string_view kMagic = "nfnames\1";

constexpr uint8_t kForEver = 1;  // of the head

constexpr size_t kCrcBytes = 4;
constexpr size_t kEndBytes = 12 + kCrcBytes;  // how long it took, the count, the CRC

constexpr uint8_t kAtimeIsMtime = 1;
constexpr uint8_t kCtimeIsMtime = 2;
constexpr uint8_t kChangedAtMtime = 4;
constexpr uint8_t kHasTarget = 8;
constexpr uint8_t kHasAllocated = 16;
constexpr uint8_t kHasDevice = 32;

// Times of a clock that is set at all, so that no difference of two of them overflows.
constexpr uint64_t kSecondsEnd = uint64_t{1} << 33;
constexpr uint64_t kUptimeEndNs = uint64_t{1} << 62;
constexpr Duration kTookEnd{int64_t{1} << 61};

bool is_sane(const NamesHead& head) {
  return static_cast<uint64_t>(head.listed_at.seconds) < kSecondsEnd &&
         head.listed_at.nanoseconds < 1'000'000'000 &&
         static_cast<uint64_t>(head.uptime_ns) < kUptimeEndNs && head.took >= Duration(0) &&
         head.took < kTookEnd;
}

uint32_t crc_of(std::string_view bytes, uint32_t before = 0) {
  return crc32c(std::as_bytes(std::span(bytes.data(), bytes.size())), before);
}

void put_fixed(std::string& to, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) to.push_back(static_cast<char>(value >> (8 * i)));
}

void put_varint(std::string& to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) to.push_back(static_cast<char>(value | 0x80));
  to.push_back(static_cast<char>(value));
}

void put_text(std::string& to, std::string_view text) {
  put_varint(to, text.size());
  to += text;
}

// Small numbers of either sign are short.
void put_time(std::string& to, const Timestamp& time) {
  const auto bits = static_cast<uint64_t>(time.seconds);
  put_varint(to, (bits << 1) ^ (time.seconds < 0 ? ~uint64_t{0} : 0));
  put_varint(to, time.nanoseconds);
}

void put_validator(std::string& to, const Validator& validator) {
  put_fixed(to, static_cast<uint8_t>(validator.strength), 1);
  if (validator.strength != ValidatorStrength::kNone) put_text(to, validator.bytes);
}

// Past its end it fails for good and gives zeroes.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  std::string_view raw(size_t count) {
    if (count > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  uint64_t fixed(size_t bytes) {
    const std::string_view taken = raw(bytes);
    uint64_t value = 0;
    for (size_t i = 0; i < taken.size(); ++i) {
      value |= uint64_t{static_cast<unsigned char>(taken[i])} << (8 * i);
    }
    return value;
  }
  uint8_t byte() { return static_cast<uint8_t>(fixed(1)); }
  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const uint8_t part = byte();
      value |= uint64_t{part & 0x7FU} << shift;
      if (part < 0x80) return value;
    }
    ok_ = false;
    return 0;
  }
  uint32_t varint32() {
    const uint64_t value = varint();
    if (value > UINT32_MAX) ok_ = false;
    return static_cast<uint32_t>(value);
  }
  std::string_view text(size_t length_max) {
    const uint64_t length = varint();
    if (length > length_max) {
      ok_ = false;
      return {};
    }
    return raw(length);
  }
  Timestamp time() {
    const uint64_t bits = varint();
    const uint64_t sign = (bits & 1) != 0 ? ~uint64_t{0} : 0;
    Timestamp time{.seconds = static_cast<int64_t>((bits >> 1) ^ sign), .nanoseconds = varint32()};
    if (time.nanoseconds >= 1'000'000'000) ok_ = false;
    return time;
  }
  void fail() { ok_ = false; }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

Validator read_validator(Reader& reader) {
  Validator validator;
  const uint8_t strength = reader.byte();
  if (strength > static_cast<uint8_t>(ValidatorStrength::kStrong)) reader.fail();
  validator.strength = static_cast<ValidatorStrength>(strength);
  if (validator.strength == ValidatorStrength::kNone) return validator;
  validator.bytes = reader.text(kNameValidatorBytesMax);
  return validator;
}

// An entry's bytes: its flags, if it has any, and its target, which is last and all that may come
// later.
struct EntryBytes {
  std::string_view all;
  size_t flags_at = 0;  // 0: it has none
  size_t target_at = 0;
};

// The CRC of the entries up to this one, by that of those before it: as if it had no target.
uint32_t chain_crc(uint32_t before, const EntryBytes& entry) {
  if (entry.target_at == entry.all.size()) return crc_of(entry.all, before);
  const char flags = static_cast<char>(entry.all[entry.flags_at] & ~kHasTarget);
  const uint32_t until = crc_of({&flags, 1}, crc_of(entry.all.substr(0, entry.flags_at), before));
  return crc_of(entry.all.substr(entry.flags_at + 1, entry.target_at - entry.flags_at - 1), until);
}

// Gives `to` what stands there; only reads over it where that is null.
EntryBytes read_entry(Reader& reader, StoredName* to) {
  EntryBytes entry{.all = reader.rest()};
  const auto at = [&] { return entry.all.size() - reader.rest().size(); };
  const std::string_view name = reader.text(kNameBytesMax);
  const uint8_t type = reader.byte();
  if (name.empty() || type > static_cast<uint8_t>(FileType::kBlockDevice)) reader.fail();
  NodeInfo info;
  std::string_view identity, target;
  Attributes& a = info.attributes;
  uint8_t flags = 0;
  a.type = static_cast<FileType>(type);
  if (a.type != FileType::kUnknown) {
    entry.flags_at = at();
    flags = reader.byte();
    a.permissions = reader.varint32();
    a.uid = reader.varint32();
    a.gid = reader.varint32();
    a.link_count = reader.varint32();
    a.size_bytes = reader.varint();
    if ((flags & kHasAllocated) != 0) a.allocated_bytes = reader.varint();
    if ((flags & kHasDevice) != 0) a.device = reader.varint();
    a.mtime = reader.time();
    a.atime = (flags & kAtimeIsMtime) != 0 ? a.mtime : reader.time();
    a.ctime = (flags & kCtimeIsMtime) != 0 ? a.mtime : reader.time();
    info.validator = read_validator(reader);
    if (info.validator.strength != ValidatorStrength::kNone) {
      info.validator.changed_at = (flags & kChangedAtMtime) != 0 ? a.mtime : reader.time();
    }
    identity = reader.text(kNameIdentityBytesMax);
  }
  entry.target_at = at();
  if ((flags & kHasTarget) != 0) target = reader.text(kNameTargetBytesMax);
  entry.all = entry.all.substr(0, at());
  if (to == nullptr || !reader.ok()) return entry;
  info.identity = identity;
  to->entry = {.name = std::string(name), .info = std::move(info)};
  if ((flags & kHasTarget) != 0) to->target = target;
  return entry;
}

}  // namespace

NamesEncoder::NamesEncoder(std::string_view path, const NamesHead& head) {
  bytes_ = kMagic;
  put_text(bytes_, path);
  put_fixed(bytes_, static_cast<uint64_t>(head.listed_at.seconds), 8);
  put_fixed(bytes_, head.listed_at.nanoseconds, 4);
  put_fixed(bytes_, static_cast<uint64_t>(head.uptime_ns), 8);
  put_text(bytes_, head.boot);
  put_fixed(bytes_, head.for_ever ? kForEver : 0, 1);
  put_text(bytes_, head.identity);
  put_validator(bytes_, head.validator);
  put_time(bytes_, head.mtime);
  put_time(bytes_, head.ctime);
  fits_ = path.size() <= kNamesPathBytesMax && head.boot.size() <= kNamesBootBytesMax &&
          head.identity.size() <= kNameIdentityBytesMax &&
          head.validator.bytes.size() <= kNameValidatorBytesMax && is_sane(head);
}

void NamesEncoder::add(const OriginEntry& entry, const std::string* target) {
  const Attributes& a = entry.info.attributes;
  const Validator& validator = entry.info.validator;
  const bool too_long = entry.name.empty() || entry.name.size() > kNameBytesMax ||
                        entry.info.identity.size() > kNameIdentityBytesMax ||
                        validator.bytes.size() > kNameValidatorBytesMax ||
                        (target != nullptr && target->size() > kNameTargetBytesMax);
  if (too_long || bytes_.size() > kNamesBytesMax - (size_t{16} << 10)) fits_ = false;
  if (!fits_) return give_up();
  ++count_;
  const size_t begin = bytes_.size();
  put_text(bytes_, entry.name);
  put_fixed(bytes_, static_cast<uint8_t>(a.type), 1);
  if (a.type == FileType::kUnknown) {
    crc_ = crc_of(std::string_view(bytes_).substr(begin), crc_);
    return;
  }
  const size_t flags_at = bytes_.size() - begin;
  uint8_t flags = 0;
  if (a.atime == a.mtime) flags |= kAtimeIsMtime;
  if (a.ctime == a.mtime) flags |= kCtimeIsMtime;
  if (validator.changed_at == a.mtime) flags |= kChangedAtMtime;
  if (target != nullptr) flags |= kHasTarget;
  if (a.allocated_bytes != 0) flags |= kHasAllocated;
  if (a.device != 0) flags |= kHasDevice;
  put_fixed(bytes_, flags, 1);
  put_varint(bytes_, a.permissions);
  put_varint(bytes_, a.uid);
  put_varint(bytes_, a.gid);
  put_varint(bytes_, a.link_count);
  put_varint(bytes_, a.size_bytes);
  if (a.allocated_bytes != 0) put_varint(bytes_, a.allocated_bytes);
  if (a.device != 0) put_varint(bytes_, a.device);
  put_time(bytes_, a.mtime);
  if ((flags & kAtimeIsMtime) == 0) put_time(bytes_, a.atime);
  if ((flags & kCtimeIsMtime) == 0) put_time(bytes_, a.ctime);
  put_validator(bytes_, validator);
  const bool timed = validator.strength != ValidatorStrength::kNone;
  if (timed && (flags & kChangedAtMtime) == 0) put_time(bytes_, validator.changed_at);
  put_text(bytes_, entry.info.identity);
  const size_t target_at = bytes_.size() - begin;
  if (target != nullptr) put_text(bytes_, *target);
  crc_ = chain_crc(crc_, {.all = std::string_view(bytes_).substr(begin),
                          .flags_at = flags_at,
                          .target_at = target_at});
}

void NamesEncoder::give_up() {
  fits_ = false;
  std::string().swap(bytes_);
}

std::string NamesEncoder::finish(Duration took) {
  put_fixed(bytes_, static_cast<uint64_t>(took.count()), 8);
  put_fixed(bytes_, count_, 4);
  put_fixed(bytes_, crc_of(bytes_), 4);
  return std::move(bytes_);
}

std::optional<NamesDecoder> NamesDecoder::open(std::string_view bytes, std::string_view path) {
  if (bytes.size() < kMagic.size() + kEndBytes || bytes.size() > kNamesBytesMax) return {};
  const std::string_view body = bytes.substr(0, bytes.size() - kCrcBytes);
  if (Reader(bytes.substr(body.size())).fixed(kCrcBytes) != crc_of(body)) return {};
  Reader reader(bytes.substr(0, bytes.size() - kEndBytes));
  Reader end(bytes.substr(bytes.size() - kEndBytes));
  if (reader.raw(kMagic.size()) != kMagic || reader.text(kNamesPathBytesMax) != path) return {};
  NamesDecoder decoder;
  NamesHead& head = decoder.head_;
  head.listed_at.seconds = static_cast<int64_t>(reader.fixed(8));
  head.listed_at.nanoseconds = static_cast<uint32_t>(reader.fixed(4));
  head.uptime_ns = static_cast<int64_t>(reader.fixed(8));
  head.took = Duration(static_cast<int64_t>(end.fixed(8)));
  head.boot = reader.text(kNamesBootBytesMax);
  const uint8_t flags = reader.byte();
  head.for_ever = (flags & kForEver) != 0;
  head.identity = reader.text(kNameIdentityBytesMax);
  head.validator = read_validator(reader);
  head.mtime = reader.time();
  head.ctime = reader.time();
  if ((flags & ~kForEver) != 0 || !is_sane(head) || !reader.ok()) return {};
  decoder.rest_ = reader.rest();
  const uint64_t count = end.fixed(4);
  uint64_t found = 0;
  for (; reader.ok() && !reader.rest().empty(); ++found) {
    decoder.entries_crc_ = chain_crc(decoder.entries_crc_, read_entry(reader, nullptr));
  }
  if (!reader.ok() || found != count) return {};
  decoder.count_ = static_cast<uint32_t>(count);
  return decoder;
}

std::optional<StoredName> NamesDecoder::next() {
  if (rest_.empty()) return {};
  Reader reader(rest_);
  StoredName one;
  read_entry(reader, &one);
  rest_ = reader.ok() ? reader.rest() : std::string_view();
  if (!reader.ok()) return {};
  return one;
}

std::optional<NamesDecoder::Place> NamesDecoder::skip() {
  if (rest_.empty()) return {};
  Reader start(rest_);
  const std::string_view name = start.text(kNameBytesMax);
  const Place place{
      .begin = rest_.data(), .name = name, .type = static_cast<FileType>(start.byte())};
  Reader reader(rest_);
  read_entry(reader, nullptr);
  rest_ = reader.ok() ? reader.rest() : std::string_view();
  if (!reader.ok()) return {};
  return place;
}

NamesDecoder NamesDecoder::at(std::string_view place) {
  NamesDecoder decoder;
  decoder.rest_ = place;
  return decoder;
}

std::string_view NamesDecoder::next_name() const {
  return Reader(rest_).text(kNameBytesMax);
}

std::string add_targets(std::string_view bytes, std::string_view path, const TargetOf& target_of) {
  std::optional<NamesDecoder> decoder = NamesDecoder::open(bytes, path);
  if (!decoder) return {};
  std::string amended;
  size_t done = 0;  // so many of the bytes are there
  for (Reader reader(decoder->entries()); !reader.rest().empty();) {
    const auto begin = static_cast<size_t>(reader.rest().data() - bytes.data());
    StoredName one;
    const EntryBytes entry = read_entry(reader, &one);
    if (one.entry.info.attributes.type != FileType::kSymlink || one.target) continue;
    const std::optional<std::string> target = target_of(one.entry);
    if (!target || target->size() > kNameTargetBytesMax) continue;
    amended += bytes.substr(done, begin + entry.flags_at - done);
    amended.push_back(static_cast<char>(entry.all[entry.flags_at] | kHasTarget));
    amended += entry.all.substr(entry.flags_at + 1);
    put_text(amended, *target);
    done = begin + entry.all.size();
  }
  if (done == 0) return {};
  amended += bytes.substr(done, bytes.size() - kCrcBytes - done);
  put_fixed(amended, crc_of(amended), kCrcBytes);
  return amended.size() <= kNamesBytesMax ? amended : std::string();
}

}  // namespace netfs
