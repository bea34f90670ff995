// Goal: what every origin that has locks must do: its holders exclude each other and whoever else
// locks the file there, with a journal in front of it as well; and the others say that they have
// none.

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "netfs/origin_locks.h"
#include "tests/origin-conformance/conformance.h"
#include "tests/support/tree.h"

namespace netfs::test {
namespace {

class OriginWithLocks : public OriginConformance {
 protected:
  std::unique_ptr<OriginLock> holder(LockKind kind, const FileAt& file = {.path = "f"}) {
    Result<OriginLocks::Opened> opened = origin_->locks()->open(file, kind, soon());
    EXPECT_TRUE(opened.ok()) << opened.error().message();
    return opened.ok() ? std::move(opened.value().lock) : nullptr;
  }
  int set(OriginLock& lock, LockMode mode, LockSpan span = {}) {
    return origin_->locks()->set(lock, mode, span, soon()).code();
  }
  // By which what is held outlives this process.
  static bool has_descriptors() { return GetParam().name.starts_with("file"); }
  bool has_locks() {
    const bool wanted = has_descriptors() || GetParam().name.starts_with("ceph");
    EXPECT_EQ(origin_->locks() != nullptr, wanted);
    return wanted && origin_->locks() != nullptr;
  }
};

INSTANTIATE_TEST_SUITE_P(Modules, OriginWithLocks, testing::ValuesIn(modules_under_test()),
                         [](const auto& each) { return each.param.name; });

TEST_P(OriginWithLocks, HoldersOfRangesExcludeEachOtherAndWhoeverLocksThere) {
  if (!has_locks()) return;
  write_file(at("f"), "0123456789");
  std::unique_ptr<OriginLock> one = holder(LockKind::kRange);
  const std::unique_ptr<OriginLock> two = holder(LockKind::kRange);
  ASSERT_TRUE(one && two);
  EXPECT_EQ(set(*one, LockMode::kExclusive, {2, 5}), 0);
  EXPECT_EQ(set(*two, LockMode::kShared, {5, 5}), EAGAIN);
  EXPECT_EQ(set(*two, LockMode::kExclusive, {6, kLockEnd}), 0);
  const auto found = MUST(origin_->locks()->find(*two, LockMode::kShared, {0, kLockEnd}, soon()));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->mode, LockMode::kExclusive);
  EXPECT_EQ(found->span, (LockSpan{2, 5}));
  EXPECT_FALSE(
      MUST(origin_->locks()->find(*two, LockMode::kExclusive, {0, 1}, soon())).has_value());

