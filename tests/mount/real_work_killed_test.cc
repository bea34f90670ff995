// Goal: git and SQLite do their work on a writable mount whose worker is killed again and again as
// if nobody were killed: no call of theirs fails, and what they leave is sound.
//
// NETFS_TEST_SECONDS and NETFS_TEST_KILLS say how long, and how many kills at least.

#include <atomic>
#include <csignal>
#include <cstdio>
#include <random>

#include "base/kill_process.h"
#include "sync/thread.h"
#include "tests/mount/real_work.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

class RealWorkKilled : public RealWork {
 protected:
  // Kills the worker 0.3 to 1.5 s after it has begun to serve: one that follows a journal needs
  // more than that to begin, and who kills it before sees no work done.
  class Killer {
   public:
    explicit Killer(RealWorkKilled& of)
        : thread_("killer", [this, &of] {
            for (unsigned round = 0; !over_; ++round) {
              (void)::access(of.here("none" + std::to_string(round)).c_str(), F_OK);
              const MonoTime next =
                  Clock::system().now() + std::chrono::milliseconds(300 + of.random_() % 1200);
              (void)wait_until([&] { return over_ || Clock::system().now() >= next; }, kBound);
              if (over_) return;
              const pid_t worker = of.mount_->worker();
              if (worker > 0 && kill_process(worker, SIGKILL) == 0) ++of.kills_;
            }
          }) {}
    ~Killer() { over_ = true; }

   private:
    std::atomic<bool> over_{false};
    sync::Thread thread_;  // joined before the rest goes
  };

  // Rounds of `work`, each given its number, for as long as was asked for.
  template <class Work>
  void for_a_while(const Work& work) {
    const MonoTime end = Clock::system().now() + run_time();
    unsigned round = 0;
    auto killer = std::make_unique<Killer>(*this);  // over all rounds, however short one is
    for (; !HasFailure() && (Clock::system().now() < end || kills_ < kills_wanted()); ++round) {
      work(std::to_string(round));
    }
    killer.reset();
    std::printf("%u kills in %u rounds\n", kills_.load(), round);
    EXPECT_GE(kills_, kills_wanted()) << "it proves little";
  }

  std::mt19937_64 random_{test_seed()};
  std::atomic<unsigned> kills_{0};
};

TEST_P(RealWorkKilled, GitClonesCommitsAndFindsNoFault) {
  NETFS_TEST_NEEDS(program("git"));
  make_tree(60);
  sh(git() + "cd $L/tree && git init -q && git add . && git commit -qm first");
  for_a_while([this](const std::string& round) {
    sh(git() +
       "rm -rf $M/clone && git clone -q --no-hardlinks $L/tree $M/clone && cd $M/clone && " +
       "for n in $(seq 3); do echo " + round +
       " >>\"dir 0/file-$n\"; git mv \"dir 0/file-1$n\" moved-$n; git add -A; "
       "git commit -qm \"change $n\"; done; git checkout -qb other HEAD~2; git checkout -q main; "
       "git merge -q other; git gc -q; git fsck --strict; git log --oneline | wc -l; "
       "git status --porcelain");
    EXPECT_EQ(output_, "4\n");
  });
  if (HasFailure()) return;
  mount_again();
  sh(git() +
     "cd $M/clone && git fsck --strict && git status --porcelain && "
     "git -C $S/clone fsck --strict && git -C $S/clone status --porcelain");
  EXPECT_EQ(output_, "");
}

TEST_P(RealWorkKilled, SqliteKeepsEveryRow) {
  NETFS_TEST_NEEDS(program("sqlite3"));
  for_a_while([this](const std::string& round) {
    for (const std::string mode : {"WAL", "DELETE"}) {
      SCOPED_TRACE(mode);
      sh("db=$M/" + mode + ".db; sqlite3 $db 'PRAGMA journal_mode=" + mode +
         "; CREATE TABLE IF NOT EXISTS t(who, n, b); DELETE FROM t;' >/dev/null; "
         "work() { for n in $(seq 8); do echo '.timeout 60000'; echo 'BEGIN IMMEDIATE;'; "
         "for k in 1 2 3; do echo \"INSERT INTO t VALUES($1, " +
         round +
         ", randomblob(3000));\"; done; echo 'COMMIT;'; done | sqlite3 -bail $db; }; "
         "work 1 & one=$!; work 2 & two=$!; wait $one; wait $two; "
         "sqlite3 $db 'SELECT count(*) FROM t; PRAGMA integrity_check;'");
      EXPECT_EQ(output_, "48\nok\n");
    }
  });
  if (HasFailure()) return;
  mount_again();
  sh("for m in WAL DELETE; do for r in $M $S; do "
     "sqlite3 $r/$m.db 'SELECT count(*) FROM t; PRAGMA integrity_check;'; done; done");
  EXPECT_EQ(output_, "48\nok\n48\nok\n48\nok\n48\nok\n");
}

INSTANTIATE_TEST_SUITE_P(Origins, RealWorkKilled,
                         testing::Values("file_close", "sftp_close", "file_back", "sftp_back",
                                         "file", "sftp"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace netfs::test
