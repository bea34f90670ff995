// Goal: of several large listings that come at the same time one is held at a time, and small ones
// wait for none of them.  Method: FakeHttpServer, which leaves off in the middle of large ones.

#include <atomic>
#include <cerrno>
#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include "origins/module_loader.h"
#include "sync/thread.h"
#include "tests/origin-conformance/fake_http_server.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kTimeout{60};
constexpr unsigned kParts = 8;      // of about 1 MiB each
constexpr unsigned kLeaveOff = 6;   // before this one
constexpr unsigned kNames = 2'500;  // in each

std::atomic<bool> may_go_on{false};
std::atomic<unsigned> left_off{0};

std::string collection(const std::string& href) {
  return "<D:response><D:href>" + href +
         "</D:href><D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype></D:prop>"
         "<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>";
}

std::string chunk(const std::string& bytes) {
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}

std::string part_of_large(unsigned number) {
  if (number == kLeaveOff) {
    ++left_off;
    (void)wait_until([] { return may_go_on.load(); }, kTimeout);
  }
  std::string names;
  const std::string padding(200, 'x');
  for (unsigned i = 0; i < kNames; ++i) {
    names += collection(fmt::format("/large/many/{}-{}-{}/", number, i, padding));
  }
  if (number + 1 < kParts) return chunk(names);
  return chunk(names + "</D:multistatus>") + "0\r\n\r\n";
}

class HttpLargeListings : public testing::Test {
 protected:
  void SetUp() override {
    may_go_on = false;
    left_off = 0;
    origins::OriginRequest request{.url = MUST(origins::Url::parse(server_.url("large")))};
    request.timeout = kTimeout;
    Result<std::unique_ptr<Origin>> origin = origins::open_origin(request);
    ASSERT_TRUE(origin.ok()) << origin.error().message();
    origin_ = std::move(origin).value();
  }
  // How many names it has.
  Result<size_t> list(const std::string& directory, Duration timeout = kTimeout) {
    size_t names = 0;
    TRY(origin_->list(directory, Deadline::within(timeout), [&](const OriginEntry&) {
      ++names;
      return Result<void>();
    }));
    return names;
  }
  [[nodiscard]] unsigned asked() const {
    unsigned count = 0;
    for (const FakeRequest& request : server_.requests()) {
      count += request.method == "PROPFIND" && request.path == "/large/many/" ? 1 : 0;
    }
    return count;
  }

  FakeHttpServer server_;
  std::unique_ptr<Origin> origin_;
};

TEST_F(HttpLargeListings, OneIsHeldAtATimeAndSmallOnesWaitForNoneOfThem) {
  Result<size_t> first = Error(ENOENT, "test");
  Result<size_t> second = Error(ENOENT, "test");
  sync::Thread one("test-first", [&] { first = list("many"); });
  ASSERT_TRUE(wait_until([] { return left_off == 1; }, kTimeout));
  const Result<size_t> small = list("few");
  ASSERT_TRUE(small.ok()) << small.error().message();
  EXPECT_EQ(small.value(), 1U);
  // The first one has the turn for longer than he has time.
  const Result<size_t> late = list("many", std::chrono::seconds(2));
  EXPECT_TRUE(late.is_error(ETIMEDOUT)) << late.code();
  EXPECT_EQ(asked(), 2U);
  sync::Thread other("test-second", [&] { second = list("many"); });
  EXPECT_TRUE(wait_until([&] { return asked() == 3; }, kTimeout));
  may_go_on = true;
  one.join();
  other.join();
  ASSERT_TRUE(first.ok()) << first.error().message();
  ASSERT_TRUE(second.ok()) << second.error().message();
  EXPECT_EQ(first.value(), kParts * kNames);
  EXPECT_EQ(second.value(), kParts * kNames);
}

}  // namespace

FakeReply lie(const FakeRequest& request, const std::string& /*elsewhere*/) {
  const auto reply = [](const std::string& status, const std::string& body) {
    return FakeReply{.bytes = "HTTP/1.1 " + status +
                              "\r\nContent-Type: application/xml\r\nContent-Length: " +
                              std::to_string(body.size()) + "\r\n\r\n" + body,
                     .again = ""};
  };
  const std::string begin =
      "<?xml version=\"1.0\"?>\n<D:multistatus xmlns:D=\"DAV:\">" + collection(request.path);
  if (request.method == "HEAD") return reply("200 OK", "");
  if (request.method != "PROPFIND") return reply("403 Forbidden", "");
  if (request.path != "/large/many/") {
    return reply("207 Multi-Status",
                 begin + collection(request.path + "one/") + "</D:multistatus>");
  }
  FakeReply large{.bytes =
                      "HTTP/1.1 207 Multi-Status\r\nContent-Type: application/xml\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n" +
                      chunk(begin),
                  .repeats = kParts,
                  .again = ""};
  large.part = part_of_large;
  return large;
}

}  // namespace netfs::test
