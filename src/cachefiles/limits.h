#pragma once
// The sizes and bounds of this room, with their reasons.

#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace netfs::cachefiles {

// Presence is kept per block, checksums per page.  Records carry both shifts.
inline constexpr uint32_t kBlockShift = 16;
inline constexpr uint32_t kPageShift = 12;
inline constexpr uint64_t kBlockBytes = uint64_t{1} << kBlockShift;
inline constexpr uint64_t kPageBytes = uint64_t{1} << kPageShift;
inline constexpr uint64_t kPagesPerBlock = kBlockBytes / kPageBytes;

// A chunk is what one word of presence bits covers: 4 MiB, 4 KiB of checksums, one record.
inline constexpr uint64_t kBlocksPerChunk = 64;
inline constexpr uint64_t kChunkBytes = kBlocksPerChunk * kBlockBytes;
// A segment is what one presence record covers: 2 GiB, 4 KiB as a bitmap.
inline constexpr uint64_t kChunksPerSegment = 512;
inline constexpr uint64_t kBlocksPerSegment = kChunksPerSegment * kBlocksPerChunk;

// Larger files are not cached: their presence words would take 32 MiB of memory.
inline constexpr uint64_t kFileBytesMax = uint64_t{1} << 44;
// Checksums of one object that are kept in memory when they could be loaded again: 4 MiB.
inline constexpr size_t kCleanChunksMax = 1024;
// Objects that nobody holds and that stay in memory, about 600 bytes each.
inline constexpr size_t kIdleObjectsMax = 16384;
// Uses of objects that left memory and are still to be written.
inline constexpr size_t kTouchesMax = 65536;
// Lengths that a record may claim.
inline constexpr size_t kIdentityBytesMax = 8192;
inline constexpr size_t kPathBytesMax = 8192;
inline constexpr size_t kValidatorBytesMax = 64;

// More touched files than this in one commit: one syncfs is cheaper than as many fdatasyncs.
inline constexpr size_t kFileSyncsMax = 8;
// Objects up to this size are read back within the commit that completes them; larger ones after
// it, so that they do not hold up the others.
inline constexpr uint64_t kInlineSealBytesMax = 64 << 20;
inline constexpr size_t kVerifyBufferBytes = 256 << 10;
// Read back by the scrubber each time the store is maintained, every 10 s: at most 1.6 MB/s, which
// goes once through 100 GB in 17 hours and holds up a commit by a few hundredths of a second.
inline constexpr uint64_t kScrubBytes = 16 << 20;
// Records looked at meanwhile, some 20 us each.
inline constexpr size_t kScrubSteps = 1024;
// A round of the scrubber begins no sooner after the one before: disks are left to sleep.
inline constexpr Duration kScrubRound = std::chrono::hours(24);
// Culling frees down to the limit less this share, so that it is not done for each block.
inline constexpr uint64_t kCullShare = 16;
inline constexpr size_t kCullBatch = 256;
// The log of the index is folded into its tables at this size, or at this share of the limit.
inline constexpr uint64_t kCheckpointBytesMax = 8 << 20;
inline constexpr uint64_t kCheckpointShare = 64;
// What the next commit writes to the index's log for one object, and for one of its chunks:
// reserved with the data, so that the index does not push the store over its limit.
inline constexpr uint64_t kCommitObjectBytes = 24 << 10;
inline constexpr uint64_t kCommitChunkBytes = 8 << 10;
// Connections that read; a fifth look-up at a time waits for one of four to end.
inline constexpr size_t kIndexReaders = 4;
inline constexpr uint32_t kDescriptorBudgetMin = 16;

static_assert(kChunkBytes == 4 << 20);
static_assert(kBlocksPerChunk == 64, "presence of a chunk is one 64-bit word");
static_assert(kVerifyBufferBytes % kBlockBytes == 0);

}  // namespace netfs::cachefiles
