#pragma once
// Limits of the room, with their arithmetic.

#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace netfs::vfs {

// Answers of direct writes that wait for the kernel to drop its pages; far fewer than the requests
// it has under way without their askers.
inline constexpr int kHeldAnswersMax = 8;

// Workers for calls of the origin that block.  16 listings in flight hide the delay of a far link.
// Their queue needs no bound of its own: each piece of work answers a request of the kernel, which
// bounds those, or one that joined it.
inline constexpr unsigned kMetadataThreads = 16;

// Longest name that is taken from an origin, as a local file system has it.
inline constexpr size_t kNameBytesMax = 255;

// Longest path that the origin is asked for: as long as the kernel takes from a program, and then
// as much again, since a walk in steps may go deeper.
inline constexpr size_t kPathBytesMax = 8192;

// What an origin may say of a file: a validator as its type allows, an identity that is a handle
// or a number and not a document.
inline constexpr size_t kValidatorBytesMax = 64;
inline constexpr size_t kIdentityBytesMax = 1024;

// Names taken from one directory: 16 million are 10 GB here.
inline constexpr size_t kListingEntriesMax = 16'000'000;
inline constexpr size_t kListingNamesBytesMax = size_t{1} << 31;  // offsets have 32 bits

// Longest target of a symbolic link: PATH_MAX less its NUL.
inline constexpr size_t kLinkBytesMax = 4095;

// Listings under way that nobody has asked for yet, at most: as many as the origin says hide the
// delay of a far link.
inline constexpr size_t kAheadUnderWayMax = 32;
// How far ahead of a walk directories are listed, once it is seen for sure, and before.
inline constexpr size_t kAheadReach = 64;
inline constexpr size_t kAheadFaintReach = 4;
// Listed and not asked for: more of them, or more names in them, and nothing more is listed.
// Names are nodes of about 500 bytes: 20 MB.
inline constexpr size_t kAheadListingsMax = 128;
inline constexpr size_t kAheadNamesMax = 40'000;
// Of one directory: one with more names is listed when somebody asks.
inline constexpr size_t kAheadOneMax = 10'000;
// Listings that take less time are not made ahead: the origin is near.
inline constexpr Duration kAheadWorthIt = std::chrono::milliseconds(1);
// How long a listing that nobody asks for counts as one that may yet be.
inline constexpr Duration kAheadPatience = std::chrono::seconds(5);
inline constexpr Duration kAheadPatienceMax = std::chrono::seconds(60);
static_assert(kAheadReach <= kAheadListingsMax && kAheadOneMax < kAheadNamesMax);

// With a shorter TTL names are not kept for it: they would be too old before anybody asked again.
inline constexpr Duration kNamesTtlMin = std::chrono::seconds(30);
// The names of a directory that are what they were are stored again no sooner: what is stored says
// when they were seen.
inline constexpr Duration kNamesResave = std::chrono::seconds(30);
// A target of a link that was read is stored with its directory's names so long after.
inline constexpr Duration kLateTargetsAfter = std::chrono::seconds(2);
// A record is held for it until it is in the cache for sure, which commits twice a second.
inline constexpr Duration kHeldRecordsFor = std::chrono::seconds(2);
inline constexpr size_t kHeldRecordsBytesMax = size_t{8} << 20;
// Of names that wait to be stored; one that is larger alone may wait.
inline constexpr size_t kNamesWaitingBytesMax = size_t{32} << 20;
// A record from the cache that is taken for nobody: kAheadOneMax names are some 100 bytes each.
inline constexpr size_t kAheadRecordBytesMax = kAheadOneMax * 300;

// Files fetched ahead of whoever reads them in order, and not read by him yet: so many, of so many
// bytes; fewer where kAheadLinkFactor times what the link holds is less, and never more than a
// quarter of the memory for blocks.
inline constexpr size_t kAheadFilesMax = 256;
inline constexpr uint64_t kAheadFilesBytesMax = uint64_t{32} << 20;
inline constexpr uint64_t kAheadUnknownBytes = uint64_t{1} << 20;  // before the link is known
inline constexpr uint64_t kAheadLinkFactor = 4;
// Of a file of so many bytes all is fetched, of a larger one its beginning: what the kernel asks
// for first.
inline constexpr uint64_t kAheadWholeBytesMax = uint64_t{1} << 20;
inline constexpr uint64_t kAheadFirstBytes = uint64_t{128} << 10;
// Orders are made of directories up to this size: 10,000 names take some milliseconds to sort.
inline constexpr size_t kAheadOrderMax = 10'000;
// Directories whose next one is looked for, among so many.
inline constexpr size_t kAheadDirectoriesMax = 1000;
// Files of which nothing was missing, in a row, until only every kAheadVainStride-th is tried.
inline constexpr unsigned kAheadVainMax = 8;
inline constexpr unsigned kAheadVainStride = 16;
// Readers that are told apart, and threads that look up in the cache what they will read.
inline constexpr size_t kAheadReadersMax = 8;
inline constexpr unsigned kAheadFileThreads = 2;

