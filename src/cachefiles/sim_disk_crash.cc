// What a SimDisk shows after a crash.

#include <algorithm>

#include "cachefiles/sim_disk.h"

namespace netfs::cachefiles {

void SimDisk::crash_at(uint64_t change) {
  crash_at_.store(changes_.load() + change);
}

// Which of a file's changes reached the disk: any, and any sectors of each.
void SimDisk::keep_some(Node& node, std::mt19937_64& random) {
  for (const Change& change : node.pending) {
    const uint64_t fate = random() % 4;
    if (fate == 0) continue;  // lost
    if (change.truncation || fate == 1) {
      apply(node.durable, change);
      continue;
    }
    for (uint64_t at = 0; at < change.data.size();) {
      const uint64_t end = std::min<uint64_t>(
          (change.offset + at) / kSector * kSector + kSector - change.offset, change.data.size());
      if (random() % 2 == 0) {
        apply(node.durable, {false, change.offset + at, change.data.substr(at, end - at)});
      }
      at = end;
    }
  }
}

// What is on the disk is all that there is.
void SimDisk::settle(Lost lost, uint64_t seed) {
  std::mt19937_64 random(seed);
  if (lost == Lost::kPower) {
    for (const NameChange& change : pending_names_) {
      if (random() % 2 == 0) apply(durable_names_, change);
    }
    names_ = durable_names_;
    for (const auto& [path, node] : names_) keep_some(*node, random);
    for (const auto& [path, node] : names_) node->bytes = node->durable;
  } else {
    durable_names_ = names_;
    for (const auto& [path, node] : names_) node->durable = node->bytes;
  }
  pending_names_.clear();
  allocated_ = 0;
  for (const auto& [path, node] : names_) {
    node->pending.clear();
    const uint64_t pages = (node->bytes.size() + kPage - 1) / kPage;
    node->pages.erase(node->pages.lower_bound(pages), node->pages.end());
    allocated_ += node->pages.size() * kPage;
  }
}

void SimDisk::restart(Lost lost, uint64_t seed) {
  sync::MutexLock lock(mutex_);
  if (lost != Lost::kProcess) settle(lost, seed);
  for (const auto& [path, node] : names_) node->mapped = false;
  generation_.fetch_add(1);
  crash_at_.store(UINT64_MAX);
  locked_by_ = UINT64_MAX;
  dead_.store(false);
}

}  // namespace netfs::cachefiles
