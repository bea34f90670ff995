#include "netfs/offload.h"

#include <gtest/gtest.h>

#include "netfs/testing/reading.h"
#include "sync/context.h"
#include "sync/lock_reports.h"
#include "sync/thread.h"

namespace netfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
constexpr uint64_t kBlock = 64 << 10;
constexpr uint64_t kMiB = 1 << 20;

Deadline within(Duration duration) {
  return Deadline::after(Clock::system(), duration);
}

// Hard behaviour 1: a writer that blocks for ever costs the reader nothing.
TEST(Offload, ColdReadsGoOnWhileTheWriterIsBlocked) {
  LibraryFixture fixture({.offload = {.queue_bytes_max = 2 * kMiB}, .readahead = true});
  fixture.origin.add_pattern("a", 8 * kMiB, 1);
  fixture.cache.block_stores();
  const Ref<File> file = fixture.open("a");
  const std::unique_ptr<ReadStream> stream = file->open_stream();
  for (uint64_t at = 0; at < 8 * kMiB; at += 2 * kBlock) {
    const Result<std::string> bytes = LibraryFixture::read(*file, {at, 2 * kBlock}, stream.get());
    ASSERT_TRUE(bytes.ok()) << bytes.error().message();
    ASSERT_TRUE(bytes.value() == pattern(1, {at, 2 * kBlock}));
  }
  ASSERT_TRUE(fixture.cache.wait_for_blocked_store(within(seconds(60))));
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 0U);
}

// Hard behaviour X1.
TEST(Offload, FullQueueDropsStoresAndCountsThemAndNoReaderWaits) {
  LibraryFixture fixture({.offload = {.queue_bytes_max = kMiB}});
  fixture.origin.add_pattern("a", 8 * kMiB, 1);
  fixture.cache.block_stores();
  const Ref<File> file = fixture.open("a");
  for (uint64_t at = 0; at < 8 * kMiB; at += kMiB) {
    ASSERT_TRUE(LibraryFixture::read(*file, {at, kMiB}).ok());
  }
  EXPECT_GE(fixture.offload->stats().dropped.get(), 8U);
  EXPECT_LE(fixture.offload->stats().queued_bytes, kMiB);
  // What was dropped is absent and comes from the origin again; what was queued arrives.
  fixture.cache.unblock_stores();
  ASSERT_TRUE(fixture.drain());
  EXPECT_LE(fixture.cache.stored_blocks("a"), 2 * kMiB / kBlock);
  EXPECT_GT(fixture.cache.stored_blocks("a"), 0U);
}

// Hard behaviour 23, the library's part: detaching under load, even from a frozen disk, is bounded
// and frees nothing that is in use.
TEST(Offload, CloseIsBoundedWhileAThreadStandsInTheWriter) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", 4 * kMiB, 1);
  fixture.cache.block_stores();
  {
    const Ref<File> file = fixture.open("a");
    ASSERT_TRUE(LibraryFixture::read(*file, {0, 4 * kMiB}).ok());
  }
  ASSERT_TRUE(fixture.cache.wait_for_blocked_store(within(seconds(60))));
  const MonoTime began = Clock::system().now();
  fixture.library->close();
  EXPECT_FALSE(fixture.offload->close(within(milliseconds(100))));
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(60));
  EXPECT_GT(fixture.pool.used_bytes(), 0U);  // the data being stored is still there
  EXPECT_GT(fixture.offload->stats().dropped.get(), 0U);
  fixture.cache.unblock_stores();
  EXPECT_TRUE(fixture.offload->close(within(seconds(60))));
  EXPECT_EQ(fixture.pool.used_bytes(), 0U);
}

// Hard behaviour 23, the rest of it.
TEST(Offload, IoGoesOnUncachedAfterDetachAndHitsAgainAfterReattach) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kMiB, 1);
  const Ref<File> file = fixture.open("a");
  ASSERT_TRUE(LibraryFixture::read(*file, {0, kMiB / 2}).ok());
  ASSERT_TRUE(fixture.drain());
  ASSERT_TRUE(fixture.offload->close(within(seconds(60))));
  // The first half is a hit, the second is read and not kept.
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, kMiB});
  ASSERT_TRUE(bytes.ok());
  EXPECT_TRUE(bytes.value() == pattern(1, {0, kMiB}));
  EXPECT_EQ(fixture.origin.counts().read_bytes, kMiB);
  EXPECT_EQ(fixture.cache.stored_blocks("a"), kMiB / 2 / kBlock);
  // With the cache back, the first half is a hit as before, and the second is kept this time.
  fixture.reattach();
  ASSERT_TRUE(LibraryFixture::read(*fixture.open("a"), {0, kMiB}).ok());
  EXPECT_EQ(fixture.library->stats().bytes_cache.get(), kMiB / 2);
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.cache.stored_blocks("a"), kMiB / kBlock);
  fixture.restart();
  const Result<std::string> again = LibraryFixture::read(*fixture.open("a"), {0, kMiB});
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again.value() == pattern(1, {0, kMiB}));
  EXPECT_EQ(fixture.library->stats().bytes_cache.get(), kMiB);
  EXPECT_EQ(fixture.origin.counts().read_bytes, kMiB + kMiB / 2);
}

