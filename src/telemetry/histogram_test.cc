#include "telemetry/histogram.h"

#include <gtest/gtest.h>

namespace netfs::telemetry {
namespace {

TEST(LatencyHistogram, PercentileIsAtMostAQuarterTooHigh) {
  LatencyHistogram histogram;
  for (int us = 1; us <= 1000; ++us) histogram.record(std::chrono::microseconds(us));
  EXPECT_EQ(histogram.count(), 1000u);
  const auto median = histogram.percentile(0.5).count();
  EXPECT_GE(median, 500'000);
  EXPECT_LE(median, 625'000);
  EXPECT_GE(histogram.percentile(0.99).count(), 990'000);
}

TEST(LatencyHistogram, IsZeroWhenEmptyAndKeepsTheExtremes) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.percentile(0.5).count(), 0);
  histogram.record(Duration(0));
  histogram.record(std::chrono::hours(24));
  EXPECT_EQ(histogram.count(), 2u);
  EXPECT_GT(histogram.percentile(1.0), std::chrono::minutes(10));
}

}  // namespace
}  // namespace netfs::telemetry
