#pragma once
// The FUSE kernel protocol, as facts: the layout of every struct we use; the numbers and flags
// stand in protocol_numbers.h.
//
// Declared here, not taken from <linux/fuse.h>: Debian 12 ships protocol 7.38, which knows neither
// passthrough nor re-sending, and we speak up to 7.45.  Names follow the kernel's with our
// spelling.  All integers are in the machine's byte order; every struct is a multiple of 8 bytes,
// without hidden padding (asserted below).  Length of a header's `len` counts the header itself.

#include <cstddef>
#include <cstdint>

#include "fuse/protocol_numbers.h"

namespace netfs::fuse::proto {

struct InHeader {
  uint32_t len;
  uint32_t opcode;
  uint64_t unique;
  uint64_t nodeid;
  uint32_t uid;
  uint32_t gid;
  uint32_t pid;
  uint16_t total_extlen;  // of the extensions at the message's end, in units of 8 bytes
  uint16_t padding;
};

struct OutHeader {
  uint32_t len;
  int32_t error;  // 0 or a negative errno above -512; a Notify code when unique is 0
  uint64_t unique;
};

struct Attr {
  uint64_t ino;
  uint64_t size;
  uint64_t blocks;
  uint64_t atime;
  uint64_t mtime;
  uint64_t ctime;
  uint32_t atimensec;
  uint32_t mtimensec;
  uint32_t ctimensec;
  uint32_t mode;
  uint32_t nlink;
  uint32_t uid;
  uint32_t gid;
  uint32_t rdev;
  uint32_t blksize;
  uint32_t flags;
};

struct EntryOut {
  uint64_t nodeid;  // 0: the name does not exist, and the kernel may remember that
  uint64_t generation;
  uint64_t entry_valid;
  uint64_t attr_valid;
  uint32_t entry_valid_nsec;
  uint32_t attr_valid_nsec;
  Attr attr;
};

struct AttrOut {
  uint64_t attr_valid;
  uint32_t attr_valid_nsec;
  uint32_t dummy;
  Attr attr;
};

struct ForgetIn {
  uint64_t nlookup;
};
struct ForgetOne {
  uint64_t nodeid;
  uint64_t nlookup;
};
struct BatchForgetIn {
  uint32_t count;
  uint32_t dummy;
};

struct GetattrIn {
  uint32_t getattr_flags;
  uint32_t dummy;
  uint64_t fh;
};

struct SetattrIn {
  uint32_t valid;
  uint32_t padding;
  uint64_t fh;
  uint64_t size;
  uint64_t lock_owner;
  uint64_t atime;
  uint64_t mtime;
  uint64_t ctime;
  uint32_t atimensec;
  uint32_t mtimensec;
  uint32_t ctimensec;
  uint32_t mode;
  uint32_t unused4;
  uint32_t uid;
  uint32_t gid;
  uint32_t unused5;
};

struct OpenIn {
  uint32_t flags;
  uint32_t open_flags;
};
struct OpenOut {
  uint64_t fh;
  uint32_t open_flags;
  int32_t backing_id;
};

struct ReadIn {
  uint64_t fh;
  uint64_t offset;
  uint32_t size;
  uint32_t read_flags;
  uint64_t lock_owner;
  uint32_t flags;
  uint32_t padding;
};

struct ReleaseIn {
  uint64_t fh;
  uint32_t flags;
  uint32_t release_flags;
  uint64_t lock_owner;
};
struct FlushIn {
  uint64_t fh;
  uint32_t unused;
  uint32_t padding;
  uint64_t lock_owner;
};
struct FsyncIn {
  uint64_t fh;
  uint32_t fsync_flags;
  uint32_t padding;
};

struct AccessIn {
  uint32_t mask;
  uint32_t padding;
};
struct InterruptIn {
  uint64_t unique;
};

struct GetxattrIn {
  uint32_t size;
  uint32_t padding;
};
struct GetxattrOut {
  uint32_t size;
  uint32_t padding;
};

struct BmapIn {
  uint64_t block;
  uint32_t blocksize;
  uint32_t padding;
};
struct BmapOut {
  uint64_t block;
};

struct LseekIn {
  uint64_t fh;
  uint64_t offset;
  uint32_t whence;
  uint32_t padding;
};
struct LseekOut {
  uint64_t offset;
};

struct IoctlIn {
  uint64_t fh;
  uint32_t flags;
  uint32_t cmd;
  uint64_t arg;
  uint32_t in_size;
  uint32_t out_size;
};
struct PollIn {
  uint64_t fh;
  uint64_t kh;
  uint32_t flags;
  uint32_t events;
};
struct PollOut {
  uint32_t revents;
  uint32_t padding;
};

struct FileLock {
  uint64_t start;
  uint64_t end;
  uint32_t type;
  uint32_t pid;
};
struct LkIn {
  uint64_t fh;
  uint64_t owner;
  FileLock lk;
  uint32_t lk_flags;
  uint32_t padding;
};
struct LkOut {
  FileLock lk;
};

struct Kstatfs {
  uint64_t blocks;
  uint64_t bfree;
  uint64_t bavail;
  uint64_t files;
  uint64_t ffree;
  uint32_t bsize;
  uint32_t namelen;
  uint32_t frsize;
  uint32_t padding;
  uint32_t spare[6];
};
struct StatfsOut {
  Kstatfs st;
};

struct InitIn {
  uint32_t major;
  uint32_t minor;
  uint32_t max_readahead;
  uint32_t flags;
  // From minor 36 on:
  uint32_t flags2;
  uint32_t unused[11];
};
inline constexpr size_t kInitInOldBytes = 16;

struct InitOut {
  uint32_t major;
  uint32_t minor;
  uint32_t max_readahead;
  uint32_t flags;
  uint16_t max_background;
  uint16_t congestion_threshold;
  uint32_t max_write;
  // From minor 23 on:
  uint32_t time_gran;
  uint16_t max_pages;
  uint16_t map_alignment;
  uint32_t flags2;
  uint32_t max_stack_depth;
  uint16_t request_timeout;
  uint16_t unused[11];
};
inline constexpr size_t kInitOutOldBytes = 24;

struct SxTime {
  int64_t tv_sec;
  uint32_t tv_nsec;
  int32_t reserved;
};
struct Statx {
  uint32_t mask;
  uint32_t blksize;
  uint64_t attributes;
  uint32_t nlink;
  uint32_t uid;
  uint32_t gid;
  uint16_t mode;
  uint16_t spare0;
  uint64_t ino;
  uint64_t size;
  uint64_t blocks;
  uint64_t attributes_mask;
  SxTime atime;
  SxTime btime;
  SxTime ctime;
  SxTime mtime;
  uint32_t rdev_major;
  uint32_t rdev_minor;
  uint32_t dev_major;
  uint32_t dev_minor;
  uint64_t spare2[14];
};
struct StatxIn {
  uint32_t getattr_flags;
  uint32_t reserved;
  uint64_t fh;
  uint32_t sx_flags;
  uint32_t sx_mask;
};
struct StatxOut {
  uint64_t attr_valid;
  uint32_t attr_valid_nsec;
  uint32_t flags;
  uint64_t spare[2];
  Statx stat;
};

// Followed by the name, then zeroes up to a multiple of 8.
struct Dirent {
  uint64_t ino;
  uint64_t off;
  uint32_t namelen;
  uint32_t type;
};
struct Direntplus {
  EntryOut entry_out;
  Dirent dirent;
};

struct NotifyInvalInodeOut {
  uint64_t ino;  // the nodeid
  int64_t off;   // negative: attributes only
  int64_t len;   // 0 or less: to the end
};
// Followed by the name and a NUL that namelen does not count.
struct NotifyInvalEntryOut {
  uint64_t parent;
  uint32_t namelen;
  uint32_t flags;
};
struct NotifyDeleteOut {
  uint64_t parent;
  uint64_t child;
  uint32_t namelen;
  uint32_t padding;
};

struct BackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};

static_assert(sizeof(InHeader) == 40);
static_assert(sizeof(OutHeader) == 16);
static_assert(sizeof(Attr) == 88);
static_assert(sizeof(EntryOut) == 128);
static_assert(sizeof(AttrOut) == 104);
static_assert(sizeof(SetattrIn) == 88);
static_assert(sizeof(ReadIn) == 40);
static_assert(sizeof(InitIn) == 64);
static_assert(sizeof(InitOut) == 64);
static_assert(sizeof(StatfsOut) == 80);
static_assert(sizeof(LkIn) == 48);
static_assert(sizeof(Statx) == 256);
static_assert(sizeof(StatxOut) == 288);
static_assert(sizeof(Dirent) == 24);
static_assert(sizeof(Direntplus) == 152);
static_assert(sizeof(BackingMap) == 16);

}  // namespace netfs::fuse::proto
