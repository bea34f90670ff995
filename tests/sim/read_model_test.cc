// Random reads through the library against a plain string, with everything around it misbehaving.
//
// The model: an open file is the string that the origin had when it was opened.  Each read must
// return exactly that string's bytes, or an error that what was injected explains; after the faults
// end, a newly opened file must read completely and right, and nothing may be left over: no live
// request, no open subrequest, no buffer, no block downloaded twice at a time.
//
// Injected, each by chance: short and empty answers, errors, lost connections, more bytes than
// asked, a file end that is none, another validator with right and with wrong bytes, a rewrite and
// a replacement of the file, damaged and unreadable cache blocks, a cache that would wait, stores
// that fail, that block and that do not fit their queue, memory that is spent.
//
// The seed is printed; --gtest_random_seed=N runs one again (threads still take turns as they
// like).

#include <deque>
#include <gtest/gtest.h>
#include <random>

#include "netfs/slice.h"
#include "netfs/testing/reading.h"

namespace netfs {
namespace {

constexpr uint64_t kKiB = 1 << 10;
constexpr int kWorlds = 12;
constexpr int kSteps = 350;
constexpr size_t kInFlightMax = 8;

class World {
 public:
  explicit World(uint32_t seed)
      : random_(seed), fixture_(std::make_unique<LibraryFixture>(options())) {
    rewrite();
    fixture_->origin.add_file("f", content_);
    fixture_->origin.set_fault([this, fault_random = std::mt19937(seed)](
                                   const SimulatedRead&) mutable { return fault(fault_random); });
    open();
  }

  void run() {
    for (int i = 0; i < kSteps; ++i) {
      step();
      while (pending_.size() > kInFlightMax) check_oldest();
    }
    while (!pending_.empty()) check_oldest();
    settle();
  }

 private:
  struct Pending {
    PendingRead read;
    ByteRange range;
    std::shared_ptr<const std::string> expected;
    bool superseded = false;
  };

  uint64_t below(uint64_t limit) { return random_() % limit; }
  bool chance(unsigned percent) { return below(100) < percent; }

  LibraryFixture::Options options() {
    LibraryFixture::Options with;
    with.origin.threads = 3;
    with.origin.validator_after = chance(60);
    with.origin.inline_answers = chance(30);
    with.origin.progress_bytes = chance(50) ? 5000 : 0;
    with.origin.capabilities.parallel_reads = chance(80);
    with.origin.capabilities.read_bytes_max = chance(50) ? 1 << 20 : 100'000;
    with.offload.queue_bytes_max = chance(50) ? 256 * kKiB : 8192 * kKiB;
    with.offload.commit_interval = std::chrono::milliseconds(5);
    with.budget_bytes = chance(40) ? 512 * kKiB : 16384 * kKiB;
    with.readahead = chance(70);
    with.cached = chance(85);
    fault_percent_ = static_cast<unsigned>(below(12));
    changes_ = chance(60);
    return with;
  }

