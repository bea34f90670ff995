#include "cachefiles/block_map.h"

#include <gtest/gtest.h>
#include <random>
#include <set>

#include "sync/thread.h"

namespace netfs::cachefiles {
namespace {

TEST(BlockMap, AgreesWithASetUnderRandomChanges) {
  const uint64_t blocks = 200;
  BlockMap map(blocks * kBlockBytes - 100);
  std::set<uint64_t> expected;
  std::mt19937_64 random(1);
  for (int step = 0; step < 3000; ++step) {
    const uint64_t block = random() % blocks;
    if (random() % 3 != 0) {
      map.set_present(block);
      expected.insert(block);
    } else {
      EXPECT_EQ(map.clear(block), expected.erase(block) > 0);
    }
    const uint64_t from = random() % blocks;
    uint64_t run = 0;
    while (from + run < blocks && expected.contains(from + run) == expected.contains(from)) ++run;
    const uint64_t max = 1 + random() % 300;
    ASSERT_EQ(map.present(from), expected.contains(from));
    ASSERT_EQ(map.run_length(from, max), std::min(run, max));
    ASSERT_EQ(map.present_count(), expected.size());
  }
}

TEST(BlockMap, WholeMapLosesOneBlockAndKeepsTheOthers) {
  BlockMap map(130 * kBlockBytes + 1);
  EXPECT_EQ(map.block_count(), 131u);
  map.set_whole();
  EXPECT_TRUE(map.whole());
  EXPECT_EQ(map.run_length(0, 1000), 131u);
  EXPECT_TRUE(map.clear(64));
  EXPECT_FALSE(map.whole());
  EXPECT_EQ(map.run_length(0, 1000), 64u);
  EXPECT_EQ(map.run_length(64, 1000), 1u);
  EXPECT_EQ(map.run_length(65, UINT64_MAX), 66u);
  map.set_present(64);
  EXPECT_TRUE(map.whole());
}

TEST(BlockMap, PastTheEndThereIsNothing) {
  BlockMap map(kBlockBytes);
  EXPECT_FALSE(map.present(1));
  EXPECT_EQ(map.run_length(1, 5), 0u);
  BlockMap empty(0);
  EXPECT_TRUE(empty.whole());
  EXPECT_EQ(empty.run_length(0, 5), 0u);
}

TEST(BlockMap, SegmentsComeBackAsTheyWere) {
  const uint64_t size = (kBlocksPerSegment + 100) * kBlockBytes;
  BlockMap map(size);
  for (const uint64_t block :
       {uint64_t{0}, uint64_t{63}, kBlocksPerSegment, kBlocksPerSegment + 99}) {
    map.set_present(block);
  }
  BlockMap loaded(size);
  for (const uint64_t segment : {0, 1}) loaded.load_segment(segment, map.segment(segment));
  EXPECT_EQ(loaded.present_count(), 4u);
  EXPECT_TRUE(loaded.present(kBlocksPerSegment + 99));
  EXPECT_FALSE(loaded.present(1));
}

TEST(BlockMap, ChecksumsAreThereBeforeTheBlockIs) {
  // A reader that sees a block present must see its checksums: publish order under real threads.
  BlockMap map(kChunkBytes);
  const Ref<CrcChunk> chunk = make_ref<CrcChunk>(map.pages_of_chunk(0));
  std::atomic<bool> wrong{false};
  sync::Thread reader("reader", [&] {
    for (uint64_t block = 0; block < kBlocksPerChunk; ++block) {
      while (!map.present(block)) {
      }
      for (uint64_t page = 0; page < kPagesPerBlock; ++page) {
        const uint64_t number = block * kPagesPerBlock + page;
        if (!chunk->known(block) || chunk->crc(number) != number + 1) wrong = true;
      }
    }
  });
  for (uint64_t block = 0; block < kBlocksPerChunk; ++block) {
    std::vector<uint32_t> crcs;
    for (uint64_t page = 0; page < kPagesPerBlock; ++page) {
      crcs.push_back(static_cast<uint32_t>(block * kPagesPerBlock + page + 1));
    }
    chunk->set_block(block, crcs);
    map.set_present(block);
  }
  reader.join();
  EXPECT_FALSE(wrong);
}

TEST(CrcChunk, ComesBackFromItsRecordOnlyIfItFits) {
  const size_t pages = kPagesPerBlock + 3;
  const Ref<CrcChunk> chunk = make_ref<CrcChunk>(pages);
  chunk->set_block(0, std::vector<uint32_t>(kPagesPerBlock, 7));
  chunk->set_block(1, std::vector<uint32_t>(3, 8));
  const ChecksumsRecord record = chunk->to_record(~uint64_t{0});
  EXPECT_EQ(record.page_crcs.size(), pages);
  const Ref<CrcChunk> loaded = CrcChunk::from_record(record, pages);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->crc(kPagesPerBlock), 8u);
  EXPECT_FALSE(CrcChunk::from_record(record, pages + 1));
  EXPECT_FALSE(CrcChunk::from_record(record, kPagesPerBlock));
}

}  // namespace
}  // namespace netfs::cachefiles
