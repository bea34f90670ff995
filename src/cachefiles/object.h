#pragma once
// Object: one version of one file in the store; the Cookie, and what the writer's side does to it.
//
// The reader's door (Cookie) looks at memory, opens the data file O_RDONLY and reads.  The mutex
// guards memory only and is never held over I/O, so a reader never waits behind a writer that
// waits for the disk.  A thread that finds damage or a bad disk marks it here and queues the object
// for the writer's side (Store::queue), which does the rest.
//
// Thread-safety: everything from any thread; snapshot(), committed() and uncommitted() by whoever
// has the store's turn.
//
// Lifetime: the object table holds one Ref as long as the object is in memory, everyone else who
// uses it another; count one therefore means that nobody does.

#include <atomic>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cachefiles/block_map.h"
#include "cachefiles/file_cache.h"
#include "cachefiles/object_state.h"
#include "cachefiles/records.h"
#include "netfs/cache.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::cachefiles {

class Store;
class Object;

// What is left to do on disk for an object that is dead.
struct Doomed {
  ObjectId object;
  std::string object_key;
  int64_t recorded_use_seconds = 0;
  uint64_t charged_bytes = 0;
  bool recorded = false;  // the index has it
  bool sealed = false;
  bool has_file = false;
  bool maybe_mapped = false;  // was sealed once, so the kernel may have its file
};

// What one commit makes durable of an object: taken before its data is synced, so that it names
// only what was written before.
struct CommitItem {
  struct Chunk {
    uint32_t number = 0;
    uint64_t present = 0;
    Ref<CrcChunk> checksums;
  };
  Ref<Object> object;
  ObjectRecord record;
  std::vector<Chunk> chunks;
  std::map<uint32_t, PresenceWords> segments;
  int64_t old_use_seconds = 0;
  uint64_t promised_bytes = 0;  // reserved for what this commit writes to the index
  bool was_recorded = false;
  bool was_sealed = false;
  bool new_file = false;
  bool data_written = false;
  bool complete = false;
  bool seal = false;  // verified: this commit seals it
};

class Object final : public Cookie {
 public:
  Object(Store& store, VolumeId volume, ObjectId id, CookieKey key);

  // The reader's door.
  [[nodiscard]] const CookieKey& key() const override { return key_; }
  [[nodiscard]] uint32_t block_bytes() const override { return kBlockBytes; }
  [[nodiscard]] ObjectState state() const override { return machine_.state(); }
  [[nodiscard]] bool present(BlockIndex block) const override;
  [[nodiscard]] uint64_t run_length(BlockIndex block, uint64_t count_max) const override;
  Result<void> read(uint64_t offset_bytes, std::span<std::byte> to, Waiting waiting) override;
  Result<UniqueFd> hand_out() override;
  void touch() override;

  // Before anybody else knows the object.
  void load(const ObjectRecord& record, bool trust_seal);
  void load_segment(uint32_t segment, const PresenceWords& words);
  void loaded();

  // The writer's side: may wait for the disk.
  Result<void> store(BlockIndex first, std::span<const std::byte> data);
  void allow_seal();
  std::optional<CommitItem> snapshot();
  // False when it died meanwhile: what was recorded is to be removed again.
  bool committed(const CommitItem& item);
  void uncommitted(const CommitItem& item);
  // Reads a part of it back; false when something was wrong (and has been dropped).
  bool verify(ByteRange part, Waiting waiting);
  bool verify() { return verify({0, key_.size_bytes}, Waiting::kDisk); }
  void set_recorded_use(int64_t seconds);

  // From any side: memory only.  Once; a second call gives nothing.
  std::optional<Doomed> kill();

  [[nodiscard]] ObjectId id() const { return id_; }
  [[nodiscard]] VolumeId volume() const { return volume_; }
  [[nodiscard]] const std::string& object_key() const { return object_key_; }
  [[nodiscard]] const std::string& table_key() const { return table_key_; }
  [[nodiscard]] int64_t last_use_seconds() const { return last_use_seconds_.load(); }
  // The recorded use, if a later one is still to be written.
  [[nodiscard]] std::optional<int64_t> unwritten_use() const;

  // What the table finds an object by: identity and version.
  static std::string make_table_key(VolumeId volume, const CookieKey& key);
  // With what the keys of all versions of one file begin.
  static std::string make_table_prefix(VolumeId volume, const std::string& identity);

 private:
  // object_read.cc
  Result<void> read_piece(OpenFile& file, ByteRange range, std::span<std::byte> to,
                          Waiting waiting);
  Result<Ref<CrcChunk>> chunk_for_read(uint64_t chunk, Waiting waiting);
  Result<Ref<CrcChunk>> load_chunk(uint64_t chunk);
  Error failed_read(const Error& error);
  Error drop_block(uint64_t block);

  // object_store.cc
  Result<void> store_blocks(BlockIndex first, std::span<const std::byte> data);
  void end_store();
  Result<void> ensure_file();
  Result<void> make_file();
  Result<void> store_run(uint64_t first, std::span<const std::byte> data);
  Result<void> write_run(uint64_t first, std::span<const std::byte> data);
  Result<void> publish_run(uint64_t first, std::span<const uint32_t> crcs, uint64_t bytes,
                           const std::vector<Ref<CrcChunk>>& chunks);
  Result<std::vector<Ref<CrcChunk>>> chunks_for_store(uint64_t first, uint64_t count);
  void unclaim(uint64_t first, uint64_t count);
  uint64_t index_bytes_of_run(uint64_t first, uint64_t count);
  void disable(const Error& error);

  void queue();
  void trim_chunks_locked() REQUIRES(mutex_);
  [[nodiscard]] uint64_t stored_bytes() const;

  Store& store_;
  const VolumeId volume_;
  const ObjectId id_;
  const CookieKey key_;
  const std::string object_key_;
  const std::string table_key_;
  BlockMap map_;
  ObjectMachine machine_;
  std::atomic<int64_t> last_use_seconds_{0};
  std::atomic<int64_t> recorded_use_seconds_{0};

  mutable sync::Mutex mutex_{kObjectLock};
  sync::CondVar made_;
  std::map<uint64_t, Ref<CrcChunk>> chunks_ GUARDED_BY(mutex_);
  std::set<uint64_t> dirty_chunks_ GUARDED_BY(mutex_);
  std::set<uint64_t> in_flight_ GUARDED_BY(mutex_);  // blocks that a store has claimed
  uint64_t charged_bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t in_flight_bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t promised_bytes_ GUARDED_BY(mutex_) = 0;  // reserved for the index's next commit
  uint32_t storing_ GUARDED_BY(mutex_) = 0;         // calls of store() under way
  bool making_file_ GUARDED_BY(mutex_) = false;
  bool has_file_ GUARDED_BY(mutex_) = false;
  bool new_file_ GUARDED_BY(mutex_) = false;
  bool data_written_ GUARDED_BY(mutex_) = false;
  bool recorded_ GUARDED_BY(mutex_) = false;
  bool recorded_sealed_ GUARDED_BY(mutex_) = false;
  bool may_seal_ GUARDED_BY(mutex_) = false;
  bool changed_ GUARDED_BY(mutex_) = false;  // the record is to be written again
  bool queued_ GUARDED_BY(mutex_) = false;
  bool killed_ GUARDED_BY(mutex_) = false;
};

}  // namespace netfs::cachefiles
