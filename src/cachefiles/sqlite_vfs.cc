#include "cachefiles/sqlite_vfs.h"

#include <array>
#include <cstring>
#include <spdlog/fmt/fmt.h>
#include <sqlite3.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "cachefiles/lock_classes.h"

namespace netfs::cachefiles {

namespace {

constexpr int kShmLocks = SQLITE_SHM_NLOCK;

}  // namespace

// Each field is guarded by `mutex`; the contents of the regions by SQLite's own protocol of locks
// and barriers.
struct SqliteVfs::Shared {
  sync::Mutex mutex{kWalIndexLock};
  // The five levels of a database file: how many connections read, and which one writes.
  int shared_count GUARDED_BY(mutex) = 0;
  const void* reserved_by GUARDED_BY(mutex) = nullptr;
  const void* exclusive_by GUARDED_BY(mutex) = nullptr;
  // The wal-index: regions of memory, and eight locks.
  std::vector<std::unique_ptr<char[]>> regions GUARDED_BY(mutex);
  std::array<int, kShmLocks> shm_shared GUARDED_BY(mutex) = {};
  std::array<const void*, kShmLocks> shm_exclusive GUARDED_BY(mutex) = {};
  int shm_users GUARDED_BY(mutex) = 0;
};

namespace {

struct VfsFile {
  sqlite3_file base;
  SqliteVfs* vfs;
  std::unique_ptr<DiskFile>* file;             // owned
  std::shared_ptr<SqliteVfs::Shared>* shared;  // owned; of a database only
  std::string* directory_to_sync;              // owned; set until a new file's first sync
  std::string* delete_on_close;                // owned
  int level;
  unsigned shm_shared;     // bits of locks held
  unsigned shm_exclusive;  // bits of locks held
  bool shm_mapped;
};

VfsFile& file_of(sqlite3_file* file) {
  return *reinterpret_cast<VfsFile*>(file);
}

uint32_t page_crc(const char* page, int bytes, sqlite3_int64 offset) {
  // The place is part of the sum, so a page written elsewhere is found.
  const auto where = static_cast<uint64_t>(offset);
  const uint32_t seed = crc32c(std::as_bytes(std::span(&where, 1)));
  const auto body = static_cast<size_t>(bytes - SqliteVfs::kReservedBytes);
  return crc32c(std::as_bytes(std::span(page, body)), seed);
}

}  // namespace

// SQLite's calls; a friend, so that they reach the VFS they belong to.
struct VfsCalls {
  static int failed(SqliteVfs& vfs, const Error& error, int otherwise) {
    vfs.last_errno_.store(error.code(), std::memory_order_relaxed);
    if (error.code() == ENOSPC || error.code() == EDQUOT) return SQLITE_FULL;
    return otherwise;
  }

  static int close(sqlite3_file* raw) {
    VfsFile& f = file_of(raw);
    unlock(raw, SQLITE_LOCK_NONE);
    f.file->reset();
    if (f.delete_on_close) (void)f.vfs->disk_.remove(*f.delete_on_close).ok();
    delete f.delete_on_close;
    delete f.file;
    delete f.shared;
    delete f.directory_to_sync;
    return SQLITE_OK;
  }

  static bool is_whole_page(const VfsFile& f, int bytes, sqlite3_int64 offset) {
    return f.shared && bytes >= 512 && (bytes & (bytes - 1)) == 0 && offset % bytes == 0;
  }

  static int read(sqlite3_file* raw, void* to, int bytes, sqlite3_int64 offset) {
    VfsFile& f = file_of(raw);
    auto* out = static_cast<std::byte*>(to);
    const Result<size_t> got =
        (*f.file)->read(static_cast<uint64_t>(offset), {out, static_cast<size_t>(bytes)});
    if (!got.ok()) return failed(*f.vfs, got.error(), SQLITE_IOERR_READ);
    if (got.value() < static_cast<size_t>(bytes)) {
      std::memset(out + got.value(), 0, static_cast<size_t>(bytes) - got.value());
      return SQLITE_IOERR_SHORT_READ;
    }
    if (!is_whole_page(f, bytes, offset)) return SQLITE_OK;
    const char* page = static_cast<const char*>(to);
    uint32_t stored = 0;
    std::memcpy(&stored, page + bytes - SqliteVfs::kReservedBytes, sizeof stored);
    if (stored == page_crc(page, bytes, offset)) return SQLITE_OK;
    f.vfs->damaged_pages_.fetch_add(1, std::memory_order_relaxed);
    f.vfs->last_errno_.store(EUCLEAN, std::memory_order_relaxed);
    return SQLITE_IOERR_DATA;
  }

