#pragma once
// SqliteIndex: the Index in one SQLite database, in WAL mode, through SqliteVfs.
//
// One table of keys and values.  One connection writes; a few others, made when the index is
// opened, only read, and each is lent to one thread at a time: nobody holds a lock while SQLite
// reads or writes.  docs/decisions/0001-index-engine.md says why SQLite.
//
// Errors of create(): those of Index; EUCLEAN is answered by set_aside() and another create().

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "cachefiles/disk.h"
#include "cachefiles/index.h"
#include "cachefiles/lock_classes.h"
#include "cachefiles/sqlite_vfs.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::cachefiles {

class SqliteConnection;

class SqliteIndex final : public Index {
 public:
  static constexpr const char* kFile = "index";

  static Result<std::unique_ptr<SqliteIndex>> create(Disk& disk);
  ~SqliteIndex() override;

  // Renames a damaged index of a disk to index.damaged; the one before goes.
  static Result<void> set_aside(Disk& disk);

  Result<std::optional<std::string>> get(std::string_view key) override;
  Result<void> scan(std::string_view prefix, std::string_view from, const Sink& sink) override;
  Result<void> apply(const IndexBatch& batch) override;
  Result<void> checkpoint(uint64_t log_bytes_min) override;
  Result<void> rebuild() override;
  [[nodiscard]] uint64_t used_bytes() const override {
    return used_bytes_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] uint64_t needed_bytes() const override {
    return used_bytes() + log_bytes_.load(std::memory_order_relaxed);
  }

 private:
  class Loan;
  class WriterTurn;

  explicit SqliteIndex(Disk& disk);
  Result<void> open_connections();
  void close_connections();
  void measure();
  [[nodiscard]] Error error_of(int code, const char* context) const;
  Result<void> change(const IndexBatch::Change& change);
  Result<void> apply_all(const IndexBatch& batch);

  Disk& disk_;
  SqliteVfs vfs_;
  std::atomic<uint64_t> used_bytes_{0};
  std::atomic<uint64_t> log_bytes_{0};

  sync::Mutex mutex_{kIndexLock};
  sync::CondVar returned_;  // a reader came back, or the writer's turn ended
  std::vector<std::unique_ptr<SqliteConnection>> idle_ GUARDED_BY(mutex_);
  size_t lent_ GUARDED_BY(mutex_) = 0;
  bool rebuilding_ GUARDED_BY(mutex_) = false;
  bool writing_ GUARDED_BY(mutex_) = false;
  // Used by whoever has the writer's turn.
  std::unique_ptr<SqliteConnection> writer_;
};

}  // namespace netfs::cachefiles
