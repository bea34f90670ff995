// Goal: under a limit bytes take their time, and nothing else is different: what comes, what fails,
// what was seen, and how much time the origin itself has.

#include "netfs/limited_origin.h"

#include <atomic>
#include <cerrno>
#include <gtest/gtest.h>
#include <optional>

#include "netfs/origin_writer.h"
#include "netfs/testing/simulated_origin.h"
#include "sync/cond_var.h"
#include "sync/lock_class.h"
#include "sync/mutex.h"

namespace netfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kMiB = 1 << 20;
constinit sync::LockClass kTestLock{"test.limited_origin"};

// What a subrequest's end tells, waited for.
template <class Outcome>
class End {
 public:
  void set(Outcome outcome) {
    sync::MutexLock lock(mutex_);
    outcome_ = std::move(outcome);
    changed_.notify_all();
  }
  // Nullopt after a minute.
  std::optional<Outcome> wait() {
    const MonoTime until = Clock::system().now() + seconds(60);
    sync::MutexLock lock(mutex_);
    while (!outcome_) {
      if (!changed_.wait_until(mutex_, until)) break;
    }
    return outcome_;
  }

 private:
  sync::Mutex mutex_{kTestLock};
  sync::CondVar changed_;
  std::optional<Outcome> outcome_ GUARDED_BY(mutex_);
};

class Reading final : public Subrequest {
 public:
  Reading(OriginFile& file, ByteRange range, std::string& to, Deadline deadline)
      : Subrequest(file, range, std::as_writable_bytes(std::span(to)), deadline) {}
  void progress(uint64_t bytes) override {
    if (bytes < progressed_) went_back_ = true;
    progressed_ = bytes;
  }
  void terminated(ReadOutcome outcome) override { end.set(std::move(outcome)); }

  End<ReadOutcome> end;
  uint64_t progressed_ = 0;
  bool went_back_ = false;
};

class Writing final : public WriteSubrequest {
 public:
  Writing(OriginFile& file, ByteRange range, const std::string& from)
      : WriteSubrequest(file, range, std::as_bytes(std::span(from)), {}, Deadline::never()) {}
  void terminated(WriteOutcome outcome) override { end.set(std::move(outcome)); }

  End<WriteOutcome> end;
};

class LimitedOriginTest : public testing::Test {
 protected:
  static std::string bytes_of(uint64_t seed, uint64_t length) {
    std::string bytes(length, '\0');
    for (uint64_t i = 0; i < length; ++i) bytes[i] = static_cast<char>(pattern_byte(seed, i));
    return bytes;
  }
  std::unique_ptr<OriginFile> open() {
    return std::move(limited_.open("a", Deadline::never())).value();
  }
  // The first `length` bytes of "a".
  std::optional<ReadOutcome> read(std::string& to, Deadline deadline = Deadline::never()) {
    const std::unique_ptr<OriginFile> file = open();
    Reading reading(*file, {0, to.size()}, to, deadline);
    limited_.issue_read(reading);
    std::optional<ReadOutcome> outcome = reading.end.wait();
    EXPECT_FALSE(reading.went_back_);
    return outcome;
  }

