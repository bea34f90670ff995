// Goal: an origin that is not there yet keeps nobody waiting longer than it may, is used once it is
// there, and is not used if it is another one.

#include "netfs/late_origin.h"

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "netfs/lock_descriptor.h"
#include "netfs/testing/simulated_locks.h"
#include "netfs/testing/simulated_origin.h"

namespace netfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kLong = seconds(60);

Deadline within(Duration duration) {
  return Deadline::after(Clock::system(), duration);
}

constexpr const char* kOtherRoot = "of another directory";

// The same tree, whose root is another directory, or that has locks.
class Changed final : public Origin {
 public:
  enum class What { kRoot, kLocks };
  Changed(std::unique_ptr<Origin> inner, What what)
      : inner_(std::move(inner)), locks_(*inner_), what_(what) {}
  [[nodiscard]] const OriginCapabilities& capabilities() const override {
    return inner_->capabilities();
  }
  [[nodiscard]] std::string volume_key() const override { return inner_->volume_key(); }
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override {
    NodeInfo info = TRY(inner_->stat(path, deadline));
    if (path.empty() && what_ == What::kRoot) info.identity = kOtherRoot;
    return info;
  }
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override {
    return inner_->list(path, deadline, sink);
  }
  Result<std::string> read_link(const std::string& path, Deadline deadline) override {
    return inner_->read_link(path, deadline);
  }
  Result<FileSystemStats> stat_file_system(Deadline deadline) override {
    return inner_->stat_file_system(deadline);
  }
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override {
    return inner_->open(path, deadline);
  }
  void issue_read(Subrequest& subrequest) override { inner_->issue_read(subrequest); }
  [[nodiscard]] OriginWriter* writer() override { return inner_->writer(); }
  [[nodiscard]] OriginLocks* locks() override { return what_ == What::kLocks ? &locks_ : nullptr; }

 private:
  const std::unique_ptr<Origin> inner_;
  SimulatedLocks locks_;
  const What what_;
};

// What is opened: an origin in memory, that may be away, or another one.
class Late : public testing::Test {
 protected:
  [[nodiscard]] SimulatedOrigin::Options shape() const {
    SimulatedOrigin::Options options;
    options.capabilities.identity = true;
    options.write = WriteCapabilities{.copies = copies_.load()};
    return options;
  }
  Result<std::unique_ptr<Origin>> open() {
    ++attempts_;
    while (blocked_) std::this_thread::yield();
    if (const int error = error_) return Error(error, "test", "the cable is out");
    auto origin = std::make_unique<SimulatedOrigin>(shape());
    origin->add_file("file", "text");
    if (!has_other_root_ && !has_locks_) return std::unique_ptr<Origin>(std::move(origin));
    const auto what = has_locks_ ? Changed::What::kLocks : Changed::What::kRoot;
    return std::unique_ptr<Origin>(std::make_unique<Changed>(std::move(origin), what));
  }
  [[nodiscard]] KnownOrigin known() {
    const std::unique_ptr<Origin> origin = MUST(open());
    return MUST(describe(*origin, within(kLong)));
  }
  std::unique_ptr<LateOrigin> make(KnownOrigin what, Duration patience = kLong) {
    return LateOrigin::create({.known = std::move(what),
                               .open = [this] { return open(); },
                               .patience = patience,
                               .timeout = kLong,
                               .first_wait = kLong});
  }

  std::atomic<int> error_{0};
  std::atomic<bool> copies_{false};
  std::atomic<bool> blocked_{false};
  std::atomic<bool> has_other_root_{false};
  std::atomic<bool> has_locks_{false};
  std::atomic<unsigned> attempts_{0};
};

TEST_F(Late, OneThatIsThereIsUsedAtOnce) {
  const std::unique_ptr<LateOrigin> late = make(known());
  EXPECT_TRUE(late->is_there());
  EXPECT_EQ(late->stat("file", within(kLong)).value().attributes.size_bytes, 4U);
  ASSERT_NE(late->writer(), nullptr);
  EXPECT_TRUE(late->writer()->make("dir", {.type = FileType::kDirectory}, within(kLong)).ok());
  EXPECT_EQ(late->stat("dir", within(kLong)).value().attributes.type, FileType::kDirectory);
}

TEST_F(Late, WhileItIsAwayCallsEndWithTheirDeadlineOrThePatience) {
  const KnownOrigin what = known();
  error_ = ECONNREFUSED;
  std::unique_ptr<LateOrigin> late = make(what);
  EXPECT_FALSE(late->is_there());
  EXPECT_EQ(late->volume_key(), what.volume_key);
  EXPECT_TRUE(late->capabilities().identity);
  EXPECT_TRUE(late->stat("file", within(milliseconds(50))).is_error(ETIMEDOUT));
  EXPECT_TRUE(late->writer()->sync_all(within(milliseconds(50))).is_error(ETIMEDOUT));
  EXPECT_EQ(late->open_by_read("file"), nullptr);
  EXPECT_EQ(late->status().at(0).second, "away");
  late = make(what, milliseconds(1));
  const Result<NodeInfo> asked = late->stat("file", Deadline::never());
  ASSERT_TRUE(asked.is_error(ENOTCONN));
  EXPECT_EQ(asked.error().message(), "the cable is out");
}

