#pragma once
// Segment: one file of the journal, and where a record stands in it.
//
// Its bytes up to the last record are never written again, so it may be read by anyone who holds
// it, though its name is gone.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "cachefiles/disk.h"

namespace netfs::journal {

struct Segment {
  std::string path;
  uint64_t number = 0;
  uint64_t last_sequence = 0;  // of its last record, 0: it has none; guarded by the log's lock
  uint64_t size_bytes = 0;     // as it was allocated
  bool keep = false;           // it is damaged: it is set aside, not removed; guarded likewise
  bool named = true;           // its name is durable; guarded likewise
  std::unique_ptr<cachefiles::DiskFile> file;

  [[nodiscard]] bool is_empty() const { return last_sequence == 0; }
};
using SegmentRef = std::shared_ptr<Segment>;

// A record, at its header.
struct RecordPlace {
  SegmentRef segment;
  uint64_t offset = 0;
  uint64_t sequence = 0;
  uint32_t body_bytes = 0;
  uint32_t data_bytes = 0;
};

}  // namespace netfs::journal
