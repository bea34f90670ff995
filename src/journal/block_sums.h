#pragma once
// BlockSums: what files hold at the origin, as far as we have read or brought it ourselves: a
// checksum for each whole block, as of one version of the file.  So a file of which a little is
// changed again and again is read once, and one that was made here never.
//
// Bounded: those that were put last are kept, kSummedFilesMax at most.  Not thread-safe.

#include <cstdint>
#include <list>
#include <optional>
#include <vector>

#include "base/byte_range.h"
#include "journal/batch_bytes.h"
#include "journal/limits.h"
#include "journal/node.h"

namespace netfs::journal {

class BlockSums {
 public:
  explicit BlockSums(size_t blocks_max = kBlocksKept) : blocks_max_(blocks_max) {}

  // What is known of a file in this version; it is not kept any more.
  KnownBlocks take(NodeId node, const Validator& version);
  void put(NodeId node, const Validator& version, KnownBlocks blocks);

 private:
  struct One {
    NodeId node = NodeId::kNone;
    Validator version;
    KnownBlocks blocks;
  };

  const size_t blocks_max_;
  size_t blocks_ = 0;
  std::list<One> files_;  // the last one first
};

}  // namespace netfs::journal
