#include "cachefiles/sqlite_index.h"

#include <sqlite3.h>

#include "cachefiles/limits.h"
#include "telemetry/log.h"

namespace netfs::cachefiles {

namespace {

// The first key after all that begin with `prefix`; empty when there is none.
std::string after_prefix(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

}  // namespace

// One connection with its statements, all finalized before it closes.
class SqliteConnection {
 public:
  enum Statement { kGet, kScan, kPut, kRemove, kRemoveRange, kBegin, kCommit, kRollback, kCount };

  ~SqliteConnection() {
    for (sqlite3_stmt* statement : statements_) sqlite3_finalize(statement);
    sqlite3_close(db_);
  }

  int open(const char* vfs, int flags) {
    return sqlite3_open_v2(SqliteIndex::kFile, &db_, flags | SQLITE_OPEN_NOMUTEX, vfs);
  }
  int run(const char* sql) { return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr); }

  int reserve_page_bytes() {
    int bytes = SqliteVfs::kReservedBytes;
    return sqlite3_file_control(db_, "main", SQLITE_FCNTL_RESERVE_BYTES, &bytes);
  }

  int prepare(bool for_writing) {
    static constexpr const char* kText[kCount] = {"SELECT v FROM kv WHERE k=?1",
                                                  "SELECT k,v FROM kv WHERE k>=?1 ORDER BY k",
                                                  "INSERT OR REPLACE INTO kv VALUES(?1,?2)",
                                                  "DELETE FROM kv WHERE k=?1",
                                                  "DELETE FROM kv WHERE k>=?1 AND k<?2",
                                                  "BEGIN IMMEDIATE",
                                                  "COMMIT",
                                                  "ROLLBACK"};
    const int count = for_writing ? kCount : kPut;
    for (int i = 0; i < count; ++i) {
      const int code = sqlite3_prepare_v3(db_, kText[i], -1, SQLITE_PREPARE_PERSISTENT,
                                          &statements_[i], nullptr);
      if (code != SQLITE_OK) return code;
    }
    return SQLITE_OK;
  }

  sqlite3_stmt* statement(Statement which) { return statements_[which]; }
  int bind(Statement which, int place, std::string_view bytes) {
    return sqlite3_bind_blob(statements_[which], place, bytes.data(),
                             static_cast<int>(bytes.size()), SQLITE_STATIC);
  }
  // Runs a statement that gives no rows.
  int step_once(Statement which) {
    const int code = sqlite3_step(statements_[which]);
    const int reset = sqlite3_reset(statements_[which]);
    return code == SQLITE_DONE ? reset : code == SQLITE_ROW ? SQLITE_OK : extended(code);
  }
  std::string_view column(Statement which, int place) {
    const auto* data = static_cast<const char*>(sqlite3_column_blob(statements_[which], place));
    const int bytes = sqlite3_column_bytes(statements_[which], place);
    return {data, data ? static_cast<size_t>(bytes) : 0};
  }
  int extended(int code) { return db_ ? sqlite3_extended_errcode(db_) : code; }
  bool in_transaction() { return sqlite3_get_autocommit(db_) == 0; }
  sqlite3* handle() { return db_; }

 private:
  sqlite3* db_ = nullptr;
  sqlite3_stmt* statements_[kCount] = {};
};

// A reader's connection for the length of one call.
class SqliteIndex::Loan {
 public:
  explicit Loan(SqliteIndex& index) : index_(index) {
    sync::MutexLock lock(index.mutex_);
    // A rebuild waits for the disk, a reader never does so behind a writer: it is told at once.
    while (index.idle_.empty() && !index.rebuilding_ && index.lent_ > 0) {
      index.returned_.wait(index.mutex_);
    }
    if (index.rebuilding_ || index.idle_.empty()) return;
    connection_ = std::move(index.idle_.back());
    index.idle_.pop_back();
    ++index.lent_;
  }
  ~Loan() {
    if (!connection_) return;
    sync::MutexLock lock(index_.mutex_);
    index_.idle_.push_back(std::move(connection_));
    --index_.lent_;
    index_.returned_.notify_all();
  }
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;
  explicit operator bool() const { return connection_ != nullptr; }
  SqliteConnection* operator->() { return connection_.get(); }

 private:
  SqliteIndex& index_;
  std::unique_ptr<SqliteConnection> connection_;
};

// The right to use the writer's connection.
class SqliteIndex::WriterTurn {
 public:
  explicit WriterTurn(SqliteIndex& index) : index_(index) {
    sync::MutexLock lock(index.mutex_);
    while (index.writing_) index.returned_.wait(index.mutex_);
    index.writing_ = true;
  }
  ~WriterTurn() {
    sync::MutexLock lock(index_.mutex_);
    index_.writing_ = false;
    index_.returned_.notify_all();
  }
  WriterTurn(const WriterTurn&) = delete;
  WriterTurn& operator=(const WriterTurn&) = delete;

