#pragma once
// What the tests of locks share: a file system over an origin with locks, asked by a pretended
// kernel that wants them, and somebody else who locks there.

#include <fcntl.h>
#include <memory>
#include <string>

#include "netfs/testing/simulated_locks.h"
#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {

class Lock : public MountFixture {
 protected:
  Lock()
      : MountFixture({.capabilities = {.identity = true, .files_ahead = true},
                      .write = WriteCapabilities{}}) {
    origin_.give_locks(locks_);
    session_options_.writable = true;
    session_options_.locks = true;
  }
  ~Lock() override {
    locks_.release();
    tree_.release_hung();
    end();
  }
  // Each process has one of its own.
  Library& library() override {
    real_ = MUST(Library::create(
        {.origin = origin_, .pool = pool_, .write_behind_bytes = uint64_t{1} << 20}));
    return *real_;
  }
  // What was kept lands before: what is canceled is told of as lost, and a process that is killed
  // tells nobody.
  void close_library() override {
    if (!real_) return;
    const Deadline soon = Deadline::after(Clock::system(), fuse::FakeKernel::kPatience);
    EXPECT_TRUE(real_->writer()->settle_all(soon));
    real_->close();
  }

  void start(Options::Write how = Options::Write::kThrough) {
    tree_.add_file("f", "bytes");
    tree_.add_file("g", "others");
    MountFixture::start({.write = how, .lock_close_grace = close_grace_});
    f_ = NodeId(look_up("f").nodeid);
    g_ = NodeId(look_up("g").nodeid);
  }

  uint64_t open_with(NodeId node, uint32_t flags = O_RDWR) {
    const Answer answer = call(Opcode::kOpen, node, proto::OpenIn{.flags = flags});
    EXPECT_EQ(answer.error, 0);
    return answer.as<proto::OpenOut>().fh;
  }
  uint64_t send_lock(Opcode opcode, NodeId node, uint64_t handle, uint64_t owner, uint32_t type,
                     LockSpan range = {}, uint32_t flags = 0) {
    proto::LkIn in{};
    in.fh = handle;
    in.owner = owner;
    in.lk = {range.first, range.last, type, static_cast<uint32_t>(owner * 100)};
    in.lk_flags = flags;
    return kernel_->send(opcode, node, in);
  }
  int lock(NodeId node, uint64_t handle, uint64_t owner, uint32_t type, LockSpan range = {},
           uint32_t flags = 0) {
    return await(send_lock(Opcode::kSetlk, node, handle, owner, type, range, flags)).error;
  }
  int flock(uint64_t handle, uint64_t owner, uint32_t type) {
    return lock(f_, handle, owner, type, {}, proto::kLkFlock);
  }
  proto::FileLock find(NodeId node, uint64_t handle, uint64_t owner, uint32_t type,
                       LockSpan range = {}) {
    const Answer answer = await(send_lock(Opcode::kGetlk, node, handle, owner, type, range));
    EXPECT_EQ(answer.error, 0);
    return answer.as<proto::LkOut>().lk;
  }
  int flush(NodeId node, uint64_t handle, uint64_t owner) {
    return call(Opcode::kFlush, node, proto::FlushIn{.fh = handle, .lock_owner = owner}).error;
  }
  bool wait_for_waiters(size_t count) {
    return wait_for([&] { return fs_->sizes().lock_waiters == count; });
  }
  bool wait_for_owners(size_t count) {
    return wait_for([&] { return fs_->sizes().lock_owners == count; });
  }
  int write_to(NodeId node, uint64_t handle, const std::string& bytes) {
    const proto::WriteIn in{
        .fh = handle, .size = static_cast<uint32_t>(bytes.size()), .flags = O_RDWR};
    const std::string body = std::string(reinterpret_cast<const char*>(&in), sizeof in) + bytes;
    return await(kernel_->send(Opcode::kWrite, node, std::as_bytes(std::span(body)))).error;
  }

  // Somebody else at the origin.
  struct Stranger {
    SimulatedLocks& locks;
    std::unique_ptr<OriginLock> holder;
    int set(LockMode mode, LockSpan span = {}) const {
      return locks.set(*holder, mode, span, Deadline::never()).code();
    }
  };
  Stranger stranger(LockKind kind = LockKind::kRange) {
    return {locks_, MUST(locks_.open({.path = "f"}, kind, Deadline::never())).lock};
  }

  SimulatedLocks locks_{tree_};
  Duration close_grace_ = kLockCloseGrace;
  std::unique_ptr<Library> real_;
  NodeId f_;
  NodeId g_;
};

}  // namespace netfs::vfs
