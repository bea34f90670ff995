#include <cerrno>
#include <gtest/gtest.h>

#include "netfs/origin.h"
#include "origins/nfs/unstable.h"

namespace netfs::origins::nfs {
namespace {

const Verifier kOne{1};
const Verifier kTwo{2};

class UnstableTest : public testing::Test {
 protected:
  void wrote(uint64_t offset, const std::string& bytes, const Verifier& verifier,
             bool stable = false) {
    unstable_.wrote("f", offset, std::as_bytes(std::span(bytes.data(), bytes.size())), verifier,
                    stable);
  }
  // What has to be written again, as "offset:bytes ".
  std::string lost(const Verifier& verifier) {
    std::string all;
    uint64_t from = 0;
    while (const auto lost = unstable_.next_lost("f", unstable_.mark(), verifier, from, 1000)) {
      all += std::to_string(lost->offset_bytes) + ":" + lost->bytes + " ";
      from = lost->offset_bytes + lost->bytes.size();
    }
    return all;
  }

  Unstable unstable_{1000};
};

TEST_F(UnstableTest, WhatIsCommittedInTheSameLifeIsHeldNoMore) {
  wrote(0, "abc", kOne);
  EXPECT_EQ(unstable_.held_bytes("f"), 3U);
  EXPECT_EQ(unstable_.files(), std::vector<Handle>{"f"});
  EXPECT_TRUE(unstable_.committed("f", unstable_.mark(), kOne));
  EXPECT_EQ(unstable_.held_bytes(), 0U);
  EXPECT_TRUE(unstable_.files().empty());
}

TEST_F(UnstableTest, WhatIsCommittedInAnotherLifeHasToBeWrittenAgain) {
  wrote(0, "abc", kOne);
  wrote(10, "xyz", kTwo);
  EXPECT_FALSE(unstable_.committed("f", unstable_.mark(), kTwo));
  EXPECT_EQ(lost(kTwo), "0:abc ");
  unstable_.stored("f", 0, 2);
  EXPECT_EQ(lost(kTwo), "2:c ");
  unstable_.stored("f", 2, 1);
  EXPECT_TRUE(unstable_.committed("f", unstable_.mark(), kTwo));
  EXPECT_EQ(unstable_.held_bytes(), 0U);
}

TEST_F(UnstableTest, ATimeThatWasSetBehindTheBytesIsOwedOnceTheyAreWrittenAgain) {
  const Timestamp time{1'500'000'000, 7};
  wrote(0, "abc", kOne);
  unstable_.time_set("f", time);
  EXPECT_EQ(unstable_.lost_time("f"), std::nullopt);
  unstable_.stored("f", 0, 3);
  EXPECT_TRUE(unstable_.is_owed("f"));
  EXPECT_EQ(unstable_.lost_time("f"), time);
  EXPECT_FALSE(unstable_.committed("f", unstable_.mark(), kTwo)) << "until it is set";
  unstable_.forget_time("f");
  EXPECT_TRUE(unstable_.committed("f", unstable_.mark(), kTwo));
  EXPECT_FALSE(unstable_.is_owed("f"));
}

TEST_F(UnstableTest, ATimeThatALaterWriteHasChangedIsNotSetAgain) {
  wrote(0, "abc", kOne);
  unstable_.time_set("f", Timestamp{1'500'000'000, 7});
  wrote(3, "d", kOne);
  unstable_.stored("f", 0, 4);
  EXPECT_EQ(unstable_.lost_time("f"), std::nullopt);
  EXPECT_FALSE(unstable_.is_owed("f"));
}

TEST_F(UnstableTest, WhatCameAfterTheCommitWasSentStaysHeld) {
  wrote(0, "abc", kOne);
  const uint64_t mark = unstable_.mark();
  wrote(3, "d", kOne);
  EXPECT_TRUE(unstable_.committed("f", mark, kOne));
  EXPECT_EQ(unstable_.held_bytes(), 1U);
}

TEST_F(UnstableTest, TheNewestOfWhatOverlapsIsHeld) {
  wrote(0, "aaaaaaaa", kOne);
  wrote(2, "bb", kOne);
  wrote(6, "cccc", kOne);
  EXPECT_EQ(lost(kTwo), "0:aa 2:bb 4:aa 6:cccc ");
  EXPECT_EQ(unstable_.held_bytes(), 10U);
  wrote(1, "SS", kOne, true);
  EXPECT_EQ(lost(kTwo), "0:a 3:b 4:aa 6:cccc ") << "what is stable is not written over";
  unstable_.truncated("f", 5);
  EXPECT_EQ(lost(kTwo), "0:a 3:b 4:a ");
  unstable_.forget("f");
  EXPECT_EQ(unstable_.held_bytes(), 0U);
}

TEST_F(UnstableTest, WhatWasLostIsGivenInPieces) {
  wrote(0, "abcdef", kOne);
  wrote(10, "gh", kTwo);
  const auto next = [&](uint64_t from) {
    return unstable_.next_lost("f", unstable_.mark(), kTwo, from, 4);
  };
  EXPECT_EQ(next(0)->bytes, "abcd");
  EXPECT_EQ(next(4)->offset_bytes, 4U);
  EXPECT_EQ(next(4)->bytes, "ef");
  EXPECT_FALSE(next(6).has_value());
  EXPECT_TRUE(unstable_.holds_beyond("f", 11));
  EXPECT_FALSE(unstable_.holds_beyond("f", 12));
}

TEST_F(UnstableTest, WhatIsGivenUpIsToldOnceOfTheFileAndOnceOfAll) {
  wrote(0, "abc", kOne);
  const MonoTime now = Clock::system().now();
  EXPECT_EQ(unstable_.commit_failed("f", ESTALE, now).stale, Duration(0));
  const Unstable::Failing failing =
      unstable_.commit_failed("f", ESTALE, now + std::chrono::seconds(5));
  EXPECT_EQ(failing.failures, 2U);
  EXPECT_EQ(failing.stale, std::chrono::seconds(5));
  EXPECT_EQ(unstable_.refused().bytes, 3U);
  EXPECT_EQ(unstable_.give_up("f"), 3U);
  EXPECT_EQ(unstable_.held_bytes(), 0U);
  EXPECT_EQ(unstable_.refused().bytes, 0U);
  EXPECT_TRUE(unstable_.take_given_up("f"));
  EXPECT_FALSE(unstable_.take_given_up("f"));
  EXPECT_TRUE(unstable_.take_given_up());
  EXPECT_FALSE(unstable_.take_given_up());
}

TEST_F(UnstableTest, SaysWhenItIsFull) {
  wrote(0, std::string(999, 'a'), kOne);
  EXPECT_FALSE(unstable_.is_full());
  wrote(999, "b", kOne);
  EXPECT_TRUE(unstable_.is_full());
}

TEST_F(UnstableTest, AFileIsCommittedByOneAtATime) {
  EXPECT_FALSE(unstable_.wants_commit("f")) << "nothing is held";
  wrote(0, "abc", kOne);
  EXPECT_TRUE(unstable_.wants_commit("f"));
  EXPECT_FALSE(unstable_.wants_commit("f"));
  unstable_.commit_begins("f");
  EXPECT_TRUE(unstable_.wants_commit("f"));
}

class NoWrite final : public WriteSubrequest {
 public:
  explicit NoWrite(OriginFile& file, Deadline deadline = Deadline::never())
      : WriteSubrequest(file, {}, {}, {}, deadline) {}
  void terminated(WriteOutcome /*outcome*/) override {}
};

TEST_F(UnstableTest, AFileIsWrittenAgainWhenNothingElseWritesItAndTheRestIsParked) {
  OriginFile file;
  NoWrite first(file);
  NoWrite second(file);
  ASSERT_TRUE(unstable_.begin_write("f", first));
  const Deadline soon = Deadline::after(Clock::system(), std::chrono::milliseconds(20));
  std::vector<WriteSubrequest*> parked;
  EXPECT_TRUE(unstable_.begin_alone("f", soon, parked).is_error(ETIMEDOUT));
  EXPECT_TRUE(parked.empty());
  unstable_.end_write("f");
  ASSERT_TRUE(unstable_.begin_alone("f", Deadline::never(), parked).ok());
  EXPECT_FALSE(unstable_.begin_write("f", second));
  EXPECT_EQ(unstable_.end_alone("f"), std::vector<WriteSubrequest*>{&second});
  EXPECT_TRUE(unstable_.begin_write("f", second));
}

TEST_F(UnstableTest, WhatIsParkedBeyondItsTimeIsGivenBack) {
  OriginFile file;
  const MonoTime now = Clock::system().now();
  NoWrite patient(file);
  NoWrite late(file, {now});
  std::vector<WriteSubrequest*> parked;
  ASSERT_TRUE(unstable_.begin_alone("f", Deadline::never(), parked).ok());
  EXPECT_FALSE(unstable_.begin_write("f", late));
  EXPECT_FALSE(unstable_.begin_write("f", patient));
  EXPECT_TRUE(unstable_.take_overdue(now - std::chrono::seconds(1)).empty());
  EXPECT_EQ(unstable_.take_overdue(now), std::vector<WriteSubrequest*>{&late});
  EXPECT_EQ(unstable_.end_alone("f"), std::vector<WriteSubrequest*>{&patient});
}

}  // namespace
}  // namespace netfs::origins::nfs