 private:
  SqliteIndex& index_;
};

Result<std::unique_ptr<SqliteIndex>> SqliteIndex::create(Disk& disk) {
  std::unique_ptr<SqliteIndex> index(new SqliteIndex(disk));
  TRY(index->open_connections());
  index->measure();
  return index;
}

SqliteIndex::SqliteIndex(Disk& disk) : disk_(disk), vfs_(disk) {}

SqliteIndex::~SqliteIndex() {
  close_connections();
}

Error SqliteIndex::error_of(int code, const char* context) const {
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Error(EUCLEAN, context);
    case SQLITE_FULL:
      return Error(vfs_.last_errno() == EDQUOT ? EDQUOT : ENOSPC, context);
    case SQLITE_NOMEM:
      return Error(ENOMEM, context);
    case SQLITE_BUSY:
      return Error(EBUSY, context);
    default:
      break;
  }
  if (code == SQLITE_IOERR_DATA || code == SQLITE_IOERR_CORRUPTFS) return Error(EUCLEAN, context);
  if (code == SQLITE_IOERR_SHORT_READ) return Error(EUCLEAN, context);
  const int reason = vfs_.last_errno();
  return Error(reason != 0 ? reason : EIO, context);
}

Result<void> SqliteIndex::open_connections() {
  auto writer = std::make_unique<SqliteConnection>();
  int code = writer->open(vfs_.writer_name(), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  if (code == SQLITE_OK) writer->reserve_page_bytes();
  // Temporary tables would be files: kept in memory.  Checkpoints are ours to time.
  const char* const kSetUp =
      "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
      "PRAGMA wal_autocheckpoint=0; PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON;"
      "PRAGMA trusted_schema=OFF; PRAGMA mmap_size=0; PRAGMA cache_size=-8192;"
      "CREATE TABLE IF NOT EXISTS kv(k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID;";
  if (code == SQLITE_OK) code = writer->run(kSetUp);
  if (code == SQLITE_OK) code = writer->prepare(true);
  if (code != SQLITE_OK) return error_of(writer->extended(code), "cachefiles.index.open");
  writer_ = std::move(writer);
  for (size_t i = 0; i < kIndexReaders; ++i) {
    auto reader = std::make_unique<SqliteConnection>();
    code = reader->open(vfs_.reader_name(), SQLITE_OPEN_READONLY);
    if (code == SQLITE_OK) {
      code = reader->run("PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA cache_size=-2048");
    }
    if (code == SQLITE_OK) code = reader->prepare(false);
    if (code != SQLITE_OK) return error_of(reader->extended(code), "cachefiles.index.open");
    sync::MutexLock lock(mutex_);
    idle_.push_back(std::move(reader));
  }
  return {};
}

void SqliteIndex::close_connections() {
  std::vector<std::unique_ptr<SqliteConnection>> readers;
  {
    sync::MutexLock lock(mutex_);
    NETFS_ASSERT(lent_ == 0);
    readers.swap(idle_);
  }
  readers.clear();
  writer_.reset();
}

void SqliteIndex::measure() {
  const Result<FileStat> tables = disk_.stat("index");
  const Result<FileStat> log = disk_.stat("index-wal");
  const uint64_t log_bytes = log.ok() ? log.value().allocated_bytes : 0;
  const uint64_t table_bytes = tables.ok() ? tables.value().allocated_bytes : 0;
  log_bytes_.store(log_bytes, std::memory_order_relaxed);
  used_bytes_.store(table_bytes + log_bytes, std::memory_order_relaxed);
}

Result<std::optional<std::string>> SqliteIndex::get(std::string_view key) {
  Loan reader(*this);
  if (!reader) return Error(EIO, "cachefiles.index.get");
  using Statement = SqliteConnection::Statement;
  reader->bind(Statement::kGet, 1, key);
  const int code = sqlite3_step(reader->statement(Statement::kGet));
  std::optional<std::string> value;
  if (code == SQLITE_ROW) value = std::string(reader->column(Statement::kGet, 0));
  const int why = code == SQLITE_ROW || code == SQLITE_DONE ? code : reader->extended(code);
  sqlite3_reset(reader->statement(Statement::kGet));
  if (code != SQLITE_ROW && code != SQLITE_DONE) return error_of(why, "cachefiles.index.get");
  return value;
}

Result<void> SqliteIndex::scan(std::string_view prefix, std::string_view from, const Sink& sink) {
  Loan reader(*this);
  if (!reader) return Error(EIO, "cachefiles.index.scan");
  using Statement = SqliteConnection::Statement;
  reader->bind(Statement::kScan, 1, std::max(prefix, from));
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(reader->statement(Statement::kScan))) == SQLITE_ROW) {
    const std::string_view key = reader->column(Statement::kScan, 0);
    if (!key.starts_with(prefix)) break;
    if (!sink(key, reader->column(Statement::kScan, 1))) break;
  }
  const int why = code == SQLITE_ROW || code == SQLITE_DONE ? code : reader->extended(code);
  sqlite3_reset(reader->statement(Statement::kScan));
  if (code != SQLITE_ROW && code != SQLITE_DONE) return error_of(why, "cachefiles.index.scan");
  return {};
}

