#include "tests/origin-conformance/reads.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <utility>

namespace netfs::test {

namespace {

constexpr size_t kGuardBytes = 4096;
constexpr std::byte kGuard{0xA5};

}  // namespace

TestRead::TestRead(OriginFile& file, ByteRange range, Deadline deadline)
    : TestRead(file, range, deadline,
               new std::vector<std::byte>(range.length_bytes + 2 * kGuardBytes, kGuard)) {}

TestRead::TestRead(OriginFile& file, ByteRange range, Deadline deadline,
                   std::vector<std::byte>* memory)
    : Subrequest(file, range, std::span(*memory).subspan(kGuardBytes, range.length_bytes),
                 deadline),
      memory_(memory) {}

TestRead::~TestRead() = default;

void TestRead::progress(uint64_t bytes) {
  sync::MutexLock lock(mutex_);
  EXPECT_GE(bytes, progress_) << "progress went back";
  EXPECT_LE(bytes, range().length_bytes);
  progress_ = bytes;
}

void TestRead::terminated(ReadOutcome outcome) {
  sync::MutexLock lock(mutex_);
  ++terminations_;
  if (outcome.transferred_bytes.ok()) {
    placed_ = outcome.transferred_bytes.value();
    EXPECT_LE(placed_, range().length_bytes);
    placed_ = std::min(placed_, range().length_bytes);
  }
  outcome_ = std::move(outcome);
  done_.notify_all();
}

std::optional<ReadOutcome> TestRead::wait(Duration patience) {
  const MonoTime until = Clock::system().now() + patience;
  sync::MutexLock lock(mutex_);
  while (!outcome_) {
    if (!done_.wait_until(mutex_, until) && !outcome_) return std::nullopt;
  }
  return outcome_;
}

std::string TestRead::bytes() const {
  sync::MutexLock lock(mutex_);
  return std::string(reinterpret_cast<const char*>(memory_->data()) + kGuardBytes, placed_);
}

bool TestRead::guards_intact() const {
  const auto is_guard = [](std::byte b) { return b == kGuard; };
  return std::all_of(memory_->begin(), memory_->begin() + kGuardBytes, is_guard) &&
         std::all_of(memory_->end() - kGuardBytes, memory_->end(), is_guard);
}

unsigned TestRead::terminations() const {
  sync::MutexLock lock(mutex_);
  return terminations_;
}

Result<ReadBytes> read_range(Origin& origin, OriginFile& file, ByteRange range, Duration patience) {
  ReadBytes all;
  while (all.bytes.size() < range.length_bytes && !all.hit_end_of_file) {
    const ByteRange rest{range.offset_bytes + all.bytes.size(),
                         range.length_bytes - all.bytes.size()};
    auto read = std::make_unique<TestRead>(file, rest, Deadline::after(Clock::system(), patience));
    origin.issue_read(*read);
    std::optional<ReadOutcome> outcome = read->wait(patience);
    if (!outcome) {
      // The origin still holds it: it must not be freed.
      (void)read.release();  // NOLINT: leaked on purpose, the test has failed
      return Error(ETIMEDOUT, "test.read", "the subrequest was not terminated");
    }
    EXPECT_TRUE(read->guards_intact());
    EXPECT_EQ(read->terminations(), 1U);
    const uint64_t got = TRY(outcome->transferred_bytes);
    all.bytes += read->bytes();
    all.hit_end_of_file = outcome->hit_end_of_file;
    all.validator = outcome->validator_after;
    if (got == 0 && !all.hit_end_of_file) return Error(EIO, "test.read", "no byte and no end");
  }
  return all;
}

Result<std::string> read_file(Origin& origin, const std::string& path) {
  const Deadline deadline = Deadline::after(Clock::system(), std::chrono::seconds(60));
  const NodeInfo info = TRY(origin.stat(path, deadline));
  const std::unique_ptr<OriginFile> file = TRY(origin.open(path, deadline));
  return TRY(read_range(origin, *file, {0, info.attributes.size_bytes})).bytes;
}

}  // namespace netfs::test
