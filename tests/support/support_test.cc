// Goal: the tools of the system tests do what they say; a test built on a broken one proves
// nothing.

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "sync/thread.h"
#include "tests/support/loop_image.h"
#include "tests/support/needs.h"
#include "tests/support/process.h"
#include "tests/support/process_states.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

TEST(Process, AnExitCodeAndTheOutputAreSeen) {
  const Finished finished =
      run({"sh", "-c", "echo out; echo err >&2; exit 7"}, std::chrono::seconds(60));
  EXPECT_EQ(finished.status, 7);
  EXPECT_EQ(finished.output, "out\nerr\n");
}

TEST(Process, OneThatTakesTooLongIsKilled) {
  const Finished finished = run({"tail", "-f", "/dev/null"}, std::chrono::milliseconds(50));
  EXPECT_EQ(finished.status, -1);
}

TEST(ProcessStates, ThreadsAndChildrenAreSeenWithWhatTheyAreIn) {
  const Process child({"tail", "-f", "/dev/null"}, "/dev/null");
  const auto shows = [](const std::string& words) {
    return wait_until([&] { return process_states().find(words) != std::string::npos; },
                      std::chrono::seconds(60));
  };
  EXPECT_TRUE(shows("(tail) S")) << process_states();
  child.signal(SIGSTOP);
  EXPECT_TRUE(shows("(tail) T")) << process_states();
  // A child of another thread than the first one, too.
  const sync::Thread other("another", [&] {
    const Process of_another({"tail", "-f", "/dev/null"}, "/dev/null");
    EXPECT_TRUE(shows("(another) ")) << process_states();
    EXPECT_TRUE(shows("(tail) S")) << process_states();
  });
}

TEST(Pattern, ARangeOfItIsTheSameWhereverItIsCut) {
  const std::string whole = pattern(7, 0, 1000);
  EXPECT_EQ(whole.substr(123, 456), pattern(7, 123, 456));
  EXPECT_NE(whole, pattern(8, 0, 1000));
}

TEST(SameBytes, OneWrongByteIsSeen) {
  const TempDir temp;
  std::string bytes = pattern(1, 0, 100000);
  write_file(temp / "a", bytes);
  write_file(temp / "b", bytes);
  EXPECT_TRUE(same_bytes(temp / "a", temp / "b"));
  bytes[77777] ^= 1;
  write_file(temp / "b", bytes);
  EXPECT_FALSE(same_bytes(temp / "a", temp / "b"));
}

class Disk : public testing::TestWithParam<const char*> {};

// A writer on a frozen file system stands still until the thaw; the guard thaws by itself.
TEST_P(Disk, AWriterStandsStillWhileItIsFrozen) {
  NETFS_TEST_NEEDS(root());
  NETFS_TEST_NEEDS(loop_devices());
  const TempDir temp;
  LoopImage disk(temp, GetParam());
  ASSERT_TRUE(disk.ready()) << disk.trouble();
  write_file(disk.path() + "/file", "before");
  Frozen frozen(disk.path(), std::chrono::seconds(20));
  ASSERT_TRUE(frozen.frozen());
  std::atomic<bool> written{false};
  sync::Thread writer("writer", [&] {
    write_file(disk.path() + "/file", "after!");
    written = true;
  });
  EXPECT_FALSE(wait_until([&] { return written.load(); }, std::chrono::milliseconds(200)));
  EXPECT_TRUE(frozen.thaw());
  EXPECT_TRUE(wait_until([&] { return written.load(); }, std::chrono::seconds(60)));
}

TEST_P(Disk, AFreezeThatIsForgottenEndsByItself) {
  NETFS_TEST_NEEDS(root());
  NETFS_TEST_NEEDS(loop_devices());
  const TempDir temp;
  LoopImage disk(temp, GetParam());
  ASSERT_TRUE(disk.ready()) << disk.trouble();
  Frozen frozen(disk.path(), std::chrono::milliseconds(200));
  ASSERT_TRUE(frozen.frozen());
  write_file(disk.path() + "/file", "waits for the guard");
  EXPECT_FALSE(frozen.thaw());
}

// What was synced is there after a power cut, what was not is gone.
TEST_P(Disk, APowerCutLosesWhatWasNotSynced) {
  NETFS_TEST_NEEDS(root());
  NETFS_TEST_NEEDS(loop_devices());
  const TempDir temp;
  LoopImage disk(temp, GetParam());
  ASSERT_TRUE(disk.ready()) << disk.trouble();
  write_file(disk.path() + "/synced", "kept");
  {
    const UniqueFd file(::open((disk.path() + "/synced").c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd dir(::open(disk.path().c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::fsync(file.get()), 0);
    ASSERT_EQ(::fsync(dir.get()), 0);
  }
  write_file(disk.path() + "/unsynced", pattern(1, 0, 1 << 20));
  ASSERT_TRUE(disk.cut_power()) << std::strerror(errno);
  ASSERT_TRUE(disk.mount_again()) << std::strerror(errno);
  EXPECT_EQ(read_text(disk.path() + "/synced"), "kept");
  EXPECT_NE(read_text(disk.path() + "/unsynced"), pattern(1, 0, 1 << 20));
}

INSTANTIATE_TEST_SUITE_P(FileSystems, Disk, testing::Values("ext4", "xfs"));

TEST(Sshd, LetsTheTestIn) {
  NETFS_TEST_NEEDS(program("sshd"));
  const TempDir temp;
  const TestSshd sshd(temp);
  EXPECT_TRUE(sshd.ready()) << sshd.log();
}

}  // namespace
}  // namespace netfs::test