Result<void> SqliteIndex::change(const IndexBatch::Change& change) {
  using Statement = SqliteConnection::Statement;
  int code = SQLITE_OK;
  switch (change.kind) {
    case IndexBatch::Kind::kPut:
      writer_->bind(Statement::kPut, 1, change.key);
      writer_->bind(Statement::kPut, 2, change.value);
      code = writer_->step_once(Statement::kPut);
      break;
    case IndexBatch::Kind::kRemove:
      writer_->bind(Statement::kRemove, 1, change.key);
      code = writer_->step_once(Statement::kRemove);
      break;
    case IndexBatch::Kind::kRemovePrefix: {
      const std::string end = after_prefix(change.key);
      writer_->bind(Statement::kRemoveRange, 1, change.key);
      writer_->bind(Statement::kRemoveRange, 2, end);
      code = writer_->step_once(Statement::kRemoveRange);
      break;
    }
  }
  if (code != SQLITE_OK) return error_of(code, "cachefiles.index.apply");
  return {};
}

Result<void> SqliteIndex::apply_all(const IndexBatch& batch) {
  using Statement = SqliteConnection::Statement;
  int code = writer_->step_once(Statement::kBegin);
  if (code != SQLITE_OK) return error_of(code, "cachefiles.index.apply");
  for (const IndexBatch::Change& one : batch.changes()) TRY(change(one));
  code = writer_->step_once(Statement::kCommit);
  if (code != SQLITE_OK) return error_of(code, "cachefiles.index.apply");
  return {};
}

Result<void> SqliteIndex::apply(const IndexBatch& batch) {
  if (batch.empty()) return {};
  WriterTurn turn(*this);
  if (!writer_) return Error(EIO, "cachefiles.index.apply");
  Result<void> done = apply_all(batch);
  if (!done.ok() && writer_->in_transaction()) {
    writer_->step_once(SqliteConnection::Statement::kRollback);
  }
  measure();
  return done;
}

Result<void> SqliteIndex::checkpoint(uint64_t log_bytes_min) {
  if (log_bytes_.load(std::memory_order_relaxed) < log_bytes_min) return {};
  WriterTurn turn(*this);
  if (!writer_) return Error(EIO, "cachefiles.index.checkpoint");
  const int code = sqlite3_wal_checkpoint_v2(writer_->handle(), nullptr, SQLITE_CHECKPOINT_TRUNCATE,
                                             nullptr, nullptr);
  measure();
  // A reader in the middle of a scan puts off the rest: the next one does it.
  if (code != SQLITE_OK && code != SQLITE_BUSY) {
    return error_of(writer_->extended(code), "cachefiles.index.checkpoint");
  }
  return {};
}

Result<void> SqliteIndex::set_aside(Disk& disk) {
  for (const char* file : {"index-wal", "index-journal"}) {
    const Result<void> gone = disk.remove(file);
    if (!gone.ok() && !gone.is_error(ENOENT)) return gone.error();
  }
  const Result<void> renamed = disk.rename(kFile, "index.damaged");
  if (!renamed.ok() && !renamed.is_error(ENOENT)) return renamed.error();
  return disk.sync_directory(".");
}

Result<void> SqliteIndex::rebuild() {
  WriterTurn turn(*this);
  {
    sync::MutexLock lock(mutex_);
    rebuilding_ = true;
    while (lent_ > 0) returned_.wait(mutex_);
  }
  close_connections();
  Result<void> done = set_aside(disk_);
  if (done.ok()) done = open_connections();
  measure();
  sync::MutexLock lock(mutex_);
  rebuilding_ = false;
  returned_.notify_all();
  return done;
}

}  // namespace netfs::cachefiles
