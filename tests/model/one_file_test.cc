// Goal: one file on a writable mount is what a plain file would be, whatever is done to it and by
// whichever way: buffered, direct and mapped reads and writes, truncation, holes, copies, syncs,
// other descriptors; and where the worker is killed meanwhile, what was synced is there, and of the
// rest what the way of writing promises.  Method: random steps against a string; at each sync and
// at the end the origin's file is compared, byte for byte.  (fsx has the idea; its source is
// another one's.)
//
// NETFS_TEST_SECONDS sets how long; NETFS_TEST_SEED repeats a run.

#include "tests/model/one_file.h"

namespace netfs::test {
namespace {

INSTANTIATE_TEST_SUITE_P(Origins, OneFile,
                         testing::Values("file", "sftp", "file_close", "sftp_close", "file_back",
                                         "sftp_back"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST_P(OneFile, IsWhatAPlainFileWouldBeWhateverIsDoneToIt) {
  begin();
  expect_all_of_it();
}

TEST_P(OneFile, IsWhatWasPromisedAlsoIfTheWorkerIsKilledUnderIt) {
  kill_now_and_then();
  begin();
  expect_all_of_it();
}

}  // namespace
}  // namespace netfs::test
