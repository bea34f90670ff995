#pragma once
// FileCache: the open data files, within a budget of descriptors, least recently used closed first.
//
// Readers get files opened O_RDONLY, the writer's side gets others.  An open file is held by Ref
// while it is used, so that it is closed under nobody.
//
// The last close of an unlinked file writes to its file system (its blocks are freed then) and so
// would wait for a frozen one: a reader must never do it.  Therefore retire() before an unlink, and
// from then on whoever drops such a file leaves it to close_retired(), which the writer's side
// calls.
//
// Thread-safe.  Nothing is opened, closed or waited for under its lock, but that retire() waits
// for closes of files that are still linked, which do not block.
//
//   Ref<OpenFile> file = TRY(files.reader(id, Waiting::kDisk));
//   TRY(file->disk_file().read(...));

#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ref.h"
#include "cachefiles/disk.h"
#include "cachefiles/lock_classes.h"
#include "cachefiles/records.h"
#include "cachefiles/space.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::cachefiles {

class FileCache;

// Where an object's bytes are, and where they wait until whoever maps them is gone.
[[nodiscard]] std::string data_directory(ObjectId object);
[[nodiscard]] std::string data_path(ObjectId object);
[[nodiscard]] std::string dead_path(ObjectId object);

class OpenFile : public RefCounted<OpenFile> {
 public:
  OpenFile(FileCache& cache, ObjectId object, std::unique_ptr<DiskFile> file)
      : cache_(cache), object_(object), file_(std::move(file)) {}
  ~OpenFile();
  [[nodiscard]] DiskFile& disk_file() { return *file_; }

 private:
  FileCache& cache_;
  const ObjectId object_;
  std::unique_ptr<DiskFile> file_;
};

class FileCache {
 public:
  FileCache(Disk& disk, Space& space, uint32_t budget);
  ~FileCache();

  // EAGAIN (kNever): it is not open.  ENOENT and others of the disk.
  Result<Ref<OpenFile>> reader(ObjectId object, Waiting waiting);
  // Readable and writable; made if `mode` says so.
  Result<Ref<OpenFile>> writer(ObjectId object, OpenMode mode);

  // Drops what is cached of an object, for who tests whether somebody else has it open.
  void forget(ObjectId object);
  // The object's file is about to be unlinked; end with removed().
  void retire(ObjectId object);
  // It was unlinked; `charged_bytes` are given back to Space once nobody has it open here.
  void removed(ObjectId object, uint64_t charged_bytes);
  // Closes what is left of retired files.  Waits for the disk.
  void close_retired();

  [[nodiscard]] size_t open_count() const;

 private:
  friend class OpenFile;
  // Files for readers and files for the writer's side have a share of the budget each: a reader
  // must not be the one who closes a file that was written, which may wait for the disk.
  struct Share {
    uint32_t cached_max = 0;
    std::list<ObjectId> recency;  // the most recent first
  };
  struct Slot {
    Ref<OpenFile> file;
    std::list<ObjectId>::iterator recency;  // valid while there is a file
  };
  struct Entry {
    Slot slots[2];         // by Kind
    uint32_t open = 0;     // opened or being opened, cached or not
    uint32_t closing = 0;  // being closed right now by who used it last
    bool retired = false;
    bool removed = false;
    uint64_t charged_bytes = 0;
  };
  enum Kind : uint8_t { kForReader, kForWriter };

  Ref<OpenFile> find(ObjectId object, Kind kind);
  Result<Ref<OpenFile>> open(ObjectId object, OpenMode mode, Kind kind);
  void close(ObjectId object, std::unique_ptr<DiskFile> file);
  Ref<OpenFile> drop_locked(Entry& entry, Kind kind) REQUIRES(mutex_);
  void tidy_locked(ObjectId object) REQUIRES(mutex_);

  Disk& disk_;
  Space& space_;
  mutable sync::Mutex mutex_{kFilesLock};
  sync::CondVar closed_;
  std::unordered_map<ObjectId, Entry> entries_ GUARDED_BY(mutex_);
  Share shares_[2] GUARDED_BY(mutex_);
  size_t open_ GUARDED_BY(mutex_) = 0;
  std::vector<std::pair<ObjectId, std::unique_ptr<DiskFile>>> to_close_ GUARDED_BY(mutex_);
};

}  // namespace netfs::cachefiles
