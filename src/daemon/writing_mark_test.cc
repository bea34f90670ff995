// Goal: what is stored of a volume is believed only if nobody died while he wrote to it, and that
// is found out once, whoever asks meanwhile.

#include "daemon/writing_mark.h"

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <sched.h>

#include "sync/thread.h"

namespace netfs::daemon {
namespace {

using Found = WritingMark::Found;

struct WritingMarkTest : testing::Test {
  std::string directory = "/tmp/netfs-writing-mark.XXXXXX";

  void SetUp() override { ASSERT_NE(::mkdtemp(directory.data()), nullptr); }
  void TearDown() override { std::filesystem::remove_all(directory); }

  // As of a process that died: made, and not cleared.
  void leave_one(const std::string& volume) {
    WritingMark mark(directory, volume);
    ASSERT_EQ(MUST(mark.set()), Found::kNothing);
  }
};

TEST_F(WritingMarkTest, AMarkThatWasNotClearedIsFoundByWhoComesNext) {
  EXPECT_FALSE(WritingMark::is_left(directory, "v"));
  leave_one("v");
  EXPECT_TRUE(WritingMark::is_left(directory, "v"));
  EXPECT_FALSE(WritingMark::is_left(directory, "another"));
  WritingMark mark(directory, "v");
  EXPECT_EQ(MUST(mark.set()), Found::kLeftOver);
  mark.trusted();
  EXPECT_FALSE(WritingMark::is_left(directory, "v")) << "a mount of this process holds it";
  WritingMark second(directory, "v");
  EXPECT_EQ(MUST(second.set()), Found::kNothing);
}

TEST_F(WritingMarkTest, AnotherMountWaitsUntilTheCheckIsOver) {
  leave_one("v");
  WritingMark mark(directory, "v");
  ASSERT_EQ(MUST(mark.set()), Found::kLeftOver);
  std::atomic<bool> asking{false};
  std::atomic<bool> trusted{false};
  sync::Thread other("other", [&] {
    asking = true;
    WritingMark second(directory, "v");
    EXPECT_EQ(MUST(second.set()), Found::kNothing);
    EXPECT_TRUE(trusted) << "it went on before what is stored was dropped";
  });
  while (!asking) ::sched_yield();
  for (int i = 0; i < 1000; ++i) ::sched_yield();  // time to go wrong
  trusted = true;
  mark.trusted();
  other.join();
}

TEST_F(WritingMarkTest, ACheckThatFailsLeavesTheMarkForTheNext) {
  leave_one("v");
  {
    WritingMark mark(directory, "v");
    ASSERT_EQ(MUST(mark.set()), Found::kLeftOver);
  }
  WritingMark next(directory, "v");
  EXPECT_EQ(MUST(next.set()), Found::kLeftOver);
}

}  // namespace
}  // namespace netfs::daemon
