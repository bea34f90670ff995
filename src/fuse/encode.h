#pragma once
// encode: answers and notifications in the kernel's layout.  Pure.
//
// Each function yields a struct of protocol.h that Reply::value() sends as it is.  Times are since
// 1970, before it too; validity is how long the kernel may trust what it was told: zero is not at
// all, kForever for ever.
//
//   reply.value(entry_out({.node = id, .entry_valid = kForever, .attr_valid = kForever,
//                          .attr = attr}));

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/clock.h"
#include "fuse/protocol.h"
#include "fuse/protocol_changes.h"
#include "fuse/wire.h"

namespace netfs::fuse {

inline constexpr Duration kForever = Duration::max();

struct Attr {
  uint64_t ino = 0;  // what st_ino shows
  uint64_t size_bytes = 0;
  uint64_t blocks_512 = 0;
  Timestamp atime;
  Timestamp mtime;
  Timestamp ctime;
  uint32_t mode = 0;  // type and permission bits, S_IF* | 0777
  uint32_t link_count = 1;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t rdev = 0;
  uint32_t block_size = 4096;
};

struct Entry {
  NodeId node;  // 0: no such name
  uint64_t generation = 0;
  Duration entry_valid{};
  Duration attr_valid{};
  Attr attr;
};

struct Opened {
  HandleId handle;
  bool keep_cache = false;  // page cache of earlier opens stays
  bool direct_io = false;
  bool no_flush = false;   // close sends no FLUSH
  bool cache_dir = false;  // directory listing may be kept in the page cache
  int32_t backing_id = 0;  // > 0: passthrough; keep_cache and direct_io are then left out
};

struct FsStat {
  uint64_t blocks = 0;
  uint64_t blocks_free = 0;
  uint64_t blocks_available = 0;
  uint64_t files = 0;
  uint64_t files_free = 0;
  uint32_t block_size = 4096;
  uint32_t name_max = 255;
};

proto::EntryOut entry_out(const Entry& entry);
// A name that does not exist, to be remembered for `valid`.  When zero, answer ENOENT instead.
proto::EntryOut negative_entry_out(Duration valid);
proto::AttrOut attr_out(const Attr& attr, Duration valid);
proto::OpenOut open_out(const Opened& opened);
proto::CreateOut create_out(const Entry& entry, const Opened& opened);
proto::WriteOut write_out(uint32_t size_bytes);
proto::StatfsOut statfs_out(const FsStat& stat);
proto::GetxattrOut xattr_size_out(uint32_t size_bytes);
proto::LseekOut lseek_out(uint64_t offset);
proto::BmapOut bmap_out(uint64_t block);
proto::PollOut poll_out(uint32_t events);
proto::LkOut lock_out(const LockRequest& lock);
// The basic fields of `attr`, with a birth time if there is one.
proto::StatxOut statx_out(const Attr& attr, Duration valid, const Timestamp* birth);

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span<const T, 1>(&value, 1));
}

// DirentPacker: fills a READDIR or READDIRPLUS answer, entry by entry, until one does not fit.
//
// `next` is where a later READDIR goes on after this entry; never 0.  `mode` gives the type.  The
// span is the caller's and may be unaligned.
class DirentPacker {
 public:
  explicit DirentPacker(std::span<std::byte> buffer) : buffer_(buffer) {}

  // False: no room; nothing was written.
  [[nodiscard]] bool add(std::string_view name, uint64_t ino, uint32_t mode, uint64_t next);
  // As add().  The kernel counts one lookup of entry.node when the call succeeds and node is not 0
  // and the name is not "." or "..".  Node 0 gives the name only, without attributes.
  [[nodiscard]] bool add_plus(std::string_view name, const Entry& entry, uint64_t next);

  [[nodiscard]] std::span<const std::byte> used() const { return buffer_.first(used_); }
  [[nodiscard]] bool empty() const { return used_ == 0; }

 private:
  void put(const void* data, size_t size);
  void put_dirent(std::string_view name, uint64_t ino, uint32_t mode, uint64_t next);

  std::span<std::byte> buffer_;
  size_t used_ = 0;
};

}  // namespace netfs::fuse
