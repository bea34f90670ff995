#pragma once
// BlockTable: which blocks of one file are in memory or on their way, by the fetch that has them.
//
// The fetches in it do not overlap: this is what keeps a block from being downloaded twice.  Not
// thread-safe: guarded by the file's mutex.

#include <cstdint>
#include <map>

#include "base/assert.h"
#include "netfs/fetch.h"

namespace netfs {

class BlockTable {
 public:
  // The fetch that has the byte, or null.
  [[nodiscard]] Fetch* find(uint64_t offset_bytes) const {
    auto after = fetches_.upper_bound(offset_bytes);
    if (after == fetches_.begin()) return nullptr;
    Fetch* fetch = std::prev(after)->second.get();
    return offset_bytes < fetch->range.end_bytes() ? fetch : nullptr;
  }
  // Where the first fetch that begins after the byte begins; UINT64_MAX if none does.
  [[nodiscard]] uint64_t next_begin(uint64_t offset_bytes) const {
    const auto after = fetches_.upper_bound(offset_bytes);
    return after == fetches_.end() ? UINT64_MAX : after->first;
  }
  void insert(Ref<Fetch> fetch) {
    NETFS_ASSERT(find(fetch->range.offset_bytes) == nullptr);
    NETFS_ASSERT(next_begin(fetch->range.offset_bytes) >= fetch->range.end_bytes());
    const uint64_t begin = fetch->range.offset_bytes;
    fetches_.emplace(begin, std::move(fetch));
  }
  // False when another, or none, stands in its place.
  bool erase(const Fetch& fetch) {
    const auto found = fetches_.find(fetch.range.offset_bytes);
    if (found == fetches_.end() || found->second.get() != &fetch) return false;
    fetches_.erase(found);
    return true;
  }
  [[nodiscard]] bool empty() const { return fetches_.empty(); }
  [[nodiscard]] const std::map<uint64_t, Ref<Fetch>>& all() const { return fetches_; }

 private:
  std::map<uint64_t, Ref<Fetch>> fetches_;  // by their first byte
};

}  // namespace netfs
