// Completes a file that is nearly all in the cache.
//
// Little is a sixteenth of the file and at most 32 MiB: nobody asked for it, but without it the
// file is never handed to the kernel.

#include <algorithm>

#include "netfs/offload.h"
#include "netfs/remote_file.h"

namespace netfs {

namespace {

constexpr uint64_t kHolesShare = 16;
constexpr uint64_t kHolesBytesMax = uint64_t{32} << 20;

}  // namespace

// What the cache lacks; nothing if that is too much.
std::vector<ByteRange> RemoteFile::small_holes() const {
  const uint64_t size = version_.size_bytes;
  const uint64_t blocks = (size + block_bytes_ - 1) / block_bytes_;
  const uint64_t missing_max = std::min(size / kHolesShare, kHolesBytesMax);
  std::vector<ByteRange> holes;
  uint64_t missing = 0;
  for (uint64_t block = 0; block < blocks;) {
    const bool present = cookie_->present(BlockIndex(block));
    const uint64_t count = cookie_->run_length(BlockIndex(block), blocks - block);
    if (!present) {
      const uint64_t begin = block * block_bytes_;
      holes.push_back({begin, std::min(count * block_bytes_, size - begin)});
      missing += holes.back().length_bytes;
      if (missing > missing_max) return {};
    }
    block += count;
  }
  return holes;
}

// Blocks that are in memory still and whose store was dropped.
void RemoteFile::store_again(ByteRange hole) {
  FollowUp follow{Ref<RemoteFile>(this)};
  {
    sync::MutexLock lock(mutex_);
    if (superseded_ || core_->closing) return;
    for (uint64_t at = hole.offset_bytes; at < hole.end_bytes();) {
      Fetch* fetch = table_.find(at);
      if (fetch == nullptr) {
        at += block_bytes_;
        continue;
      }
      const bool kept = fetch->state == FetchState::kFilled && fetch->ticket != nullptr;
      if (kept && fetch->ticket->try_again()) follow.stores.emplace_back(fetch);
      at = fetch->range.end_bytes();
    }
  }
  std::move(follow).run();
}

void RemoteFile::fill_holes() {
  if (!cookie_ || !core_->options.readahead || core_->offload().lags()) return;
  for (const ByteRange& hole : small_holes()) {
    store_again(hole);
    // Memory is short: another time.
    if (fetch_all_ahead(hole).end_bytes < hole.end_bytes()) return;
  }
}

}  // namespace netfs
