// Goal: a writable mount does what a plain directory does.  The same random calls are made on the
// mount and on a plain tree beside it: each must answer the same (errno, bytes, attributes), and at
// the end the mount, the plain tree and the origin hold the same names and bytes.
//
// Names are few, so that calls meet what others left.
//
// MutationsKilled: the same while the worker is killed, a moment into each tenth step.  A change
// that was made twice, or never, is answered otherwise than on the plain tree, now or later.

#include "tests/model/mutations.h"

namespace netfs::test {
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
                                         MutationParameters{"SftpClose", true, 60, "close"}),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace netfs::test