  std::optional<Fault> fault(std::mt19937& random) {
    if (quiet_ || random() % 100 >= fault_percent_) return std::nullopt;
    switch (random() % (changes_ ? 12 : 10)) {
      case 0:
        return Fault{.kind = Fault::kError, .error = ENOTCONN};
      case 1:
        return Fault{.kind = Fault::kOver, .bytes = 1 + random() % 5000};
      case 11:
        return Fault{.kind = Fault::kEndOfFile, .bytes = random() % 70'000};
      case 10:
        // Without a validator after it, garbage could not be told from bytes.
        return Fault{.kind = fixture_->options.origin.validator_after ? Fault::kGarbage
                                                                      : Fault::kOtherVersion};
      case 4:
      case 5:
        return Fault{.kind = Fault::kError, .error = EIO};
      case 6:
        return Fault{.kind = Fault::kShort, .bytes = 0};
      default:
        return Fault{.kind = Fault::kShort, .bytes = random() % 90'000};
    }
  }

  void rewrite() {
    std::string bytes(1 + below(3000 * kKiB), '\0');
    std::mt19937 fill(static_cast<uint32_t>(random_()));
    for (size_t i = 0; i < bytes.size(); i += 1 + fill() % 7) bytes[i] = static_cast<char>(fill());
    content_ = std::move(bytes);
  }

  void open() {
    file_ = fixture_->open("f");
    stream_ = file_->open_stream();
    expected_ = std::make_shared<const std::string>(content_);
    superseded_ = false;
  }

  void step() {
    if (chance(3)) misbehave();
    if (chance(2)) {
      open();
    } else if (changes_ && chance(1)) {
      rewrite();
      if (chance(50)) {
        // In place.  Without a validator after each read, bytes may be of the new version before
        // anybody can know, so it waits until nothing is on its way and the handle is a new one.
        if (!fixture_->options.origin.validator_after) {
          while (!pending_.empty()) check_oldest();
        }
        fixture_->origin.write("f", content_);
        for (Pending& pending : pending_) pending.superseded = true;
        superseded_ = true;
        if (!fixture_->options.origin.validator_after) open();
      } else {
        fixture_->origin.replace("f", content_);
        superseded_ = true;
      }
    } else if (superseded_ && chance(30)) {
      file_->supersede();
    }
    ByteRange range{below(content_.size() + 100), 1 + below(chance(10) ? 1500 * kKiB : 100 * kKiB)};
    if (chance(60)) range.offset_bytes = next_;
    next_ = range.end_bytes() < expected_->size() ? range.end_bytes() : 0;
    pending_.push_back(
        {LibraryFixture::begin_read(*file_, range, stream_.get()), range, expected_, superseded_});
  }

  void misbehave() {
    MemoryCache& cache = fixture_->cache;
    switch (below(7)) {
      case 0:
        cache.corrupt("f");
        break;
      case 1:
        cache.fail_stores(chance(50) ? ENOSPC : EIO);
        break;
      case 2:
        cache.fail_reads(chance(50) ? EIO : EAGAIN);
        break;
      case 3:
        cache.block_stores();
        break;
      default:
        behave();
        break;
    }
  }

  void behave() {
    fixture_->cache.fail_stores(0);
    fixture_->cache.fail_reads(0);
    fixture_->cache.unblock_stores();
  }

  void check_oldest() {
    const Pending pending = std::move(pending_.front());
    pending_.pop_front();
    const Result<std::string> bytes = pending.read.take();
    if (bytes.ok()) {
      const std::string& expected = *pending.expected;
      const ByteRange range = cut_at_end(pending.range, expected.size());
      ASSERT_TRUE(bytes.value() == expected.substr(std::min(range.offset_bytes, expected.size()),
                                                   range.length_bytes))
          << "wrong bytes at " << range.offset_bytes << " + " << range.length_bytes;
      ++good_;
      return;
    }
    // Stale: the file was changed, or a fault said so.
    ASSERT_TRUE(bytes.is_error(EIO) || bytes.is_error(ENOTCONN) || bytes.is_error(ESTALE))
        << bytes.error().message();
    ASSERT_TRUE(fault_percent_ > 0 || pending.superseded) << bytes.error().message();
    // A fault may have superseded a version that is still the origin's: open it again.
    if (bytes.is_error(ESTALE)) open();
  }

  void settle() {
    quiet_ = true;
    behave();
    open();
    for (int pass = 0; pass < 2; ++pass) {
      const Result<std::string> all = LibraryFixture::read(*file_, {0, content_.size()});
      ASSERT_TRUE(all.ok()) << all.error().message();
      ASSERT_TRUE(all.value() == content_);
      ASSERT_TRUE(fixture_->drain());
    }
    EXPECT_TRUE(fixture_->library->live_requests().empty());
    // While the file has one version for the library, no block of it is on its way twice.
    if (!changes_) {
      EXPECT_EQ(fixture_->origin.counts().overlapping_reads, 0U);
    }
    EXPECT_GT(good_, kSteps / 4);
    stream_.reset();
    file_ = nullptr;
    fixture_->library->close();
    ASSERT_TRUE(
        fixture_->offload->close(Deadline::after(Clock::system(), std::chrono::seconds(60))));
    EXPECT_EQ(fixture_->pool.used_bytes(), 0U);
  }

  std::mt19937_64 random_;
  unsigned fault_percent_ = 0;
  bool changes_ = false;  // the file changes in this world, or seems to
  std::atomic<bool> quiet_{false};
  std::string content_;
  std::unique_ptr<LibraryFixture> fixture_;
  Ref<File> file_;
  std::unique_ptr<ReadStream> stream_;
  std::shared_ptr<const std::string> expected_;
  std::deque<Pending> pending_;
  uint64_t next_ = 0;
  bool superseded_ = false;
  int good_ = 0;
};

TEST(ReadModel, RandomReadsUnderFaultsReturnTheRightBytesOrAnHonestError) {
  const int given = ::testing::UnitTest::GetInstance()->random_seed();
  const uint32_t seed = given != 0 ? static_cast<uint32_t>(given) : std::random_device()() % 99'999;
  std::printf("seed %u\n", seed);
  std::fflush(stdout);
  for (uint32_t i = 0; i < kWorlds; ++i) {
    SCOPED_TRACE("world " + std::to_string(i));
    World(seed + i).run();
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace netfs