// Nodes kept in memory that the kernel does not hold: 200,000 at about 500 bytes are 100 MB.
inline constexpr size_t kUnreferencedNodesMax = 200'000;

// Nodes looked at by one call of the sweeper: some 40 us under the table's lock, and four times
// what a batch of a listing adds.
inline constexpr uint32_t kSweepSteps = 2048;

// Nodes that have gone, at 600 bytes each, after which memory is given back to the system.
inline constexpr size_t kManyNodes = 50'000;

// Names remembered as absent, in all directories.
inline constexpr size_t kAbsentNamesMax = 50'000;

// Files kept ready after their last close, so that the next open costs no look-up in the cache.
// Each may hold a handle at the origin and so a descriptor: with those of sshd's 1024 in mind.
inline constexpr size_t kIdleFilesMax = 512;

// Entries put into the table under one hold of its lock while a listing comes in.
inline constexpr size_t kListingBatch = 512;
static_assert(kSweepSteps >= 2 * kListingBatch, "the sweeper keeps up with listings");

// A listing with so many names is read while the rest of it comes in.
inline constexpr size_t kShownFrom = 2 * kListingBatch;

// The longest answer to READDIR: the kernel asks for a page or a few, a megabyte at most.
inline constexpr size_t kReaddirBytesMax = 1 << 20;

// How long an unreachable origin is believed to stay so under the policy `stale`: it is asked by
// one call in that time, and the others do not wait for its timeout.
inline constexpr Duration kUnreachableFor = std::chrono::seconds(10);

// Looks that wait behind what was shown; one more is left to who asks next.
inline constexpr size_t kLooksBehindMax = 4096;
inline constexpr unsigned kBehindThreads = 16;

// Older than any look of a process; times may be that far apart.
inline constexpr Duration kLongAgo = std::chrono::hours(24 * 365 * 100);

// How long something served stale, or shown first, counts as seen.
inline constexpr Duration kStaleGrace = std::chrono::seconds(1);

// Looks at the origin that changes of ours overtake, before what the changes left is answered.
inline constexpr int kOvertakenLooksMax = 3;

// So often that many are asked for who gets a lock: he is not to read what was there before it.
inline constexpr int kLooksUnderLockMax = 16;

// Looks for a file that changes of names move away under a read or an open: each waits for the
// change, so only a directory that moves all the time takes more than one or two.
inline constexpr int kMovedLooksMax = 64;

// A write of the kernel: a megabyte at most, as negotiated; and what one request may hold in
// memory.
inline constexpr size_t kWriteBytesMax = size_t{4} << 20;

// Locks at the origin: workers for calls of it; owners of locks, each of whom may cost a
// descriptor; ranges of one file, each of which every call for it looks at; ranges of a mount, each
// of which is saved; and locks that are waited for.  One more is ENOLCK.
inline constexpr unsigned kLockThreads = 4;
inline constexpr size_t kLockHoldersMax = 4096;
inline constexpr size_t kLockedRangesMax = 10'000;
inline constexpr size_t kLockedRangesOfMountMax = 100'000;
inline constexpr size_t kLockWaitersMax = 10'000;
// Who waits for somebody else's lock at the origin asks for it again after so long, and then after
// twice as long each time: he loses at most what he has waited, and no more than the last of these.
inline constexpr Duration kLockPauseFirst = std::chrono::milliseconds(1);
inline constexpr Duration kLockPauseMax = std::chrono::milliseconds(64);
// Whoever closes a file has his locks back before anybody hears of his last close (RELEASE): so
// long that is waited for before one is told that they are in the way.
inline constexpr Duration kLockCloseGrace = std::chrono::milliseconds(100);

// Open files without a name, of each of which a descriptor is kept for the process after this one.
// One more ends with this process.
inline constexpr size_t kKeptFilesMax = 4096;

// A value of an extended attribute, as Linux has it.
inline constexpr size_t kXattrBytesMax = 65536;

// Pause between attempts under the policy `wait`.
inline constexpr Duration kWaitPause = std::chrono::seconds(1);

// How long the origin's free space is remembered.
inline constexpr Duration kStatFileSystemTtl = std::chrono::seconds(1);

// With a shorter TTL a directory that is being read, or whose names are asked for one after the
// other, is not listed again to keep its names fresh.
inline constexpr Duration kRelistTtlMin = std::chrono::seconds(1);

// Names of one directory looked at within one TTL before a listing is thought of.
inline constexpr uint32_t kLooksBeforeListing = 8;
// The same for names that were looked for in vain; fewer, for a listing under way delays nobody.
inline constexpr uint32_t kMissesBeforeListing = 3;

}  // namespace netfs::vfs
