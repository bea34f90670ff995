// Fetches for who has not opened the file yet.

#include <atomic>
#include <gtest/gtest.h>
#include <map>

#include "netfs/testing/reading.h"

namespace netfs {
namespace {

constexpr uint64_t kKiB = 1 << 10;

// In front of a simulated origin: opens that wait, and files that their first read opens.
class OpeningOrigin final : public Origin {
 public:
  explicit OpeningOrigin(SimulatedOrigin& inner) : inner_(inner) {}

  void hold_opens() {
    sync::MutexLock lock(mutex_);
    holding_ = true;
  }
  void release_opens() {
    sync::MutexLock lock(mutex_);
    holding_ = false;
    changed_.notify_all();
  }
  void hold_stats() {
    sync::MutexLock lock(mutex_);
    holding_stats_ = true;
  }
  void release_stats() {
    sync::MutexLock lock(mutex_);
    holding_stats_ = false;
    changed_.notify_all();
  }
  bool wait_for_opens(size_t count) {
    const MonoTime until = Clock::system().now() + std::chrono::seconds(60);
    sync::MutexLock lock(mutex_);
    while (waiting_ < count) {
      if (!changed_.wait_until(mutex_, until)) return waiting_ >= count;
    }
    return true;
  }
  std::atomic<bool> by_read{false};
  std::atomic<unsigned> opened_by_read{0};

  [[nodiscard]] const OriginCapabilities& capabilities() const override {
    return inner_.capabilities();
  }
  [[nodiscard]] std::string volume_key() const override { return inner_.volume_key(); }
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override {
    {
      sync::MutexLock lock(mutex_);
      while (holding_stats_) changed_.wait(mutex_);
    }
    return inner_.stat(path, deadline);
  }
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override {
    return inner_.list(path, deadline, sink);
  }
  Result<std::string> read_link(const std::string& path, Deadline deadline) override {
    return inner_.read_link(path, deadline);
  }
  Result<FileSystemStats> stat_file_system(Deadline deadline) override {
    return inner_.stat_file_system(deadline);
  }
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override {
    {
      sync::MutexLock lock(mutex_);
      ++waiting_;
      changed_.notify_all();
      while (holding_) changed_.wait(mutex_);
    }
    return inner_.open(path, deadline);
  }
  std::unique_ptr<OriginFile> open_by_read(const std::string& path) override {
    if (!by_read) return nullptr;
    ++opened_by_read;
    auto file = MUST(inner_.open(path, Deadline::never()));  // the test made it
    sync::MutexLock lock(mutex_);
    by_reads_[file.get()] = path;
    return file;
  }
  void issue_read(Subrequest& subrequest) override {
    std::string path;
    {
      sync::MutexLock lock(mutex_);
      const auto found = by_reads_.find(&subrequest.file());
      if (found != by_reads_.end()) path = found->second;
    }
    if (path.empty() || !said_before) return inner_.issue_read(subrequest);
    Validator said = *said_before;
    if (says_of_each) said = MUST(inner_.stat(path, Deadline::never())).validator;  // it is there
    inner_.issue_read(*new Saying(subrequest, std::move(said), said_size));
  }
  // By each read of what is opened by that.
  std::optional<Validator> said_before;
  std::optional<uint64_t> said_size;
  bool says_of_each = false;  // and not `said_before`

 private:
  // A read whose outcome says of which version its answer was.
  class Saying final : public Subrequest {
   public:
    Saying(Subrequest& of, Validator said, std::optional<uint64_t> size)
        : Subrequest(of.file(), of.range(), of.destination(), of.deadline()),
          of_(of),
          said_(std::move(said)),
          size_(size) {}
    void terminated(ReadOutcome outcome) override {
      outcome.validator_before = said_;
      outcome.size_before = size_;
      of_.terminated(std::move(outcome));
      delete this;
    }

   private:
    Subrequest& of_;
    const Validator said_;
    const std::optional<uint64_t> size_;
  };

