#pragma once
// The bounds of the journal, and why they are what they are.

#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "journal/journal_format.h"

namespace netfs::journal {

// A segment's file is made this long before it is written to.  Removing a file is cheap, and what
// is uploaded is given back to the disk in such portions.
constexpr uint64_t kSegmentBytes = 32 << 20;
// What a segment is made of when the disk has no room for a whole one.
constexpr uint64_t kSegmentBytesLeast = 1 << 20;
// Kept free in the segment that is written to, for the records that say what is uploaded: so much,
// and so much for each change that waits.  Without them a full disk would never be emptied.
constexpr uint64_t kProgressBytes = 64 << 10;
constexpr uint64_t kProgressBytesEach = 384;
static_assert(kProgressBytes < kSegmentBytesLeast / 2);

// Everything is durable so long after it was done.
constexpr Duration kSyncAfter = std::chrono::seconds(5);

// What a journal may take of the disk unless it is said: a day's work, and not the whole disk.
constexpr uint64_t kJournalBytes = 8ULL << 30;
// The least that can be asked for: what is written to, what is uploaded, and what is between.
constexpr uint64_t kJournalBytesLeast = 128 << 20;
static_assert(kJournalBytesLeast >= 4 * kSegmentBytes);

// Writes of one file that go out together.
constexpr uint64_t kBatchBytes = 16 << 20;
constexpr size_t kBatchRecords = 256;
// Parts of a batch that are on their way at one time.
constexpr size_t kWritesInFlight = 8;

// What a batch does not bring has to be known, to tell in doubt that nobody else was at it: of
// that so much is read at most before it goes out.
constexpr uint64_t kRestReadMax = kBatchBytes;
// Blocks (of 4096 bytes) of which that is remembered: of 4 GiB of files; 8 MiB of memory.
constexpr size_t kBlocksKept = 1 << 20;
constexpr size_t kSummedFilesMax = 256;

// Between two attempts at what the origin would not or could not take.
constexpr Duration kRetryFirst = std::chrono::milliseconds(100);
constexpr Duration kRetryMax = std::chrono::seconds(15);
// After so long of failures that say nothing (EIO: some origins have one word for all), a change is
// set aside, for what comes behind it.
constexpr Duration kTroubleMax = std::chrono::minutes(3);
constexpr unsigned kTroubleTries = 4;  // at least

// Sentences of what went wrong that nobody has asked for; the log has all of them.
constexpr size_t kTroublesKept = 100;

// What a look at the origin has shown counts so long for making a name: the kernel asks for each
// name before it has it made.  And of so many names at one time.
constexpr Duration kLookCounts = std::chrono::seconds(1);
constexpr size_t kLooksKept = 1024;

// Files whose validators are remembered after their last change is at the origin.
constexpr size_t kRememberedMax = 65536;

}  // namespace netfs::journal