// Founding rule, at run time.
TEST(OffloadDeathTest, StoreInTheThreadOfAReaderIsRefused) {
  MemoryCache cache;
  const std::unique_ptr<CacheWriter> writer = cache.open_writer();
  const Ref<Volume> volume = MUST(cache.open_volume("test"));  // in memory
  const Ref<Cookie> cookie = MUST(volume->lookup({.identity = "a", .size_bytes = 3}));
  const std::array<std::byte, 3> data{};
  const sync::Context fault(sync::kFuseFault);
  EXPECT_TRUE(writer->store(*cookie, BlockIndex(0), data).ok());
  EXPECT_DEATH(
      {
        sync::set_lock_report_folder("");  // the validator's is expected
        sync::ContextScope scope(fault);
        (void)writer->store(*cookie, BlockIndex(0), data);
      },
      "kFuseFault");
}

// A reader's context goes with the request: to the thread on which its download completes.
TEST(Offload, CompletionThreadWorksUnderTheReadersContextAndTheStoreDoesNot) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", 4 * kMiB, 1);
  const Ref<File> file = fixture.open("a");
  const sync::Context fault(sync::kFuseFault);
  std::atomic<int> answers{0};
  std::atomic<int> under_fault{0};
  const auto note = [&](const Result<ReadResult>& result) {
    if (result.ok() && sync::current_context_holds(sync::kFuseFault)) ++under_fault;
    ++answers;
  };
  fixture.origin.hold_reads();
  for (uint64_t i = 0; i < 16; ++i) file->read(nullptr, {i * 3 * kBlock, kBlock}, fault, note);
  ASSERT_TRUE(fixture.origin.wait_for_held(16, within(seconds(60))));
  fixture.origin.release_reads();
  const Deadline deadline = within(seconds(60));
  while (answers < 16 && !deadline.passed(Clock::system().now())) {
  }
  EXPECT_EQ(answers, 16);
  EXPECT_EQ(under_fault, 16);
  // And none of the stores asserted.
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 16U);
}

TEST(Offload, ReadPoolWorksUnderTheReadersContext) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kMiB, 1);
  ASSERT_TRUE(LibraryFixture::read(*fixture.open("a"), {0, kMiB}).ok());
  ASSERT_TRUE(fixture.drain());
  fixture.restart();
  const Ref<File> file = fixture.open("a");
  fixture.cache.block_reads();
  const sync::Context fault(sync::kFuseFault);
  std::atomic<int> answers{0};
  std::atomic<int> under_fault{0};
  file->read(nullptr, {0, 100}, fault, [&](const Result<ReadResult>& result) {
    if (result.ok() && sync::current_context_holds(sync::kFuseFault)) ++under_fault;
    ++answers;
  });
  ASSERT_TRUE(fixture.cache.wait_for_blocked_read(within(seconds(60))));
  EXPECT_EQ(answers, 0);
  EXPECT_EQ(fixture.library->live_requests().size(), 1U);
  EXPECT_EQ(fixture.library->live_requests()[0].waits_for, "cache 1");
  fixture.cache.unblock_reads();
  const Deadline deadline = within(seconds(60));
  while (answers == 0 && !deadline.passed(Clock::system().now())) {
  }
  EXPECT_EQ(under_fault, 1);
}

TEST(Offload, CommitsAreGrouped) {
  MemoryCache cache;
  BufferPool pool(8 * kMiB, 0);
  const Ref<Volume> volume = MUST(cache.open_volume("test"));  // in memory
  const Ref<Cookie> cookie =
      MUST(volume->lookup({.identity = "a", .path = "a", .size_bytes = 64 * kBlock}));
  Offload offload(cache.open_writer(), {.commit_interval = seconds(3600)});
  for (uint64_t i = 0; i < 64; ++i) {
    ASSERT_TRUE(offload.store({.cookie = cookie,
                               .first = BlockIndex(i),
                               .data = {pool.allocate_for_reader(kBlock), 0, kBlock}}));
  }
  ASSERT_TRUE(offload.drain(within(seconds(60))));
  EXPECT_EQ(cache.stored_blocks("a"), 64U);
  EXPECT_LE(cache.counts().commits, 2U);
  EXPECT_GE(cache.counts().commits, 1U);
  EXPECT_EQ(offload.stats().stores.done.get(), 64U);
}

TEST(Offload, CommitComesByItselfAfterItsInterval) {
  LibraryFixture fixture({.offload = {.commit_interval = milliseconds(20)}});
  fixture.origin.add_pattern("a", kMiB, 1);
  const Ref<File> file = fixture.open("a");
  ASSERT_TRUE(LibraryFixture::read(*file, {0, kMiB}).ok());
  const Deadline deadline = within(seconds(60));
  while (!file->sealed() && !deadline.passed(Clock::system().now())) {
  }
  EXPECT_TRUE(file->sealed());
}

// Hard behaviour 16's reading half: a failing store is nobody's error.
TEST(Offload, FailingStoresAreCountedAndReadsGoOn) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kMiB, 1);
  for (const int error : {ENOSPC, EIO}) {
    fixture.cache.fail_stores(error);
    const Ref<File> file = fixture.open("a");
    const Result<std::string> bytes = LibraryFixture::read(*file, {0, kMiB});
    ASSERT_TRUE(bytes.ok());
    EXPECT_TRUE(bytes.value() == pattern(1, {0, kMiB}));
    ASSERT_TRUE(fixture.drain());
  }
  EXPECT_GT(fixture.offload->stats().stores.failed.get(), 0U);
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 0U);
}

}  // namespace
}  // namespace netfs