TEST_F(Late, WhoWaitsIsAnsweredOnceItIsBack) {
  const KnownOrigin what = known();
  error_ = ECONNREFUSED;
  const std::unique_ptr<LateOrigin> late = make(what);
  const unsigned before = attempts_;
  sync::Thread repair("repair", [&] {
    while (attempts_ < before + 2) std::this_thread::yield();
    error_ = 0;
  });
  EXPECT_EQ(late->stat("file", within(kLong)).value().attributes.size_bytes, 4U);
  EXPECT_TRUE(late->is_there());
}

TEST_F(Late, AnotherTreeIsNotUsedAndSaysSo) {
  KnownOrigin what = known();
  what.volume_key = "what was there before";
  const std::unique_ptr<LateOrigin> late = make(what, milliseconds(1));
  const Result<NodeInfo> asked = late->stat("file", within(kLong));
  ASSERT_TRUE(asked.is_error(ENOTCONN)) << "to callers it is away";
  EXPECT_NE(asked.error().message().find("another tree"), std::string::npos);
  EXPECT_TRUE(late->writer()->sync_all(within(kLong)).is_error(ENOTCONN));
  EXPECT_EQ(late->status().at(0).second, "not used");
}

// What was answered and is not there yet must not be given up for that.
TEST_F(Late, TheRightRootIsWaitedForWhileAnotherOneIsThere) {
  KnownOrigin what = known();
  what.root_identity = kOtherRoot;
  const std::unique_ptr<LateOrigin> late = make(what);
  EXPECT_FALSE(late->is_there());
  const unsigned before = attempts_;
  sync::Thread repair("repair", [&] {
    while (attempts_ < before + 2) std::this_thread::yield();
    has_other_root_ = true;
  });
  EXPECT_TRUE(late->stat("file", within(kLong)).ok());
}

// Others have asked what it can do: it cannot be less from then on, and more is not shown.
TEST_F(Late, OneThatComesLateMustBeAbleToDoAsMuch) {
  const KnownOrigin little = known();
  copies_ = true;
  const KnownOrigin much = known();
  EXPECT_TRUE(make(little)->writer()->write_capabilities().copies) << "in time, what it can counts";
  error_ = ECONNREFUSED;
  const std::unique_ptr<LateOrigin> modest = make(little);
  error_ = 0;
  EXPECT_TRUE(modest->stat("file", within(kLong)).ok());
  EXPECT_FALSE(modest->writer()->write_capabilities().copies);
  error_ = ECONNREFUSED;
  const std::unique_ptr<LateOrigin> late = make(much, milliseconds(1));
  copies_ = false;
  error_ = 0;
  while (late->status().at(0).second != "not used") std::this_thread::yield();
  EXPECT_TRUE(late->stat("file", within(kLong)).is_error(ENOTCONN));
  copies_ = true;
  while (!late->is_there()) std::this_thread::yield();
  EXPECT_TRUE(late->stat("file", within(kLong)).ok()) << "the right one is back";
}

// An attempt that does not end is absence, too.
TEST_F(Late, ThePatienceBeginsAtOnce) {
  const KnownOrigin what = known();
  blocked_ = true;
  const std::unique_ptr<LateOrigin> late = LateOrigin::create({.known = what,
                                                               .open = [this] { return open(); },
                                                               .patience = milliseconds(1),
                                                               .timeout = kLong,
                                                               .first_wait = milliseconds(1)});
  EXPECT_TRUE(late->stat("file", within(kLong)).is_error(ENOTCONN));
  EXPECT_FALSE(late->is_there());
  blocked_ = false;
}

// Another description of the same file: somebody else's.
UniqueFd open_anew(const UniqueFd& file) {
  return UniqueFd(
      ::open(("/proc/self/fd/" + std::to_string(file.get())).c_str(), O_RDWR | O_CLOEXEC));
}

bool locks_range(const UniqueFd& fd, LockMode mode, const LockSpan& span) {
  return set_lock_by_descriptor(fd.get(), LockKind::kRange, mode, span).ok();
}