  static int write(sqlite3_file* raw, const void* from, int bytes, sqlite3_int64 offset) {
    VfsFile& f = file_of(raw);
    const char* data = static_cast<const char*>(from);
    std::string page;
    if (is_whole_page(f, bytes, offset)) {
      page.assign(data, static_cast<size_t>(bytes));
      const uint32_t crc = page_crc(data, bytes, offset);
      std::memcpy(page.data() + bytes - SqliteVfs::kReservedBytes, &crc, sizeof crc);
      data = page.data();
    }
    const Result<void> done = (*f.file)->write(
        static_cast<uint64_t>(offset), std::as_bytes(std::span(data, static_cast<size_t>(bytes))));
    if (!done.ok()) return failed(*f.vfs, done.error(), SQLITE_IOERR_WRITE);
    return SQLITE_OK;
  }

  static int truncate(sqlite3_file* raw, sqlite3_int64 size) {
    VfsFile& f = file_of(raw);
    const Result<void> done = (*f.file)->truncate(static_cast<uint64_t>(size));
    return done.ok() ? SQLITE_OK : failed(*f.vfs, done.error(), SQLITE_IOERR_TRUNCATE);
  }

  static int sync(sqlite3_file* raw, int) {
    VfsFile& f = file_of(raw);
    Result<void> done = (*f.file)->sync_data();
    if (done.ok() && f.directory_to_sync) {
      done = f.vfs->disk_.sync_directory(*f.directory_to_sync);
      if (done.ok()) {
        delete f.directory_to_sync;
        f.directory_to_sync = nullptr;
      }
    }
    return done.ok() ? SQLITE_OK : failed(*f.vfs, done.error(), SQLITE_IOERR_FSYNC);
  }

  static int file_size(sqlite3_file* raw, sqlite3_int64* size) {
    VfsFile& f = file_of(raw);
    const Result<FileStat> st = (*f.file)->stat();
    if (!st.ok()) return failed(*f.vfs, st.error(), SQLITE_IOERR_FSTAT);
    *size = static_cast<sqlite3_int64>(st.value().size_bytes);
    return SQLITE_OK;
  }

  static int lock(sqlite3_file* raw, int level) {
    VfsFile& f = file_of(raw);
    if (!f.shared || f.level >= level) return SQLITE_OK;
    SqliteVfs::Shared& shared = **f.shared;
    sync::MutexLock hold(shared.mutex);
    const void* me = raw;
    if (shared.exclusive_by && shared.exclusive_by != me) return SQLITE_BUSY;
    if (level == SQLITE_LOCK_SHARED) {
      ++shared.shared_count;
    } else {
      if (shared.reserved_by && shared.reserved_by != me) return SQLITE_BUSY;
      shared.reserved_by = me;
      if (level == SQLITE_LOCK_EXCLUSIVE) {
        if (shared.shared_count > 1) return SQLITE_BUSY;
        shared.exclusive_by = me;
      }
    }
    f.level = level;
    return SQLITE_OK;
  }

  static int unlock(sqlite3_file* raw, int level) {
    VfsFile& f = file_of(raw);
    if (!f.shared || f.level <= level) return SQLITE_OK;
    SqliteVfs::Shared& shared = **f.shared;
    sync::MutexLock hold(shared.mutex);
    const void* me = raw;
    if (shared.exclusive_by == me) shared.exclusive_by = nullptr;
    if (shared.reserved_by == me) shared.reserved_by = nullptr;
    if (level == SQLITE_LOCK_NONE) --shared.shared_count;
    f.level = level;
    return SQLITE_OK;
  }

  static int check_reserved(sqlite3_file* raw, int* out) {
    VfsFile& f = file_of(raw);
    *out = 0;
    if (!f.shared) return SQLITE_OK;
    sync::MutexLock hold((*f.shared)->mutex);
    *out = (*f.shared)->reserved_by != nullptr;
    return SQLITE_OK;
  }

  static int file_control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
  static int sector_size(sqlite3_file*) { return 4096; }
  // What unix assumes of disks: a write changes no byte beside its own.
  static int characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

