#pragma once
// SqliteVfs: what SQLite calls instead of the system, so that the index goes through Disk.
//
// Why an own one: every byte of the index passes the same Disk as the data (so that tests can tear
// and forget both together); the wal-index lies on the heap and its locks are plain memory, so that
// readers touch no shared memory of a file system; a reader's connection opens its files O_RDONLY;
// and each page of the database carries a CRC32C in its last bytes, checked when it is read (the
// idea is SQLite's own cksumvfs).  One process owns the directory, so no lock of a file is needed.
//
// A VFS has two names: connections made under writer_name() may write, those under reader_name()
// cannot.  Thread-safe as far as each connection is used by one thread at a time.  Outlives its
// connections.

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cachefiles/disk.h"
#include "sync/mutex.h"

struct sqlite3_vfs;

namespace netfs::cachefiles {

class SqliteVfs {
 public:
  explicit SqliteVfs(Disk& disk);
  ~SqliteVfs();
  SqliteVfs(const SqliteVfs&) = delete;
  SqliteVfs& operator=(const SqliteVfs&) = delete;

  [[nodiscard]] const char* writer_name() const { return writer_name_.c_str(); }
  [[nodiscard]] const char* reader_name() const { return reader_name_.c_str(); }

  // The errno behind the last SQLITE_IOERR or SQLITE_FULL; 0 when it was a bad page.
  [[nodiscard]] int last_errno() const { return last_errno_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t damaged_pages() const {
    return damaged_pages_.load(std::memory_order_relaxed);
  }

  // Bytes of each page that SQLite leaves to us; the CRC is the first four of them.
  static constexpr int kReservedBytes = 8;

  // Locks and wal-index of one database, shared by its connections.
  struct Shared;

 private:
  friend struct VfsCalls;

  Disk& disk_;
  const std::string writer_name_;
  const std::string reader_name_;
  std::unique_ptr<sqlite3_vfs> writer_;
  std::unique_ptr<sqlite3_vfs> reader_;
  std::atomic<int> last_errno_{0};
  std::atomic<uint64_t> damaged_pages_{0};
  sync::Mutex mutex_;
  std::map<std::string, std::shared_ptr<Shared>> shared_ GUARDED_BY(mutex_);
};

}  // namespace netfs::cachefiles
