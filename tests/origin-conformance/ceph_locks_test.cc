// Goal: locks at a CephFS are its clients': one that is thrown out has lost them, a process that
// follows another throws out what that has left, and what cannot be locked is said.

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "netfs/origin_locks.h"
#include "tests/origin-conformance/ceph_fixture.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

using Holders = std::vector<std::unique_ptr<OriginLock>>;

// One of each kind.
Holders holders_of(Origin& origin, const FileAt& file, Deadline deadline) {
  Holders holders;
  for (const LockKind kind : {LockKind::kRange, LockKind::kWhole}) {
    holders.push_back(MUST(origin.locks()->open(file, kind, deadline)).lock);
  }
  return holders;
}

// A client hears that it was thrown out when it asks for something.
bool all_are_lost(Origin& origin, const Holders& holders) {
  return wait_until(
      [&] {
        (void)origin.stat("absent", Deadline::within(kPatience)).ok();
        return std::all_of(holders.begin(), holders.end(),
                           [](const auto& one) { return one->is_lost(); });
      },
      kPatience);
}

TEST_F(CephOrigin, ALockOfAClientThatWasThrownOutIsLostAndFree) {
  write_file(at("f"), "bytes");
  const OpenedFile file = MUST(writer().open_for_writing("f", soon()));
  const FileAt by_handle{"f", file.file.get()};
  OriginLocks& locks = *origin_->locks();
  const auto held = holders_of(*origin_, by_handle, soon());
  for (const auto& one : held) {
    EXPECT_TRUE(locks.set(*one, LockMode::kExclusive, {}, soon()).ok());
    EXPECT_FALSE(one->is_lost());
  }
  ASSERT_TRUE(server()->evict());
  EXPECT_TRUE(all_are_lost(*origin_, held));
  for (const auto& one : held) {
    EXPECT_TRUE(locks.set(*one, LockMode::kExclusive, {}, soon()).is_error(ENOTCONN));
  }
  // Also by a handle that was its client's.
  for (const auto& one : holders_of(*origin_, by_handle, soon())) {
    EXPECT_TRUE(locks.set(*one, LockMode::kExclusive, {}, soon()).ok());
  }
}

TEST_F(CephOrigin, WhoFollowsAnotherProcessThrowsItsClientOut) {
  write_file(at("f"), "bytes");
  origins::OriginRequest ours = request();
  origin_ = open(ours);
  ASSERT_NE(origin_, nullptr);
  const auto held = holders_of(*origin_, {.path = "f"}, soon());
  for (const auto& one : held) {
    EXPECT_TRUE(origin_->locks()->set(*one, LockMode::kExclusive, {}, soon()).ok());
  }
  origins::OriginRequest others = request();
  others.follows = true;
  const std::unique_ptr<Origin> other = open(others);
  ASSERT_NE(other, nullptr);
  for (const auto& one : holders_of(*other, {.path = "f"}, soon())) {
    EXPECT_TRUE(other->locks()->set(*one, LockMode::kShared, {}, soon()).is_error(EAGAIN));
  }
  ours.follows = true;
  const std::unique_ptr<Origin> next = open(ours);
  ASSERT_NE(next, nullptr);
  for (const auto& one : holders_of(*next, {.path = "f"}, soon())) {
    EXPECT_TRUE(next->locks()->set(*one, LockMode::kExclusive, {}, soon()).ok());
  }
  EXPECT_TRUE(all_are_lost(*origin_, held));
  EXPECT_TRUE(origin_->stat("f", soon()).ok()) << "by a client that is made anew";
}

// libcephfs locks whole files by descriptors that it opens by path.
TEST_F(CephOrigin, AFileWithoutANameIsLockedByRangesAlone) {
  const OpenedFile file = MUST(writer().create("f", {.permissions = 0644}, soon()));
  ASSERT_TRUE(writer().remove("f", RemoveKind::kFile, soon()).ok());
  const FileAt nameless{"f", file.file.get()};
  OriginLocks& locks = *origin_->locks();
  for (const bool replaced : {false, true}) {
    if (replaced) write_file(at("f"), "another");
    const auto range = MUST(locks.open(nameless, LockKind::kRange, soon())).lock;
    EXPECT_TRUE(locks.set(*range, LockMode::kExclusive, {}, soon()).ok());
    EXPECT_TRUE(locks.open(nameless, LockKind::kWhole, soon()).is_error(ENOLCK));
  }
}

}  // namespace
}  // namespace netfs::test
