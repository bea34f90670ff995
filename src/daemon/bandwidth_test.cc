#include "daemon/bandwidth.h"

#include <cerrno>
#include <gtest/gtest.h>

namespace netfs::daemon {
namespace {

TEST(BandwidthWords, OneIsForBothWaysTwoAreUpAndDown) {
  struct Row {
    const char* text;
    Bandwidth bandwidth;
  };
  const Row rows[] = {{"10M", {.up = 10 << 20, .down = 10 << 20}},
                      {"512K:10M", {.up = 512 << 10, .down = 10 << 20}},
                      {"off:1M", {.down = 1 << 20}},
                      {"1M:off", {.up = 1 << 20}},
                      {"40000", {.up = 40000, .down = 40000}},
                      {"off", {}}};
  for (const Row& row : rows) {
    const Result<Bandwidth> parsed = parse_bandwidth(row.text);
    ASSERT_TRUE(parsed.ok()) << row.text;
    EXPECT_EQ(parsed.value(), row.bandwidth) << row.text;
    const Result<Bandwidth> again = parse_bandwidth(bandwidth_words(row.bandwidth));
    ASSERT_TRUE(again.ok()) << row.text;
    EXPECT_EQ(again.value(), row.bandwidth);
  }
}

TEST(BandwidthWords, WhatIsNoneOrTooLittleIsSaid) {
  for (const char* text : {"", ":", "1M:", ":1M", "fast", "-1M", "1M:2M:3M", "1Mbit", "31K", "0"}) {
    const Result<Bandwidth> parsed = parse_bandwidth(text);
    ASSERT_TRUE(parsed.is_error(EINVAL)) << text;
    EXPECT_FALSE(parsed.error().detail().empty()) << text;
  }
  EXPECT_NE(parse_bandwidth("31K").error().message().find("32K at least"), std::string::npos);
}

TEST(BandwidthWords, PeopleReadWhichWayIsWhich) {
  EXPECT_EQ(format_bandwidth({.up = 1 << 20}), "up 1.0 MiB/s, down unlimited");
}

}  // namespace
}  // namespace netfs::daemon
