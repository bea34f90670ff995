// Goal: programs that people use do on a writable mount what they do on a local disk: git, SQLite,
// rsync, tar, tail, cmake with a compiler.  What each leaves is looked at through the mount, at the
// origin, and by the program's own check after another mount.
//
// NETFS_TEST_FILES sets how many files the archive has (400; 50,000 with --all).

#include "tests/mount/real_work.h"

namespace netfs::test {
namespace {

int files_wanted() {
  const char* given = std::getenv("NETFS_TEST_FILES");
  return given != nullptr ? static_cast<int>(std::strtol(given, nullptr, 10)) : 400;
}

INSTANTIATE_TEST_SUITE_P(Origins, RealWork,
                         testing::Values("file_close", "sftp_close", "file_back", "sftp_back",
                                         "file", "sftp", "ceph_close"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST_P(RealWork, GitClonesCommitsAndFindsNoFault) {
  NETFS_TEST_NEEDS(program("git"));
  make_tree(200);
  sh(git() +
     "cd $L/tree && git init -q && git add . && git commit -qm first && "
     "git clone -q --no-hardlinks $L/tree $M/clone && cd $M/clone && git status --porcelain");
  EXPECT_EQ(output_, "");
  sh(git() +
     "cd $M/clone && for n in $(seq 8); do echo $n >>\"dir 0/file-$n\"; git mv \"dir 1/file-10$n\" "
     "moved-$n; git add -A; git commit -qm \"change $n\"; done; git checkout -qb other HEAD~4; "
     "git checkout -q main; git merge -q other; git stash list; git gc -q; git fsck --strict; "
     "git log --oneline | wc -l; git status --porcelain");
  EXPECT_EQ(output_, "9\n");
  mount_again();
  sh(git() +
     "cd $M/clone && git fsck --strict && git status --porcelain && "
     "git -C $S/clone fsck --strict && git -C $S/clone status --porcelain");
  EXPECT_EQ(output_, "");
}

// Two processes in one database: a write-ahead log has its index in a mapping that both share.
TEST_P(RealWork, SqliteUnderTwoProcessesKeepsEveryRow) {
  NETFS_TEST_NEEDS(program("sqlite3"));
  for (const std::string mode : {"WAL", "DELETE", "TRUNCATE"}) {
    SCOPED_TRACE(mode);
    sh("db=$M/" + mode + ".db; sqlite3 $db 'PRAGMA journal_mode=" + mode +
       "; CREATE TABLE t(who, n, b); CREATE INDEX i ON t(n);' >/dev/null; "
       "work() { for n in $(seq 25); do echo '.timeout 60000'; echo 'BEGIN IMMEDIATE;'; "
       "for k in 1 2 3; do echo \"INSERT INTO t VALUES($1, $n, randomblob(3000));\"; done; "
       "echo \"UPDATE t SET b = randomblob(2000) WHERE n = $n - 3; COMMIT;\"; done | "
       "sqlite3 -bail $db; }; work 1 & one=$!; work 2 & two=$!; wait $one; wait $two; "
       "sqlite3 $db 'SELECT count(*) FROM t; PRAGMA integrity_check;'");
    EXPECT_EQ(output_, "150\nok\n");
  }
  mount_again();
  sh("for m in WAL DELETE TRUNCATE; do for r in $M $S; do "
     "sqlite3 $r/$m.db 'SELECT count(*) FROM t; PRAGMA integrity_check;'; done; done");
  EXPECT_EQ(output_, "150\nok\n150\nok\n150\nok\n150\nok\n150\nok\n150\nok\n");
}

TEST_P(RealWork, RsyncThereAndBackFindsNoDifference) {
  NETFS_TEST_NEEDS(program("rsync"));
  make_tree(200);
  // SFTP has whole seconds of times, no call that sets those of a link, and no numbers of inodes.
  const std::string as =
      is_sftp() || is_back() ? "rsync -a --omit-link-times --modify-window=1 " : "rsync -aH ";
  sh(as + "$L/tree/ $M/tree/ && " + as + "-nic --delete $L/tree/ $M/tree/");
  EXPECT_EQ(output_, "");
  sh("settle && " + as + "$M/tree/ $L/back/ && " + as +
     "-nic --delete $L/tree/ $L/back/ && diff -r " +
     "--no-dereference $L/tree $L/back && diff -r --no-dereference $L/tree $S/tree");
  EXPECT_EQ(output_, "");
  // What changed, as rsync writes it by default (a new file that takes the name) and in place.
  sh("cd $L/tree && for n in 7 8 9; do echo more >>\"dir 0/file-$n\"; done; " + as +
     "$L/tree/ $M/tree/; for n in 7 8; do echo again >>\"dir 0/file-$n\"; done; " + as +
     "--inplace $L/tree/ $M/tree/; " + as + "-nic --delete $L/tree/ $M/tree/");
  EXPECT_EQ(output_, "");
  mount_again();
  sh(as + "-nic --delete $L/tree/ $M/tree/");
  EXPECT_EQ(output_, "");
}

TEST_P(RealWork, AnArchiveIsUnpackedAsItIs) {
  make_tree(files_wanted());
  // No numbers of inodes there to know hard links by, or no hard links.
  if (is_sftp() || is_back()) sh("rm $L/tree/second");
  sh("cd $L && tar cf tree.tar tree && tar xf tree.tar -C $M && tar df tree.tar -C $M");
  EXPECT_EQ(output_, "");
  mount_again();
  sh("tar df $L/tree.tar -C $M && tar df $L/tree.tar -C $S && rm -rf $M/tree && settle && "
     "ls -A $M && ls -A $S");
  EXPECT_EQ(output_, "");
}

TEST_P(RealWork, TailFollowsALogThatIsWrittenHere) {
  sh("echo first >$M/log; tail -n +1 -s 0.1 -f $M/log >$L/seen & tail=$!; "
     "for n in $(seq 5); do sleep 0.1; echo line $n >>$M/log; done; "
     "for i in $(seq 300); do [ \"$(wc -l <$L/seen)\" -ge 6 ] && break; sleep 0.1; done; "
     "kill $tail; cat $L/seen");
  EXPECT_EQ(output_, "first\nline 1\nline 2\nline 3\nline 4\nline 5\n");
}

// Over SFTP, which cannot tell a longer file from another one, and by `back`, which knows a file by
// its path, by opening it again.
TEST_P(RealWork, ALogThatGrowsAtTheOriginIsFollowed) {
  sh("echo first >$S/log; cat $M/log >/dev/null; echo second >>$S/log; "
     "for i in $(seq 300); do [ \"$(tail -n 1 $M/log 2>&1)\" = second ] && break; sleep 0.1; done; "
     "cat $M/log");
  EXPECT_EQ(output_, "first\nsecond\n");
  if (is_sftp() || is_back()) return;
  sh("tail -n +1 -s 0.1 -f $M/log >$L/seen & tail=$!; "
     "for n in $(seq 5); do sleep 0.3; echo line $n >>$S/log; done; "
     "for i in $(seq 300); do [ \"$(wc -l <$L/seen)\" -ge 7 ] && break; sleep 0.1; done; "
     "kill $tail; cat $L/seen");
  EXPECT_EQ(output_, "first\nsecond\nline 1\nline 2\nline 3\nline 4\nline 5\n");
}

// What is touched is built anew; over SFTP, whose times are whole seconds, in the next one.
TEST_P(RealWork, CmakeBuildsAProgramThatRuns) {
  sh("mkdir $M/project && cd $M/project && cat >CMakeLists.txt <<'END'\n"
     "cmake_minimum_required(VERSION 3.20)\nproject(hello C)\n"
     "foreach(n RANGE 9)\n  file(WRITE ${CMAKE_BINARY_DIR}/part${n}.c \"int part${n}(void) "
     "{ return ${n}; }\\n\")\n  list(APPEND parts ${CMAKE_BINARY_DIR}/part${n}.c)\nendforeach()\n"
     "add_library(parts STATIC ${parts})\nadd_executable(hello hello.c)\n"
     "target_link_libraries(hello parts)\nEND\n"
     "printf '#include <stdio.h>\\nint part9(void);\\nint main(void) { printf(\"%%d\\\\n\", "
     "part9()); }\\n' >hello.c; cmake -G Ninja -S . -B b >$L/log 2>&1 || { cat $L/log; false; }; "
     "ninja -C b >$L/log 2>&1 || { cat $L/log; false; }; b/hello; "
     "s=$(date +%s); while [ $(date +%s) = $s ]; do sleep 0.05; done; touch hello.c; ninja -C b | "
     "tail -1; ninja -C b | tail -1");
  EXPECT_EQ(output_, "9\n[2/2] Linking C executable hello\nninja: no work to do.\n");
  mount_again();
  sh("$M/project/b/hello; ninja -C $M/project/b | tail -1");
  EXPECT_EQ(output_, "9\nninja: no work to do.\n");
}

}  // namespace
}  // namespace netfs::test