  SimulatedOrigin& inner_;
  sync::Mutex mutex_{kSimulatedOriginLock};
  std::map<const OriginFile*, std::string> by_reads_ GUARDED_BY(mutex_);
  sync::CondVar changed_;
  bool holding_ GUARDED_BY(mutex_) = false;
  bool holding_stats_ GUARDED_BY(mutex_) = false;
  size_t waiting_ GUARDED_BY(mutex_) = 0;
};

struct UnaskedFixture : LibraryFixture {
  explicit UnaskedFixture(size_t budget_bytes = size_t{32} << 20,
                          SimulatedOrigin::Options simulated = {})
      : LibraryFixture({.origin = simulated, .budget_bytes = budget_bytes, .readahead = true}) {
    for (int i = 0; i < 40; ++i) origin.add_pattern(name(i), 40 * kKiB, static_cast<uint64_t>(i));
    library.reset();
    Ref<Volume> volume = MUST(cache.open_volume(origin.volume_key()));  // in memory
    library = MUST(Library::create({.origin = opening,
                                    .volume = std::move(volume),
                                    .offload = offload.get(),
                                    .pool = pool,
                                    .timeout = std::chrono::seconds(10),
                                    .readahead = true}));
  }
  ~UnaskedFixture() {
    opening.release_opens();
    opening.release_stats();
    library.reset();
  }
  static std::string name(int i) { return "f" + std::to_string(i); }
  bool settled() {
    const MonoTime until = Clock::system().now() + std::chrono::seconds(60);
    while (origin.counts().reads == 0 || library->stats().subrequests_open > 0) {
      if (Clock::system().now() > until) return false;
    }
    return true;
  }

  // So many at least.
  bool opened(uint64_t count) {
    const MonoTime until = Clock::system().now() + std::chrono::seconds(60);
    while (origin.counts().opens < count) {
      if (Clock::system().now() > until) return false;
    }
    return true;
  }

  OpeningOrigin opening{origin};
};

TEST(FetchUnasked, BringsTheFileAndClosesItAtTheOrigin) {
  for (const bool by_read : {false, true}) {
    UnaskedFixture fixture;
    fixture.opening.by_read = by_read;
    const Ref<File> file = fixture.open("f3");
    EXPECT_EQ(file->fetch_unasked(1 << 20), 40 * kKiB);
    EXPECT_EQ(file->fetch_unasked(1 << 20), 0U) << "it is under way";
    ASSERT_TRUE(fixture.settled());
    ASSERT_TRUE(fixture.drain());
    EXPECT_EQ(fixture.opening.opened_by_read, by_read ? 1U : 0U);
    EXPECT_EQ(fixture.origin.open_files(), 0U);
    const Result<std::string> bytes = LibraryFixture::read(*file, {0, 40 * kKiB});
    ASSERT_TRUE(bytes.ok());
    EXPECT_TRUE(bytes.value() == pattern(3, {0, 40 * kKiB}));
    EXPECT_EQ(fixture.origin.counts().opens, 1U);
    EXPECT_EQ(fixture.origin.counts().read_bytes, 40 * kKiB);
    EXPECT_TRUE(file->sealed()) << "and it is stored, as what anybody reads";
    EXPECT_EQ(file->fetch_unasked(1 << 20), 0U);
  }
}

// Sixteen opens for nobody hang, and more stand behind them.
TEST(FetchUnasked, WhoReadsWaitsForNoneOfItsOpens) {
  UnaskedFixture fixture;
  std::vector<Ref<File>> files;
  for (int i = 0; i < 30; ++i) files.push_back(fixture.open(UnaskedFixture::name(i)));
  fixture.opening.hold_opens();
  for (const Ref<File>& file : files) EXPECT_EQ(file->fetch_unasked(1 << 20), 40 * kKiB);
  ASSERT_TRUE(fixture.opening.wait_for_opens(16));
  // One that nobody fetches, and one whose open stands in the queue.
  const Ref<File> other = fixture.open("f39");
  const PendingRead apart = LibraryFixture::begin_read(*other, {0, kKiB});
  const PendingRead queued = LibraryFixture::begin_read(*files[29], {0, kKiB});
  EXPECT_TRUE(fixture.opening.wait_for_opens(18));
  fixture.opening.release_opens();
  EXPECT_TRUE(apart.take().ok());
  const Result<std::string> bytes = queued.take();
  ASSERT_TRUE(bytes.ok());
  EXPECT_TRUE(bytes.value() == pattern(29, {0, kKiB}));
  ASSERT_TRUE(fixture.opened(31));
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.origin.counts().opens, 31U) << "each once";
  EXPECT_EQ(fixture.origin.counts().overlapping_reads, 0U);
}

// The read that was to open it says what is wrong; who waits has it opened by open().
TEST(FetchUnasked, WhatItsReadCouldNotOpenIsOpenedForWhoWaits) {
  UnaskedFixture fixture;
  fixture.opening.by_read = true;
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.number == 0) return Fault{.kind = Fault::kError, .error = ENOENT};
    return std::nullopt;
  });
  fixture.origin.hold_reads();
  const Ref<File> file = fixture.open("f3");
  EXPECT_EQ(file->fetch_unasked(1 << 20), 40 * kKiB);
  ASSERT_TRUE(fixture.origin.wait_for_held(1, Deadline::never()));
  const PendingRead read = LibraryFixture::begin_read(*file, {0, 40 * kKiB});
  fixture.origin.release_reads();
  const Result<std::string> bytes = read.take();
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_TRUE(bytes.value() == pattern(3, {0, 40 * kKiB}));
  EXPECT_EQ(fixture.opening.opened_by_read, 1U);
  EXPECT_TRUE(fixture.opening.wait_for_opens(1));
}

