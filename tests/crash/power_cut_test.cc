// Goal: a power cut under a mount that is written with --write=back loses nothing that was
// promised: what was fsynced, written under O_SYNC or renamed over something is there, as the next
// mount shows it and as it comes to the origin; the rest is there up to some moment, in the order
// in which it was done.
//
// The cache lies on a disk with a volatile cache (support/volatile_disk.h), which is cut at a write
// or flush of its own, wherever that is, or at a random moment; of what was not flushed it keeps
// nothing, all, or any of it.  The processes die with it; the origin, which is another machine,
// does not.
//
// NETFS_TEST_CUTS: how many cuts a file system (2; 100 with --all).

#include <array>
#include <csignal>
#include <cstdlib>

#include "base/kill_process.h"
#include "tests/crash/numbered_changes.h"
#include "tests/mount/write_back_fixture.h"
#include "tests/support/volatile_disk.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

// Of the disk's operations, from the first change on: those of all changes are some more.
constexpr uint64_t kOperationsMax = 120;
constexpr unsigned kChangesMax = 150;

unsigned cuts_wanted() {
  const char* given = std::getenv("NETFS_TEST_CUTS");
  return given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : 2;
}

class PowerCut : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    NETFS_TEST_NEEDS(loop_devices());
    random_.seed(test_seed());
  }

  // Where the disk and the origin are, each round anew.
  struct Round {
    TempDir temp;
    std::string source = temp.make_dir("source");
    VolatileDisk disk{temp, GetParam(), 320};
    std::unique_ptr<NetfsMount> mount;
    Watchdog watchdog{std::chrono::seconds(120), [this] { abort_mount(temp / "mnt"); }};

    void mount_it(std::vector<std::string> more) {
      more.insert(more.end(), {"--write=back", "--cache-size", "100M", "--metadata-ttl", "1s"});
      mount = std::make_unique<NetfsMount>(NetfsMount::Options{.url = "file://" + source,
                                                               .cache_dir = disk.path() + "/cache",
                                                               .more = std::move(more)},
                                           temp);
      ASSERT_TRUE(mount->ready()) << mount->log();
    }
    // All that ran on the machine.
    void machine_dies() {
      const std::vector<pid_t> workers = children_of(mount->supervisor());
      kill_process(mount->supervisor(), SIGKILL);
      for (const pid_t worker : workers) kill_process(worker, SIGKILL);
      mount->abort();
      mount.reset();
    }
  };

  // Changes until power is cut, at some operation of the disk or when all are made; the second
  // mount shows what had to outlive that, and brings it to the origin.
  void cut_once() {
    Round round;
    ASSERT_TRUE(round.disk.ready()) << round.disk.trouble();
    // Either all of it waits to be uploaded when power goes, or some of it.
    const bool held = random_() % 2 == 0;
    const auto kept = static_cast<VolatileDisk::Kept>(random_() % 3);
    round.mount_it(held ? std::vector<std::string>{"--bwlimit=32K:off"}
                        : std::vector<std::string>{});
    if (testing::Test::HasFatalFailure()) return;
    NumberedChanges changes(random_());
    const uint64_t begin = round.disk.operations();
    const uint64_t cut_at = 1 + random_() % kOperationsMax;
    round.disk.cut_at(cut_at, kept, random_());
    bool done = true;
    for (unsigned i = 0; i < kChangesMax && done && !round.disk.is_cut(); ++i) {
      done = changes.make(round.mount->path());
    }
    const uint64_t operations = round.disk.operations() - begin;
    EXPECT_TRUE(done || round.disk.is_cut()) << changes.failed();
    round.disk.cut_power(kept, random_());
    std::printf("%s, cut at %lu (%lu were done), kept %u: %zu steps, %zu durable; %s\n",
                held ? "held" : "uploading", cut_at, operations, static_cast<unsigned>(kept),
                changes.steps(), changes.durable(), changes.failed().c_str());
    round.machine_dies();
    ASSERT_TRUE(round.disk.mount_again()) << round.disk.trouble();
    expect_what_was_promised(round, changes);
  }

  void expect_what_was_promised(Round& round, const NumberedChanges& changes) {
    round.mount_it({});
    if (testing::Test::HasFatalFailure()) return;
    const NumberedChanges::Tree seen = NumberedChanges::shown(round.mount->path());
    EXPECT_TRUE(changes.is_one_of_them(seen)) << changes.difference(seen);
    const Finished synced = run({netfs_binary(), "sync", round.mount->path(), "--timeout", "60s"},
                                std::chrono::seconds(100));
    EXPECT_EQ(synced.status, 0) << synced.output;
    EXPECT_EQ(round.mount->status_number("conflicts"), 0) << round.mount->status();
    EXPECT_EQ(round.mount->status_number("changes_set_aside"), 0);
    // What was hidden when power went is removed behind the first listing.
    NumberedChanges::Tree there;
    EXPECT_TRUE(wait_until([&] { return (there = NumberedChanges::shown(round.source)) == seen; },
                           std::chrono::seconds(20)))
        << changes.difference(there);
    EXPECT_TRUE(NumberedChanges::shown(round.mount->path()) == seen);
    EXPECT_TRUE(round.mount->unmount()) << round.mount->log();
  }

  std::mt19937_64 random_;
};

