#include "lockdep_preload/lock_times.h"

#include <gtest/gtest.h>
#include <memory>

namespace netfs::lockdep_preload {
namespace {

TEST(Histogram, EveryTimeLiesInItsBucketAndNoBucketIsWiderThanAnEighth) {
  for (unsigned shift = 0; shift < 42; ++shift) {
    for (const uint64_t offset :
         {uint64_t{0}, (uint64_t{1} << shift) / 3, (uint64_t{1} << shift) - 1}) {
      const uint64_t ns = (uint64_t{1} << shift) + offset;
      const size_t bucket = Histogram::bucket_of(ns);
      EXPECT_EQ(bucket, Histogram::bucket_of(Histogram::end_of(bucket))) << ns;
      EXPECT_GE(Histogram::end_of(bucket), ns);
      EXPECT_LE(Histogram::end_of(bucket), ns + ns / 8) << ns;
      EXPECT_LT(Histogram::end_of(bucket - 1), ns) << ns;
    }
  }
  EXPECT_EQ(Histogram::bucket_of(UINT64_MAX), Histogram::bucket_of(UINT64_MAX / 2));
}

TEST(Histogram, PercentilesAreThoseOfTheTimesAddedWithinABucket) {
  const auto times = std::make_unique<Histogram>();
  EXPECT_EQ(times->percentile_ns(0.5), 0U);
  for (uint64_t i = 1; i <= 1000; ++i) times->add(i * 1000);
  EXPECT_EQ(times->count(), 1000U);
  EXPECT_EQ(times->sum_ns(), 500'500'000U);
  EXPECT_EQ(times->most_ns(), 1'000'000U);
  EXPECT_GE(times->percentile_ns(0.5), 500'000U);
  EXPECT_LE(times->percentile_ns(0.5), 563'000U);
  EXPECT_GE(times->percentile_ns(0.99), 990'000U);
  EXPECT_EQ(times->percentile_ns(1), 1'000'000U) << "never more than the largest";
}

TEST(TimesText, IsATableWithTheMostWaitedForFirst) {
  const auto quiet = std::make_unique<LockTimes>();
  const auto busy = std::make_unique<LockTimes>();
  quiet->held.add(12);
  busy->waited.add(1'500'000);
  busy->held.add(2'000'000'000);
  EXPECT_EQ(
      times_text({{.name = "quiet", .times = quiet.get()}, {.name = "busy", .times = busy.get()}}),
      "      waits    total      p50      p99      max |"
      "      holds    total      p50      p99      max  class\n"
      "          1    1.5ms    1.5ms    1.5ms    1.5ms |"
      "          1     2.0s     2.0s     2.0s     2.0s  busy\n"
      "          0      0ns      0ns      0ns      0ns |"
      "          1     12ns     12ns     12ns     12ns  quiet\n");
}

}  // namespace
}  // namespace netfs::lockdep_preload