  const UniqueFd beside(::open(at("f").c_str(), O_RDWR | O_CLOEXEC));
  struct flock range {};
  range.l_type = F_RDLCK;
  range.l_start = 3;
  range.l_len = 1;
  EXPECT_NE(::fcntl(beside.get(), F_OFD_SETLK, &range), 0);
  EXPECT_EQ(set(*one, LockMode::kNone, {3, 3}), 0);
  EXPECT_EQ(::fcntl(beside.get(), F_OFD_SETLK, &range), 0);
  EXPECT_EQ(set(*one, LockMode::kExclusive, {2, 5}), EAGAIN);
  one.reset();
  EXPECT_EQ(set(*two, LockMode::kExclusive, {4, 5}), 0);
}

TEST_P(OriginWithLocks, HoldersOfWholeFilesExcludeEachOtherAndWhoeverLocksThere) {
  if (!has_locks()) return;
  write_file(at("f"), "0123456789");
  std::unique_ptr<OriginLock> one = holder(LockKind::kWhole);
  const std::unique_ptr<OriginLock> two = holder(LockKind::kWhole);
  ASSERT_TRUE(one && two);
  EXPECT_EQ(set(*one, LockMode::kShared), 0);
  EXPECT_EQ(set(*two, LockMode::kShared), 0);
  EXPECT_EQ(set(*two, LockMode::kExclusive), EAGAIN);
  EXPECT_EQ(set(*one, LockMode::kNone), 0);
  EXPECT_EQ(set(*two, LockMode::kExclusive), 0);
  const UniqueFd beside(::open(at("f").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_NE(::flock(beside.get(), LOCK_SH | LOCK_NB), 0);
  EXPECT_EQ(set(*two, LockMode::kNone), 0);
  EXPECT_EQ(::flock(beside.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(set(*one, LockMode::kShared), EAGAIN);
}

// A copy of its descriptor is as good as the process that had it.
TEST_P(OriginWithLocks, WhatIsHeldOutlivesItsHolderWhereItsDescriptorIsKept) {
  if (!has_locks()) return;
  EXPECT_EQ(origin_->capabilities().locks_end_with_process, !has_descriptors());
  if (!has_descriptors()) return;
  write_file(at("f"), "0123456789");
  const UniqueFd beside(::open(at("f").c_str(), O_RDWR | O_CLOEXEC));
  struct flock range {};
  range.l_type = F_RDLCK;
  const auto ranges_are_free = [&] { return ::fcntl(beside.get(), F_OFD_SETLK, &range) == 0; };
  const auto whole_is_free = [&] { return ::flock(beside.get(), LOCK_SH | LOCK_NB) == 0; };
  for (const LockKind kind : {LockKind::kRange, LockKind::kWhole}) {
    const auto is_free = [&] {
      return kind == LockKind::kRange ? ranges_are_free() : whole_is_free();
    };
    std::unique_ptr<OriginLock> first = holder(kind);
    ASSERT_TRUE(first);
    ASSERT_EQ(set(*first, LockMode::kExclusive), 0);
    UniqueFd kept(::fcntl(first->descriptor(), F_DUPFD_CLOEXEC, 0));
    OriginLocks::Opened taken =
        MUST(origin_->locks()->take_over(UniqueFd(::fcntl(kept.get(), F_DUPFD_CLOEXEC, 0)), kind));
    EXPECT_EQ(taken.info.identity, MUST(origin_->stat("f", soon())).identity);
    std::unique_ptr<OriginLock> next = std::move(taken.lock);
    // That the process of the first has died is not to be had here: it stays open.
    EXPECT_FALSE(is_free());
    EXPECT_EQ(set(*next, LockMode::kShared), 0);
    EXPECT_EQ(set(*next, LockMode::kExclusive), 0) << "it is its own";
    EXPECT_FALSE(is_free());
    next.reset();
    EXPECT_TRUE(is_free()) << "given back, though others have copies";
  }
}

TEST_P(OriginWithLocks, AFileIsLockedByItsHandleWhenItsNameIsAnothers) {
  if (!has_locks() || !GetParam().can.changes) return;
  write_file(at("f"), "0123456789");
  const OpenedFile opened = MUST(origin_->writer()->open_for_writing("f", soon()));
  ASSERT_TRUE(origin_->writer()->rename("f", "g", RenameHow::kReplace, soon()).ok());
  arrive();
  write_file(at("f"), "another");
  const std::unique_ptr<OriginLock> lock =
      holder(LockKind::kRange, {.path = "f", .open = opened.file.get()});
  ASSERT_TRUE(lock);
  EXPECT_EQ(set(*lock, LockMode::kExclusive), 0);
  const UniqueFd renamed(::open(at("g").c_str(), O_RDWR | O_CLOEXEC));
  const UniqueFd another(::open(at("f").c_str(), O_RDWR | O_CLOEXEC));
  struct flock range {};
  range.l_type = F_RDLCK;
  EXPECT_NE(::fcntl(renamed.get(), F_OFD_SETLK, &range), 0);
  EXPECT_EQ(::fcntl(another.get(), F_OFD_SETLK, &range), 0);
}

TEST_P(OriginWithLocks, AFileThatWasJustMadeIsLockedAtTheOrigin) {
  if (!has_locks() || !GetParam().can.changes) return;
  const OpenedFile made = MUST(origin_->writer()->create("f", {.permissions = 0644}, soon()));
  const std::unique_ptr<OriginLock> lock =
      holder(LockKind::kWhole, {.path = "f", .open = made.file.get()});
  ASSERT_TRUE(lock);
  EXPECT_EQ(set(*lock, LockMode::kExclusive), 0);
  const UniqueFd beside(::open(at("f").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(beside) << "with a journal in front of it the upload was waited for";
  EXPECT_NE(::flock(beside.get(), LOCK_SH | LOCK_NB), 0);
}

TEST_P(OriginWithLocks, WhatIsNotThereIsNotLocked) {
  if (!has_locks()) return;
  const Result<OriginLocks::Opened> opened =
      origin_->locks()->open({.path = "absent"}, LockKind::kRange, soon());
  EXPECT_TRUE(opened.is_error(ENOENT)) << opened.code();
}

}  // namespace
}  // namespace netfs::test
