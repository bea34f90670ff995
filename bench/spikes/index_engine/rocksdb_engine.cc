#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include "engine.h"

namespace {

class Rocksdb final : public Engine {
 public:
  std::string open(const std::string& directory) override {
    rocksdb::Options options;
    options.create_if_missing = true;
    options.paranoid_checks = true;
    options.max_background_jobs = 2;
    options.write_buffer_size = 16 << 20;
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = rocksdb::NewLRUCache(16 << 20);
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    table.cache_index_and_filter_blocks = true;
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    rocksdb::DB* db = nullptr;
    const rocksdb::Status status = rocksdb::DB::Open(options, directory, &db);
    db_.reset(db);
    return text(status);
  }
  std::string commit(const std::vector<Pair>& batch) override {
    rocksdb::WriteBatch writes;
    for (const Pair& pair : batch) {
      const rocksdb::Status status = writes.Put(pair.key, pair.value);
      if (!status.ok()) return text(status);
    }
    rocksdb::WriteOptions options;
    options.sync = true;
    return text(db_->Write(options, &writes));
  }
  std::string get(std::string_view key, std::string* value) override {
    return text(db_->Get(read_options(), {key.data(), key.size()}, value));
  }
  std::string scan(const std::function<void(std::string_view, std::string_view)>& sink) override {
    std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(read_options()));
    for (it->SeekToFirst(); it->Valid(); it->Next()) {
      sink({it->key().data(), it->key().size()}, {it->value().data(), it->value().size()});
    }
    return text(it->status());
  }
  std::string flush_all() override {
    rocksdb::Status status = db_->Flush({});
    if (status.ok()) status = db_->CompactRange({}, nullptr, nullptr);
    return text(status);
  }

 private:
  static rocksdb::ReadOptions read_options() {
    rocksdb::ReadOptions options;
    options.verify_checksums = true;
    return options;
  }
  static std::string text(const rocksdb::Status& s) { return s.ok() ? "" : s.ToString(); }
  std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace

std::unique_ptr<Engine> make_rocksdb() {
  return std::make_unique<Rocksdb>();
}
