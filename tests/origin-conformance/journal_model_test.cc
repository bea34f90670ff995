// Goal: however the link fails, and however often the process starts anew, what was done here comes
// to the origin once; and whatever somebody else does there meanwhile, nothing of theirs is written
// over and nothing of ours is lost.  Method: random changes through a journal over a real folder,
// whose link fails before or after a call is carried out, at random; in one test nobody else
// changes anything, and the folder is what the model is; in the other one somebody does, most of
// the time by an edit of ours or of what was there before, and each version of theirs and each word
// of ours is looked for in the end.

#include "tests/origin-conformance/journal_model.h"

namespace netfs::test {
namespace {

TEST_F(JournalModel, WhatWasDoneHereIsDoneThereOnceHoweverTheLinkFailsAndWhoeverStartsAnew) {
  for (uint64_t seed = first_seed(); seed < first_seed() + kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    begin(seed);
    set_link(0);
    start();
    for (int round = 0; round < 4; ++round) {
      set_link(static_cast<unsigned>(random_() % 2 == 0 ? random_() % 60 : 80));
      for (int i = 0; i < 15; ++i) {
        const Result<void> done = change();
        ASSERT_TRUE(done.ok()) << done.error().message();
        const uint64_t what = random_() % 12;
        if (what == 0) end(SimDisk::Lost::kNothing);
        if (what == 1) end(SimDisk::Lost::kPower);
        if (what == 2) start();
        if (what == 3)
          (void)origin_->journal().drain(
              Deadline::after(Clock::system(), std::chrono::milliseconds(2)));
        if (HasFatalFailure()) return;
      }
      set_link(0);
      start();
      if (HasFatalFailure()) return;
      ASSERT_TRUE(origin_->journal().drain(soon())) << origin_->journal().status().last_error;
      ASSERT_EQ(on_disk(tree_), users_);
      Plain seen;
      expect_seen("", seen);
      ASSERT_EQ(seen, users_);
      ASSERT_EQ(origin_->journal().status().set_aside, 0U);
      ASSERT_EQ(origin_->journal().status().conflicts, 0U);
      ASSERT_EQ(set_aside(), "");
    }
  }
}

TEST_F(JournalModel, NothingOfTheirsIsWrittenOverAndNothingOfOursIsLost) {
  for (uint64_t seed = first_seed(); seed < first_seed() + kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    begin(seed);
    set_link(0);
    start();
    for (int round = 0; round < 4; ++round) {
      touched_.clear();
      moves_.clear();
      seen_.clear();
      theirs_.clear();
      set_link(static_cast<unsigned>(random_() % 2 == 0 ? random_() % 60 : 80));
      for (int i = 0; i < 12; ++i) {
        (void)change();
        const uint64_t what = random_() % 12;
        if (what == 0) end(SimDisk::Lost::kNothing);
        if (what == 1) end(SimDisk::Lost::kPower);
        if (what == 2) start();
        if (what < 6 && i > 4) meddle();
        if (HasFatalFailure()) return;
      }
      set_link(0);
      start();
      if (HasFatalFailure()) return;
      ASSERT_TRUE(origin_->journal().drain(soon())) << origin_->journal().status().last_error;
      const Plain there = on_disk(tree_);
      std::string all = set_aside();
      for (const auto& [path, bytes] : there) all += bytes;
      for (const auto& [mark, path] : theirs_) {
        ASSERT_NE(all.find(mark), std::string::npos)
            << mark << " was at " << path << "; there is " << testing::PrintToString(there);
      }
      for (const std::string& word : words_of(users_)) {
        ASSERT_NE(all.find(word), std::string::npos) << word;
      }
      Plain seen;
      expect_seen("", seen);
      ASSERT_EQ(seen, there);
      // On from what there is.
      before_ = users_ = there;
    }
  }
}

}  // namespace
}  // namespace netfs::test
