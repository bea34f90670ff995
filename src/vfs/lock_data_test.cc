// Goal: what locks at the origin have to do with the bytes: what was written is there before a lock
// is given back, and who gets one sees what others have written.

#include <atomic>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "vfs/limits.h"
#include "vfs/testing/lock_fixture.h"

namespace netfs::vfs {
namespace {

TEST_F(Lock, WhatWasWrittenIsThereBeforeALockIsGivenBack) {
  start(Options::Write::kClose);
  const uint64_t h = open_with(f_);
  const Stranger other = stranger();
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK), 0);
  tree_.set_write_fault([](const SimulatedRead&) { return Fault{.kind = Fault::kHang}; });
  EXPECT_EQ(write_to(f_, h, "mine!"), 0) << "it is kept";
  ASSERT_TRUE(
      tree_.wait_for_hung_writes(1, Deadline::after(Clock::system(), std::chrono::minutes(1))));
  const uint64_t unlock = send_lock(Opcode::kSetlk, f_, h, 1, F_UNLCK);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(get_attributes(g_).error, 0);
  EXPECT_FALSE(kernel_->answered(unlock));
  EXPECT_EQ(other.set(LockMode::kShared), EAGAIN);
  tree_.set_write_fault({});
  tree_.release_hung();
  EXPECT_EQ(await(unlock).error, 0);
  EXPECT_EQ(other.set(LockMode::kShared), 0);
  EXPECT_EQ(tree_.content("f"), "mine!");
}

TEST_F(Lock, WhatWasWrittenIsThereBeforeALockIsMadeLess) {
  start(Options::Write::kClose);
  for (const uint32_t flags : {uint32_t{0}, proto::kLkFlock}) {
    const uint64_t h = open_with(f_);
    const Stranger other = stranger(flags == 0 ? LockKind::kRange : LockKind::kWhole);
    EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {}, flags), 0);
    tree_.set_write_fault([](const SimulatedRead&) { return Fault{.kind = Fault::kHang}; });
    const std::string bytes = flags == 0 ? "mine!" : "more!";
    EXPECT_EQ(write_to(f_, h, bytes), 0) << "it is kept";
    ASSERT_TRUE(
        tree_.wait_for_hung_writes(1, Deadline::after(Clock::system(), std::chrono::minutes(1))));
    const uint64_t less = send_lock(Opcode::kSetlk, f_, h, 1, F_RDLCK, {}, flags);
    for (int i = 0; i < 50; ++i) EXPECT_EQ(get_attributes(g_).error, 0);
    EXPECT_FALSE(kernel_->answered(less));
    EXPECT_EQ(other.set(LockMode::kShared), EAGAIN);
    tree_.set_write_fault({});
    tree_.release_hung();
    EXPECT_EQ(await(less).error, 0);
    EXPECT_EQ(other.set(LockMode::kShared), 0);
    EXPECT_EQ(tree_.content("f"), bytes);
    close(f_, h);
  }
}

TEST_F(Lock, WhoGetsALockSeesWhatOthersMadeOfTheFile) {
  start();
  const uint64_t h = open_with(f_);
  EXPECT_EQ(read(f_, h), "bytes");
  tree_.write("f", "longer than it was");
  EXPECT_EQ(get_attributes(f_).as<proto::AttrOut>().attr.size, 5U) << "believed for the TTL";
  EXPECT_EQ(lock(f_, h, 1, F_RDLCK), 0);
  const auto told = kernel_->await_notification();
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->code, proto::Notify::kInvalInode);
  proto::NotifyInvalInodeOut out{};
  ASSERT_GE(told->body.size(), sizeof out);
  std::memcpy(&out, told->body.data(), sizeof out);
  EXPECT_EQ(out.off, 0) << "its pages, too";
}

