#include "journal/recent_looks.h"

#include <gtest/gtest.h>

namespace netfs::journal {
namespace {

using Saw = RecentLooks::Saw;

constexpr MonoTime kNow = MonoTime() + std::chrono::hours(1);

void look(RecentLooks& recent, const std::string& path, Saw saw, MonoTime began = kNow) {
  recent.begin(path);
  recent.end(path, saw, began);
}

TEST(RecentLooks, WhatWasSeenCountsForAMoment) {
  RecentLooks recent;
  EXPECT_EQ(recent.saw("a", kNow), Saw::kUnknown);
  look(recent, "a", Saw::kNothing);
  look(recent, "d", Saw::kDirectory);
  EXPECT_EQ(recent.saw("a", kNow + kLookCounts), Saw::kNothing);
  EXPECT_EQ(recent.saw("d", kNow + kLookCounts), Saw::kDirectory);
  EXPECT_EQ(recent.saw("a", kNow + kLookCounts + Duration(1)), Saw::kUnknown);
}

TEST(RecentLooks, AChangeOfOursMakesItVoid) {
  RecentLooks recent;
  look(recent, "a", Saw::kNothing);
  look(recent, "b", Saw::kNothing);
  recent.changed("a");
  EXPECT_EQ(recent.saw("a", kNow), Saw::kUnknown);
  EXPECT_EQ(recent.saw("b", kNow), Saw::kNothing);
  recent.all_changed();
  EXPECT_EQ(recent.saw("b", kNow), Saw::kUnknown);
  EXPECT_EQ(recent.size(), 0U);
}

// The answer may be of before it.
TEST(RecentLooks, AChangeDuringALookMakesItsAnswerVoid) {
  for (const bool all : {false, true}) {
    RecentLooks recent;
    recent.begin("a");
    if (all) {
      recent.all_changed();
    } else {
      recent.changed("a");
    }
    recent.begin("a");
    recent.end("a", Saw::kNothing, kNow);
    EXPECT_EQ(recent.saw("a", kNow), Saw::kUnknown);
    recent.end("a", Saw::kNothing, kNow);
    EXPECT_EQ(recent.saw("a", kNow), Saw::kUnknown);
    look(recent, "a", Saw::kNothing);
    EXPECT_EQ(recent.saw("a", kNow), Saw::kNothing);
  }
}

TEST(RecentLooks, TheLookThatBeganLastCounts) {
  RecentLooks recent;
  recent.begin("a");
  recent.begin("a");
  recent.end("a", Saw::kDirectory, kNow + Duration(2));
  recent.end("a", Saw::kNothing, kNow);
  EXPECT_EQ(recent.saw("a", kNow), Saw::kDirectory);
}

TEST(RecentLooks, NoMoreNamesAreKeptThanItsBoundAndThoseThatAreLookedAt) {
  RecentLooks recent(10);
  recent.begin("looked at");
  for (int i = 0; i < 1000; ++i) {
    look(recent, std::to_string(i), Saw::kNothing);
    EXPECT_LE(recent.size(), 11U);
  }
  recent.end("looked at", Saw::kNothing, kNow);
  EXPECT_EQ(recent.saw("looked at", kNow), Saw::kNothing);
}

}  // namespace
}  // namespace netfs::journal
