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
    for (const Unstable::Lost& each : unstable_.lost("f", unstable_.mark(), verifier)) {
      all += std::to_string(each.offset_bytes) + ":" + each.bytes + " ";
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
  EXPECT_TRUE(unstable_.begin_rewrite("f", soon, parked).is_error(ETIMEDOUT));
  EXPECT_TRUE(parked.empty());
  unstable_.end_write("f");
  ASSERT_TRUE(unstable_.begin_rewrite("f", Deadline::never(), parked).ok());
  EXPECT_FALSE(unstable_.begin_write("f", second));
  EXPECT_EQ(unstable_.end_rewrite("f"), std::vector<WriteSubrequest*>{&second});
  EXPECT_TRUE(unstable_.begin_write("f", second));
}

TEST_F(UnstableTest, WhatIsParkedBeyondItsTimeIsGivenBack) {
  OriginFile file;
  const MonoTime now = Clock::system().now();
  NoWrite patient(file);
  NoWrite late(file, {now});
  std::vector<WriteSubrequest*> parked;
  ASSERT_TRUE(unstable_.begin_rewrite("f", Deadline::never(), parked).ok());
  EXPECT_FALSE(unstable_.begin_write("f", late));
  EXPECT_FALSE(unstable_.begin_write("f", patient));
  EXPECT_TRUE(unstable_.take_overdue(now - std::chrono::seconds(1)).empty());
  EXPECT_EQ(unstable_.take_overdue(now), std::vector<WriteSubrequest*>{&late});
  EXPECT_EQ(unstable_.end_rewrite("f"), std::vector<WriteSubrequest*>{&patient});
}

}  // namespace
}  // namespace netfs::origins::nfs
