// Goal: a server that does not answer the question whether it speaks WebDAV holds up no mount, and
// one that did not know it for a while is asked again.  Method: FakeHttpServer, and a clock that
// the test sets on.

#include <atomic>
#include <cstdlib>
#include <gtest/gtest.h>

#include "origins/module_loader.h"
#include "sync/thread.h"
#include "tests/origin-conformance/fake_http_server.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kInTime{60};
constexpr std::chrono::minutes kRest{10};

// The machine's clock, set on by the test.
class LaterClock final : public Clock {
 public:
  [[nodiscard]] MonoTime now() const override { return system().now() + later_.load(); }
  [[nodiscard]] Timestamp wall() const override { return system().wall(); }
  void set_on(Duration by) { later_ = later_.load() + by; }

 private:
  std::atomic<Duration> later_{Duration(0)};
};

class HostileHttpWebdav : public testing::Test {
 protected:
  Result<std::unique_ptr<Origin>> open(const std::string& lie, Duration timeout) {
    origins::OriginRequest request{.url = TRY(origins::Url::parse(server_.url(lie)))};
    request.timeout = timeout;
    request.clock = &clock_;
    return origins::open_origin(request);
  }
  // How many names it has.
  Result<size_t> list(Origin& origin) {
    size_t names = 0;
    TRY(origin.list("", Deadline::after(clock_, kInTime), [&](const OriginEntry&) {
      ++names;
      return Result<void>();
    }));
    return names;
  }
  // Of the root.
  [[nodiscard]] unsigned asked(const std::string& method) const {
    unsigned count = 0;
    for (const FakeRequest& request : server_.requests()) {
      count += request.method == method && request.path.ends_with('/') ? 1 : 0;
    }
    return count;
  }
  static std::string listings(const Origin& origin) {
    for (const auto& [name, value] : origin.status()) {
      if (name == "listings") return value;
    }
    return "";
  }

  LaterClock clock_;
  FakeHttpServer server_;
  const Watchdog watchdog_{std::chrono::seconds(200), [] { std::abort(); }};
};

TEST_F(HostileHttpWebdav, WhoDidNotKnowTheQuestionIsAskedAgainTenMinutesLater) {
  const Result<std::unique_ptr<Origin>> opened = open("dav-learns", kInTime);
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  Origin& origin = *opened.value();
  const auto list_often = [&] {
    for (int i = 0; i < 12; ++i) {
      const Result<size_t> names = list(origin);
      ASSERT_TRUE(names.ok()) << names.error().message();
      EXPECT_EQ(names.value(), 1U);
    }
  };
  list_often();
  const unsigned before = asked("PROPFIND");
  EXPECT_EQ(before, 1U + 8U);
  EXPECT_EQ(listings(origin), "by page");
  EXPECT_EQ(origin.listings_ahead(), 2U);
  clock_.set_on(kRest - std::chrono::minutes(2));
  list_often();
  EXPECT_EQ(asked("PROPFIND"), before);
  clock_.set_on(std::chrono::minutes(3));
  list_often();
  EXPECT_EQ(asked("PROPFIND"), before + 1) << "the first says so again";
  clock_.set_on(kRest + std::chrono::minutes(1));
  const unsigned pages = asked("GET");
  list_often();
  EXPECT_EQ(asked("PROPFIND"), before + 1 + 12);
  EXPECT_EQ(asked("GET"), pages) << "the server has learnt it";
  EXPECT_EQ(listings(origin), "by WebDAV");
  EXPECT_EQ(origin.listings_ahead(), 16U);
}

// After five seconds, where a quarter of a mount's time is less.
TEST_F(HostileHttpWebdav, WhoSwallowsTheQuestionIsMountedAndListedByItsPages) {
  const Result<std::unique_ptr<Origin>> origin = open("dav-swallowed", std::chrono::seconds(10));
  ASSERT_TRUE(origin.ok()) << origin.error().message();
  EXPECT_EQ(listings(*origin.value()), "by page");
  const Result<size_t> names = list(*origin.value());
  ASSERT_TRUE(names.ok()) << names.error().message();
  EXPECT_EQ(names.value(), 1U);
  EXPECT_EQ(asked("PROPFIND"), 1U);
}

// A quarter of it, where that is long: whoever did not end it then would wait for minutes.
TEST_F(HostileHttpWebdav, AnAnswerThatComesForEverIsGivenUpAfterAQuarterOfAMountsTime) {
  constexpr std::chrono::minutes kLong{20};
  std::atomic<bool> done{false};
  Result<std::unique_ptr<Origin>> origin = Error(EIO, "test");
  sync::Thread mounting("test-mount", [&] {
    origin = open("dav-trickle", kLong);
    done = true;
  });
  ASSERT_TRUE(wait_until([&] { return asked("PROPFIND") == 1 && asked("HEAD") == 1; }, kInTime));
  clock_.set_on(kLong / 4 + std::chrono::seconds(1));
  EXPECT_TRUE(wait_until([&] { return done.load(); }, kInTime));
  mounting.join();
  ASSERT_TRUE(origin.ok()) << origin.error().message();
  EXPECT_EQ(listings(*origin.value()), "by page");
  const Result<size_t> names = list(*origin.value());
  ASSERT_TRUE(names.ok()) << names.error().message();
  EXPECT_EQ(names.value(), 1U);
  EXPECT_EQ(asked("PROPFIND"), 1U);
}

}  // namespace
}  // namespace netfs::test
