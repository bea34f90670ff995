#pragma once
// Store: the parts of the store on disk held together, and its writer's side.
//
// What each file has: store.cc what objects and readers need; store_commit.cc the grouped commit
// and sealing; store_scrub.cc reading back what is sealed; store_cull.cc limits, culling and what
// is removed; store_recover.cc open, recovery and close.  CacheFiles (cache_files.h) is the face of
// it.
//
// One at a time does what changes the index: whoever has the *turn*.  A commit that waits for its
// turn is served by the one before it if that began late enough.  Nothing is locked meanwhile.
//
// Thread-safety: all calls from any thread.  Those under "writer's side" wait for the disk.

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "cachefiles/cache_files.h"
#include "cachefiles/disk.h"
#include "cachefiles/file_cache.h"
#include "cachefiles/index.h"
#include "cachefiles/object.h"
#include "cachefiles/object_table.h"
#include "cachefiles/space.h"
#include "sync/cond_var.h"
#include "telemetry/counter.h"

namespace netfs::cachefiles {

struct StoreCounters {
  telemetry::Counter stored_blocks;
  telemetry::Counter culled_objects;
  telemetry::Counter damaged_blocks;
  telemetry::Counter damaged_records;
  telemetry::Counter scrubbed_bytes;
  telemetry::Counter disabled_objects;
  telemetry::Counter no_space;
  telemetry::Counter rebuilt_indexes;
};

class Store {
 public:
  static Result<std::unique_ptr<Store>> open(const CacheFiles::Options& options, Disk& disk);
  ~Store();

  [[nodiscard]] Disk& disk() { return disk_; }
  [[nodiscard]] const Clock& clock() const { return clock_; }
  [[nodiscard]] Index& index() { return *index_; }
  [[nodiscard]] Space& space() { return space_; }
  [[nodiscard]] FileCache& files() { return files_; }
  [[nodiscard]] StoreCounters& counters() { return counters_; }
  [[nodiscard]] CacheUsage usage() const;

  // The reader's side.
  Result<Ref<Object>> lookup(VolumeId volume, CookieKey key);
  Result<std::optional<CookieKey>> newest(VolumeId volume, const std::string& identity);
  [[nodiscard]] bool has_room() const;
  // Has something for the next commit.
  void queue(Ref<Object> object);
  // Kills an object; the writer's side removes what it has on disk.
  void doom(Object& object);
  void index_failed(const Error& error);
  void log_damage(const std::string& path, uint64_t block);
  void log_disabled(const std::string& path, const Error& error);

  // The writer's side.
  Result<VolumeId> open_volume(const std::string& volume_key);
  Result<void> reserve(uint64_t bytes);
  // Makes room for `bytes`; false when nothing could be freed.
  bool cull(uint64_t bytes);
  Result<void> commit();
  void discard(Object& object);
  // The file of an object that no record names and no block is in.
  void unmake_file(ObjectId object);
  void maintain();
  // Reads back the next `bytes_max` of what is sealed; not in the turn.
  void scrub(uint64_t bytes_max);
  Result<void> close();
  Result<void> list(const CacheFiles::ObjectSink& sink);
  Result<uint64_t> drop(const std::string& volume_key, const std::string& path);
  Result<void> drop_names(const std::string& volume_key);
  Result<void> forget(VolumeId volume, const std::string& path, ForgetScope scope);

 private:
  class Turn;
  struct Buried {
    ObjectId object;
    uint64_t charged_bytes = 0;
  };
  // Where the scrubber is.
  struct Scrub {
    std::string place;          // a recency key; empty before the first round
    uint64_t offset_bytes = 0;  // within the object of that key
    MonoTime pause_until{};
    MonoTime round_began{};
    bool whole_round = false;  // it began with the first one
  };
  struct Found {
    ObjectId object;
    ObjectRecord record;
  };

  Store(const CacheFiles::Options& options, Disk& disk);

  // store.cc
  Result<VolumeId> open_volume_in_turn(const std::string& volume_key);
  Result<std::vector<Found>> find_versions(VolumeId volume, const CookieKey& key);
  Result<Ref<Object>> load(VolumeId volume, const CookieKey& key, const Found* found);
  void supersede(VolumeId volume, const CookieKey& key, const std::vector<Found>& found);

