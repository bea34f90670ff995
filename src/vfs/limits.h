#pragma once
// Limits of the room, with their arithmetic.

#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace netfs::vfs {

// Workers for calls of the origin that block.  16 listings in flight hide the delay of a far link.
inline constexpr unsigned kMetadataThreads = 16;

// Longest name that is taken from an origin, as a local file system has it.
inline constexpr size_t kNameBytesMax = 255;

// Nodes kept in memory that the kernel does not hold: 200,000 at about 500 bytes are 100 MB.
inline constexpr size_t kUnreferencedNodesMax = 200'000;

// Names remembered as absent.
inline constexpr size_t kNegativeNamesMax = 50'000;

// Files kept ready after their last close, so that the next open costs no look-up in the cache.
inline constexpr size_t kIdleFilesMax = 16'384;

// Entries put into the table under one hold of its lock while a listing comes in.
inline constexpr size_t kListingBatch = 512;

// How long an unreachable origin is believed to stay so under the policy `stale`.
inline constexpr Duration kStaleGrace = std::chrono::seconds(1);

// Pause between attempts under the policy `wait`.
inline constexpr Duration kWaitPause = std::chrono::seconds(1);

// How long the origin's free space is remembered.
inline constexpr Duration kStatFileSystemTtl = std::chrono::seconds(1);

}  // namespace netfs::vfs
