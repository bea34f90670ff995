// Goal: a writable mount does what a plain directory does.  The same random calls are made on the
// mount and on a plain tree beside it: each must answer the same (errno, bytes, attributes), and at
// the end the mount, the plain tree and the origin hold the same names and bytes.
//
// Names are few, so that calls meet what others left.
//
// MutationsKilled: the same while the worker is killed, a moment into each tenth step.  A change
// that was made twice, or never, is answered otherwise than on the plain tree, now or later.

#include "tests/model/mutations.h"

#include "tests/support/process.h"

namespace netfs::test {

void Mutations::compare_both() {
  const Watchdog watchdog(kMutationsBound, [&] { abort_mount(temp_ / "mnt"); });
  const char* given = std::getenv("NETFS_TEST_STEPS");
  const unsigned steps =
      given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : GetParam().steps;
  const MonoTime until = Clock::system().now() + kMutationsRun;
  const auto goes_on = [&] { return Clock::system().now() < until || kills_ < kills_wanted_; };
  for (unsigned i = 0; i < steps && !HasFailure() && goes_on(); ++i) step();
  if (HasFailure()) return;
  killer_.reset();
  held_.clear();
  const std::string plain = describe_tree(twin_);
  EXPECT_EQ(describe_tree(mount_->path()), plain);
  if (GetParam().write == std::string("back")) {
    const Finished synced = run({netfs_binary(), "sync", mount_->path()}, kMutationsBound);
    EXPECT_EQ(synced.status, 0) << synced.output;
  }
  EXPECT_EQ(describe_tree(source_), plain);
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
  mount_anew();
  EXPECT_EQ(describe_tree(mount_->path()), plain) << "after another mount";
}

namespace {

constexpr unsigned kKillsMin = 4;

TEST_P(Mutations, AWritableMountAnswersAsAPlainTreeDoes) {
  compare_both();
}

class MutationsKilled : public Mutations {};

TEST_P(MutationsKilled, AnswersAsAPlainTreeDoesAlsoIfTheWorkerIsKilledUnderIt) {
  kills_wanted_ = kKillsMin;
  compare_both();
  std::printf("%u kills in %u steps\n", kills_, steps_);
  EXPECT_GE(kills_, kKillsMin) << "it proves little";
}

INSTANTIATE_TEST_SUITE_P(Mounts, Mutations,
                         testing::Values(MutationParameters{"File", false, 3000, "through"},
                                         MutationParameters{"Sftp", true, 1200, "through"},
                                         MutationParameters{"FileClose", false, 3000, "close"},
                                         MutationParameters{"SftpClose", true, 1200, "close"}),
                         [](const auto& instance) { return std::string(instance.param.name); });

INSTANTIATE_TEST_SUITE_P(Mounts, MutationsKilled,
                         testing::Values(MutationParameters{"File", false, 80, "through"},
                                         MutationParameters{"Sftp", true, 60, "through"},
                                         MutationParameters{"FileClose", false, 80, "close"},
                                         MutationParameters{"SftpClose", true, 60, "close"},
                                         MutationParameters{"FileBack", false, 80, "back"},
                                         MutationParameters{"SftpBack", true, 60, "back"}),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace netfs::test
