#pragma once
// Index: the transactional key-value store that says what the data files hold.
//
// Keys and values are bytes; the key spaces and records are in records.h, the bytes in
// docs/cache-format.md.  Many readers and one writer at a time.  A reader sees the last commit, and
// goes on while a writer waits for the disk, however long; it opens nothing for writing and touches
// no file-backed shared memory.
//
// Thread-safety: get() and scan() from any thread; apply(), checkpoint() and rebuild() from any
// thread, one at a time among themselves (they wait for each other).
//
// Errors: EUCLEAN: the store is damaged, rebuild() is due; EIO, ENOSPC, EDQUOT of the disk.  After
// a failed apply() nothing of its batch is there.
//
//   IndexBatch batch;
//   batch.put(key, value);
//   TRY(index.apply(batch));

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace netfs::cachefiles {

class IndexBatch {
 public:
  void put(std::string key, std::string value) {
    changes_.push_back({std::move(key), std::move(value), Kind::kPut});
  }
  void remove(std::string key) { changes_.push_back({std::move(key), {}, Kind::kRemove}); }
  // All keys with this beginning.
  void remove_prefix(std::string prefix) {
    changes_.push_back({std::move(prefix), {}, Kind::kRemovePrefix});
  }
  [[nodiscard]] bool empty() const { return changes_.empty(); }
  [[nodiscard]] size_t size() const { return changes_.size(); }

  enum class Kind : uint8_t { kPut, kRemove, kRemovePrefix };
  struct Change {
    std::string key;
    std::string value;
    Kind kind;
  };
  [[nodiscard]] const std::vector<Change>& changes() const { return changes_; }

 private:
  std::vector<Change> changes_;
};

class Index {
 public:
  virtual ~Index() = default;

  // The value of a key, or nothing.
  virtual Result<std::optional<std::string>> get(std::string_view key) = 0;

  // Calls `sink` for each record whose key begins with `prefix` and is not before `from`, in order
  // of the keys' bytes, until it returns false.  The sink must not call the index.
  using Sink = std::function<bool(std::string_view key, std::string_view value)>;
  virtual Result<void> scan(std::string_view prefix, std::string_view from, const Sink& sink) = 0;

  // All of a batch in order, or nothing of it; durable on return.
  virtual Result<void> apply(const IndexBatch& batch) = 0;

  // Folds the log into the tables if it has reached `log_bytes_min`; readers look through it.
  virtual Result<void> checkpoint(uint64_t log_bytes_min) = 0;

  // Sets what is there aside (renamed, kept for a look) and starts empty.
  virtual Result<void> rebuild() = 0;

  // Bytes that its files take.
  [[nodiscard]] virtual uint64_t used_bytes() const = 0;
  // The same, and what folding the log will take on top until the log is gone.
  [[nodiscard]] virtual uint64_t needed_bytes() const = 0;
};

}  // namespace netfs::cachefiles
