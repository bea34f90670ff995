#pragma once
// wire: the kernel's requests decoded from bytes.  Pure: no state, no I/O, fuzzed (wire_fuzz.cc).
//
// Every length is checked before use; a name is 1 to kNameMax bytes, holds no '/', and its NUL was
// found.  A Request's names and spans point into the message: they live as long as its buffer.
// Answers are encoded by fuse/encode.h.  Values are the kernel's, unjudged: an offset or a nodeid
// may be anything.
//
//   Result<Request> request = decode_request(message);
//   if (const auto* read = std::get_if<ReadRequest>(&request.value().body)) ...

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "base/byte_range.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/strong_id.h"
#include "fuse/protocol.h"

namespace netfs::fuse {

using proto::Opcode;
// The kernel's name for one (inode, version); 1 is the root, 0 nothing.
using NodeId = StrongId<struct NodeIdTag>;
// What OPEN or OPENDIR answered with.
using HandleId = StrongId<struct HandleIdTag>;

inline constexpr NodeId kRootNode{proto::kRootId};
inline constexpr size_t kNameMax = 1024;    // the kernel's own limit for FUSE names
inline constexpr size_t kTargetMax = 4095;  // of a symbolic link: PATH_MAX less its NUL

struct Header {
  uint64_t unique = 0;  // as received, re-send bit included
  Opcode opcode{};
  NodeId node;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t pid = 0;

  // Put back by the kernel after a predecessor of ours died; it may have been executed.
  [[nodiscard]] bool resent() const { return (unique & proto::kUniqueResend) != 0; }
};

struct InitRequest {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t max_readahead_bytes = 0;
  uint64_t flags = 0;
};
struct DestroyRequest {};
struct LookupRequest {
  std::string_view name;
};
struct ForgetRequest {
  uint64_t lookups = 0;
};
struct BatchForgetRequest {
  struct One {
    NodeId node;
    uint64_t lookups = 0;
  };
  uint32_t count = 0;
  const std::byte* entries = nullptr;  // count packed proto::ForgetOne, perhaps unaligned

