#include "fuse/negotiate.h"

#include <algorithm>
#include <array>

namespace netfs::fuse {

namespace {

// Protocol 7.45 kernels take up to 1 MiB in one request unless root raised max_pages_limit; older
// ones 256 pages as well.
constexpr uint32_t kPageBytes = 4096;
constexpr uint32_t kMaxPages = 256;
constexpr uint32_t kMaxPagesUnasked = 32;
constexpr uint32_t kMinorFullInitOut = 23;

struct Wish {
  uint64_t flag;
  const char* name;
  const char* without;  // what it means that it is off
};

// What we ask for whenever the kernel offers it.  Not among them, on purpose: WRITEBACK_CACHE,
// READDIRPLUS_AUTO, AUTO_INVAL_DATA (excludes EXPLICIT_INVAL_DATA), HANDLE_KILLPRIV,
// SPLICE_*; and, unless the origin has locks, POSIX_LOCKS and FLOCK_LOCKS: the kernel keeps them
// then, for this machine.
constexpr std::array kWishes = {
    Wish{proto::kBigWrites, "large requests", "requests of 4 KiB"},
    Wish{proto::kMaxPages, "max_pages", "requests of 128 KiB"},
    Wish{proto::kAsyncRead, "async read", "one read at a time on each file"},
    Wish{proto::kAsyncDio, "async direct I/O", "direct reads go one by one"},
    Wish{proto::kParallelDirops, "parallel dirops", "one look-up at a time in each directory"},
    Wish{proto::kDoReaddirplus, "readdirplus", "a look-up for each name listed"},
    Wish{proto::kExplicitInvalData, "explicit invalidation", "the kernel guesses from mtime"},
    Wish{proto::kHasExpireOnly, "expire-only invalidation", "names are dropped, not expired"},
    Wish{proto::kCacheSymlinks, "cached symlinks", "a round trip for each symlink"},
    Wish{proto::kNoOpenSupport, "no-open", "OPEN is always sent"},
    Wish{proto::kNoOpendirSupport, "no-opendir", "OPENDIR is always sent"},
    Wish{proto::kAtomicOTrunc, "atomic O_TRUNC", "truncation is a request of its own"},
    Wish{proto::kAbortError, "abort error", "an abort looks like an unmount"},
    Wish{proto::kDirectIoAllowMmap, "mmap of direct I/O files", "such files cannot be shared"},
    Wish{proto::kExportSupport, "export", "no files by handle (NFS export) that nobody has in use"},
    Wish{proto::kHasResend, "re-send", "a restarted daemon loses requests in flight"},
};

}  // namespace

Result<Negotiated> negotiate(const InitRequest& offered, const SessionOptions& options) {
  if (offered.major != proto::kMajor || offered.minor < proto::kMinorOldest) {
    return Error(EPROTO, "fuse.negotiate",
                 "the kernel speaks FUSE protocol " + std::to_string(offered.major) + "." +
                     std::to_string(offered.minor) +
                     "; netfs needs 7.12 or newer: update the kernel");
  }
  Negotiated out;
  out.kernel_major = offered.major;
  out.kernel_minor = offered.minor;
  out.offered_flags = offered.flags;
  for (const Wish& wish : kWishes) out.flags |= offered.flags & wish.flag;
  // The kernel says when set-ID bits must go; else it asks for an extended attribute before each
  // write.
  if (options.writable) out.flags |= offered.flags & proto::kHandleKillprivV2;
  // With ACLs it depends on the directory what the caller's umask means, so the kernel leaves that
  // to us; and an ACL may cost the file its set-group-ID bit.
  constexpr uint64_t kAcls = proto::kPosixAcl | proto::kDontMask | proto::kSetxattrExt;
  if (options.posix_acls && (offered.flags & kAcls) == kAcls) out.flags |= kAcls;
  if (options.passthrough && options.max_stack_depth > 0) {
    out.flags |= offered.flags & proto::kPassthrough;
  }
  if (options.over_ring) out.flags |= offered.flags & proto::kOverIoUring;
  // A lock that is waited for would keep one of a ring's few places.
  constexpr uint64_t kLocks = proto::kPosixLocks | proto::kFlockLocks;
  const bool ring = (out.flags & proto::kOverIoUring) != 0;
  if (options.locks && !ring && (offered.flags & kLocks) == kLocks) out.flags |= kLocks;
  // Without INIT_EXT the kernel does not look at the upper half of the flags.
  if ((offered.flags & proto::kInitExt) != 0) {
    out.flags |= proto::kInitExt;
  } else {
    out.flags &= UINT32_MAX;
  }
  out.passthrough = (out.flags & proto::kPassthrough) != 0;
  out.max_stack_depth = out.passthrough ? std::min(options.max_stack_depth, 2U) : 0;
  out.max_pages = (out.flags & proto::kMaxPages) != 0 ? kMaxPages : kMaxPagesUnasked;
  if (out.has(proto::kOverIoUring)) {
    out.max_pages = std::min(out.max_pages, kRingRequestBytes / kPageBytes);
  }
  out.max_write_bytes = std::clamp(options.max_write_bytes, kPageBytes, out.max_pages * kPageBytes);
  out.max_readahead_bytes = std::min(options.max_readahead_bytes, offered.max_readahead_bytes);
  out.max_background = options.max_background;
  return out;
}

proto::InitOut init_out(const Negotiated& negotiated) {
  proto::InitOut out{};
  out.major = proto::kMajor;
  out.minor = std::min(proto::kMinor, negotiated.kernel_minor);
  out.max_readahead = negotiated.max_readahead_bytes;
  out.flags = static_cast<uint32_t>(negotiated.flags);
  out.flags2 = static_cast<uint32_t>(negotiated.flags >> 32);
  out.max_background = static_cast<uint16_t>(negotiated.max_background);
  out.congestion_threshold = static_cast<uint16_t>(negotiated.max_background * 3 / 4);
  out.max_write = negotiated.max_write_bytes;
  out.time_gran = 1;
  out.max_pages = static_cast<uint16_t>(negotiated.max_pages);
  out.max_stack_depth = negotiated.max_stack_depth;
  return out;
}

size_t init_out_bytes(uint32_t kernel_minor) {
  return kernel_minor < kMinorFullInitOut ? proto::kInitOutOldBytes : sizeof(proto::InitOut);
}

std::vector<Feature> describe(const Negotiated& negotiated, const SessionOptions& options) {
  std::vector<Feature> features;
  for (const Wish& wish : kWishes) {
    const bool on = negotiated.has(wish.flag);
    features.push_back(
        {wish.name, on, on ? "" : std::string("this kernel does not offer it: ") + wish.without});
  }
  if (options.writable) {
    const bool on = negotiated.has(proto::kHandleKillprivV2);
    features.push_back({"set-ID bits cleared here", on,
                        on ? "" : "this kernel does not offer it: it asks before each write"});
  }
  if (options.posix_acls) {
    const bool on = negotiated.has(proto::kPosixAcl);
    features.push_back({"POSIX ACLs", on, on ? "" : "this kernel does not offer them"});
  }
  const bool locks = negotiated.has(proto::kPosixLocks);
  features.push_back({"locks at the origin", locks,
                      locks            ? ""
                      : !options.locks ? options.locks_off_reason
                      : negotiated.has(proto::kOverIoUring)
                          ? "one that is waited for would keep a place of the ring: they are kept "
                            "by the kernel, for this machine"
                          : "this kernel does not offer it: it keeps them, for this machine"});
  if (options.over_ring || !options.ring_off_reason.empty()) {
    const bool on = negotiated.has(proto::kOverIoUring);
    features.push_back({kRingFeature, on,
                        on ? ""
                        : !options.ring_off_reason.empty()
                            ? options.ring_off_reason
                            : "the kernel does not offer it: write Y to "
                              "/sys/module/fuse/parameters/enable_uring"});
  }
  std::string why_not;
  if (!negotiated.passthrough) {
    if (!options.passthrough) {
      why_not =
          options.passthrough_off_reason.empty() ? "switched off" : options.passthrough_off_reason;
    } else if (options.max_stack_depth == 0) {
      why_not = "the cache lies on too deep a stack of file systems";
    } else {
      why_not = "this kernel does not offer it: reads of sealed files go through the daemon";
    }
  }
  features.push_back({"passthrough", negotiated.passthrough, why_not});
  return features;
}

}  // namespace netfs::fuse
