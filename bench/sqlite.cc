#include "sqlite.h"

#include <memory>
#include <sqlite3.h>

namespace netfs::bench {
namespace {

Result<void> statement(sqlite3* database, const std::string& text) {
  if (::sqlite3_exec(database, text.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return Error(EIO, "bench.sqlite", ::sqlite3_errmsg(database));
}

}  // namespace

Result<Work> transactions(const std::string& path, const std::string& mode, uint64_t count) {
  return run_jobs(1, [&](unsigned, Gate& gate) -> Result<uint64_t> {
    sqlite3* opened = nullptr;
    const int code = ::sqlite3_open(path.c_str(), &opened);
    const std::unique_ptr<sqlite3, int (*)(sqlite3*)> database(opened, ::sqlite3_close);
    if (code != SQLITE_OK) return Error(EIO, "bench.sqlite", ::sqlite3_errmsg(opened));
    // For one process alone: what is compared is syncs, not locks and a shared index.
    TRY(statement(opened, "PRAGMA locking_mode=EXCLUSIVE"));
    TRY(statement(opened, "PRAGMA journal_mode=" + mode));
    TRY(statement(opened, "PRAGMA synchronous=FULL"));
    TRY(statement(opened, "CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)"));
    gate.wait();
    for (uint64_t i = 0; i < count; ++i) {
      TRY(statement(opened, "INSERT INTO t (v) VALUES (randomblob(300))"));
    }
    return count;
  });
}

}  // namespace netfs::bench
