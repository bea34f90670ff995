#pragma once
// LockSuccession: a mount with locks at its origin, served by one process after the other.

#include "vfs/testing/lock_fixture.h"

namespace netfs::vfs {

class LockSuccession : public Lock {
 protected:
  int fsync(uint64_t handle) {
    return call(Opcode::kFsync, f_, proto::FsyncIn{.fh = handle}).error;
  }
  int truncate(uint64_t handle) {
    proto::SetattrIn in{};
    in.valid = proto::kSetSize | proto::kSetFh;
    in.fh = handle;
    return call(Opcode::kSetattr, f_, in).error;
  }
  int find_error(uint64_t handle, uint64_t owner) {
    return await(send_lock(Opcode::kGetlk, f_, handle, owner, F_WRLCK)).error;
  }
  uint64_t lost() { return fs_->counters().locks_lost.get(); }
};

}  // namespace netfs::vfs
