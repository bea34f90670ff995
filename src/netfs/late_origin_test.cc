// Goal: an origin that is not there yet keeps nobody waiting longer than it may, is used once it is
// there, and is not used if it is another one.

#include "netfs/late_origin.h"

#include <atomic>
#include <cerrno>
#include <gtest/gtest.h>

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

// The same tree, whose root is another directory.
class OtherRoot final : public Origin {
 public:
  explicit OtherRoot(std::unique_ptr<Origin> inner) : inner_(std::move(inner)) {}
  [[nodiscard]] const OriginCapabilities& capabilities() const override {
    return inner_->capabilities();
  }
  [[nodiscard]] std::string volume_key() const override { return inner_->volume_key(); }
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override {
    NodeInfo info = TRY(inner_->stat(path, deadline));
    if (path.empty()) info.identity = kOtherRoot;
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

 private:
  const std::unique_ptr<Origin> inner_;
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
    if (has_other_root_) return std::unique_ptr<Origin>(new OtherRoot(std::move(origin)));
    return std::unique_ptr<Origin>(std::move(origin));
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
