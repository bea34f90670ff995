#pragma once
// Cache: the local store as the library sees it: volumes, cookies, a reader's door, a writer's
// door.
//
// A *volume* is one remote tree seen by one principal.  A *cookie* is one version of one file in
// it: the handle on a cache object.  A cookie's own functions are the reader's door: they never
// write, never wait for a writer, and answer from memory or with a read of the object.  Everything
// that changes the store goes through CacheWriter, of which a cache gives out one, to
// netfs/offload, whose workers answer to no reader (design rule: a thread that answers a read never
// enters the write side).  Each call of the writer begins with a WriteSide, which asserts so.
//
// The cache never fails the user: each error here means "read it from the origin", and is counted.
//
// Thread-safety: all calls from any thread.  Cookies and volumes are held by Ref and may outlive
// their file at the origin, not their Cache.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "base/byte_range.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/strong_id.h"
#include "base/unique_fd.h"
#include "netfs/attributes.h"
#include "sync/context.h"

namespace netfs {

// What a file version is found by.  Another validator is another object.
struct CookieKey {
  std::string identity;  // the origin's, or the path where it has none
  std::string path;      // for people: listing, drop
  Validator validator;
  uint64_t size_bytes = 0;
};

// With this before its path a directory's names are an object (netfs/names_store.h); their
// CookieKey::path is the directory's and a '/'.  No path and no identity begins like that.
inline constexpr std::string_view kNamesIdentity{"\0names\0", 7};

// The life of an object: docs/cache-format.md has the picture, object_state.h the edges.
enum class ObjectState : uint8_t {
  kAbsent,     // nothing is stored
  kPartial,    // some blocks are
  kComplete,   // all blocks are, and durable
  kSealed,     // complete, verified against its checksums, never written again
  kHandedOut,  // sealed, and the kernel has its file
  kDead,       // unlinked, perhaps still mapped
};

enum class Waiting : uint8_t {
  kNever,     // answer EAGAIN rather than wait for the disk
  kDisk,      // may wait for a read of the disk
  kDiskOnce,  // likewise, and what had to be read is not kept in memory
};

// One version of one file in the store: the reader's door.
class Cookie : public RefCounted<Cookie> {
 public:
  virtual ~Cookie() = default;

  [[nodiscard]] virtual const CookieKey& key() const = 0;
  [[nodiscard]] virtual uint32_t block_bytes() const = 0;
  [[nodiscard]] virtual ObjectState state() const = 0;

  // Whether a block is stored and may be read; from memory, at once.
  [[nodiscard]] virtual bool present(BlockIndex block) const = 0;
  // How many blocks from `block` on are alike in that, at most `count_max`.
  [[nodiscard]] virtual uint64_t run_length(BlockIndex block, uint64_t count_max) const = 0;

  // Reads a range that lies within the file; every page is checked against its CRC.
  // EAGAIN: would wait.  ENODATA: not all present.  EBADMSG: a page was damaged; its block has been
  // dropped.  ESTALE: invalidated meanwhile.  EIO: the disk; the object is disabled.
  virtual Result<void> read(uint64_t offset_bytes, std::span<std::byte> to, Waiting waiting) = 0;

  // A descriptor (O_RDONLY) for the kernel to read the file by, and from now on kHandedOut.
  // Only of a sealed object, else EBUSY.  May wait for the disk.
  virtual Result<UniqueFd> hand_out() = 0;

  // Notes in memory that it was used, for the culler.
  virtual void touch() = 0;
};

// One tree in the store.
class Volume : public RefCounted<Volume> {
 public:
  virtual ~Volume() = default;

  // The cookie of a file version, with its block map loaded; kAbsent if nothing is stored.
  // The same Ref for the same key while anybody holds it.  May wait for reads of the index, never
  // for a writer.  An object that is stored under another validator is left to the writer.
  virtual Result<Ref<Cookie>> lookup(CookieKey key) = 0;
  // The key of the newest version that is durably stored of an identity, or nothing.  May wait
  // likewise.
  virtual Result<std::optional<CookieKey>> newest(const std::string& identity) = 0;
  // Whether there is room for what nobody asks for, such as names; what is asked for culls.
  [[nodiscard]] virtual bool has_room() const = 0;
};

// Where a thread enters the write side of a cache: under the pseudo-lock `cache.sb_writers` while
// it lasts, and never for somebody who waits for an answer.  The validator, where there is one,
// hears of it first and reports the circle; then it asserts.
class WriteSide {
 public:
  WriteSide() : lock_(sync::kCacheSbWriters) {
    NETFS_ASSERT(!sync::current_context_holds(sync::kFuseFault));
  }

 private:
  sync::PseudoLock lock_;
};

enum class ForgetScope : uint8_t { kFile, kTree };

// The writer's door.  Every call may wait for the disk as long as the disk likes.
class CacheWriter {
 public:
  virtual ~CacheWriter() = default;

  // Stores whole blocks from `first` on (the last one of the file may be short).  Present at once
  // in memory, after a crash only once a later commit() returned.  ENOSPC: over the limit and
  // nothing to cull; EIO: the object is disabled; ESTALE: the cookie is dead.
  virtual Result<void> store(Cookie& cookie, BlockIndex first, std::span<const std::byte> data) = 0;

  // Makes durable what was stored before: data, fdatasync, one index transaction.  Seals objects
  // that have become complete, if `may_seal` was called for them.
  virtual Result<void> commit() = 0;

  // The origin confirmed the cookie's validator after the last fetch, more than a granule after the
  // file changed: it may be sealed once complete.
  virtual void may_seal(Cookie& cookie) = 0;

  // The cookie's file has another version or is gone: unlink the object, whoever still reads it.
  virtual void discard(Cookie& cookie) = 0;

  // Removes what is stored of a path in any version, and with kTree of what is beneath it, whoever
  // still reads it.
  virtual Result<void> forget(Volume& volume, const std::string& path, ForgetScope scope) = 0;

  // Brings the store under its limit, writes recency, reads back some of what is sealed; called
  // now and then.
  virtual void maintain() = 0;
};

struct CacheUsage {
  uint64_t limit_bytes = 0;
  uint64_t used_bytes = 0;  // allocated blocks, index and unlinked-but-open included
  uint64_t object_count = 0;
  uint64_t sealed_count = 0;
  uint64_t stored_blocks = 0;   // since start
  uint64_t culled_objects = 0;  // since start
  uint64_t damaged_blocks = 0;  // since start
  uint64_t scrubbed_bytes = 0;  // read back since start, to see whether they are still sound
  uint64_t disabled_objects = 0;
  uint64_t no_space = 0;  // stores refused
};

class Cache {
 public:
  virtual ~Cache() = default;

  // The volume of a key, made if it is new (then it waits for the disk: call it at mount time).
  virtual Result<Ref<Volume>> open_volume(const std::string& volume_key) = 0;

  // The writer's door; once only.
  virtual std::unique_ptr<CacheWriter> open_writer() = 0;

  [[nodiscard]] virtual CacheUsage usage() const = 0;
};

}  // namespace netfs