  static int shm_map(sqlite3_file* raw, int region, int bytes, int extend, void volatile** out) {
    VfsFile& f = file_of(raw);
    SqliteVfs::Shared& shared = **f.shared;
    sync::MutexLock hold(shared.mutex);
    if (!f.shm_mapped) {
      f.shm_mapped = true;
      ++shared.shm_users;
    }
    *out = nullptr;
    while (static_cast<size_t>(region) >= shared.regions.size()) {
      if (!extend) return SQLITE_OK;
      shared.regions.push_back(std::make_unique<char[]>(static_cast<size_t>(bytes)));
    }
    *out = shared.regions[static_cast<size_t>(region)].get();
    return SQLITE_OK;
  }

  static bool shm_free_locked(SqliteVfs::Shared& shared, const VfsFile& f, int slot, bool for_write)
      REQUIRES(shared.mutex) {
    const auto i = static_cast<size_t>(slot);
    if (shared.shm_exclusive[i] && shared.shm_exclusive[i] != &f) return false;
    const int own = (f.shm_shared >> slot & 1) != 0 ? 1 : 0;
    return !for_write || shared.shm_shared[i] <= own;
  }

  static int shm_lock(sqlite3_file* raw, int first, int count, int flags) {
    VfsFile& f = file_of(raw);
    SqliteVfs::Shared& shared = **f.shared;
    const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    sync::MutexLock hold(shared.mutex);
    if ((flags & SQLITE_SHM_LOCK) != 0) {
      for (int slot = first; slot < first + count; ++slot) {
        if (!shm_free_locked(shared, f, slot, exclusive)) return SQLITE_BUSY;
      }
    }
    for (int slot = first; slot < first + count; ++slot) {
      const auto i = static_cast<size_t>(slot);
      const unsigned bit = 1u << slot;
      if ((flags & SQLITE_SHM_UNLOCK) != 0) {
        if (f.shm_exclusive & bit) shared.shm_exclusive[i] = nullptr;
        if (f.shm_shared & bit) --shared.shm_shared[i];
        f.shm_exclusive &= ~bit;
        f.shm_shared &= ~bit;
      } else if (exclusive) {
        shared.shm_exclusive[i] = &f;
        f.shm_exclusive |= bit;
      } else if ((f.shm_shared & bit) == 0) {
        ++shared.shm_shared[i];
        f.shm_shared |= bit;
      }
    }
    return SQLITE_OK;
  }

  static void shm_barrier(sqlite3_file* raw) {
    // The mutex orders more than a fence does, and what looks for races understands it.
    sync::MutexLock hold((*file_of(raw).shared)->mutex);
  }

  static int shm_unmap(sqlite3_file* raw, int) {
    VfsFile& f = file_of(raw);
    shm_lock(raw, 0, kShmLocks, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED);
    SqliteVfs::Shared& shared = **f.shared;
    sync::MutexLock hold(shared.mutex);
    if (f.shm_mapped && --shared.shm_users == 0) shared.regions.clear();
    f.shm_mapped = false;
    return SQLITE_OK;
  }

  static SqliteVfs& vfs_of(sqlite3_vfs* vfs) { return *static_cast<SqliteVfs*>(vfs->pAppData); }

  static OpenMode mode_of(bool may_write, int flags) {
    if (!may_write) return OpenMode::kRead;
    if ((flags & SQLITE_OPEN_CREATE) == 0) return OpenMode::kReadWrite;
    return (flags & SQLITE_OPEN_EXCLUSIVE) != 0 ? OpenMode::kCreateNew : OpenMode::kCreate;
  }

