#pragma once
// Numbers of the FUSE kernel protocol: versions, opcodes, flags.  protocol.h says more, and has the
// structs.

#include <cstddef>
#include <cstdint>

namespace netfs::fuse::proto {

inline constexpr uint32_t kMajor = 7;
inline constexpr uint32_t kMinor = 45;        // the newest we know
inline constexpr uint32_t kMinorOldest = 12;  // older ones have smaller entry and attr structs
inline constexpr uint64_t kRootId = 1;
// Set in `unique` of a request that FUSE_NOTIFY_RESEND put back; the answer carries it too.
inline constexpr uint64_t kUniqueResend = uint64_t{1} << 63;
// The kernel refuses a read from /dev/fuse with a smaller buffer.
inline constexpr size_t kMinReadBuffer = 8192;

enum class Opcode : uint32_t {
  kLookup = 1,
  kForget = 2,  // no reply
  kGetattr = 3,
  kSetattr = 4,
  kReadlink = 5,
  kSymlink = 6,
  kMknod = 8,
  kMkdir = 9,
  kUnlink = 10,
  kRmdir = 11,
  kRename = 12,
  kLink = 13,
  kOpen = 14,
  kRead = 15,
  kWrite = 16,
  kStatfs = 17,
  kRelease = 18,
  kFsync = 20,
  kSetxattr = 21,
  kGetxattr = 22,
  kListxattr = 23,
  kRemovexattr = 24,
  kFlush = 25,
  kInit = 26,
  kOpendir = 27,
  kReaddir = 28,
  kReleasedir = 29,
  kFsyncdir = 30,
  kGetlk = 31,
  kSetlk = 32,
  kSetlkw = 33,
  kAccess = 34,
  kCreate = 35,
  kInterrupt = 36,
  kBmap = 37,
  kDestroy = 38,
  kIoctl = 39,
  kPoll = 40,
  kNotifyReply = 41,  // no reply
  kBatchForget = 42,  // no reply
  kFallocate = 43,
  kReaddirplus = 44,
  kRename2 = 45,
  kLseek = 46,
  kCopyFileRange = 47,
  kSetupmapping = 48,
  kRemovemapping = 49,
  kSyncfs = 50,
  kTmpfile = 51,
  kStatx = 52,
  kCopyFileRange64 = 53,
};
// Opcodes are counted in tables of this size; what is not below it counts as opcode 0.
inline constexpr uint32_t kOpcodeLimit = 64;

// INIT flags; those from bit 32 on travel in flags2.
inline constexpr uint64_t kAsyncRead = 1ULL << 0;
inline constexpr uint64_t kPosixLocks = 1ULL << 1;
inline constexpr uint64_t kFileOps = 1ULL << 2;
inline constexpr uint64_t kAtomicOTrunc = 1ULL << 3;
inline constexpr uint64_t kExportSupport = 1ULL << 4;
inline constexpr uint64_t kBigWrites = 1ULL << 5;
inline constexpr uint64_t kDontMask = 1ULL << 6;
inline constexpr uint64_t kSpliceWrite = 1ULL << 7;
inline constexpr uint64_t kSpliceMove = 1ULL << 8;
inline constexpr uint64_t kSpliceRead = 1ULL << 9;
inline constexpr uint64_t kFlockLocks = 1ULL << 10;
inline constexpr uint64_t kHasIoctlDir = 1ULL << 11;
inline constexpr uint64_t kAutoInvalData = 1ULL << 12;
inline constexpr uint64_t kDoReaddirplus = 1ULL << 13;
inline constexpr uint64_t kReaddirplusAuto = 1ULL << 14;
inline constexpr uint64_t kAsyncDio = 1ULL << 15;
inline constexpr uint64_t kWritebackCache = 1ULL << 16;
inline constexpr uint64_t kNoOpenSupport = 1ULL << 17;
inline constexpr uint64_t kParallelDirops = 1ULL << 18;
inline constexpr uint64_t kHandleKillpriv = 1ULL << 19;
inline constexpr uint64_t kPosixAcl = 1ULL << 20;
inline constexpr uint64_t kAbortError = 1ULL << 21;
inline constexpr uint64_t kMaxPages = 1ULL << 22;
inline constexpr uint64_t kCacheSymlinks = 1ULL << 23;
inline constexpr uint64_t kNoOpendirSupport = 1ULL << 24;
inline constexpr uint64_t kExplicitInvalData = 1ULL << 25;
inline constexpr uint64_t kMapAlignment = 1ULL << 26;
inline constexpr uint64_t kSubmounts = 1ULL << 27;
inline constexpr uint64_t kHandleKillprivV2 = 1ULL << 28;
inline constexpr uint64_t kSetxattrExt = 1ULL << 29;
inline constexpr uint64_t kInitExt = 1ULL << 30;  // flags2 counts
inline constexpr uint64_t kSecurityCtx = 1ULL << 32;
inline constexpr uint64_t kHasInodeDax = 1ULL << 33;
inline constexpr uint64_t kCreateSuppGroup = 1ULL << 34;
inline constexpr uint64_t kHasExpireOnly = 1ULL << 35;
inline constexpr uint64_t kDirectIoAllowMmap = 1ULL << 36;
inline constexpr uint64_t kPassthrough = 1ULL << 37;
inline constexpr uint64_t kNoExportSupport = 1ULL << 38;
inline constexpr uint64_t kHasResend = 1ULL << 39;
inline constexpr uint64_t kAllowIdmap = 1ULL << 40;
inline constexpr uint64_t kOverIoUring = 1ULL << 41;
inline constexpr uint64_t kRequestTimeout = 1ULL << 42;

// open_flags of an OPEN or OPENDIR reply.
inline constexpr uint32_t kFopenDirectIo = 1U << 0;
inline constexpr uint32_t kFopenKeepCache = 1U << 1;
inline constexpr uint32_t kFopenNonseekable = 1U << 2;
inline constexpr uint32_t kFopenCacheDir = 1U << 3;
inline constexpr uint32_t kFopenStream = 1U << 4;
inline constexpr uint32_t kFopenNoflush = 1U << 5;
inline constexpr uint32_t kFopenParallelDirectWrites = 1U << 6;
inline constexpr uint32_t kFopenPassthrough = 1U << 7;

inline constexpr uint32_t kGetattrFh = 1U << 0;
inline constexpr uint32_t kReleaseFlush = 1U << 0;
inline constexpr uint32_t kReleaseFlockUnlock = 1U << 1;
inline constexpr uint32_t kLkFlock = 1U << 0;
inline constexpr uint32_t kReadLockOwner = 1U << 1;
inline constexpr uint32_t kFsyncDatasync = 1U << 0;
inline constexpr uint32_t kExpireOnly = 1U << 0;
inline constexpr uint32_t kOpenKillSuidgid = 1U << 0;
inline constexpr uint32_t kWriteCache = 1U << 0;
inline constexpr uint32_t kWriteKillSuidgid = 1U << 2;
inline constexpr uint32_t kSetxattrAclKillSgid = 1U << 0;

// SETATTR's `valid`.
inline constexpr uint32_t kSetMode = 1U << 0;
inline constexpr uint32_t kSetUid = 1U << 1;
inline constexpr uint32_t kSetGid = 1U << 2;
inline constexpr uint32_t kSetSize = 1U << 3;
inline constexpr uint32_t kSetAtime = 1U << 4;
inline constexpr uint32_t kSetMtime = 1U << 5;
inline constexpr uint32_t kSetFh = 1U << 6;
inline constexpr uint32_t kSetAtimeNow = 1U << 7;
inline constexpr uint32_t kSetMtimeNow = 1U << 8;
inline constexpr uint32_t kSetLockOwner = 1U << 9;
inline constexpr uint32_t kSetCtime = 1U << 10;
inline constexpr uint32_t kSetKillSuidgid = 1U << 11;

// Notifications: out_header with unique 0 and the code in `error`.
enum class Notify : int32_t {
  kPoll = 1,
  kInvalInode = 2,
  kInvalEntry = 3,
  kStore = 4,
  kRetrieve = 5,
  kDelete = 6,
  kResend = 7,
};

}  // namespace netfs::fuse::proto