// Its answer was on its way when others wrote.
TEST_F(Lock, AnOlderLookThatComesInLaterIsNotBelieved) {
  start();
  const uint64_t h = open_with(f_);
  EXPECT_EQ(read(f_, h), "bytes");
  clock_.advance(std::chrono::seconds(6));
  std::atomic<int> looks{0};
  std::atomic<bool> go{false};
  origin_.set_change([&](const std::string& path, NodeInfo&) {
    if (path != "f" || looks++ > 0) return;
    EXPECT_TRUE(wait_for([&] { return go.load(); }));
  });
  const uint64_t older = kernel_->send_name(Opcode::kLookup, fuse::kRootNode, "f");
  EXPECT_TRUE(wait_for([&] { return looks == 1; }));
  tree_.write("f", "longer than it was");
  EXPECT_EQ(lock(f_, h, 1, F_RDLCK), 0);
  go = true;
  EXPECT_EQ(await(older).as<proto::EntryOut>().attr.size, 18U);
  EXPECT_EQ(looks, 2) << "what was seen since counts for him, too";
  EXPECT_EQ(look_up("f").attr.size, 18U);
  EXPECT_EQ(get_attributes(f_).as<proto::AttrOut>().attr.size, 18U);
  origin_.set_change({});
}

// Each looks at it for himself, all at one time.
TEST_F(Lock, WhoGetsALockWhileOthersGetTheirsSeesWhatWasMadeOfTheFile) {
  start();
  const uint64_t h = open_with(f_, O_RDONLY);
  EXPECT_EQ(read(f_, h), "bytes");
  tree_.write("f", "longer than it was");
  std::atomic<int> looks{0};
  std::atomic<bool> go{false};
  std::vector<uint64_t> others;
  origin_.set_change([&](const std::string& path, NodeInfo&) {
    if (path != "f") return;
    const int look = ++looks;
    // The others' looks do not come back; each of the first one's is overtaken by one of those.
    if (look % 2 == 0) {
      EXPECT_TRUE(wait_for([&] { return go.load(); }));
      return;
    }
    if (go) return;
    const uint64_t owner = 1 + static_cast<uint64_t>(look);
    others.push_back(send_lock(Opcode::kSetlk, f_, h, owner, F_RDLCK));
    EXPECT_TRUE(wait_for([&] { return looks == look + 1; }));
  });
  EXPECT_EQ(lock(f_, h, 1, F_RDLCK), 0);
  EXPECT_EQ(read(f_, h), "longer than it was");
  EXPECT_EQ(get_attributes(f_).as<proto::AttrOut>().attr.size, 18U);
  go = true;
  for (const uint64_t sent : others) EXPECT_EQ(await(sent).error, 0);
  EXPECT_EQ(looks, 2) << "one each";
  origin_.set_change({});
}

TEST_F(Lock, WhoGetsALockWhileNamesComeAndGoSeesWhatWasMadeOfTheFile) {
  start();
  const uint64_t h = open_with(f_, O_RDONLY);
  EXPECT_EQ(read(f_, h), "bytes");
  tree_.write("f", "longer than it was");
  std::atomic<int> looks{0};
  origin_.set_change([&](const std::string& path, NodeInfo&) {
    if (path != "f" || looks > kOvertakenLooksMax + 2) return;
    const std::string name = "new" + std::to_string(++looks);
    const proto::MkdirIn in{.mode = 0755};
    std::string body(reinterpret_cast<const char*>(&in), sizeof in);
    body.append(name).push_back('\0');
    EXPECT_EQ(
        await(kernel_->send(Opcode::kMkdir, fuse::kRootNode, std::as_bytes(std::span(body)))).error,
        0);
  });
  EXPECT_EQ(lock(f_, h, 1, F_RDLCK), 0);
  EXPECT_GT(looks, kOvertakenLooksMax + 1) << "more than are asked for who only looks";
  EXPECT_EQ(read(f_, h), "longer than it was");
  EXPECT_EQ(get_attributes(f_).as<proto::AttrOut>().attr.size, 18U);
  origin_.set_change({});
}

TEST_F(Lock, WhoGetsALockOfAFileThatIsAsItWasKeepsItsPages) {
  start();
  const uint64_t h = open_with(f_);
  EXPECT_EQ(read(f_, h), "bytes");
  const uint64_t looks = origin_.counts().stats;
  EXPECT_EQ(lock(f_, h, 1, F_RDLCK), 0);
  EXPECT_GT(origin_.counts().stats, looks) << "it was looked at";
  const auto told = kernel_->await_notification();
  ASSERT_TRUE(told.has_value());
  proto::NotifyInvalInodeOut out{};
  ASSERT_GE(told->body.size(), sizeof out);
  std::memcpy(&out, told->body.data(), sizeof out);
  EXPECT_LT(out.off, 0) << "its attributes alone";
}

