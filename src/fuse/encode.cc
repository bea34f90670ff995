#include "fuse/encode.h"

#include <cstring>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace netfs::fuse {

namespace {

struct Validity {
  uint64_t seconds = 0;
  uint32_t nanoseconds = 0;
};

Validity validity(Duration valid) {
  if (valid.count() <= 0) return {};
  const auto ns = static_cast<uint64_t>(valid.count());
  return {ns / 1'000'000'000, static_cast<uint32_t>(ns % 1'000'000'000)};
}

proto::Attr attr_raw(const Attr& attr) {
  return {.ino = attr.ino,
          .size = attr.size_bytes,
          .blocks = attr.blocks_512,
          .atime = static_cast<uint64_t>(attr.atime.seconds),
          .mtime = static_cast<uint64_t>(attr.mtime.seconds),
          .ctime = static_cast<uint64_t>(attr.ctime.seconds),
          .atimensec = attr.atime.nanoseconds,
          .mtimensec = attr.mtime.nanoseconds,
          .ctimensec = attr.ctime.nanoseconds,
          .mode = attr.mode,
          .nlink = attr.link_count,
          .uid = attr.uid,
          .gid = attr.gid,
          .rdev = attr.rdev,
          .blksize = attr.block_size,
          .flags = 0};
}

proto::SxTime sx_time(const Timestamp& time) {
  return {time.seconds, time.nanoseconds, 0};
}

constexpr size_t kDirentAlign = 8;

size_t padded(size_t size) {
  return (size + kDirentAlign - 1) / kDirentAlign * kDirentAlign;
}

}  // namespace

proto::EntryOut entry_out(const Entry& entry) {
  const Validity name = validity(entry.entry_valid);
  const Validity attributes = validity(entry.attr_valid);
  return {.nodeid = entry.node.value,
          .generation = entry.generation,
          .entry_valid = name.seconds,
          .attr_valid = attributes.seconds,
          .entry_valid_nsec = name.nanoseconds,
          .attr_valid_nsec = attributes.nanoseconds,
          .attr = attr_raw(entry.attr)};
}

proto::EntryOut negative_entry_out(Duration valid) {
  const Validity name = validity(valid);
  proto::EntryOut out{};
  out.entry_valid = name.seconds;
  out.entry_valid_nsec = name.nanoseconds;
  return out;
}

proto::AttrOut attr_out(const Attr& attr, Duration valid) {
  const Validity attributes = validity(valid);
  return {.attr_valid = attributes.seconds,
          .attr_valid_nsec = attributes.nanoseconds,
          .dummy = 0,
          .attr = attr_raw(attr)};
}

proto::OpenOut open_out(const Opened& opened) {
  proto::OpenOut out{.fh = opened.handle.value, .open_flags = 0, .backing_id = 0};
  if (opened.no_flush) out.open_flags |= proto::kFopenNoflush;
  if (opened.backing_id > 0) {
    // The kernel refuses (EIO) a passthrough open that also says how its page cache is to be used.
    out.open_flags |= proto::kFopenPassthrough;
    out.backing_id = opened.backing_id;
    return out;
  }
  if (opened.keep_cache) out.open_flags |= proto::kFopenKeepCache;
  if (opened.direct_io) out.open_flags |= proto::kFopenDirectIo;
  if (opened.cache_dir) out.open_flags |= proto::kFopenCacheDir;
  return out;
}

proto::CreateOut create_out(const Entry& entry, const Opened& opened) {
  return {.entry = entry_out(entry), .open = open_out(opened)};
}

proto::WriteOut write_out(uint32_t size_bytes) {
  return {.size = size_bytes, .padding = 0};
}

proto::StatfsOut statfs_out(const FsStat& stat) {
  proto::StatfsOut out{};
  out.st.blocks = stat.blocks;
  out.st.bfree = stat.blocks_free;
  out.st.bavail = stat.blocks_available;
  out.st.files = stat.files;
  out.st.ffree = stat.files_free;
  out.st.bsize = stat.block_size;
  out.st.frsize = stat.block_size;
  out.st.namelen = stat.name_max;
  return out;
}

proto::GetxattrOut xattr_size_out(uint32_t size_bytes) {
  return {size_bytes, 0};
}
proto::LseekOut lseek_out(uint64_t offset) {
  return {offset};
}
proto::BmapOut bmap_out(uint64_t block) {
  return {block};
}
proto::PollOut poll_out(uint32_t events) {
  return {events, 0};
}
proto::LkOut lock_out(const LockRequest& lock) {
  return {{lock.start, lock.end, lock.type, lock.pid}};
}

proto::StatxOut statx_out(const Attr& attr, Duration valid, const Timestamp* birth) {
  const Validity attributes = validity(valid);
  proto::StatxOut out{};
  out.attr_valid = attributes.seconds;
  out.attr_valid_nsec = attributes.nanoseconds;
  proto::Statx& stat = out.stat;
  stat.mask = STATX_BASIC_STATS;
  stat.blksize = attr.block_size;
  stat.nlink = attr.link_count;
  stat.uid = attr.uid;
  stat.gid = attr.gid;
  stat.mode = static_cast<uint16_t>(attr.mode);
  stat.ino = attr.ino;
  stat.size = attr.size_bytes;
  stat.blocks = attr.blocks_512;
  stat.atime = sx_time(attr.atime);
  stat.ctime = sx_time(attr.ctime);
  stat.mtime = sx_time(attr.mtime);
  if (birth != nullptr) {
    stat.mask |= STATX_BTIME;
    stat.btime = sx_time(*birth);
  }
  stat.rdev_major = gnu_dev_major(attr.rdev);
  stat.rdev_minor = gnu_dev_minor(attr.rdev);
  return out;
}

void DirentPacker::put(const void* data, size_t size) {
  NETFS_ASSERT(size <= buffer_.size() - used_);
  std::memcpy(buffer_.data() + used_, data, size);
  used_ += size;
}

void DirentPacker::put_dirent(std::string_view name, uint64_t ino, uint32_t mode, uint64_t next) {
  const proto::Dirent dirent{.ino = ino,
                             .off = next,
                             .namelen = static_cast<uint32_t>(name.size()),
                             .type = (mode & S_IFMT) >> 12};
  put(&dirent, sizeof dirent);
  put(name.data(), name.size());
  static constexpr std::byte kZeroes[kDirentAlign] = {};
  put(kZeroes, padded(name.size()) - name.size());
}

bool DirentPacker::add(std::string_view name, uint64_t ino, uint32_t mode, uint64_t next) {
  NETFS_ASSERT(!name.empty() && name.size() <= kNameMax);
  if (buffer_.size() - used_ < sizeof(proto::Dirent) + padded(name.size())) return false;
  put_dirent(name, ino, mode, next);
  return true;
}

bool DirentPacker::add_plus(std::string_view name, const Entry& entry, uint64_t next) {
  NETFS_ASSERT(!name.empty() && name.size() <= kNameMax);
  if (buffer_.size() - used_ < sizeof(proto::Direntplus) + padded(name.size())) return false;
  const proto::EntryOut out = entry_out(entry);
  put(&out, sizeof out);
  put_dirent(name, entry.attr.ino, entry.attr.mode, next);
  return true;
}

}  // namespace netfs::fuse