  [[nodiscard]] One at(uint32_t index) const;
};
struct GetattrRequest {
  bool has_handle = false;
  HandleId handle;
};
struct StatxRequest {
  bool has_handle = false;
  HandleId handle;
  uint32_t flags = 0;
  uint32_t mask = 0;
};
struct SetattrRequest {
  uint32_t valid = 0;  // proto::kSet*: which of the fields count
  HandleId handle;
  uint64_t size_bytes = 0;
  Timestamp atime;
  Timestamp mtime;
  Timestamp ctime;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
};
struct ReadlinkRequest {};
struct OpenRequest {
  uint32_t flags = 0;         // O_*
  bool kill_suidgid = false;  // with O_TRUNC: set-ID bits go
};
struct OpendirRequest {
  uint32_t flags = 0;
};
struct ReadRequest {
  HandleId handle;
  ByteRange range;     // length fits 32 bits
  uint32_t flags = 0;  // the open file's O_* now
};
struct ReaddirRequest {
  HandleId handle;
  uint64_t offset = 0;  // 0, or the `next` of an entry given before
  uint32_t size_bytes = 0;
  bool plus = false;  // READDIRPLUS: pack with DirentPacker::add_plus
};
struct ReleaseRequest {
  HandleId handle;
  uint32_t flags = 0;
  uint64_t lock_owner = 0;
};
struct ReleasedirRequest {
  HandleId handle;
};
struct FlushRequest {
  HandleId handle;
  uint64_t lock_owner = 0;
};
struct FsyncRequest {
  HandleId handle;
  bool data_only = false;
};
struct FsyncdirRequest {
  HandleId handle;
  bool data_only = false;
};
struct StatfsRequest {};
struct AccessRequest {
  uint32_t mask = 0;
};
struct InterruptRequest {
  uint64_t target = 0;  // unique of the request that is no longer wanted
};
struct GetxattrRequest {
  std::string_view name;
  uint32_t size_bytes = 0;  // 0: answer the length by xattr_size_out
};
struct ListxattrRequest {
  uint32_t size_bytes = 0;
};
struct BmapRequest {
  uint64_t block = 0;
  uint32_t block_size = 0;
};
struct LseekRequest {
  HandleId handle;
  uint64_t offset = 0;
  uint32_t whence = 0;  // SEEK_DATA or SEEK_HOLE
};
struct IoctlRequest {
  HandleId handle;
  uint32_t flags = 0;
  uint32_t command = 0;
  uint64_t argument = 0;
  std::span<const std::byte> input;
  uint32_t output_size = 0;
};
struct PollRequest {
  HandleId handle;
  uint64_t kernel_handle = 0;
  uint32_t flags = 0;
  uint32_t events = 0;
};
// GETLK, SETLK or SETLKW, as the header says.
struct LockRequest {
  HandleId handle;
  uint64_t owner = 0;
  uint64_t start = 0;
  uint64_t end = 0;  // inclusive
  uint32_t type = 0;
  uint32_t pid = 0;
  uint32_t flags = 0;
};
// The names of these lie in the node of the header.  Modes have the caller's umask taken off,
// unless DONT_MASK was negotiated.
struct MknodRequest {
  std::string_view name;
  uint32_t mode = 0;  // S_IF* included
  uint32_t rdev = 0;
  uint32_t umask = 0;
};
struct MkdirRequest {
  std::string_view name;
  uint32_t mode = 0;
  uint32_t umask = 0;
};
struct RemoveRequest {  // UNLINK, RMDIR
  bool directory = false;
  std::string_view name;
};
struct RenameRequest {  // RENAME, RENAME2
  std::string_view name;
  NodeId new_parent;
  std::string_view new_name;
  uint32_t flags = 0;  // RENAME_*
};
struct LinkRequest {
  NodeId node;  // that gets one more name
  std::string_view name;
};
struct SymlinkRequest {
  std::string_view name;
  std::string_view target;
};
struct CreateRequest {
  std::string_view name;
  uint32_t flags = 0;  // O_*
  uint32_t mode = 0;
  bool kill_suidgid = false;
  uint32_t umask = 0;
};
struct TmpfileRequest {  // in the directory of the header
  uint32_t flags = 0;
  uint32_t mode = 0;
  uint32_t umask = 0;
};
struct WriteRequest {
  HandleId handle;
  uint64_t offset = 0;
  std::span<const std::byte> data;
  uint32_t flags = 0;       // the open file's O_* now
  bool from_cache = false;  // a page written back: the handle is any of those open for writing
  bool kill_suidgid = false;
};
struct SetxattrRequest {
  std::string_view name;
  std::span<const std::byte> value;
  uint32_t flags = 0;  // XATTR_*
  // With SETXATTR_EXT: an access ACL set by somebody who may not keep the set-group-ID bit.
  bool kill_sgid = false;
};
struct RemovexattrRequest {
  std::string_view name;
};
struct FallocateRequest {
  HandleId handle;
  ByteRange range;
  uint32_t mode = 0;  // FALLOC_FL_*
};
struct CopyRequest {  // COPY_FILE_RANGE(64)
  HandleId from;
  uint64_t from_offset = 0;
  NodeId to_node;
  HandleId to;
  uint64_t to_offset = 0;
  uint64_t length = 0;
  uint64_t flags = 0;
};
struct SyncfsRequest {};
// An opcode that we do not speak: ENOSYS.
struct UnknownRequest {};

using Body =
    std::variant<UnknownRequest, InitRequest, DestroyRequest, LookupRequest, ForgetRequest,
                 BatchForgetRequest, GetattrRequest, StatxRequest, SetattrRequest, ReadlinkRequest,
                 OpenRequest, OpendirRequest, ReadRequest, ReaddirRequest, ReleaseRequest,
                 ReleasedirRequest, FlushRequest, FsyncRequest, FsyncdirRequest, StatfsRequest,
                 AccessRequest, InterruptRequest, GetxattrRequest, ListxattrRequest, BmapRequest,
                 LseekRequest, IoctlRequest, PollRequest, LockRequest, MknodRequest, MkdirRequest,
                 RemoveRequest, RenameRequest, LinkRequest, SymlinkRequest, CreateRequest,
                 TmpfileRequest, WriteRequest, SetxattrRequest, RemovexattrRequest,
                 FallocateRequest, CopyRequest, SyncfsRequest>;

struct Request {
  Header header;
  Body body;
};

// EPROTO: shorter than a header, or its length is not the message's: nobody can be answered.
Result<Header> decode_header(std::span<const std::byte> message);

// EPROTO: the header as above; EINVAL: the header is sound, the body is not.
Result<Request> decode_request(std::span<const std::byte> message);

// "READ"; "UNKNOWN" for what we do not speak.
std::string_view opcode_name(Opcode opcode);
// Whether the kernel waits for an answer.
bool takes_reply(Opcode opcode);

}  // namespace netfs::fuse
