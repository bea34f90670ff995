// Goal: who uses what is damaged of a mount that another process serves now is told so.

#include "vfs/arena.h"
#include "vfs/arena_kinds.h"
#include "vfs/testing/lock_fixture.h"

namespace netfs::vfs {
namespace {

class DamagedMount : public Lock {
 protected:
  int fsync(NodeId node, uint64_t handle) {
    return call(Opcode::kFsync, node, proto::FsyncIn{.fh = handle}).error;
  }
  // What the process that has died left of the handle.
  HandleRecord& left_of(uint64_t handle) {
    Arena<HandleRecord> records(left_, arena_kind::kHandles);
    for (uint32_t i = 0; i < records.limit(); ++i) {
      if (records[i].handle_id == handle) return records[i];
    }
    ADD_FAILURE() << "there is no record of " << handle;
    return records[0];
  }
};

// Else who has it open for writing believes that what was kept of his writes is at the origin.
TEST_F(DamagedMount, WhoSyncsByAHandleThatIsNotKnownIsTold) {
  for (const Options::Write how : {Options::Write::kThrough, Options::Write::kClose}) {
    start(how);
    const uint64_t lost = open_with(f_);
    const uint64_t other = open_with(f_);
    EXPECT_EQ(write_to(f_, other, "other"), 0);
    die();
    left_of(lost).unique ^= 0x10;
    follow();
    EXPECT_EQ(fsync(f_, lost), ESTALE);
    EXPECT_EQ(fsync(f_, other), 0);
    if (how == Options::Write::kClose) {
      EXPECT_EQ(flush(f_, lost, 1), ESTALE);
      EXPECT_EQ(flush(f_, other, 1), 0);
    }
    close(f_, other);
    end();
    left_ = nullptr;
  }
}

// Its checksum says that it is whole.
TEST_F(DamagedMount, WhoSyncsByAHandleOfAnotherFileIsTold) {
  start(Options::Write::kClose);
  const uint64_t of_f = open_with(f_);
  const uint64_t of_g = open_with(g_);
  die();
  for (const uint64_t handle : {of_f, of_g}) {
    HandleRecord& record = left_of(handle);
    record.node_id = handle == of_f ? g_.value : f_.value;
    record.crc = record.checksum();
  }
  follow();
  EXPECT_EQ(fsync(f_, of_f), ESTALE);
  EXPECT_EQ(flush(f_, of_f, 1), ESTALE);
  EXPECT_EQ(fsync(g_, of_g), ESTALE);
  EXPECT_EQ(flush(g_, of_g, 1), ESTALE);
}

TEST_F(DamagedMount, TheRootIsListedWhateverItsModeIs) {
  start();
  const uint64_t handle = open_directory(fuse::kRootNode).as<proto::OpenOut>().fh;
  die();
  Arena<NodeRecord>(left_, arena_kind::kNodes)[0].open_mode ^= 4;
  follow();
  EXPECT_EQ(names_of(list()).size(), 2U);
  EXPECT_EQ(names_of(list(fuse::kRootNode, handle)).size(), 2U);
}

TEST_F(DamagedMount, ADirectoryWhosePlaceIsNotKnownIsNotReadOn) {
  start();
  const uint64_t handle = open_directory(fuse::kRootNode).as<proto::OpenOut>().fh;
  EXPECT_EQ(read_directory(fuse::kRootNode, handle, 0).error, 0);
  die();
  left_of(handle).position.both ^= 2;
  follow();
  EXPECT_EQ(read_directory(fuse::kRootNode, handle, 3).error, ESTALE);
  EXPECT_EQ(names_of(list()).size(), 2U);
}

}  // namespace
}  // namespace netfs::vfs