  static int open(sqlite3_vfs* raw_vfs, const char* name, sqlite3_file* raw, int flags,
                  int* out_flags) {
    SqliteVfs& vfs = vfs_of(raw_vfs);
    raw->pMethods = nullptr;
    if (!name) return SQLITE_CANTOPEN;  // temporary files stay in memory: temp_store
    const bool may_write = raw_vfs->zName == vfs.writer_name_;
    const bool is_new = !vfs.disk_.stat(name).ok();
    Result<std::unique_ptr<DiskFile>> file = vfs.disk_.open(name, mode_of(may_write, flags));
    if (!file.ok()) return failed(vfs, file.error(), SQLITE_CANTOPEN);
    VfsFile& f = file_of(raw);
    std::memset(&f, 0, sizeof f);
    f.vfs = &vfs;
    f.file = new std::unique_ptr<DiskFile>(std::move(file).value());
    if (is_new) f.directory_to_sync = new std::string(".");
    if ((flags & SQLITE_OPEN_DELETEONCLOSE) != 0) f.delete_on_close = new std::string(name);
    if ((flags & SQLITE_OPEN_MAIN_DB) != 0) {
      sync::MutexLock hold(vfs.mutex_);
      std::shared_ptr<SqliteVfs::Shared>& shared = vfs.shared_[name];
      if (!shared) shared = std::make_shared<SqliteVfs::Shared>();
      f.shared = new std::shared_ptr<SqliteVfs::Shared>(shared);
    }
    static const sqlite3_io_methods kMethods = {2,
                                                close,
                                                read,
                                                write,
                                                truncate,
                                                sync,
                                                file_size,
                                                lock,
                                                unlock,
                                                check_reserved,
                                                file_control,
                                                sector_size,
                                                characteristics,
                                                shm_map,
                                                shm_lock,
                                                shm_barrier,
                                                shm_unmap,
                                                nullptr,
                                                nullptr};
    raw->pMethods = &kMethods;
    if (out_flags) *out_flags = may_write ? flags : (flags & ~6) | SQLITE_OPEN_READONLY;
    return SQLITE_OK;
  }

  static int remove(sqlite3_vfs* raw_vfs, const char* name, int sync_directory) {
    SqliteVfs& vfs = vfs_of(raw_vfs);
    const Result<void> done = vfs.disk_.remove(name);
    if (done.is_error(ENOENT)) return SQLITE_IOERR_DELETE_NOENT;
    if (!done.ok()) return failed(vfs, done.error(), SQLITE_IOERR_DELETE);
    if (sync_directory) {
      const Result<void> synced = vfs.disk_.sync_directory(".");
      if (!synced.ok()) return failed(vfs, synced.error(), SQLITE_IOERR_DIR_FSYNC);
    }
    return SQLITE_OK;
  }

  static int access(sqlite3_vfs* raw_vfs, const char* name, int, int* out) {
    const Result<FileStat> st = vfs_of(raw_vfs).disk_.stat(name);
    // As unix has it: an empty file does not count as there.
    *out = st.ok() && st.value().size_bytes > 0;
    return SQLITE_OK;
  }

  static int full_pathname(sqlite3_vfs*, const char* name, int bytes, char* out) {
    sqlite3_snprintf(bytes, out, "%s", name);
    return SQLITE_OK;
  }

  static std::unique_ptr<sqlite3_vfs> make(SqliteVfs* self, const char* name) {
    const sqlite3_vfs* system = sqlite3_vfs_find(nullptr);
    NETFS_ASSERT(system);
    auto vfs = std::make_unique<sqlite3_vfs>();
    std::memset(vfs.get(), 0, sizeof *vfs);
    vfs->iVersion = 2;
    vfs->szOsFile = sizeof(VfsFile);
    vfs->mxPathname = 512;
    vfs->zName = name;
    vfs->pAppData = self;
    vfs->xOpen = open;
    vfs->xDelete = remove;
    vfs->xAccess = access;
    vfs->xFullPathname = full_pathname;
    vfs->xRandomness = system->xRandomness;
    vfs->xSleep = system->xSleep;
    vfs->xCurrentTime = system->xCurrentTime;
    vfs->xCurrentTimeInt64 = system->xCurrentTimeInt64;
    vfs->xGetLastError = [](sqlite3_vfs* v, int, char*) { return vfs_of(v).last_errno(); };
    sqlite3_vfs_register(vfs.get(), 0);
    return vfs;
  }
};

SqliteVfs::SqliteVfs(Disk& disk)
    : disk_(disk),
      writer_name_(fmt::format("netfs-writer-{}", static_cast<const void*>(this))),
      reader_name_(fmt::format("netfs-reader-{}", static_cast<const void*>(this))),
      mutex_(kWalIndexLock) {
  sqlite3_initialize();
  writer_ = VfsCalls::make(this, writer_name_.c_str());
  reader_ = VfsCalls::make(this, reader_name_.c_str());
}

SqliteVfs::~SqliteVfs() {
  sqlite3_vfs_unregister(writer_.get());
  sqlite3_vfs_unregister(reader_.get());
}

}  // namespace netfs::cachefiles
