#pragma once
// negotiate: what INIT settles between the kernel and us.  Pure.
//
// We never ask for WRITEBACK_CACHE (the kernel silently drops passthrough beside it, and a write
// would return before we have seen it) nor for READDIRPLUS_AUTO (READDIRPLUS always is four times
// as fast on a cold find).

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "fuse/protocol.h"
#include "fuse/wire.h"

namespace netfs::fuse {

class CallerWatch;

struct SessionOptions {
  uint32_t max_write_bytes = 1 << 20;
  uint32_t max_readahead_bytes = 1 << 20;
  uint16_t max_background = 64;  // readahead and other requests nobody waits for yet
  uint32_t max_stack_depth = 1;  // 2 only when the cache lies on a stacked file system
  bool passthrough = true;       // ask for it
  // Ask for FUSE over io_uring; the channel must be one that can (ring_channel.h).
  bool over_ring = false;
  // Shown by describe() when that is false though somebody wanted it.
  std::string ring_off_reason;
  // Shown by describe() when passthrough is false: "no CAP_SYS_ADMIN", "--verify=always".
  std::string passthrough_off_reason;
  // The mount can be written to.
  bool writable = false;
  // The origin has POSIX ACLs, and the kernel checks permissions by them.
  bool posix_acls = false;
  // The origin has locks.
  bool locks = false;
  // Shown by describe() when that is false.
  std::string locks_off_reason = "they are kept by the kernel, for this machine";
  // Threads that read requests; 0: one a queue of the channel.
  unsigned threads = 0;
  // With it each of them keeps to the processor of whoever asks: see placement.h.  Outlives the
  // session; null: the scheduler alone places them.
  CallerWatch* callers = nullptr;
};

// The largest request and answer over a ring: each place for one has that much memory.
inline constexpr uint32_t kRingRequestBytes = 256 << 10;
// How describe() calls it.
inline constexpr const char* kRingFeature = "io_uring";

// Plain and fixed-size: whoever restarts us keeps it and gives it back (Session::resume).
struct Negotiated {
  uint32_t kernel_major = 0;
  uint32_t kernel_minor = 0;
  uint64_t offered_flags = 0;
  uint64_t flags = 0;  // proto::k* that are on
  uint32_t max_write_bytes = 0;
  uint32_t max_readahead_bytes = 0;
  uint32_t max_pages = 0;  // of one request, 4 KiB each
  uint32_t max_stack_depth = 0;
  uint32_t max_background = 0;
  bool passthrough = false;

  [[nodiscard]] bool has(uint64_t flag) const { return (flags & flag) == flag; }
  [[nodiscard]] uint32_t max_read_bytes() const { return max_pages * 4096; }
};

struct Feature {
  std::string name;
  bool on = false;
  std::string why_not;  // empty when on
};

// EPROTO: a kernel whose protocol is older than we speak.  A newer major is answered with ours, and
// asks again.
Result<Negotiated> negotiate(const InitRequest& offered, const SessionOptions& options);

proto::InitOut init_out(const Negotiated& negotiated);
// How much of it a kernel of this minor takes.
size_t init_out_bytes(uint32_t kernel_minor);

// For `netfs status`: every feature that we would use, in a fixed order.
std::vector<Feature> describe(const Negotiated& negotiated, const SessionOptions& options);

}  // namespace netfs::fuse
