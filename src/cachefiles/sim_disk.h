#pragma once
// SimDisk: a disk in memory that fails, fills up, and forgets what was not synced.  For tests.
//
// Fault model.  Until sync_data() of its file, a write or truncation may be lost, kept, or torn
// (any subset of its 512-byte sectors), each independently of the others and so in any order; until
// sync_directory() a created, renamed or removed name may be as before or as after, each
// independently; a rename is atomic.  What was synced stays.  A kill of the process alone loses
// nothing.  Bits do not rot by themselves: flip() does it.
//
// After crash_at() so many changes the disk is dead: everything fails with EIO until
// restart().  Files opened before a restart stay dead.
//
// Thread-safe.
//
//   disk.crash_at(17);
//   ... use the store until it fails, destroy it ...
//   disk.restart(SimDisk::Lost::kPower, seed);

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "cachefiles/disk.h"
#include "cachefiles/lock_classes.h"
#include "sync/mutex.h"

namespace netfs::cachefiles {

class SimDisk final : public Disk {
 public:
  enum class Call : uint8_t { kRead, kWrite, kTruncate, kSync, kOpen, kRemove, kRename, kMeta };
  enum class Lost : uint8_t {
    kNothing,  // all is on the disk
    kProcess,  // and nothing else: what was not synced is still to come to the disk
    kPower,
  };

  SimDisk() = default;

  // Changes (writes, truncations, syncs, names) so far.
  [[nodiscard]] uint64_t changes() const { return changes_.load(); }
  // The disk dies before change number `change` counted from now on is done.
  void crash_at(uint64_t change);
  void restart(Lost lost, uint64_t seed);
  [[nodiscard]] bool dead() const { return dead_.load(); }

  // Asked before each call; an errno makes it fail.  Empty: none.
  using Fault = std::function<int(Call call, const std::string& path)>;
  void set_fault(Fault fault);
  // Writes fail with ENOSPC beyond this.
  void set_capacity(uint64_t bytes);
  [[nodiscard]] uint64_t allocated_bytes();
  // Files open now, and the most that ever were.
  [[nodiscard]] uint64_t open_files() const { return open_files_.load(); }
  [[nodiscard]] uint64_t open_files_max() const { return open_files_max_.load(); }
  // What was opened otherwise than for reading only, so far, in order.
  [[nodiscard]] std::vector<std::string> opened_for_writing();
  // Flips one bit of a file, in what is read and in what is durable.
  void flip(const std::string& path, uint64_t bit);
  [[nodiscard]] std::vector<std::string> files();
  // Makes a file look as if the kernel had it mapped.
  void set_mapped(const std::string& name, bool mapped);

  Result<std::unique_ptr<DiskFile>> open(const std::string& path, OpenMode mode) override;
  Result<FileStat> stat(const std::string& path) override;
  Result<void> remove(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> make_directory(const std::string& path) override;
  Result<void> list(const std::string& path,
                    const std::function<void(const std::string&)>& sink) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<void> sync_all() override;
  Result<std::unique_ptr<DiskFile>> lock(const std::string& path) override;

 private:
  friend class SimFile;
  static constexpr uint64_t kSector = 512;
  static constexpr uint64_t kPage = 4096;
  struct Change {
    bool truncation = false;
    uint64_t offset = 0;  // or the size
    std::string data;
  };
  struct Node {
    bool directory = false;
    bool mapped = false;
    std::string bytes;
    std::string durable;
    std::set<uint64_t> pages;
    std::vector<Change> pending;
  };
  using NodeRef = std::shared_ptr<Node>;
  struct NameChange {
    std::string from;  // empty: created
    std::string to;    // empty: removed
    NodeRef node;
  };

  Result<void> begin(Call call, const std::string& path, bool change);
  static void apply(std::string& bytes, const Change& change);
  static void apply(std::map<std::string, NodeRef>& names, const NameChange& change);
  static std::string parent_of(const std::string& path);
  void keep_some(Node& node, std::mt19937_64& random);
  void settle(Lost lost, uint64_t seed) REQUIRES(mutex_);

  std::atomic<uint64_t> changes_{0};
  std::atomic<uint64_t> crash_at_{UINT64_MAX};
  std::atomic<bool> dead_{false};
  std::atomic<uint64_t> generation_{0};
  std::atomic<uint64_t> open_files_{0};
  std::atomic<uint64_t> open_files_max_{0};

  sync::Mutex mutex_{kSimDiskLock};
  Fault fault_ GUARDED_BY(mutex_);
  uint64_t capacity_ GUARDED_BY(mutex_) = UINT64_MAX;
  uint64_t allocated_ GUARDED_BY(mutex_) = 0;
  uint64_t locked_by_ GUARDED_BY(mutex_) = UINT64_MAX;  // a generation
  std::map<std::string, NodeRef> names_ GUARDED_BY(mutex_);
  std::map<std::string, NodeRef> durable_names_ GUARDED_BY(mutex_);
  std::vector<NameChange> pending_names_ GUARDED_BY(mutex_);
  std::vector<std::string> opened_for_writing_ GUARDED_BY(mutex_);
};

}  // namespace netfs::cachefiles
