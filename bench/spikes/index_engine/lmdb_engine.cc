#include <lmdb.h>

#include "engine.h"

namespace {

class Lmdb final : public Engine {
 public:
  ~Lmdb() override {
    if (env_) mdb_env_close(env_);
  }
  std::string open(const std::string& directory) override {
    int rc = mdb_env_create(&env_);
    if (rc == 0) rc = mdb_env_set_mapsize(env_, size_t{64} << 30);
    if (rc == 0) rc = mdb_env_open(env_, directory.c_str(), MDB_NOTLS, 0600);
    MDB_txn* txn = nullptr;
    if (rc == 0) rc = mdb_txn_begin(env_, nullptr, 0, &txn);
    if (rc == 0) rc = mdb_dbi_open(txn, nullptr, 0, &dbi_);
    if (rc == 0) rc = mdb_txn_commit(txn);
    return text(rc);
  }
  std::string commit(const std::vector<Pair>& batch) override {
    MDB_txn* txn = nullptr;
    int rc = mdb_txn_begin(env_, nullptr, 0, &txn);
    if (rc) return text(rc);
    for (const Pair& pair : batch) {
      MDB_val key{pair.key.size(), const_cast<char*>(pair.key.data())};
      MDB_val value{pair.value.size(), const_cast<char*>(pair.value.data())};
      rc = mdb_put(txn, dbi_, &key, &value, 0);
      if (rc) {
        mdb_txn_abort(txn);
        return text(rc);
      }
    }
    return text(mdb_txn_commit(txn));
  }
  std::string get(std::string_view wanted, std::string* value) override {
    MDB_txn* txn = nullptr;
    int rc = mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn);
    if (rc) return text(rc);
    MDB_val key{wanted.size(), const_cast<char*>(wanted.data())};
    MDB_val found{};
    rc = mdb_get(txn, dbi_, &key, &found);
    if (rc == 0) value->assign(static_cast<char*>(found.mv_data), found.mv_size);
    mdb_txn_abort(txn);
    return text(rc);
  }
  std::string scan(const std::function<void(std::string_view, std::string_view)>& sink) override {
    MDB_txn* txn = nullptr;
    int rc = mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn);
    if (rc) return text(rc);
    MDB_cursor* cursor = nullptr;
    rc = mdb_cursor_open(txn, dbi_, &cursor);
    MDB_val key{}, value{};
    while (rc == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
      sink({static_cast<char*>(key.mv_data), key.mv_size},
           {static_cast<char*>(value.mv_data), value.mv_size});
    }
    if (cursor) mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return rc == MDB_NOTFOUND ? "" : text(rc);
  }
  std::string flush_all() override { return text(mdb_env_sync(env_, 1)); }

 private:
  static std::string text(int rc) { return rc == 0 ? "" : mdb_strerror(rc); }
  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ = 0;
};

}  // namespace

std::unique_ptr<Engine> make_lmdb() {
  return std::make_unique<Lmdb>();
}