  // store_commit.cc
  Result<void> commit_in_turn();
  void tell_committed(const CommitItem& item);
  void sync_items(std::vector<CommitItem>& items);
  bool sync_together(const std::vector<CommitItem>& items);
  Result<void> sync_one(CommitItem& item, bool synced_already);
  void sync_new_names(std::vector<CommitItem>& items);
  void fail_item(CommitItem& item, const Error& error);
  void verify_small(std::vector<CommitItem>& items);
  Result<void> seal_large(std::vector<CommitItem> items);
  Result<void> record(std::vector<CommitItem>& items);
  void add_item(IndexBatch& batch, CommitItem& item);
  void add_meta(IndexBatch& batch, bool clean);

  // store_scrub.cc
  std::string scrub_start();
  Ref<Object> next_to_scrub(std::string& place, size_t& steps);
  Ref<Object> sealed_object(const std::string& object_key);

  // store_cull.cc
  [[nodiscard]] uint64_t checkpoint_bytes() const;
  void remove_doomed();
  void remove_object(const Doomed& doomed);
  void unlink_object(const Doomed& doomed);
  void names_changed(const std::string& directory);
  Result<void> sync_removed_names();
  [[nodiscard]] bool in_use(ObjectId object);
  void add_removals(IndexBatch& batch, std::vector<Doomed>& removals);
  Result<void> record_removals();
  Result<void> write_recency();
  uint64_t cull_in_turn(uint64_t bytes);
  enum class Mapped : uint8_t { kSpared, kBuried };
  uint64_t cull_one(const std::string& object_key, ObjectId object, int64_t use_seconds,
                    Mapped mapped);
  void remove_superseded();
  Result<std::optional<VolumeId>> volume_of(const std::string& volume_key);
  using Covers = std::function<bool(const std::string& identity, const std::string& path)>;
  Result<uint64_t> drop_in_turn(const std::optional<VolumeId>& volume, const Covers& covers);
  Result<uint64_t> drop_tree_in_turn(const std::optional<VolumeId>& volume,
                                     const std::string& path);
  void empty_graveyard();

  // store_recover.cc
  Result<void> start();
  Result<void> prepare_directories();
  Result<void> open_index();
  // What the index says of the process before this one.
  enum class LastEnd : uint8_t { kNone, kClean, kUnclean };
  Result<void> read_meta(LastEnd* last);
  Result<void> recover();
  Result<void> remove_orphans(const std::vector<ObjectId>& known, std::vector<ObjectId>* missing);
  void load_graveyard();
  Result<void> rebuild_index();
  Result<void> remove_everything();

  Disk& disk_;
  const Clock& clock_;
  const std::string directory_;
  const CacheForm form_;
  std::unique_ptr<DiskFile> lock_file_;
  std::unique_ptr<Index> index_;
  Space space_;
  StoreCounters counters_;
  FileCache files_;
  ObjectTable table_;

  std::atomic<uint64_t> next_object_{1};
  std::atomic<uint64_t> object_count_{0};
  std::atomic<uint64_t> sealed_count_{0};
  std::atomic<bool> index_damaged_{false};
  uint32_t epoch_ = 1;          // set once, by start()
  uint32_t unclean_epoch_ = 0;  // likewise

  mutable sync::Mutex mutex_{kWriterLock};
  sync::CondVar turn_over_;
  bool turn_taken_ GUARDED_BY(mutex_) = false;
  uint64_t commits_begun_ GUARDED_BY(mutex_) = 0;
  uint64_t commits_ended_ GUARDED_BY(mutex_) = 0;
  Error last_commit_error_ GUARDED_BY(mutex_){EIO, "none"};
  bool last_commit_failed_ GUARDED_BY(mutex_) = false;
  bool closed_ GUARDED_BY(mutex_) = false;
  std::vector<Ref<Object>> queued_ GUARDED_BY(mutex_);
  std::vector<Doomed> doomed_ GUARDED_BY(mutex_);           // still to be unlinked
  std::vector<Doomed> removals_ GUARDED_BY(mutex_);         // unlinked, the index still names them
  std::vector<Buried> graveyard_ GUARDED_BY(mutex_);        // dead, perhaps mapped
  std::vector<std::string> superseded_ GUARDED_BY(mutex_);  // keys of objects of old versions
  std::set<std::string> changed_directories_ GUARDED_BY(mutex_);  // names went, not synced
  std::unordered_map<std::string, VolumeId> volumes_ GUARDED_BY(mutex_);
  uint32_t next_volume_ GUARDED_BY(mutex_) = 1;
  Scrub scrub_ GUARDED_BY(mutex_);
};

}  // namespace netfs::cachefiles
