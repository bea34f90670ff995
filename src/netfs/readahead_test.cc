#include "netfs/readahead.h"

#include <gtest/gtest.h>
#include <random>

namespace netfs {
namespace {

constexpr uint64_t kKiB = 1 << 10;
constexpr uint64_t kMiB = 1 << 20;
constexpr ReadaheadLimits kBigFile{.file_bytes = 1 << 30};

uint64_t planned_bytes(const ReadaheadPlan& plan) {
  uint64_t sum = 0;
  for (const ByteRange& range : plan.ranges) sum += range.length_bytes;
  return sum;
}

TEST(Readahead, FirstReadAtTheStartIsTakenForSequential) {
  ReadaheadDetector detector;
  const ReadaheadPlan plan = detector.note({0, 128 * kKiB}, kBigFile);
  EXPECT_EQ(plan.pattern, AccessPattern::kSequential);
  ASSERT_EQ(plan.ranges.size(), 1U);
  EXPECT_EQ(plan.ranges[0], (ByteRange{128 * kKiB, kMiB}));
}

TEST(Readahead, FirstReadElsewhereFetchesNothingMore) {
  ReadaheadDetector detector;
  const ReadaheadPlan plan = detector.note({10 * kMiB, 64 * kKiB}, kBigFile);
  EXPECT_EQ(plan.pattern, AccessPattern::kRandom);
  EXPECT_TRUE(plan.ranges.empty());
}

TEST(Readahead, WindowGrowsWithWhatWasReadUpToItsMaximum) {
  ReadaheadDetector detector;
  uint64_t under_way = 0;
  uint64_t at = 0;
  for (; at < 64 * kMiB; at += 128 * kKiB) {
    for (const ByteRange& range : detector.note({at, 128 * kKiB}, kBigFile).ranges) {
      EXPECT_LE(range.offset_bytes, std::max(under_way, at + 128 * kKiB));
      under_way = range.end_bytes();
    }
    EXPECT_LE(under_way, at + 128 * kKiB + kBigFile.window_bytes_max);
    if (at == kMiB) {
      EXPECT_GE(under_way - at, 4 * kMiB);
    }
  }
  EXPECT_GE(under_way - at, kBigFile.window_bytes_max - 2 * kMiB);
}

TEST(Readahead, WindowIsBoundedByWhatTheLinkHolds) {
  ReadaheadLimits limits = kBigFile;
  limits.link_bytes = 2 * kMiB;
  ReadaheadDetector detector;
  uint64_t under_way = 0;
  uint64_t at = 0;
  for (; at < 64 * kMiB; at += 128 * kKiB) {
    for (const ByteRange& range : detector.note({at, 128 * kKiB}, limits).ranges) {
      under_way = range.end_bytes();
    }
  }
  EXPECT_LE(under_way, at + ReadaheadDetector::kWindowFactor * 2 * kMiB);
  EXPECT_GE(under_way, at + 3 * kMiB);
}

TEST(Readahead, NothingIsPlannedTwiceNorBeyondTheFile) {
  ReadaheadDetector detector;
  const ReadaheadLimits limits{.file_bytes = 5 * kMiB + 17};
  uint64_t sum = 0;
  for (uint64_t at = 0; at < limits.file_bytes; at += 64 * kKiB) {
    const ByteRange asked = ByteRange{at, 64 * kKiB}.intersect({0, limits.file_bytes});
    const ReadaheadPlan plan = detector.note(asked, limits);
    sum += planned_bytes(plan);
    for (const ByteRange& range : plan.ranges) EXPECT_LE(range.end_bytes(), limits.file_bytes);
  }
  EXPECT_EQ(sum, limits.file_bytes - 64 * kKiB);
}

TEST(Readahead, KernelReadaheadOutOfOrderIsStillSequential) {
  // Four reads of 128 KiB at a time, each four in every order.
  std::mt19937 random(7);
  ReadaheadDetector detector;
  uint64_t under_way = 0;
  for (uint64_t group = 0; group < 32 * kMiB; group += 512 * kKiB) {
    std::array<uint64_t, 4> order{0, 1, 2, 3};
    std::shuffle(order.begin(), order.end(), random);
    if (group == 0) order = {0, 2, 1, 3};
    for (const uint64_t i : order) {
      const ReadaheadPlan plan = detector.note({group + i * 128 * kKiB, 128 * kKiB}, kBigFile);
      EXPECT_EQ(plan.pattern, AccessPattern::kSequential) << group << " " << i;
      for (const ByteRange& range : plan.ranges) under_way = range.end_bytes();
    }
  }
  EXPECT_GE(under_way, 60 * kMiB);
}

TEST(Readahead, RandomReadsFetchNothingMore) {
  std::mt19937_64 random(7);
  ReadaheadDetector detector;
  uint64_t planned = 0;
  for (int i = 0; i < 2000; ++i) {
    const uint64_t at = (1 + random() % 16383) * 64 * kKiB;
    planned += planned_bytes(detector.note({at, 64 * kKiB}, kBigFile));
  }
  // A few reads follow each other by chance; that is all that may be fetched in vain.
  EXPECT_LT(planned, 2000 * 64 * kKiB / 4);
}

TEST(Readahead, InterleavedStreamsEachHaveTheirWindow) {
  ReadaheadDetector detector;
  std::array<uint64_t, 4> under_way{};
  for (uint64_t step = 0; step < 64; ++step) {
    for (uint64_t stream = 0; stream < 4; ++stream) {
      const uint64_t at = stream * 200 * kMiB + kMiB + step * 128 * kKiB;
      for (const ByteRange& range : detector.note({at, 128 * kKiB}, kBigFile).ranges) {
        under_way[stream] = range.end_bytes();
      }
    }
  }
  for (uint64_t stream = 0; stream < 4; ++stream) {
    EXPECT_GE(under_way[stream], stream * 200 * kMiB + 9 * kMiB + 4 * kMiB) << stream;
    EXPECT_LT(under_way[stream], stream * 200 * kMiB + 9 * kMiB + 60 * kMiB) << stream;
  }
}

TEST(Readahead, StreamSurvivesRandomReadsInBetween) {
  std::mt19937_64 random(7);
  ReadaheadDetector detector;
  AccessPattern pattern = AccessPattern::kRandom;
  for (uint64_t at = 100 * kMiB; at < 110 * kMiB; at += 128 * kKiB) {
    pattern = detector.note({at, 128 * kKiB}, kBigFile).pattern;
    for (int i = 0; i < 12 && at > 100 * kMiB; ++i) {
      detector.note({(random() % 7000 + 3000) * 100 * kKiB, 4 * kKiB}, kBigFile);
    }
  }
  EXPECT_EQ(pattern, AccessPattern::kSequential);
}

TEST(Readahead, BackwardReaderHasItsWindowBehindIt) {
  ReadaheadDetector detector;
  uint64_t lowest = 100 * kMiB;
  for (uint64_t at = 100 * kMiB; at > 90 * kMiB; at -= 64 * kKiB) {
    const ReadaheadPlan plan = detector.note({at, 64 * kKiB}, kBigFile);
    for (const ByteRange& range : plan.ranges) {
      EXPECT_LE(range.end_bytes(), lowest + 64 * kKiB);
      lowest = range.offset_bytes;
    }
  }
  EXPECT_LT(lowest, 80 * kMiB);
}

TEST(Readahead, BackwardWindowEndsAtTheStartOfTheFile) {
  ReadaheadDetector detector;
  uint64_t lowest = UINT64_MAX;
  for (uint64_t at = kMiB; at > 0; at -= 64 * kKiB) {
    for (const ByteRange& range : detector.note({at, 64 * kKiB}, kBigFile).ranges) {
      lowest = std::min(lowest, range.offset_bytes);
    }
  }
  EXPECT_EQ(lowest, 0U);
}

TEST(Readahead, EqualStridesFetchTheNextOnes) {
  for (const int64_t stride : {int64_t{10} << 20, -(int64_t{10} << 20)}) {
    ReadaheadDetector detector;
    ReadaheadPlan plan;
    int64_t at = 500 << 20;
    for (int i = 0; i < 5; ++i, at += stride) {
      plan = detector.note({static_cast<uint64_t>(at), 64 * kKiB}, kBigFile);
    }
    EXPECT_EQ(plan.pattern, AccessPattern::kStrided);
    ASSERT_EQ(plan.ranges.size(), ReadaheadDetector::kStridesAhead);
    EXPECT_EQ(plan.ranges[0], (ByteRange{static_cast<uint64_t>(at), 64 * kKiB}));
  }
}

TEST(Readahead, FewReadsAtATimeAreAsLongAsItTakesForTheLink) {
  ReadaheadLimits limits = kBigFile;
  limits.trip_bytes = 14 * kMiB;
  EXPECT_EQ(ReadaheadDetector::piece_bytes_min(limits), 0U);
  limits.reads_ahead = 14;
  limits.read_bytes_max = 4 * kMiB;
  EXPECT_EQ(ReadaheadDetector::piece_bytes_min(limits), 4 * kMiB);
  limits.reads_ahead = 64;
  EXPECT_EQ(ReadaheadDetector::piece_bytes_min(limits), kMiB);
  limits.trip_bytes = 0;
  EXPECT_EQ(ReadaheadDetector::piece_bytes_min(limits), 0U);
  // Never longer than the origin has them, nor than its share of the memory.
  limits = {.trip_bytes = 1 << 30, .reads_ahead = 2, .read_bytes_max = 3 * kMiB};
  EXPECT_EQ(ReadaheadDetector::piece_bytes_min(limits), 2 * kMiB);
  limits = {.window_bytes_max = 4 * kMiB, .trip_bytes = 1 << 30, .reads_ahead = 8};
  EXPECT_EQ(ReadaheadDetector::piece_bytes_min(limits), kMiB);
}

TEST(Readahead, LongPiecesArePlannedWholeAndToTheEndOfTheFile) {
  const ReadaheadLimits limits{.file_bytes = 61 * kMiB + 17,
                               .link_bytes = 16 * kMiB,
                               .trip_bytes = 14 * kMiB,
                               .reads_ahead = 14,
                               .read_bytes_max = 4 * kMiB};
  ReadaheadDetector detector;
  uint64_t end = 128 * kKiB;
  for (uint64_t at = 0; at < limits.file_bytes - kMiB; at += 128 * kKiB) {
    for (const ByteRange& range : detector.note({at, 128 * kKiB}, limits).ranges) {
      EXPECT_EQ(range.offset_bytes, end);
      end = range.end_bytes();
      EXPECT_TRUE(end % (4 * kMiB) == 0 || end == limits.file_bytes) << end;
    }
  }
  EXPECT_EQ(end, limits.file_bytes);
}

TEST(Readahead, CutPlanIsPlannedAgain) {
  ReadaheadDetector detector;
  detector.note({0, 128 * kKiB}, kBigFile);
  detector.cut_plan(512 * kKiB);
  const ReadaheadPlan plan = detector.note({128 * kKiB, 128 * kKiB}, kBigFile);
  ASSERT_EQ(plan.ranges.size(), 1U);
  EXPECT_EQ(plan.ranges[0].offset_bytes, 512 * kKiB);
}

}  // namespace
}  // namespace netfs
