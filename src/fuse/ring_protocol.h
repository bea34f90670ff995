#pragma once
// FUSE over io_uring, as facts (Linux 6.14: include/uapi/linux/fuse.h): what a ring entry's memory
// looks like and what a command says.  Debian 12's header has none of it.
//
// An entry is two pieces of memory that are told with its registration: EntryHeaders, and room for
// the largest payload.  With a request, in_out holds its InHeader, op_in the operation's first
// struct (nothing where it has none), and the payload what follows.  The answer goes the same way:
// in_out holds an OutHeader, whose length nobody looks at, the payload all that follows it.

#include <array>
#include <cstddef>
#include <cstdint>

namespace netfs::fuse::proto {

struct RingEntryState {
  uint64_t flags;
  uint64_t commit_id;      // to be given back with the answer
  uint32_t payload_bytes;  // of the request, or of the answer
  uint32_t padding;
  uint64_t reserved;
};

struct RingEntryHeaders {
  std::array<std::byte, 128> in_out;
  std::array<std::byte, 128> op_in;
  RingEntryState state;
};
static_assert(sizeof(RingEntryHeaders) == 288);

// What stands in the command bytes of a 128-byte submission.
struct RingCommand {
  uint64_t flags;
  uint64_t commit_id;
  uint16_t queue;  // the processor whose callers it serves
  std::array<uint8_t, 6> padding;
};
static_assert(sizeof(RingCommand) == 24);

enum class RingVerb : uint32_t {
  kRegister = 1,        // a new entry, told as two iovecs; ends with its first request
  kCommitAndFetch = 2,  // the answer to an entry's request; ends with its next one
};

// The least room for a payload, whatever was negotiated.
inline constexpr size_t kRingPayloadMin = 8192;

}  // namespace netfs::fuse::proto