INSTANTIATE_TEST_SUITE_P(FileSystems, PowerCut, testing::Values("ext4", "xfs"),
                         [](const auto& instance) { return std::string(instance.param); });

// Else what is below proves nothing.
TEST_P(PowerCut, OfTheDiskLosesWhatWasNotFlushedAndNothingElse) {
  using Kept = VolatileDisk::Kept;
  for (const Kept kept : {Kept::kNothing, Kept::kAll}) {
    const TempDir temp;
    VolatileDisk disk(temp, GetParam(), 320);
    ASSERT_TRUE(disk.ready()) << disk.trouble();
    const std::string file = disk.path() + "/file";
    alignas(4096) std::array<char, 4096> page{};
    UniqueFd fd = open_file(file, O_WRONLY | O_CREAT | O_DIRECT);
    for (const char what : {'a', 'b'}) {
      page.fill(what);
      ASSERT_EQ(::pwrite(fd.get(), page.data(), page.size(), 0), 4096);
      if (what == 'a') {
        ASSERT_EQ(::fsync(fd.get()), 0);
      }
    }
    disk.cut_power(kept, 0);
    EXPECT_EQ(code(::fsync(fd.get())), EIO);
    fd.reset();
    ASSERT_TRUE(disk.mount_again()) << disk.trouble();
    EXPECT_EQ(whole(file), std::string(4096, kept == Kept::kAll ? 'b' : 'a'));
  }
}

TEST_P(PowerCut, LeavesWhatWasSyncedAndOfTheRestAllUntilSomeMoment) {
  for (unsigned cut = 0; cut < cuts_wanted() && !HasFailure(); ++cut) {
    SCOPED_TRACE("cut " + std::to_string(cut));
    cut_once();
  }
}

// The first time that this cache directory is used: what tells its hidden files from those of other
// clients is as old as they are.
TEST_P(PowerCut, LeavesNoHiddenFileForGood) {
  Round round;
  ASSERT_TRUE(round.disk.ready()) << round.disk.trouble();
  round.mount_it({});
  const std::string file = round.mount->path() + "/file";
  {
    const UniqueFd fd = open_file(file, O_RDWR | O_CREAT);
    ASSERT_EQ(::pwrite(fd.get(), "bytes", 5, 0), 5);
    ASSERT_EQ(code(::unlink(file.c_str())), 0);
    ASSERT_EQ(code(::fsync(fd.get())), 0);
    EXPECT_TRUE(wait_until([&] { return !list_names(round.source).value().empty(); },
                           std::chrono::seconds(20)))
        << "it was not hidden, and the test proves nothing";
    round.disk.cut_power(VolatileDisk::Kept::kNothing, 0);
    round.machine_dies();
  }
  ASSERT_TRUE(round.disk.mount_again()) << round.disk.trouble();
  round.mount_it({});
  EXPECT_EQ(list_names(round.mount->path()).value(), std::vector<std::string>());
  EXPECT_TRUE(wait_until([&] { return list_names(round.source).value().empty(); },
                         std::chrono::seconds(20)))
      << "the origin has " << list_names(round.source).value().at(0);
  EXPECT_TRUE(round.mount->unmount()) << round.mount->log();
}

}  // namespace
}  // namespace netfs::test
