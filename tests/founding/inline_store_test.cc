// The validator's half of the founding rule.  Goal: a build of netfs that stores in the thread
// which answers a read prints the founding report, even when that thread is the origin's completion
// thread and not the one the kernel's request came in by; the real build is silent.
//
// Method: this program is linked with an Offload that stores at once (inline_offload.cc), over the
// real library, the real store on disk and an origin that answers from threads of its own.  The
// report comes first and then the assertion that guards the plain build, so it is a death test.

#include <gtest/gtest.h>
#include <string>

#include "cachefiles/cache_files.h"
#include "netfs/library.h"
#include "netfs/offload.h"
#include "netfs/testing/reading.h"
#include "netfs/testing/simulated_origin.h"
#include "sync/lock_reports.h"
#include "tests/support/temp_dir.h"

namespace netfs {
namespace {

constexpr uint64_t kBytes = 256 << 10;

// Reads a block that only the origin has, for somebody whose fault waits.
void read_for_a_fault(const std::string& folder) {
  sync::set_lock_report_folder(folder);
  auto cache = MUST(cachefiles::CacheFiles::create({.directory = folder + "/cache"}));  // a new one
  BufferPool pool(size_t{8} << 20, size_t{1} << 20);
  SimulatedOrigin origin({});
  origin.add_pattern("f", kBytes, 1);
  Offload offload(cache->open_writer(), {});
  const Ref<Volume> volume = MUST(cache->open_volume(origin.volume_key()));  // on a sound disk
  auto library = MUST(Library::create(                                       // the volume is open
      {.origin = origin, .volume = volume, .offload = &offload, .pool = pool}));
  const NodeInfo info = MUST(origin.stat("f", Deadline::never()));  // it was made above
  const Ref<File> file = MUST(library->open({.path = "f",
                                             .identity = info.identity,
                                             .validator = info.validator,
                                             .size_bytes = kBytes}));  // nor can this fail
  const sync::Context fault(sync::kFuseFault);
  const PendingRead read = LibraryFixture::begin_read(*file, {0, kBytes}, nullptr, fault);
  (void)read.wait();
}

class InlineStore : public testing::Test {
 protected:
  static void SetUpTestSuite() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(InlineStore, FromACompletionThreadPrintsTheFoundingReport) {
  if (!sync::kValidated) GTEST_SKIP() << "SKIPPED: a build without NETFS_LOCKDEP";
  const test::TempDir folder;
  EXPECT_DEATH(read_for_a_fault(folder.path()),
               "WARNING: possible circular locking dependency detected(.|\n)*"
               "is trying to acquire lock:\n[^\n]*\\(cache\\.sb_writers\\)(.|\n)*"
               "but task is already holding lock:\n[^\n]*\\(fuse\\.fault\\)(.|\n)*"
               "which lock already depends on the new lock(.|\n)*"
               "the existing dependency chain \\(in reverse order\\) is:(.|\n)*"
               "-> #1 \\(fuse\\.fault\\)(.|\n)*declared(.|\n)*"
               "-> #0 \\(cache\\.sb_writers\\)(.|\n)*"
               "Possible unsafe locking scenario:(.|\n)*"
               "\\*\\*\\* DEADLOCK \\*\\*\\*(.|\n)*"
               "stack backtrace:(.|\n)*WriteSide(.|\n)*"
               "current_context_holds");
}

}  // namespace
}  // namespace netfs