TEST_F(Lock, WhoOnlyReadsSeesUnderHisLockWhatOthersWrote) {
  start();
  const uint64_t h = open_with(f_, O_RDONLY);
  EXPECT_EQ(read(f_, h), "bytes");
  for (const char* bytes : {"other", "less", "there is more of it"}) {
    tree_.write("f", bytes);
    EXPECT_EQ(lock(f_, h, 1, F_RDLCK), 0);
    EXPECT_EQ(read(f_, h), bytes);
    EXPECT_EQ(lock(f_, h, 1, F_UNLCK), 0);
    EXPECT_EQ(look_up("f").nodeid, f_.value) << "and it is the same file";
  }
}

class LockOfVersions : public Lock {
 protected:
  // Two nodes of one file: the handle `h` reads what was there first.
  void start_with_two() {
    start();
    h_ = open_with(f_, O_RDONLY);
    EXPECT_EQ(read(f_, h_), "bytes");
    tree_.write("f", "other");
    clock_.advance(std::chrono::hours(1));
    newer_ = NodeId(look_up("f").nodeid);
    ASSERT_NE(newer_.value, f_.value);
    again_ = open_with(newer_);
  }
  uint64_t h_ = 0;
  uint64_t again_ = 0;
  NodeId newer_;
};

TEST_F(LockOfVersions, WhoReadsWhatWasThereBeforeLocksNothing) {
  start_with_two();
  EXPECT_EQ(lock(f_, h_, 1, F_RDLCK), ESTALE);
  EXPECT_EQ(lock(newer_, again_, 1, F_RDLCK, {0, 9}), 0);
  EXPECT_EQ(lock(f_, h_, 1, F_RDLCK, {10, 19}), ESTALE) << "though he has some of the same file";
  EXPECT_EQ(stranger().set(LockMode::kExclusive, {10, 19}), 0);
  EXPECT_EQ(stranger().set(LockMode::kExclusive, {0, 9}), EAGAIN);
}

TEST_F(LockOfVersions, AFileThatIsReplacedWhileItIsLockedIsNotHeld) {
  start();
  const uint64_t h = open_with(f_, O_RDONLY);
  locks_.hold();
  const uint64_t asks = send_lock(Opcode::kSetlk, f_, h, 1, F_RDLCK);
  ASSERT_TRUE(locks_.wait_held(1));
  tree_.remove("f");
  tree_.add_file("f", "another");
  locks_.release();
  EXPECT_EQ(await(asks).error, ESTALE);
  EXPECT_EQ(stranger().set(LockMode::kExclusive), 0);
}

TEST_F(LockOfVersions, AnUnlockCountsByWhicheverNodeOfTheFile) {
  start_with_two();
  const Stranger other = stranger();
  EXPECT_EQ(lock(newer_, again_, 1, F_WRLCK), 0);
  EXPECT_EQ(other.set(LockMode::kShared), EAGAIN);
  EXPECT_EQ(lock(f_, h_, 1, F_UNLCK), 0);
  EXPECT_EQ(other.set(LockMode::kShared), 0);
  EXPECT_EQ(other.set(LockMode::kNone), 0);
  EXPECT_EQ(lock(newer_, again_, 1, F_WRLCK), 0);
  EXPECT_EQ(flush(f_, h_, 1), 0) << "a close of the file, as POSIX has it";
  EXPECT_EQ(other.set(LockMode::kShared), 0);
}

TEST_F(Lock, ClosesAreToldOfWhereLocksAreAndReadersDoNotWaitForWriters) {
  start(Options::Write::kClose);
  const Answer opened = call(Opcode::kOpen, f_, proto::OpenIn{.flags = O_RDONLY});
  EXPECT_EQ(opened.as<proto::OpenOut>().open_flags & proto::kFopenNoflush, 0U);
  const uint64_t writer = open_with(f_);
  tree_.set_write_fault([](const SimulatedRead&) { return Fault{.kind = Fault::kHang}; });
  EXPECT_EQ(write_to(f_, writer, "mine!"), 0);
  EXPECT_EQ(flush(f_, opened.as<proto::OpenOut>().fh, 1), 0) << "with the write under way";
  tree_.set_write_fault({});
  tree_.release_hung();
}

}  // namespace
}  // namespace netfs::vfs
