// Goal: netfs itself is built on a writable mount: its tree is copied there, configured, compiled
// in part, and its tests run from there; what is at the origin in the end is what the mount shows,
// runs there too, and is up to date for who mounts it next.
//
// In part, which takes a few minutes: the rooms of the ground and the journal, with some of their
// tests.

#include "tests/mount/real_work.h"

namespace netfs::test {
namespace {

class RealBuild : public RealWork {
 protected:
  static constexpr const char* kPrograms =
      "base_crc32c_test base_ref_test base_result_test sync_context_test sync_work_queue_test "
      "telemetry_histogram_test journal_journal_format_test journal_journal_log_test";
  // For a script: runs them in $1/netfs/build.
  static std::string run_programs() {
    return std::string("run() { for p in ") + kPrograms +
           "; do { $1/netfs/build/bin/$p >$L/log 2>&1 && grep -q PASSED $L/log; } || "
           "{ tail -30 $L/log; false; }; done; echo all is well; }; ";
  }
};

INSTANTIATE_TEST_SUITE_P(Origins, RealBuild, testing::Values("file_close", "file_back"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST_P(RealBuild, NetfsIsBuiltOnTheMountAndItsTestsRunThere) {
  NETFS_TEST_NEEDS(program("cmake"));
  NETFS_TEST_NEEDS(program("ninja"));
  const std::string ninja = std::string("ninja -C $M/netfs/build ") + kPrograms;
  sh("mkdir $M/netfs && cd " NETFS_TEST_SOURCE
     " && tar cf - CMakeLists.txt cmake docs examples scripts src tests tools | "
     "tar xf - -C $M/netfs && diff -r --no-dereference src $M/netfs/src");
  EXPECT_EQ(output_, "");
  // Without ccache: what it has would be copied, not compiled.
  sh("{ cmake -G Ninja -S $M/netfs -B $M/netfs/build -DNETFS_BENCH=OFF -DNETFS_CCACHE=OFF "
     "-DNETFS_BATCHES=ON && " +
     ninja + "; } >$L/log 2>&1 || { tail -30 $L/log; false; }; " + ninja + " | tail -1");
  EXPECT_EQ(output_, "ninja: no work to do.\n");
  sh(run_programs() + "run $M; settle; run $S");
  EXPECT_EQ(output_, "all is well\nall is well\n");
  sh("cd $M/netfs && find . -printf '%P %y %m %s %l\\n' | sort >$L/here; cd $S/netfs && "
     "find . -printf '%P %y %m %s %l\\n' | sort >$L/there; grep -vE '^[^ ]* d ' $L/here >$L/a; "
     "grep -vE '^[^ ]* d ' $L/there >$L/b; diff $L/a $L/b; "
     "diff -r --no-dereference $M/netfs $S/netfs");
  EXPECT_EQ(output_, "");
  mount_again();
  sh(run_programs() + "run $M; " + ninja + " | tail -1; touch $M/netfs/src/base/crc32c_test.cc; " +
     ninja + " | tail -1; " + ninja + " | tail -1; settle; run $S");
  EXPECT_EQ(output_,
            "all is well\nninja: no work to do.\n[2/2] Linking CXX executable "
            "bin/base_crc32c_test\nninja: no work to do.\nall is well\n");
}

}  // namespace
}  // namespace netfs::test
