#pragma once
// CacheFiles: the store on disk behind netfs/cache.h.
//
// One process owns a cache directory for as long as the object lives (its `lock` file is flocked);
// the bytes in it are described by docs/cache-format.md.  Readers (Volume::lookup, Cookie) open
// data files O_RDONLY and never wait for whoever writes; everything that writes is a CacheWriter
// call, or one of the administrator's calls below that say so.
//
// Thread-safety: all calls from any thread.  Destroy it after its writer, volumes and cookies; the
// destructor is close().
//
// Errors of create() are one line that says what to do:
//   EBUSY    another process owns the directory (its pid is named)
//   EPERM    the directory belongs to another user
//   EACCES, EROFS   it cannot be written
//   ENOSPC, EDQUOT  its disk is full
//   ENOTSUP  it holds another format version
//   ENOTEMPTY  it holds files that are not a cache's
//   ELOOP    (check_cache_location) it lies under a mount it would serve
// A damaged index is no error: it is set aside, one line is logged, and the cache starts empty.
//
//   CacheFiles::Options options{.directory = "/var/cache/netfs", .size_limit_bytes = 10ull << 30};
//   std::unique_ptr<CacheFiles> cache = TRY(CacheFiles::create(std::move(options)));
//   Ref<Volume> volume = TRY(cache->open_volume(origin.volume_key()));

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "cachefiles/cache_form.h"
#include "netfs/cache.h"

namespace netfs::cachefiles {

class Disk;

// One object of the store, as `netfs cache list` shows it.
struct ObjectInfo {
  std::string volume_key;
  std::string path;
  uint64_t size_bytes = 0;
  uint64_t stored_bytes = 0;
  uint64_t allocated_bytes = 0;
  ObjectState state = ObjectState::kAbsent;
  Timestamp last_use;
};

class CacheFiles : public Cache {
 public:
  struct Options {
    std::string directory;                    // made if it is missing (0700), parents are not
    uint64_t size_limit_bytes = 10ull << 30;  // hard, in allocated bytes, the index included
    uint32_t descriptor_budget = 512;         // open data files, at most; 16 at least
    const Clock& clock = Clock::system();     // outlives the store
    Disk* disk = nullptr;                     // null: the real one; else it outlives the store
    CacheForm form = our_cache_form();
  };

  // Opens or makes the store; recovers by itself after a crash.  Waits for the disk.
  static Result<std::unique_ptr<CacheFiles>> create(Options options);

  // Makes everything durable and marks a clean end.  Waits for the disk; idempotent.
  virtual Result<void> close() = 0;

  // Calls `sink` for each object of the index, those not committed yet left out.  Reads the index.
  using ObjectSink = std::function<void(const ObjectInfo&)>;
  virtual Result<void> list(const ObjectSink& sink) = 0;

  // Removes the objects whose path is `path` or lies under it; of one volume, or of all when
  // `volume_key` is empty.  An empty path means all.  Open ones go too: their readers fall back to
  // the origin.  Returns how many went.  Writes: never for a thread that answers a read.
  virtual Result<uint64_t> drop(const std::string& volume_key, const std::string& path) = 0;
  // Removes the names of a volume's directories (netfs/names_store.h).  Writes likewise.
  virtual Result<void> drop_names(const std::string& volume_key) = 0;
};

// ELOOP when `directory` is, or lies under, one of `mount_points` (absolute paths): the store would
// wait for itself.  Touches nothing below the directory's parent.
Result<void> check_cache_location(const std::string& directory,
                                  std::span<const std::string> mount_points);

}  // namespace netfs::cachefiles
