#pragma once
// sftp_wire: SFTP version 3 (draft-ietf-secsh-filexfer-02) and OpenSSH's extensions, bytes only.
//
// Encoders append whole packets to a buffer; decoders read from a span that holds one packet's
// payload, without its length.  Pure, fuzzed; every length is checked before use.  Integers are big
// endian.  Decoded views point into the packet.  Errors: EIO, malformed.
//
//   append_read(out, id, handle, {0, 65536});
//   Reader reader(packet);  const PacketType type = TRY(reader.type());

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_range.h"
#include "base/result.h"
#include "netfs/attributes.h"

namespace netfs::origins::sftp {

// Longest packet we take: OpenSSH sends 256 KiB at most.  Longer ones are a broken server.
inline constexpr uint32_t kPacketBytesMax = 1 << 20;
inline constexpr size_t kHandleBytesMax = 256;  // by the protocol

enum class PacketType : uint8_t {
  kInit = 1,
  kVersion = 2,
  kOpen = 3,
  kClose = 4,
  kRead = 5,
  kWrite = 6,
  kLstat = 7,
  kFstat = 8,
  kSetstat = 9,
  kFsetstat = 10,
  kOpendir = 11,
  kReaddir = 12,
  kRemove = 13,
  kMkdir = 14,
  kRmdir = 15,
  kRealpath = 16,
  kStat = 17,
  kRename = 18,
  kReadlink = 19,
  kSymlink = 20,
  kStatus = 101,
  kHandle = 102,
  kData = 103,
  kName = 104,
  kAttrs = 105,
  kExtended = 200,
  kExtendedReply = 201,
};

enum class Status : uint32_t {
  kOk = 0,
  kEof = 1,
  kNoSuchFile = 2,
  kPermissionDenied = 3,
  kFailure = 4,
  kBadMessage = 5,
  kNoConnection = 6,
  kConnectionLost = 7,
  kUnsupported = 8,
};

using Packet = std::vector<std::byte>;

inline constexpr uint32_t kOpenRead = 0x1;
inline constexpr uint32_t kOpenWrite = 0x2;
inline constexpr uint32_t kOpenCreate = 0x8;
inline constexpr uint32_t kOpenExclusive = 0x20;

// What is to be set of a file; owner and times go in pairs.
struct SetAttributes {
  struct Ids {
    uint32_t uid = 0;
    uint32_t gid = 0;
  };
  struct Times {
    uint32_t atime_seconds = 0;
    uint32_t mtime_seconds = 0;
  };
  std::optional<uint64_t> size_bytes;
  std::optional<Ids> owner;
  std::optional<uint32_t> permissions;
  std::optional<Times> times;
};

void append_init(Packet& out);
void append_open(Packet& out, uint32_t id, std::string_view path, uint32_t flags = kOpenRead,
                 const SetAttributes& attributes = {});
// SETSTAT and MKDIR with a path, FSETSTAT with a handle.
void append_set(Packet& out, PacketType type, uint32_t id, std::string_view path_or_handle,
                const SetAttributes& attributes);
// RENAME and SYMLINK.  OpenSSH, and so everybody, takes SYMLINK's target first.
void append_two_paths(Packet& out, PacketType type, uint32_t id, std::string_view first,
                      std::string_view second);
void append_write(Packet& out, uint32_t id, std::string_view handle, uint64_t offset_bytes,
                  std::span<const std::byte> data);
void append_handle_request(Packet& out, PacketType type, uint32_t id, std::string_view handle);
void append_path_request(Packet& out, PacketType type, uint32_t id, std::string_view path);
void append_read(Packet& out, uint32_t id, std::string_view handle, ByteRange range);
void append_extended(Packet& out, uint32_t id, std::string_view name, std::string_view argument);
// posix-rename@openssh.com, hardlink@openssh.com.
void append_extended_two(Packet& out, uint32_t id, std::string_view name, std::string_view first,
                         std::string_view second);
// copy-data: from a place of one open file to a place of another, both on this connection.
struct CopyData {
  std::string_view from_handle;
  uint64_t from_offset = 0;
  std::string_view to_handle;
  uint64_t to_offset = 0;
  uint64_t length = 0;  // 0 would be all there is
};
void append_copy_data(Packet& out, uint32_t id, const CopyData& copy);
// lsetstat@openssh.com.
void append_extended_set(Packet& out, uint32_t id, std::string_view path,
                         const SetAttributes& attributes);

// What VERSION told us.
struct ServerVersion {
  uint32_t version = 0;
  bool statvfs = false;  // statvfs@openssh.com
  bool limits = false;   // limits@openssh.com
  bool posix_rename = false;
  bool hardlink = false;
  bool fsync = false;
  bool lsetstat = false;
  bool copy_data = false;
};

struct NameEntry {
  std::string_view name;
  NodeInfo info;
};

// Reads the fields of one packet in turn.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> payload) : rest_(payload) {}

  Result<uint8_t> u8();
  Result<uint32_t> u32();
  Result<uint64_t> u64();
  Result<std::string_view> string(size_t bytes_max = kPacketBytesMax);
  Result<NodeInfo> attributes();
  [[nodiscard]] size_t rest_bytes() const { return rest_.size(); }
  [[nodiscard]] std::span<const std::byte> rest() const { return rest_; }

 private:
  Result<std::span<const std::byte>> take(size_t bytes);
  std::span<const std::byte> rest_;
};

// The bodies of answers, after type and id.
Result<ServerVersion> decode_version(Reader reader);
Result<std::string> decode_handle(Reader reader);
Result<std::vector<NameEntry>> decode_names(Reader reader);
Result<FileSystemStats> decode_statvfs(Reader reader);
// Why the server's file system takes nothing, as its STATVFS answer tells: EROFS, ENOSPC, or 0.
int why_full(Reader reader);
struct ServerLimits {
  uint64_t packet_bytes_max = 0;
  uint64_t read_bytes_max = 0;
  uint64_t write_bytes_max = 0;
  uint64_t open_handles_max = 0;
};
Result<ServerLimits> decode_limits(Reader reader);

// The errno of a status; 0 of kOk.  kEof has no errno and is the caller's to see first.
int errno_of(Status status);
// The error of a STATUS body, with the server's own words as detail.
Result<Status> decode_status(Reader reader);

// Weak: size and whole seconds of mtime are all that version 3 has.
Validator validator_of(const Attributes& attributes);

}  // namespace netfs::origins::sftp