  SimulatedOrigin origin_{{.progress_bytes = 10'000, .write = WriteCapabilities()}};
  LimitedOrigin limited_{origin_};
};

TEST_F(LimitedOriginTest, WhatIsReadIsTheSameAndTakesItsTime) {
  origin_.add_pattern("a", 2 * kMiB, 7);
  limited_.limit({.up = kMiB, .down = 4 * kMiB});
  std::string got(2 * kMiB, '\0');
  const MonoTime began = Clock::system().now();
  const std::optional<ReadOutcome> outcome = read(got);
  ASSERT_TRUE(outcome && outcome->transferred_bytes.ok());
  EXPECT_EQ(outcome->transferred_bytes.value(), got.size());
  EXPECT_TRUE(outcome->validator_after);
  EXPECT_TRUE(got == bytes_of(7, got.size()));
  // A quarter of a second's goes at once.
  EXPECT_GE(Clock::system().now() - began, milliseconds(250));
  EXPECT_GE(origin_.counts().reads, 2U);
}

TEST_F(LimitedOriginTest, WhatIsWrittenIsTheSameAndTakesItsTime) {
  origin_.add_file("a", std::string(10, 'x'));
  limited_.limit({.up = 4 * kMiB, .down = kMiB});
  const Validator before = MUST(origin_.stat("a", Deadline::never())).validator;  // it is there
  OpenedFile opened = MUST(limited_.writer()->open_for_writing("a", Deadline::never()));  // too
  const std::string bytes = bytes_of(3, 2 * kMiB + 5);
  const MonoTime began = Clock::system().now();
  Writing writing(*opened.file, {3, bytes.size()}, bytes);
  limited_.writer()->issue_write(writing);
  const std::optional<WriteOutcome> outcome = writing.end.wait();
  ASSERT_TRUE(outcome && outcome->transferred_bytes.ok());
  EXPECT_EQ(outcome->transferred_bytes.value(), bytes.size());
  EXPECT_GE(Clock::system().now() - began, milliseconds(250));
  EXPECT_TRUE(origin_.content("a") == "xxx" + bytes);
  ASSERT_TRUE(outcome->seen.before);
  EXPECT_TRUE(*outcome->seen.before == before);
  ASSERT_TRUE(outcome->seen.after);
  EXPECT_EQ(outcome->seen.after->attributes.size_bytes, 3 + bytes.size());
}

TEST_F(LimitedOriginTest, ALimitThatIsLiftedLetsThoseGoWhoWait) {
  origin_.add_pattern("a", 16 * kMiB, 7);
  limited_.limit({.down = 64 << 10});  // it would take four minutes
  std::string got(16 * kMiB, '\0');
  const std::unique_ptr<OriginFile> file = open();
  Reading reading(*file, {0, got.size()}, got, Deadline::never());
  limited_.issue_read(reading);
  limited_.limit({});
  const std::optional<ReadOutcome> outcome = reading.end.wait();
  ASSERT_TRUE(outcome && outcome->transferred_bytes.ok());
  EXPECT_TRUE(got == bytes_of(7, got.size()));
  EXPECT_LE(origin_.counts().reads, 3U) << "the rest goes in one";
  EXPECT_EQ(limited_.limit(), Bandwidth());
}

TEST_F(LimitedOriginTest, TheTimeThatBytesWaitIsNotTheOrigins) {
  origin_.add_pattern("a", 256 << 10, 7);
  limited_.limit({.down = 256 << 10});
  std::string got(256 << 10, '\0');
  const Deadline deadline = Deadline::after(Clock::system(), seconds(40));
  const std::optional<ReadOutcome> outcome = read(got, deadline);
  ASSERT_TRUE(outcome && outcome->transferred_bytes.ok());
  EXPECT_GE(origin_.last_read_deadline().at, deadline.at + milliseconds(500));
}

TEST_F(LimitedOriginTest, WhoWantsLittleWaitsForAPieceOfEachOtherAndNotForAll) {
  origin_.add_pattern("a", 64 * kMiB, 7);
  limited_.limit({.down = 4 * kMiB});
  std::atomic<uint64_t> before_it{0};
  origin_.set_fault([&](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.range.length_bytes == 100) before_it = read.number;
    return std::nullopt;
  });
  const std::unique_ptr<OriginFile> file = open();
  std::string much(64 * kMiB, '\0');
  Reading long_one(*file, {0, much.size()}, much, Deadline::never());
  limited_.issue_read(long_one);
  std::string little(100, '\0');
  const uint64_t before = origin_.counts().reads;
  const std::optional<ReadOutcome> outcome = read(little);
  ASSERT_TRUE(outcome && outcome->transferred_bytes.ok());
  EXPECT_LE(before_it, before + 8) << "not behind all of the other, of 64 pieces";
  limited_.limit({});
  ASSERT_TRUE(long_one.end.wait());
  origin_.set_fault(nullptr);
}

TEST_F(LimitedOriginTest, WhatCameBeforeAnErrorCountsAndAnErrorAtOnceIsOne) {
  origin_.add_pattern("a", kMiB, 7);
  limited_.limit({.down = 1 << 20});
  origin_.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.number % 3 == 1) return Fault{.kind = Fault::kError, .error = EACCES};
    if (read.number == 3) return Fault{.kind = Fault::kOver, .bytes = 1};
    if (read.number == 6) return Fault{.kind = Fault::kEndOfFile, .bytes = 100};
    return std::nullopt;
  });
  std::string got(512 << 10, '\0');
  std::optional<ReadOutcome> outcome = read(got);  // reads 0 and 1
  ASSERT_TRUE(outcome && outcome->transferred_bytes.ok());
  EXPECT_EQ(outcome->transferred_bytes.value(), 256U << 10);
  std::string one(1000, '\0');
  ASSERT_TRUE(read(one)->transferred_bytes.ok());              // 2
  EXPECT_TRUE(read(one)->transferred_bytes.is_error(EPROTO));  // 3: more than asked
  EXPECT_TRUE(read(one)->transferred_bytes.is_error(EACCES));  // 4
  ASSERT_TRUE(read(one)->transferred_bytes.ok());              // 5
  outcome = read(got);                                         // 6: the file ends there
  ASSERT_TRUE(outcome && outcome->transferred_bytes.ok());
  EXPECT_EQ(outcome->transferred_bytes.value(), 100U);
  EXPECT_TRUE(outcome->hit_end_of_file);
}