// By its descriptor, which a process before this one has left.
TEST_F(Late, WhatIsLockedIsHeldWhileItIsAway) {
  KnownOrigin what = known();
  what.locks = true;
  error_ = ECONNREFUSED;
  const std::unique_ptr<LateOrigin> late = make(what, milliseconds(1));
  OriginLocks* const locks = late->locks();
  ASSERT_NE(locks, nullptr);
  const UniqueFd file(::memfd_create("locked", MFD_CLOEXEC));
  const UniqueFd other = open_anew(file);
  UniqueFd left = open_anew(file);
  ASSERT_TRUE(locks_range(left, LockMode::kExclusive, {0, 9}));
  const UniqueFd copy(::dup(left.get()));
  OriginLocks::Opened taken = MUST(locks->take_over(std::move(left), LockKind::kRange));
  EXPECT_EQ(taken.info.identity, "") << "nobody knows";
  std::unique_ptr<OriginLock> lock = std::move(taken.lock);
  EXPECT_GE(lock->descriptor(), 0) << "to be kept for the process after this one";
  EXPECT_FALSE(locks_range(other, LockMode::kShared, {5, 5}));
  EXPECT_TRUE(locks->set(*lock, LockMode::kShared, {10, 19}, within(kLong)).ok());
  EXPECT_FALSE(locks_range(other, LockMode::kExclusive, {15, 15}));
  EXPECT_TRUE(locks->set(*lock, LockMode::kNone, {0, 9}, within(kLong)).ok());
  EXPECT_TRUE(locks_range(other, LockMode::kExclusive, {0, 9}));
  const auto found = MUST(locks->find(*lock, LockMode::kShared, {}, within(kLong)));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->span, (LockSpan{0, 9}));
  EXPECT_TRUE(locks->set(*lock, LockMode::kShared, {0, 0}, within(kLong)).is_error(EAGAIN));
  lock.reset();
  EXPECT_TRUE(locks_range(other, LockMode::kExclusive, {})) << "though there is a copy";
  const FileAt at{.path = "file"};
  EXPECT_TRUE(locks->open(at, LockKind::kRange, within(kLong)).is_error(ENOTCONN));
}

TEST_F(Late, WhatIsLockedAsAWholeIsHeldAndGivenBack) {
  KnownOrigin what = known();
  what.locks = true;
  error_ = ECONNREFUSED;
  const std::unique_ptr<LateOrigin> late = make(what, milliseconds(1));
  const UniqueFd file(::memfd_create("locked", MFD_CLOEXEC));
  const UniqueFd other = open_anew(file);
  UniqueFd left = open_anew(file);
  ASSERT_EQ(::flock(left.get(), LOCK_EX), 0);
  const UniqueFd copy(::dup(left.get()));
  std::unique_ptr<OriginLock> lock =
      MUST(late->locks()->take_over(std::move(left), LockKind::kWhole)).lock;
  EXPECT_NE(::flock(other.get(), LOCK_SH | LOCK_NB), 0);
  EXPECT_TRUE(late->locks()->set(*lock, LockMode::kShared, {}, within(kLong)).ok());
  EXPECT_EQ(::flock(other.get(), LOCK_SH | LOCK_NB), 0);
  lock.reset();
  EXPECT_EQ(::flock(other.get(), LOCK_EX | LOCK_NB), 0) << "though there is a copy";
}

// Of an origin that is there they are its own.
TEST_F(Late, TheLocksOfOneThatIsThereAreItsOwn) {
  has_locks_ = true;
  const std::unique_ptr<LateOrigin> late = make(known());
  OriginLocks* const locks = late->locks();
  ASSERT_NE(locks, nullptr);
  const FileAt at{.path = "file"};
  const auto one = MUST(locks->open(at, LockKind::kRange, within(kLong))).lock;
  const auto two = MUST(locks->open(at, LockKind::kRange, within(kLong))).lock;
  EXPECT_TRUE(locks->set(*one, LockMode::kExclusive, {0, 9}, within(kLong)).ok());
  EXPECT_TRUE(locks->set(*two, LockMode::kShared, {5, 5}, within(kLong)).is_error(EAGAIN));
  const auto found = MUST(locks->find(*two, LockMode::kShared, {}, within(kLong)));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->span, (LockSpan{0, 9}));
}

TEST_F(Late, OneThatHasNoLocksAnyMoreSaysSoToEachWhoAsks) {
  KnownOrigin what = known();
  EXPECT_FALSE(what.locks);
  EXPECT_EQ(make(what)->locks(), nullptr);
  what.locks = true;
  const std::unique_ptr<LateOrigin> late = make(what);
  EXPECT_TRUE(late->is_there());
  EXPECT_TRUE(late->known().locks) << "the kernel was told that there are some";
  ASSERT_NE(late->locks(), nullptr);
  const FileAt at{.path = "file"};
  EXPECT_TRUE(late->locks()->open(at, LockKind::kRange, within(kLong)).is_error(ENOLCK));
  UniqueFd left(::memfd_create("locked", MFD_CLOEXEC));
  EXPECT_TRUE(late->locks()->take_over(std::move(left), LockKind::kRange).is_error(ENOTSUP));
}

TEST_F(Late, WhoWaitsWhenItIsGivenUpIsToldSo) {
  const KnownOrigin what = known();
  error_ = ECONNREFUSED;
  const std::unique_ptr<LateOrigin> late = make(what);
  std::atomic<int> code{0};
  {
    sync::Thread asker("asker", [&] { code = late->stat("file", Deadline::never()).code(); });
    late->stop();
  }
  EXPECT_EQ(code, ECANCELED);
}

}  // namespace
}  // namespace netfs
