#include "origins/sftp/sftp_wire.h"

#include <cerrno>
#include <cstring>

#include "netfs/file_mode.h"

namespace netfs::origins::sftp {

namespace {

constexpr uint32_t kAttrSize = 0x1;
constexpr uint32_t kAttrOwner = 0x2;
constexpr uint32_t kAttrPermissions = 0x4;
constexpr uint32_t kAttrTimes = 0x8;
constexpr uint32_t kAttrExtended = 0x80000000;
constexpr uint32_t kProtocolVersion = 3;

Error malformed(const char* what) {
  return Error(EIO, what);
}

void put_u8(Packet& out, uint8_t value) {
  out.push_back(static_cast<std::byte>(value));
}

void put_u32(Packet& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) put_u8(out, static_cast<uint8_t>(value >> shift));
}

void put_u64(Packet& out, uint64_t value) {
  put_u32(out, static_cast<uint32_t>(value >> 32));
  put_u32(out, static_cast<uint32_t>(value));
}

void put_string(Packet& out, std::string_view text) {
  put_u32(out, static_cast<uint32_t>(text.size()));
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

// Length first: it is known only when the packet is whole.
class PacketScope {
 public:
  PacketScope(Packet& out, PacketType type) : out_(out), start_(out.size()) {
    put_u32(out_, 0);
    put_u8(out_, static_cast<uint8_t>(type));
  }
  ~PacketScope() {
    const auto length = static_cast<uint32_t>(out_.size() - start_ - 4);
    for (int i = 0; i < 4; ++i) {
      out_[start_ + i] = static_cast<std::byte>(length >> (24 - 8 * i));
    }
  }
  PacketScope(const PacketScope&) = delete;
  PacketScope& operator=(const PacketScope&) = delete;

 private:
  Packet& out_;
  const size_t start_;
};

void put_attributes(Packet& out, const SetAttributes& attributes) {
  uint32_t flags = 0;
  if (attributes.size_bytes) flags |= kAttrSize;
  if (attributes.owner) flags |= kAttrOwner;
  if (attributes.permissions) flags |= kAttrPermissions;
  if (attributes.times) flags |= kAttrTimes;
  put_u32(out, flags);
  if (attributes.size_bytes) put_u64(out, *attributes.size_bytes);
  if (attributes.owner) {
    put_u32(out, attributes.owner->uid);
    put_u32(out, attributes.owner->gid);
  }
  if (attributes.permissions) put_u32(out, *attributes.permissions);
  if (attributes.times) {
    put_u32(out, attributes.times->atime_seconds);
    put_u32(out, attributes.times->mtime_seconds);
  }
}

}  // namespace

void append_init(Packet& out) {
  const PacketScope scope(out, PacketType::kInit);
  put_u32(out, kProtocolVersion);
}

void append_open(Packet& out, uint32_t id, std::string_view path, uint32_t flags,
                 const SetAttributes& attributes) {
  const PacketScope scope(out, PacketType::kOpen);
  put_u32(out, id);
  put_string(out, path);
  put_u32(out, flags);
  put_attributes(out, attributes);
}

void append_set(Packet& out, PacketType type, uint32_t id, std::string_view path_or_handle,
                const SetAttributes& attributes) {
  const PacketScope scope(out, type);
  put_u32(out, id);
  put_string(out, path_or_handle);
  put_attributes(out, attributes);
}

void append_two_paths(Packet& out, PacketType type, uint32_t id, std::string_view first,
                      std::string_view second) {
  const PacketScope scope(out, type);
  put_u32(out, id);
  put_string(out, first);
  put_string(out, second);
}

void append_write(Packet& out, uint32_t id, std::string_view handle, uint64_t offset_bytes,
                  std::span<const std::byte> data) {
  const PacketScope scope(out, PacketType::kWrite);
  put_u32(out, id);
  put_string(out, handle);
  put_u64(out, offset_bytes);
  put_u32(out, static_cast<uint32_t>(data.size()));
  out.insert(out.end(), data.begin(), data.end());
}

void append_extended_two(Packet& out, uint32_t id, std::string_view name, std::string_view first,
                         std::string_view second) {
  const PacketScope scope(out, PacketType::kExtended);
  put_u32(out, id);
  put_string(out, name);
  put_string(out, first);
  put_string(out, second);
}

void append_copy_data(Packet& out, uint32_t id, const CopyData& copy) {
  const PacketScope scope(out, PacketType::kExtended);
  put_u32(out, id);
  put_string(out, "copy-data");
  put_string(out, copy.from_handle);
  put_u64(out, copy.from_offset);
  put_u64(out, copy.length);
  put_string(out, copy.to_handle);
  put_u64(out, copy.to_offset);
}

void append_extended_set(Packet& out, uint32_t id, std::string_view path,
                         const SetAttributes& attributes) {
  const PacketScope scope(out, PacketType::kExtended);
  put_u32(out, id);
  put_string(out, "lsetstat@openssh.com");
  put_string(out, path);
  put_attributes(out, attributes);
}

void append_handle_request(Packet& out, PacketType type, uint32_t id, std::string_view handle) {
  const PacketScope scope(out, type);
  put_u32(out, id);
  put_string(out, handle);
}

void append_path_request(Packet& out, PacketType type, uint32_t id, std::string_view path) {
  append_handle_request(out, type, id, path);  // the same shape
}

void append_read(Packet& out, uint32_t id, std::string_view handle, ByteRange range) {
  const PacketScope scope(out, PacketType::kRead);
  put_u32(out, id);
  put_string(out, handle);
  put_u64(out, range.offset_bytes);
  put_u32(out, static_cast<uint32_t>(range.length_bytes));
}

void append_extended(Packet& out, uint32_t id, std::string_view name, std::string_view argument) {
  const PacketScope scope(out, PacketType::kExtended);
  put_u32(out, id);
  put_string(out, name);
  if (!argument.empty()) put_string(out, argument);
}

Result<std::span<const std::byte>> Reader::take(size_t bytes) {
  if (rest_.size() < bytes) return malformed("sftp.short_packet");
  const auto taken = rest_.first(bytes);
  rest_ = rest_.subspan(bytes);
  return taken;
}

Result<uint8_t> Reader::u8() {
  return static_cast<uint8_t>(TRY(take(1))[0]);
}

Result<uint32_t> Reader::u32() {
  uint32_t value = 0;
  for (const std::byte b : TRY(take(4))) value = value << 8 | static_cast<uint8_t>(b);
  return value;
}

Result<uint64_t> Reader::u64() {
  const uint64_t high = TRY(u32());
  return high << 32 | TRY(u32());
}

Result<std::string_view> Reader::string(size_t bytes_max) {
  const uint32_t length = TRY(u32());
  if (length > bytes_max) return malformed("sftp.long_string");
  const auto bytes = TRY(take(length));
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<NodeInfo> Reader::attributes() {
  NodeInfo info;
  Attributes& a = info.attributes;
  const uint32_t flags = TRY(u32());
  if (flags & kAttrSize) a.size_bytes = TRY(u64());
  if (flags & kAttrOwner) {
    a.uid = TRY(u32());
    a.gid = TRY(u32());
  }
  if (flags & kAttrPermissions) {
    const uint32_t mode = TRY(u32());
    a.type = file_type_of(mode);
    a.permissions = mode & 07777;
  }
  if (flags & kAttrTimes) {
    a.atime.seconds = TRY(u32());
    a.mtime.seconds = TRY(u32());
    a.ctime = a.mtime;
  }
  if (flags & kAttrExtended) {
    const uint32_t count = TRY(u32());
    for (uint32_t i = 0; i < count; ++i) {
      TRY(string());
      TRY(string());
    }
  }
  // A size is 63 bits to every system we serve.
  if (a.size_bytes > static_cast<uint64_t>(INT64_MAX)) return malformed("sftp.size");
  if (flags & (kAttrSize | kAttrTimes)) info.validator = validator_of(a);
  return info;
}

Validator validator_of(const Attributes& attributes) {
  Validator validator;
  validator.strength = ValidatorStrength::kWeak;
  const uint64_t fields[] = {static_cast<uint64_t>(attributes.mtime.seconds),
                             attributes.size_bytes};
  validator.bytes.assign(reinterpret_cast<const char*>(fields), sizeof fields);
  validator.changed_at = attributes.mtime;
  return validator;
}

Result<ServerVersion> decode_version(Reader reader) {
  ServerVersion version;
  version.version = TRY(reader.u32());
  while (reader.rest_bytes() > 0) {
    const std::string_view name = TRY(reader.string());
    TRY(reader.string());
    if (name == "statvfs@openssh.com") version.statvfs = true;
    if (name == "limits@openssh.com") version.limits = true;
    if (name == "posix-rename@openssh.com") version.posix_rename = true;
    if (name == "hardlink@openssh.com") version.hardlink = true;
    if (name == "fsync@openssh.com") version.fsync = true;
    if (name == "lsetstat@openssh.com") version.lsetstat = true;
    if (name == "copy-data") version.copy_data = true;
  }
  return version;
}

Result<std::string> decode_handle(Reader reader) {
  const std::string_view handle = TRY(reader.string(kHandleBytesMax));
  if (handle.empty()) return malformed("sftp.empty_handle");
  return std::string(handle);
}

Result<std::vector<NameEntry>> decode_names(Reader reader) {
  const uint32_t count = TRY(reader.u32());
  std::vector<NameEntry> names;
  // An entry takes 12 bytes at least: a count beyond that is a lie.
  if (count > reader.rest_bytes() / 12) return malformed("sftp.name_count");
  names.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    NameEntry entry;
    entry.name = TRY(reader.string());
    TRY(reader.string());  // the long name is for people
    entry.info = TRY(reader.attributes());
    names.push_back(std::move(entry));
  }
  return names;
}

Result<FileSystemStats> decode_statvfs(Reader reader) {
  uint64_t fields[11];
  for (uint64_t& field : fields) field = TRY(reader.u64());
  return FileSystemStats{.block_bytes = fields[1] != 0 ? fields[1] : fields[0],
                         .blocks = fields[2],
                         .blocks_free = fields[3],
                         .blocks_available = fields[4],
                         .files = fields[5],
                         .files_free = fields[6],
                         .name_length_max = static_cast<uint32_t>(fields[10])};
}

int why_full(Reader reader) {
  constexpr uint64_t kReadOnly = 1;
  uint64_t fields[11];
  for (uint64_t& field : fields) {
    const Result<uint64_t> value = reader.u64();
    if (!value.ok()) return 0;
    field = value.value();
  }
  if ((fields[9] & kReadOnly) != 0) return EROFS;
  // Blocks, or inodes where they are counted at all.
  return fields[4] == 0 || (fields[5] != 0 && fields[6] == 0) ? ENOSPC : 0;
}

Result<ServerLimits> decode_limits(Reader reader) {
  ServerLimits limits;
  limits.packet_bytes_max = TRY(reader.u64());
  limits.read_bytes_max = TRY(reader.u64());
  limits.write_bytes_max = TRY(reader.u64());
  limits.open_handles_max = TRY(reader.u64());
  return limits;
}

int errno_of(Status status) {
  switch (status) {
    case Status::kOk:
      return 0;
    case Status::kNoSuchFile:
      return ENOENT;
    case Status::kPermissionDenied:
      return EACCES;
    case Status::kUnsupported:
      return EOPNOTSUPP;
    case Status::kNoConnection:
    case Status::kConnectionLost:
      return ENOTCONN;
    case Status::kBadMessage:
      return EINVAL;  // OpenSSH says so of EINVAL and ENAMETOOLONG
    case Status::kEof:
    case Status::kFailure:
      return EIO;
  }
  return EIO;
}

Result<Status> decode_status(Reader reader) {
  return static_cast<Status>(TRY(reader.u32()));
}

}  // namespace netfs::origins::sftp
