#include "vfs/reading_order.h"

#include <gtest/gtest.h>

#include "vfs/node.h"

namespace netfs::vfs {
namespace {

constexpr MonoTime kNow{};

Ref<Listing> listing_of(const std::vector<std::pair<std::string, FileType>>& names) {
  Ref<Listing> listing = make_ref<Listing>();
  for (const auto& [name, type] : names) {
    listing->entries.push_back({.name_offset = static_cast<uint32_t>(listing->names.size()),
                                .name_bytes = static_cast<uint16_t>(name.size()),
                                .type = type,
                                .ino = 0,
                                .node = {}});
    listing->names += name;
  }
  return listing;
}

TEST(FileOrder, HasTheRegularFilesAsListedAndByName) {
  const Ref<Listing> listing = listing_of({{"c", FileType::kRegular},
                                           {"b", FileType::kDirectory},
                                           {"a", FileType::kRegular},
                                           {"d", FileType::kSymlink},
                                           {"bb", FileType::kRegular}});
  const FileOrder order(*listing);
  ASSERT_EQ(order.count(), 3U);
  EXPECT_EQ(order.entry(OrderBy::kListing, 0), 0U);
  EXPECT_EQ(order.entry(OrderBy::kListing, 1), 2U);
  EXPECT_EQ(order.entry(OrderBy::kName, 0), 2U);
  EXPECT_EQ(order.entry(OrderBy::kName, 1), 4U);
  EXPECT_EQ(order.find(*listing, "bb"), (FileOrder::Places{2, 1}));
  EXPECT_EQ(order.find(*listing, "b"), std::nullopt) << "a directory";
  EXPECT_EQ(order.find(*listing, "zz"), std::nullopt);
}

TEST(FileRun, TellsTheOrderOfTheListingFromThatOfNames) {
  FileRun listed;
  listed.begin({3, 40}, 100);
  EXPECT_EQ(listed.go({4, 2}, kNow), FileRun::Step::kOn);
  EXPECT_FALSE(listed.sure());
  EXPECT_EQ(listed.go({5, 77}, kNow), FileRun::Step::kOn);
  EXPECT_TRUE(listed.sure());
  EXPECT_EQ(listed.by(), OrderBy::kListing);
  EXPECT_EQ(listed.next(), 6U);

  FileRun named;
  named.begin({40, 3}, 100);
  EXPECT_EQ(named.go({2, 4}, kNow), FileRun::Step::kOn);
  EXPECT_EQ(named.go({77, 5}, kNow), FileRun::Step::kOn);
  EXPECT_EQ(named.by(), OrderBy::kName);
  EXPECT_EQ(named.go({78, 50}, kNow), FileRun::Step::kBreak) << "one order, not now this, now that";
}

TEST(FileRun, ItsWindowGrowsWithEachStepAndEndsWithTheFirstBreak) {
  FileRun run;
  run.begin({0, 0}, 1000);
  const std::vector<size_t> windows = {0, 2, 4, 8, 16, 32, 64, 128, 256, 256};
  for (size_t i = 0; i < windows.size(); ++i) {
    EXPECT_EQ(run.go({i + 1, i + 1}, kNow), FileRun::Step::kOn);
    EXPECT_EQ(run.window(), windows[i]) << i;
  }
  EXPECT_EQ(run.go({500, 500}, kNow), FileRun::Step::kBreak);
  EXPECT_EQ(run.window(), 0U);
  EXPECT_FALSE(run.sure());
}

TEST(FileRun, LeavesOutAFewUntilItIsTooMany) {
  FileRun run;
  run.begin({0, 0}, 100);
  for (size_t i = 1; i <= 4; ++i) run.go({i, i}, kNow);
  EXPECT_EQ(run.window(), 8U);
  EXPECT_EQ(run.go({7, 7}, kNow), FileRun::Step::kOn);
  EXPECT_EQ(run.window(), 8U) << "others may come for those";
  EXPECT_EQ(run.go({6, 6}, kNow), FileRun::Step::kNone);
  EXPECT_EQ(run.next(), 8U);
  for (size_t i = 10; i <= 22; i += 3) run.go({i, i}, kNow);
  EXPECT_EQ(run.window(), 4U) << "what is left out was fetched in vain";
}

TEST(FileRun, ThreadsThatShareItComeInAnyOrder) {
  for (const std::vector<size_t>& first : std::vector<std::vector<size_t>>{
           {0, 2, 1, 3}, {0, 1, 3, 2}, {1, 0, 2, 3}, {3, 1, 2, 0, 4, 5}, {0, 4, 2, 1, 3, 5}}) {
    FileRun run;
    run.begin({first[0], first[0]}, 1000);
    for (size_t i = 1; i < first.size(); ++i) {
      EXPECT_NE(run.go({first[i], first[i]}, kNow), FileRun::Step::kBreak) << first[i];
    }
    // And on, the one or the other late.
    for (size_t i = first.size(); i < 200; i += 4) {
      for (const size_t at : {i + 2, i, i + 3, i + 1}) {
        EXPECT_NE(run.go({at, at}, kNow), FileRun::Step::kBreak) << at;
      }
    }
    EXPECT_TRUE(run.sure());
    EXPECT_GE(run.window(), 64U);
  }
}

TEST(FileRun, OneThatIsVeryLateCostsItNothing) {
  FileRun run;
  run.begin({0, 0}, 1000);
  for (size_t i = 1; i <= 40; ++i) run.go({i, i}, kNow);
  ASSERT_EQ(run.window(), FileRun::kWindowMax);
  EXPECT_EQ(run.go({12, 12}, kNow), FileRun::Step::kBreak);
  EXPECT_FALSE(run.is_off(kNow));
  EXPECT_EQ(run.go({41, 41}, kNow), FileRun::Step::kBreak) << "it is planned anew";
  EXPECT_FALSE(run.is_off(kNow));
  EXPECT_EQ(run.window(), FileRun::kWindowMax);
  EXPECT_EQ(run.next(), 42U);
}

TEST(FileRun, TwoInOneDirectoryAreNoRandomReading) {
  FileRun run;
  run.begin({0, 0}, 1000);
  for (size_t i = 0; i < 50; ++i) {
    run.go({200 + i, 200 + i}, kNow);
    run.go({i + 1, i + 1}, kNow);
    ASSERT_FALSE(run.is_off(kNow)) << i;
  }
  EXPECT_TRUE(run.sure());
}

TEST(FileRun, TwoBreaksInARowTurnItOffForAWhile) {
  FileRun run;
  run.begin({10, 10}, 100);
  EXPECT_EQ(run.go({50, 50}, kNow), FileRun::Step::kBreak);
  EXPECT_FALSE(run.is_off(kNow));
  EXPECT_EQ(run.go({30, 30}, kNow), FileRun::Step::kBreak);
  EXPECT_TRUE(run.is_off(kNow));
  EXPECT_FALSE(run.is_off(kNow + FileRun::kOff));
}

TEST(FileRun, GoesOverAtItsEndOnlyToWhatBegins) {
  FileRun one;  // one of two files
  one.begin({0, 0}, 2);
  EXPECT_FALSE(one.at_end());
  one.go({1, 1}, kNow);
  EXPECT_TRUE(one.at_end());
  EXPECT_FALSE(one.goes_over_to({1, 1}));
  ASSERT_TRUE(one.goes_over_to({0, 0}));
  one.go_over({0, 0}, 30);
  EXPECT_TRUE(one.sure());
  EXPECT_EQ(one.window_beyond(), one.window());
  EXPECT_FALSE(one.at_end());

  FileRun first;  // of its directory
  first.begin({0, 0}, 20);
  for (size_t i = 1; i < 10; ++i) first.go({i, i}, kNow);
  EXPECT_EQ(first.window_beyond(), FileRun::kBeyondFirst) << "nothing is known of the next one";

  FileRun middle;
  middle.begin({5, 5}, 20);
  for (size_t i = 6; i < 20; ++i) middle.go({i, i}, kNow);
  EXPECT_EQ(middle.window_beyond(), 0U) << "it was not read from its beginning";
}

}  // namespace
}  // namespace netfs::vfs
