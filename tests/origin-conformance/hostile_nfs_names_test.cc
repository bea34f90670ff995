// Goal: a change of names whose answer was lost, or did not come in time, is not carried out once
// more on what somebody else has put there since.

#include <atomic>
#include <cerrno>
#include <gtest/gtest.h>

#include "sync/mutex.h"
#include "sync/thread.h"
#include "tests/origin-conformance/hostile_nfs.h"

namespace netfs::test {
namespace {

// What waits in this machine for a peer that does not take it would be carried out later.
TEST_F(HostileNfs, AChangeThatIsGivenUpOnTakesItsConnectionWithIt) {
  serve([](const NfsCall& call) -> Said {
    const bool change =
        call.is(kNfsSetattr) || call.is(kNfsRename) || call.is(kNfsRemove) || call.is(kNfsMkdir);
    return change ? Said(NfsAnswer::silence()) : std::nullopt;
  });
  server_->put("a");
  OriginWriter& writer = open();
  ASSERT_TRUE(wait_until([&] { return field("connections") == "4 of 4"; }, kPatience));
  const Duration brief = std::chrono::seconds(1);
  const NewNode directory{.type = FileType::kDirectory, .permissions = 0755};
  EXPECT_TRUE(
      writer.set_attributes({.path = "a"}, {.permissions = 0600}, in(brief)).is_error(ETIMEDOUT));
  EXPECT_EQ(field("lost connections"), "1");
  EXPECT_TRUE(writer.rename("a", "b", RenameHow::kReplace, in(brief)).is_error(ETIMEDOUT));
  EXPECT_EQ(field("lost connections"), "2");
  EXPECT_TRUE(writer.remove("a", RemoveKind::kFile, in(brief)).is_error(ETIMEDOUT));
  EXPECT_EQ(field("lost connections"), "3");
  EXPECT_TRUE(writer.make("d", directory, in(brief)).is_error(ETIMEDOUT));
  EXPECT_EQ(field("lost connections"), "4");
}

TEST_F(HostileNfs, ARenameWhoseAnswerWasLostIsNotDoneToAnothersFile) {
  serve([this](const NfsCall& call) -> Said {
    const bool is_rename = call.is(kNfsRename);
    if (is_rename && call.number == 0) return NfsAnswer::do_and_hang_up();
    const bool after = server_->calls(kNfsRename) > 0 && (is_rename || call.is(kNfsLookup));
    if (after && !server_->find("a")) server_->put("a");  // somebody else
    return std::nullopt;
  });
  const uint64_t ours = server_->put("a");
  EXPECT_TRUE(open().rename("a", "b", RenameHow::kReplace, soon()).ok());
  EXPECT_EQ(server_->find("b")->fileid, ours);
  EXPECT_TRUE(server_->find("a").has_value());
  EXPECT_EQ(server_->calls(kNfsRename), 1U);
}

TEST_F(HostileNfs, ARenameThatWasNotCarriedOutIsSentAgain) {
  serve([](const NfsCall& call) -> Said {
    return call.is(kNfsRename) && call.number == 0 ? Said(NfsAnswer::hang_up()) : std::nullopt;
  });
  const uint64_t ours = server_->put("a");
  EXPECT_TRUE(open().rename("a", "b", RenameHow::kReplace, soon()).ok());
  EXPECT_EQ(server_->find("b")->fileid, ours);
  EXPECT_EQ(server_->calls(kNfsRename), 2U);
}

TEST_F(HostileNfs, ARenameThatIsRefusedBehindALostAnswerHasNotSucceeded) {
  serve([](const NfsCall& call) -> Said {
    if (!call.is(kNfsRename)) return std::nullopt;
    return call.number == 0 ? NfsAnswer::hang_up() : NfsAnswer::status(kNfsNoEntry, 4);
  });
  server_->put("a");
  EXPECT_TRUE(open().rename("a", "b", RenameHow::kReplace, soon()).is_error(ENOENT));
}

TEST_F(HostileNfs, ARemovalWhoseAnswerWasLostIsNotDoneToAnothersFile) {
  serve([this](const NfsCall& call) -> Said {
    const bool is_remove = call.is(kNfsRemove);
    if (is_remove && call.number == 0) return NfsAnswer::do_and_hang_up();
    const bool after = server_->calls(kNfsRemove) > 0 && (is_remove || call.is(kNfsLookup));
    if (after && !server_->find("a")) server_->put("a");  // somebody else
    return std::nullopt;
  });
  server_->put("a");
  OriginWriter& writer = open();
  ASSERT_TRUE(origin_->stat("a", soon()).ok());
  EXPECT_TRUE(writer.remove("a", RemoveKind::kFile, soon()).is_error(ENOTCONN));
  EXPECT_TRUE(server_->find("a").has_value());
  EXPECT_EQ(server_->calls(kNfsRemove), 1U);
}

TEST_F(HostileNfs, ARemovalWhoseAnswerWasLostIsDoneOrSentAgain) {
  serve([](const NfsCall& call) -> Said {
    if (!call.is(kNfsRemove)) return std::nullopt;
    if (call.name.starts_with("done")) return NfsAnswer::do_and_hang_up();
    return call.number % 2 == 1 ? Said(NfsAnswer::hang_up()) : std::nullopt;
  });
  for (const char* name : {"done", "seen", "listed"}) server_->put(name);
  OriginWriter& writer = open();
  EXPECT_TRUE(writer.remove("done", RemoveKind::kFile, soon()).ok());
  EXPECT_EQ(server_->calls(kNfsRemove), 1U);
  ASSERT_TRUE(origin_->stat("seen", soon()).ok());
  EXPECT_TRUE(writer.remove("seen", RemoveKind::kFile, soon()).ok());
  EXPECT_EQ(server_->calls(kNfsRemove), 3U);
  ASSERT_TRUE(list().ok());
  EXPECT_TRUE(writer.remove("listed", RemoveKind::kFile, soon()).ok());
  EXPECT_EQ(server_->calls(kNfsRemove), 5U);
}

// The one looks the directory up, the other renames it, and something else gets its name.
TEST_F(HostileNfs, AHandleThatWasLookedUpBeforeAMoveOfOursIsNotKept) {
  // The server may ask until after the end of this.
  static std::atomic<bool> held;
  held = false;
  static std::atomic<bool> released;
  released = false;
  sync::Mutex mutex{kFakeNfsLock};
  static std::string made_in;
  made_in.clear();
  uint64_t old = 0;
  serve([&](const NfsCall& call) -> Said {
    if (call.is(kNfsLookup) && call.number == 0) {
      return NfsAnswer::say(Xdr().u32(0).opaque(FakeNfsServer::handle_of(old)).u32(0).u32(0));
    }
    if (call.is(kNfsGetattr) && call.handle == FakeNfsServer::handle_of(old) && !held) {
      held = true;
      (void)wait_until([&] { return released.load(); }, kPatience);
    }
    if (call.is(kNfsMkdir)) {
      sync::MutexLock lock(mutex);
      made_in = call.handle;
    }
    return std::nullopt;
  });
  old = server_->put("d", true);
  OriginWriter& writer = open();
  sync::Thread looker("test-look", [&] { (void)origin_->stat("d/x", soon()).ok(); });
  ASSERT_TRUE(wait_until([&] { return held.load(); }, kPatience));
  ASSERT_TRUE(writer.rename("d", "e", RenameHow::kReplace, soon()).ok());
  const uint64_t other = server_->put("d", true);
  released = true;
  looker.join();
  const NewNode directory{.type = FileType::kDirectory, .permissions = 0755};
  ASSERT_TRUE(writer.make("d/y", directory, soon()).ok());
  sync::MutexLock lock(mutex);
  EXPECT_EQ(made_in, FakeNfsServer::handle_of(other));
}

}  // namespace
}  // namespace netfs::test