// Where the origin says that it saves who waits a round trip.
struct ByReadFixture : UnaskedFixture {
  static SimulatedOrigin::Options of_no_validators() {
    return {.capabilities = {.files_ahead = true, .opens_by_read = true}, .validator_after = false};
  }
  ByReadFixture() : UnaskedFixture(size_t{32} << 20, of_no_validators()) {
    opening.by_read = true;
    opening.said_before = MUST(origin.stat("f3", Deadline::never())).validator;
  }
};

TEST(OpenedByRead, WhoWaitsAsksOnceAndHasHisBytesBeforeTheOriginIsAskedAgain) {
  ByReadFixture fixture;
  const Ref<File> file = fixture.open("f3");
  const uint64_t stats = fixture.origin.counts().stats;
  fixture.opening.hold_stats();
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 40 * kKiB});
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_TRUE(bytes.value() == pattern(3, {0, 40 * kKiB}));
  EXPECT_FALSE(file->sealed()) << "stored once the origin has said it again after the bytes";
  fixture.opening.release_stats();
  const MonoTime until = Clock::system().now() + std::chrono::seconds(60);
  while (!file->sealed() && Clock::system().now() < until) ASSERT_TRUE(fixture.drain());
  EXPECT_TRUE(file->sealed());
  EXPECT_EQ(fixture.opening.opened_by_read, 1U);
  EXPECT_EQ(fixture.origin.counts().opens, 1U) << "that one";
  EXPECT_EQ(fixture.origin.counts().stats, stats + 1);
}

// More than are opened at a time are asked for before the origin knows that reads open its files.
TEST(OpenedByRead, WhoStoodInTheQueueBeforeIsOpenedByItInHisTurn) {
  ByReadFixture fixture;
  fixture.opening.says_of_each = true;
  fixture.opening.by_read = false;
  fixture.opening.hold_opens();
  std::vector<Ref<File>> files;
  std::vector<PendingRead> reads;
  for (int i = 0; i < 30; ++i) {
    files.push_back(fixture.open(UnaskedFixture::name(i)));
    reads.push_back(LibraryFixture::begin_read(*files.back(), {0, 40 * kKiB}));
  }
  ASSERT_TRUE(fixture.opening.wait_for_opens(16));
  fixture.opening.by_read = true;
  fixture.opening.release_opens();
  for (int i = 0; i < 30; ++i) {
    const Result<std::string> bytes = reads[static_cast<size_t>(i)].take();
    ASSERT_TRUE(bytes.ok()) << bytes.error().message();
    EXPECT_TRUE(bytes.value() == pattern(static_cast<uint64_t>(i), {0, 40 * kKiB})) << i;
  }
  EXPECT_EQ(fixture.opening.opened_by_read, 14U);
}

// Twenty confirmations hang, of files whose readers have their bytes.
TEST(OpenedByRead, WhoWaitsForAnOpenStandsBehindNoConfirmationThatNobodyWaitsFor) {
  ByReadFixture fixture;
  fixture.opening.says_of_each = true;
  fixture.opening.hold_stats();
  std::vector<Ref<File>> files;
  for (int i = 0; i < 20; ++i) {
    files.push_back(fixture.open(UnaskedFixture::name(i)));
    ASSERT_TRUE(LibraryFixture::read(*files.back(), {0, 40 * kKiB}).ok()) << i;
  }
  fixture.opening.by_read = false;
  const Ref<File> other = fixture.open("f39");
  const PendingRead read = LibraryFixture::begin_read(*other, {0, 40 * kKiB});
  EXPECT_TRUE(fixture.opening.wait_for_opens(1));
  fixture.opening.release_stats();
  EXPECT_TRUE(read.take().ok());
}

