#pragma once
// MemoryCache: a Cache that keeps everything in memory, for tests; it misbehaves on request.
//
// Objects live as long as the cache, so a second Library over it starts warm.  The writer's door
// asserts, as a real one must, that its caller answers to no reader (no fuse.fault in the context).
//
// Thread-safe.  Outlives its volumes, cookies and writer.
//
//   MemoryCache cache;
//   Ref<Volume> volume = MUST(cache.open_volume("test"));
//   Offload offload(cache.open_writer(), {});

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netfs/cache.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs {

class MemoryCache final : public Cache {
 public:
  explicit MemoryCache(uint32_t block_bytes = 64 << 10);
  ~MemoryCache() override;

  Result<Ref<Volume>> open_volume(const std::string& volume_key) override;
  std::unique_ptr<CacheWriter> open_writer() override;
  [[nodiscard]] CacheUsage usage() const override;

  // The writer blocks in store() from now on until it is let go: a frozen disk.
  void block_stores();
  void unblock_stores();
  // Waits until a store() is blocked; false at the deadline.
  bool wait_for_blocked_store(Deadline deadline);
  // What store() answers from now on; 0: it stores.
  void fail_stores(int error);
  // What Volume::has_room answers from now on.
  void set_room(bool room) { has_room_ = room; }
  // What Cookie::read answers from now on, of every range or of those that touch the block; 0: the
  // bytes.  EAGAIN is answered to kNever only.
  void fail_reads(int error, std::optional<BlockIndex> block = {});
  // Flips a bit of every stored block of the path, or of one; a read answers EBADMSG and drops the
  // first damaged block that it meets.
  void corrupt(const std::string& path, std::optional<BlockIndex> block = {});
  // Reads that may wait for the disk block from now on until they are let go.
  void block_reads();
  void unblock_reads();
  bool wait_for_blocked_read(Deadline deadline);

  struct Counts {
    uint64_t stores = 0;
    uint64_t stored_blocks = 0;
    uint64_t commits = 0;
    uint64_t discards = 0;
    uint64_t forgets = 0;
    uint64_t may_seals = 0;
    uint64_t reads = 0;
  };
  [[nodiscard]] Counts counts() const;
  // Blocks stored of any version of the path that is not dead.
  [[nodiscard]] uint64_t stored_blocks(const std::string& path) const;

 private:
  friend class MemoryCookie;
  friend class MemoryVolume;
  friend class MemoryWriter;
  struct Object;

  [[nodiscard]] static std::string key_of(const CookieKey& key);

  const uint32_t block_bytes_;
  std::atomic<bool> has_room_{true};
  mutable sync::Mutex mutex_;
  sync::CondVar changed_;
  std::map<std::string, std::shared_ptr<Object>> objects_ GUARDED_BY(mutex_);
  Counts counts_ GUARDED_BY(mutex_);
  int store_error_ GUARDED_BY(mutex_) = 0;
  int read_error_ GUARDED_BY(mutex_) = 0;
  std::optional<BlockIndex> failing_block_ GUARDED_BY(mutex_);
  unsigned stores_waiting_ GUARDED_BY(mutex_) = 0;
  unsigned reads_waiting_ GUARDED_BY(mutex_) = 0;
  bool stores_blocked_ GUARDED_BY(mutex_) = false;
  bool reads_blocked_ GUARDED_BY(mutex_) = false;
  bool writer_open_ GUARDED_BY(mutex_) = false;
};

}  // namespace netfs
