// Goal: who has lost what he wrote hears of it, whoever dies while he is told: twice rather than
// never.

#include "vfs/testing/copy_of.h"
#include "vfs/testing/lock_fixture.h"

namespace netfs::vfs {
namespace {

// What is written under no lock, by close.
class LostWrite : public Lock {
 protected:
  // Answered, and then refused by the origin.
  void lose_what_is_written(uint64_t handle) {
    tree_.set_write_fault(
        [](const SimulatedRead&) { return Fault{.kind = Fault::kError, .error = ENOSPC}; });
    EXPECT_EQ(write_to(f_, handle, "lost"), 0) << "it is kept";
    EXPECT_TRUE(wait_for([&] { return real_->stats().bytes_lost.get() == 4; }));
    tree_.set_write_fault({});
  }
  int fsync(uint64_t handle) {
    return call(Opcode::kFsync, f_, proto::FsyncIn{.fh = handle}).error;
  }
  // The answer is not sent: who had it in its hand dies, and the kernel asks the next process.
  template <class Ask>
  void die_in_answering(const Ask& ask) {
    UniqueFd left;
    kernel_->set_before_reply([&] {
      if (!left) left = copy_of(fs_->memory().fd());
    });
    ask();
    kernel_->set_before_reply({});
    end();
    left_ = MUST(ArenaMemory::adopt(std::move(left), InodeTable::kLayout));
    follow();
  }
};

TEST_F(LostWrite, IsToldByASyncThoughWhoTellsOfItDies) {
  start(Options::Write::kClose);
  const uint64_t handle = open_with(f_);
  lose_what_is_written(handle);
  die_in_answering([&] { EXPECT_EQ(fsync(handle), ENOSPC); });
  die_in_answering([&] { EXPECT_EQ(fsync(handle), ENOSPC) << "by the next process"; });
  EXPECT_EQ(fsync(handle), ENOSPC) << "and by the one after that";
  EXPECT_EQ(fsync(handle), 0);
  EXPECT_EQ(flush(f_, handle, 1), 0) << "once";
  succeed();
  EXPECT_EQ(fsync(handle), 0) << "nor is it said again by a process to come";
  close(f_, handle);
}

TEST_F(LostWrite, IsToldByACloseThoughWhoTellsOfItDies) {
  start(Options::Write::kClose);
  const uint64_t handle = open_with(f_);
  const uint64_t other = open_with(f_);
  lose_what_is_written(handle);
  die_in_answering([&] { EXPECT_EQ(flush(f_, handle, 1), ENOSPC); });
  die_in_answering([&] { EXPECT_EQ(flush(f_, handle, 1), ENOSPC); });
  EXPECT_EQ(flush(f_, handle, 1), ENOSPC);
  EXPECT_EQ(flush(f_, handle, 1), 0);
  succeed();
  EXPECT_EQ(flush(f_, handle, 1), 0);
  EXPECT_EQ(flush(f_, other, 1), ENOSPC) << "each descriptor hears of it";
  EXPECT_EQ(flush(f_, other, 1), 0);
  close(f_, handle);
  close(f_, other);
}

}  // namespace
}  // namespace netfs::vfs