// Garbage is what comes by the answer of another version; who waits has the file opened by open(),
// which says whether it is one.
TEST(OpenedByRead, AnAnswerOfAnotherVersionGivesNoByte) {
  ByReadFixture fixture;
  fixture.opening.said_before->bytes += "other";
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.number == 0) return Fault{.kind = Fault::kGarbage};
    return std::nullopt;
  });
  const Ref<File> file = fixture.open("f3");
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 40 * kKiB});
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_TRUE(bytes.value() == pattern(3, {0, 40 * kKiB}));
  EXPECT_EQ(fixture.opening.opened_by_read, 1U);
  EXPECT_TRUE(fixture.opening.wait_for_opens(1));
  EXPECT_FALSE(file->superseded());
}

// The same where the tag is the same and the file is not.
TEST(OpenedByRead, AnAnswerOfAnotherLengthGivesNoByte) {
  ByReadFixture fixture;
  fixture.opening.said_size = 39 * kKiB;
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.number == 0) return Fault{.kind = Fault::kGarbage};
    return std::nullopt;
  });
  const Ref<File> file = fixture.open("f3");
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 40 * kKiB});
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_TRUE(bytes.value() == pattern(3, {0, 40 * kKiB}));
  EXPECT_TRUE(fixture.opening.wait_for_opens(1)) << "open() says which one it is";
}

// What it failed with is of the origin's handle; the reader's own is good, and nobody opens the
// file again for him.
TEST(OpenedByRead, WhatIsGivenUpMeanwhileIsStaleAndNoBadDescriptor) {
  ByReadFixture fixture;
  fixture.origin.set_fault(
      [](const SimulatedRead&) { return Fault{.kind = Fault::kError, .error = EACCES}; });
  const Ref<File> file = fixture.open("f3");
  fixture.origin.hold_reads();
  const PendingRead read = LibraryFixture::begin_read(*file, {0, 40 * kKiB});
  ASSERT_TRUE(fixture.origin.wait_for_held(1, Deadline::never()));
  file->supersede();
  fixture.origin.release_reads();
  const Result<std::string> bytes = read.take();
  EXPECT_TRUE(bytes.is_error(ESTALE)) << bytes.code();
}

TEST(OpenedByRead, WhatFailsIsOpenedByOpenAndNotByReadAgain) {
  ByReadFixture fixture;
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.number == 0) return Fault{.kind = Fault::kError, .error = EACCES};
    return std::nullopt;
  });
  const Ref<File> file = fixture.open("f3");
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 40 * kKiB});
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_TRUE(bytes.value() == pattern(3, {0, 40 * kKiB}));
  EXPECT_EQ(fixture.opening.opened_by_read, 1U);
  EXPECT_TRUE(fixture.opening.wait_for_opens(1));
}

TEST(FetchUnasked, WhereMemoryIsShortItWaitsForAnotherTime) {
  UnaskedFixture fixture(256 * kKiB);
  fixture.origin.hold_reads();
  std::vector<Ref<File>> files;
  std::optional<uint64_t> last = 0;
  for (int i = 0; i < 20 && last; ++i) {
    files.push_back(fixture.open(UnaskedFixture::name(i)));
    last = files.back()->fetch_unasked(1 << 20);
  }
  EXPECT_EQ(last, std::nullopt);
  EXPECT_LE(fixture.pool.used_bytes(), 256 * kKiB);
  fixture.origin.release_reads();
}

TEST(FetchUnasked, WhatCouldHideAChangeIsLeftAlone) {
  UnaskedFixture fixture;
  fixture.origin.add_file("now", "bytes", Clock::system().wall().seconds + 60);
  EXPECT_EQ(fixture.open("now")->fetch_unasked(1 << 20), 0U);
  EXPECT_EQ(fixture.origin.counts().reads, 0U);
}

}  // namespace
}  // namespace netfs
