#include "netfs/link_estimate.h"

#include <gtest/gtest.h>
#include <vector>

#include "base/manual_clock.h"

namespace netfs {
namespace {

using std::chrono::milliseconds;

// A link of 100 MB/s and 50 ms, on which `window` pieces of 1 MB are kept under way.
void transfer(LinkEstimate& link, ManualClock& clock, size_t window, size_t pieces) {
  struct Piece {
    LinkEstimate::Flight flight;
    MonoTime arrives;
  };
  std::vector<Piece> under_way;
  MonoTime free_at = clock.now();
  for (size_t done = 0; done < pieces;) {
    while (under_way.size() < window) {
      free_at = std::max(free_at, clock.now()) + milliseconds(10);
      const MonoTime earliest = clock.now() + milliseconds(60);
      under_way.push_back(
          {link.begin(clock.now()), std::max(earliest, free_at + milliseconds(50))});
    }
    clock.advance(under_way.front().arrives - clock.now());
    link.end(under_way.front().flight, 1'000'000, clock.now());
    under_way.erase(under_way.begin());
    ++done;
  }
}

TEST(LinkEstimate, KnowsNothingAtFirst) {
  const LinkEstimate link;
  EXPECT_EQ(link.link_bytes(), 0U);
  EXPECT_EQ(link.piece_bytes(64 << 10, 1 << 20), 256U << 10);
}

TEST(LinkEstimate, FindsBandwidthAndDelayOfAFullLink) {
  LinkEstimate link;
  ManualClock clock;
  transfer(link, clock, 12, 400);
  EXPECT_NEAR(static_cast<double>(link.bytes_per_second()), 100e6, 15e6);
  EXPECT_NEAR(std::chrono::duration<double>(link.delay()).count(), 0.06, 0.01);
  EXPECT_EQ(link.piece_bytes(64 << 10, 1 << 20), 1U << 20);
}

TEST(LinkEstimate, SmallWindowShowsItsOwnRateAndNotMore) {
  LinkEstimate link;
  ManualClock clock;
  transfer(link, clock, 2, 100);
  EXPECT_LT(link.bytes_per_second(), 50'000'000U);
  EXPECT_GT(link.bytes_per_second(), 20'000'000U);
}

// Twelve pieces of 1 MB are twice what this link holds.
TEST(LinkEstimate, LessMayBeUnderWayOnceTheRateStands) {
  LinkEstimate link;
  EXPECT_EQ(link.under_way_bytes(), 0U);
  ManualClock clock;
  transfer(link, clock, 12, 12);
  const uint64_t growing = link.under_way_bytes();
  EXPECT_EQ(growing, static_cast<uint64_t>(static_cast<double>(link.trip_bytes()) * 1.5));
  transfer(link, clock, 12, 400);
  EXPECT_NEAR(static_cast<double>(link.under_way_bytes()),
              static_cast<double>(link.trip_bytes()) * 1.125, 2);
  EXPECT_LT(link.under_way_bytes(), link.link_bytes());
}

TEST(LinkEstimate, SlowLinkHasSmallPieces) {
  LinkEstimate link;
  ManualClock clock;
  for (int i = 0; i < 20; ++i) {
    const LinkEstimate::Flight flight = link.begin(clock.now());
    clock.advance(milliseconds(100));
    link.end(flight, 100'000, clock.now());
  }
  EXPECT_EQ(link.piece_bytes(64 << 10, 1 << 20), 64U << 10);
}

}  // namespace
}  // namespace netfs
