#include "tests/tools/delay_proxy/shaper.h"

#include <gtest/gtest.h>

namespace netfs::delay_proxy {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr uint64_t kGigabit = 1'000'000'000;

TEST(Shaper, BytesComeOutAfterTheirTimeOnTheWireAndTheDelay) {
  Shaper shaper(kGigabit, milliseconds(10));
  const MonoTime start{};
  EXPECT_EQ(shaper.admit(start, 125'000), start + milliseconds(11));
  EXPECT_EQ(shaper.admit(start, 125'000), start + milliseconds(12));
  EXPECT_EQ(shaper.backlog(start), milliseconds(2));
}

TEST(Shaper, AnIdleLinkSavesNothingUp) {
  Shaper shaper(kGigabit, Duration::zero());
  const MonoTime start{};
  shaper.admit(start, 125);
  EXPECT_EQ(shaper.admit(start + milliseconds(5), 125), start + milliseconds(5) + microseconds(1));
}

TEST(Shaper, SmallPacketsDoNotRunFasterThanTheRate) {
  // One byte of 3 Gbit/s takes 2 2/3 ns: rounded down each time they would gain a third.
  Shaper shaper(3 * kGigabit, Duration::zero());
  const MonoTime start{};
  for (int i = 0; i < 2999; ++i) shaper.admit(start, 1);
  EXPECT_EQ(shaper.admit(start, 1), start + microseconds(8));
}

TEST(Shaper, WithoutARateThereIsOnlyTheDelay) {
  Shaper shaper(0, milliseconds(3));
  EXPECT_EQ(shaper.admit(MonoTime{}, 1 << 30), MonoTime{} + milliseconds(3));
}

}  // namespace
}  // namespace netfs::delay_proxy
