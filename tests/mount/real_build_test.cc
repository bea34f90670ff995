// Goal: netfs itself is built on a writable mount, and its tests run from there; what is at the
// origin in the end is what the mount shows, runs there too, and is up to date for who mounts it
// next.
//
// In part, which takes a few minutes: its tree is copied there, and the rooms of the ground and the
// journal are compiled with some of their tests.  And all of it, which takes half an hour or
// more: from a clone by git, by its own scripts/build.

#include "tests/mount/real_work.h"

namespace netfs::test {
namespace {

class RealBuild : public RealWork {
 protected:
  static constexpr const char* kPrograms =
      "base_crc32c_test base_ref_test base_result_test sync_context_test sync_work_queue_test "
      "telemetry_histogram_test journal_journal_format_test journal_journal_log_test";
  // For a script: runs them in a build folder.
  static std::string run_programs() {
    return std::string("run() { for p in ") + kPrograms +
           "; do { $1/bin/$p >$L/log 2>&1 && grep -q PASSED $L/log; } || "
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
  sh(run_programs() + "run $M/netfs/build; settle; run $S/netfs/build");
  EXPECT_EQ(output_, "all is well\nall is well\n");
  sh("cd $M/netfs && find . -printf '%P %y %m %s %l\\n' | sort >$L/here; cd $S/netfs && "
     "find . -printf '%P %y %m %s %l\\n' | sort >$L/there; grep -vE '^[^ ]* d ' $L/here >$L/a; "
     "grep -vE '^[^ ]* d ' $L/there >$L/b; diff $L/a $L/b; "
     "diff -r --no-dereference $M/netfs $S/netfs");
  EXPECT_EQ(output_, "");
  mount_again();
  sh(run_programs() + "run $M/netfs/build; " + ninja +
     " | tail -1; touch $M/netfs/src/base/crc32c_test.cc; " + ninja + " | tail -1; " + ninja +
     " | tail -1; settle; run $S/netfs/build");
  EXPECT_EQ(output_,
            "all is well\nninja: no work to do.\n[2/2] Linking CXX executable "
            "bin/base_crc32c_test\nninja: no work to do.\nall is well\n");
}

class RealBuildOfAll : public RealBuild {
 protected:
  static std::string a_clone() {
    const Finished done =
        run({"git", "-c", "safe.directory=*", "-C", NETFS_TEST_SOURCE, "rev-parse", "--git-dir"},
            kBound);
    return done.status == 0 ? "" : "the source is no git repository";
  }
};

INSTANTIATE_TEST_SUITE_P(Origins, RealBuildOfAll, testing::Values("file_close"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST_P(RealBuildOfAll, AllOfNetfsIsBuiltOnTheMountFromACloneByGit) {
  NETFS_TEST_NEEDS(program("git"));
  NETFS_TEST_NEEDS(program("cmake"));
  NETFS_TEST_NEEDS(program("ninja"));
  NETFS_TEST_NEEDS(a_clone());
  sh(git() + "git clone -q --no-local " NETFS_TEST_SOURCE
             " $M/netfs && cd $M/netfs && git fsck --strict 2>&1 && git status --porcelain");
  EXPECT_EQ(output_, "");
  sh(git() +
     "cd $M/netfs && { CCACHE_DISABLE=1 scripts/build --lockdep --werror -DNETFS_CCACHE=OFF; } "
     ">$L/log 2>&1 || { tail -30 $L/log; false; }; tail -1 $L/log; "
     "ninja -C build-lockdep | tail -1; git status --porcelain; git fsck --strict 2>&1");
  EXPECT_EQ(output_, "built build-lockdep/bin/netfs\nninja: no work to do.\n");
  sh(run_programs() +
     "run $M/netfs/build-lockdep; settle; run $S/netfs/build-lockdep; "
     "diff -r --no-dereference $M/netfs $S/netfs");
  EXPECT_EQ(output_, "all is well\nall is well\n");
  mount_again();
  sh(git() + run_programs() +
     "cd $M/netfs && git status --porcelain && "
     "ninja -C build-lockdep | tail -1; run $M/netfs/build-lockdep; "
     "touch src/base/crc32c_test.cc; ninja -C build-lockdep >$L/log; tail -1 $L/log; "
     "ninja -C build-lockdep | tail -1; settle; run $S/netfs/build-lockdep");
  EXPECT_EQ(output_,
            "ninja: no work to do.\nall is well\n[2/2] Linking CXX executable "
            "bin/base_crc32c_test\nninja: no work to do.\nall is well\n");
}

}  // namespace
}  // namespace netfs::test
