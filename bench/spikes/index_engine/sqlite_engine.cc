#include <sqlite3.h>

#include "engine.h"

namespace {

// WAL on the unix-excl VFS: the wal-index is on the heap, so readers write no shared memory.
class Sqlite final : public Engine {
 public:
  ~Sqlite() override {
    for (sqlite3_stmt* s : {put_, get_, scan_}) sqlite3_finalize(s);
    sqlite3_close(reader_);
    sqlite3_close(writer_);
  }
  std::string open(const std::string& directory) override {
    const std::string file = directory + "/index";
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    std::string error = open_one(file, flags, &writer_);
    if (error.empty()) error = run(writer_, "PRAGMA journal_mode=WAL");
    if (error.empty()) {
      error = run(writer_,
                  "CREATE TABLE IF NOT EXISTS kv(k BLOB PRIMARY KEY, v BLOB NOT NULL)"
                  " WITHOUT ROWID");
    }
    if (error.empty()) error = open_one(file, flags, &reader_);
    if (!error.empty()) return error;
    return prepare();
  }
  std::string commit(const std::vector<Pair>& batch) override {
    std::string error = run(writer_, "BEGIN IMMEDIATE");
    for (size_t i = 0; error.empty() && i < batch.size(); ++i) {
      bind(put_, 1, batch[i].key);
      bind(put_, 2, batch[i].value);
      if (sqlite3_step(put_) != SQLITE_DONE) error = sqlite3_errmsg(writer_);
      sqlite3_reset(put_);
    }
    if (!error.empty()) {
      run(writer_, "ROLLBACK");
      return error;
    }
    return run(writer_, "COMMIT");
  }
  std::string get(std::string_view wanted, std::string* value) override {
    bind(get_, 1, wanted);
    const int rc = sqlite3_step(get_);
    if (rc == SQLITE_ROW) value->assign(column(get_, 0));
    const std::string error = rc == SQLITE_ROW    ? ""
                              : rc == SQLITE_DONE ? "not found"
                                                  : sqlite3_errmsg(reader_);
    sqlite3_reset(get_);
    return error;
  }
  std::string scan(const std::function<void(std::string_view, std::string_view)>& sink) override {
    int rc = SQLITE_ROW;
    while ((rc = sqlite3_step(scan_)) == SQLITE_ROW) sink(column(scan_, 0), column(scan_, 1));
    const std::string error = rc == SQLITE_DONE ? "" : sqlite3_errmsg(reader_);
    sqlite3_reset(scan_);
    return error;
  }
  std::string flush_all() override { return run(writer_, "PRAGMA wal_checkpoint(TRUNCATE)"); }

 private:
  static std::string open_one(const std::string& file, int flags, sqlite3** out) {
    if (sqlite3_open_v2(file.c_str(), out, flags, "unix-excl") != SQLITE_OK) {
      return sqlite3_errmsg(*out);
    }
    return run(*out,
               "PRAGMA synchronous=FULL; PRAGMA cache_size=-8192; PRAGMA mmap_size=0;"
               "PRAGMA cell_size_check=ON");
  }
  std::string prepare() {
    const char* put = "INSERT OR REPLACE INTO kv VALUES(?,?)";
    if (sqlite3_prepare_v2(writer_, put, -1, &put_, nullptr)) return sqlite3_errmsg(writer_);
    const char* get = "SELECT v FROM kv WHERE k=?";
    if (sqlite3_prepare_v2(reader_, get, -1, &get_, nullptr)) return sqlite3_errmsg(reader_);
    const char* scan = "SELECT k,v FROM kv ORDER BY k";
    if (sqlite3_prepare_v2(reader_, scan, -1, &scan_, nullptr)) return sqlite3_errmsg(reader_);
    return "";
  }
  static std::string run(sqlite3* db, const char* sql) {
    return sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK ? "" : sqlite3_errmsg(db);
  }
  static void bind(sqlite3_stmt* s, int i, std::string_view v) {
    sqlite3_bind_blob(s, i, v.data(), static_cast<int>(v.size()), SQLITE_STATIC);
  }
  static std::string_view column(sqlite3_stmt* s, int i) {
    const auto* data = static_cast<const char*>(sqlite3_column_blob(s, i));
    return {data, static_cast<size_t>(sqlite3_column_bytes(s, i))};
  }
  sqlite3* writer_ = nullptr;
  sqlite3* reader_ = nullptr;
  sqlite3_stmt* put_ = nullptr;
  sqlite3_stmt* get_ = nullptr;
  sqlite3_stmt* scan_ = nullptr;
};

}  // namespace

std::unique_ptr<Engine> make_sqlite() {
  return std::make_unique<Sqlite>();
}