TEST(LimitedOriginWhole, AnOriginWithoutRangesIsAskedForAllAtOnce) {
  SimulatedOrigin origin({.capabilities = {.range_reads = false}});
  origin.add_pattern("a", 4 * kMiB, 7);
  LimitedOrigin limited(origin);
  limited.limit({.down = 32 * kMiB});
  const std::unique_ptr<OriginFile> file = std::move(limited.open("a", Deadline::never())).value();
  std::string got(4 * kMiB, '\0');
  for (int i = 0; i < 3; ++i) {
    Reading reading(*file, {0, got.size()}, got, Deadline::never());
    limited.issue_read(reading);
    const std::optional<ReadOutcome> outcome = reading.end.wait();
    ASSERT_TRUE(outcome && outcome->transferred_bytes.ok());
  }
  EXPECT_EQ(origin.counts().reads, 3U);
  EXPECT_EQ(limited.writer(), nullptr);
}

// Says of its first read which version its bytes are of, and how long that is; the others fail.
class SayingOnce final : public Origin {
 public:
  explicit SayingOnce(Validator said) : said_(std::move(said)) {}

  [[nodiscard]] const OriginCapabilities& capabilities() const override { return capabilities_; }
  [[nodiscard]] std::string volume_key() const override { return "once"; }
  Result<NodeInfo> stat(const std::string&, Deadline) override { return nothing(); }
  Result<void> list(const std::string&, Deadline, const EntrySink&) override { return nothing(); }
  Result<std::string> read_link(const std::string&, Deadline) override { return nothing(); }
  Result<FileSystemStats> stat_file_system(Deadline) override { return nothing(); }
  Result<std::unique_ptr<OriginFile>> open(const std::string&, Deadline) override {
    return std::make_unique<OriginFile>();
  }
  void issue_read(Subrequest& read) override {
    if (reads_++ > 0) return read.terminated({.transferred_bytes = nothing()});
    read.terminated({.transferred_bytes = read.range().length_bytes,
                     .validator_before = said_,
                     .size_before = uint64_t{12345},
                     .confirm_first = true});
  }

 private:
  static Error nothing() { return Error(EACCES, "test.once"); }

  const OriginCapabilities capabilities_;
  const Validator said_;
  unsigned reads_ = 0;
};

// The first piece is all that is handed on then.
TEST(LimitedOriginSaid, WhatThePieceThatCameSaidOfTheFileIsNotLostWithTheNextOne) {
  const Validator said{.strength = ValidatorStrength::kStrong, .bytes = "v1"};
  SayingOnce origin(said);
  LimitedOrigin limited(origin);
  limited.limit({.down = kMiB});
  const std::unique_ptr<OriginFile> file = std::move(limited.open("a", Deadline::never())).value();
  std::string got(512 << 10, '\0');
  Reading reading(*file, {0, got.size()}, got, Deadline::never());
  limited.issue_read(reading);
  const std::optional<ReadOutcome> outcome = reading.end.wait();
  ASSERT_TRUE(outcome && outcome->transferred_bytes.ok());
  EXPECT_EQ(outcome->transferred_bytes.value(), 256U << 10);
  EXPECT_TRUE(outcome->validator_before == said);
  EXPECT_EQ(outcome->size_before, uint64_t{12345});
  EXPECT_TRUE(outcome->confirm_first);
  EXPECT_EQ(reading.progressed_, 0U) << "nobody has it before it is confirmed";
}

TEST(PacedPiece, IsAQuarterOfASecondAndEndsWithAPage) {
  EXPECT_EQ(paced_piece({5, 10 * kMiB}, 0), (ByteRange{5, 10 * kMiB}));
  EXPECT_EQ(paced_piece({5, 10 * kMiB}, 4 * kMiB), (ByteRange{5, kMiB - 5}));
  EXPECT_EQ(paced_piece({0, 10 * kMiB}, 1), (ByteRange{0, LimitedOrigin::kPieceMin}));
  EXPECT_EQ(paced_piece({5, 100}, 1), (ByteRange{5, 100}));
}

}  // namespace
}  // namespace netfs
