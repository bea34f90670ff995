#include "journal/block_sums.h"

#include <algorithm>
#include <utility>

namespace netfs::journal {

KnownBlocks BlockSums::take(NodeId node, const Validator& version) {
  const auto found =
      std::find_if(files_.begin(), files_.end(), [&](const One& one) { return one.node == node; });
  if (found == files_.end()) return {};
  blocks_ -= found->blocks.size();
  One one = std::move(*found);
  files_.erase(found);
  return one.version == version ? std::move(one.blocks) : KnownBlocks();
}

void BlockSums::put(NodeId node, const Validator& version, KnownBlocks blocks) {
  (void)take(node, version);
  if (blocks.empty() || blocks.size() > blocks_max_) return;
  blocks_ += blocks.size();
  files_.push_front({node, version, std::move(blocks)});
  while (blocks_ > blocks_max_ || files_.size() > kSummedFilesMax) {
    blocks_ -= files_.back().blocks.size();
    files_.pop_back();
  }
}

}  // namespace netfs::journal
