#pragma once
// The FUSE kernel protocol, as facts: the layout of what changes something.  See protocol.h.

#include <cstdint>

#include "fuse/protocol.h"

namespace netfs::fuse::proto {

// Each of these is followed by a name and its NUL.
struct MknodIn {
  uint32_t mode;
  uint32_t rdev;
  uint32_t umask;
  uint32_t padding;
};
struct MkdirIn {
  uint32_t mode;
  uint32_t umask;
};
struct LinkIn {
  uint64_t oldnodeid;
};
struct CreateIn {
  uint32_t flags;
  uint32_t mode;
  uint32_t umask;
  uint32_t open_flags;
};
// Followed by two names: the old and the new one.
struct RenameIn {
  uint64_t newdir;
};
struct Rename2In {
  uint64_t newdir;
  uint32_t flags;
  uint32_t padding;
};
// Followed by a name and the value.
struct SetxattrIn {
  uint32_t size;
  uint32_t flags;
};
// The same with SETXATTR_EXT.
struct SetxattrExtIn {
  uint32_t size;
  uint32_t flags;
  uint32_t setxattr_flags;
  uint32_t padding;
};

// Followed by `size` bytes.
struct WriteIn {
  uint64_t fh;
  uint64_t offset;
  uint32_t size;
  uint32_t write_flags;
  uint64_t lock_owner;
  uint32_t flags;
  uint32_t padding;
};
struct WriteOut {
  uint32_t size;
  uint32_t padding;
};
struct FallocateIn {
  uint64_t fh;
  uint64_t offset;
  uint64_t length;
  uint32_t mode;
  uint32_t padding;
};
struct CopyFileRangeIn {
  uint64_t fh_in;
  uint64_t off_in;
  uint64_t nodeid_out;
  uint64_t fh_out;
  uint64_t off_out;
  uint64_t len;
  uint64_t flags;
};
// The answer to COPY_FILE_RANGE_64; that to COPY_FILE_RANGE is WriteOut.
struct CopyFileRangeOut {
  uint64_t bytes_copied;
};
// The answer to CREATE and TMPFILE.
struct CreateOut {
  EntryOut entry;
  OpenOut open;
};

static_assert(sizeof(MknodIn) == 16);
static_assert(sizeof(CreateIn) == 16);
static_assert(sizeof(WriteIn) == 40);
static_assert(sizeof(FallocateIn) == 32);
static_assert(sizeof(CopyFileRangeIn) == 56);
static_assert(sizeof(SetxattrExtIn) == 16);
static_assert(sizeof(CreateOut) == 144);

}  // namespace netfs::fuse::proto
