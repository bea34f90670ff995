// Goal: a file that is opened by its first read (Origin::open_by_read) is the version that the
// answer says, costs one request, and gives no wrong byte whatever a server says.  Method: nginx;
// FakeHttpServer, the first folder of the URL names its lie.

#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>

#include "origins/module_loader.h"
#include "tests/origin-conformance/fake_http_lies.h"
#include "tests/origin-conformance/fake_http_server.h"
#include "tests/origin-conformance/reads.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_http.h"
#include "tests/support/tree.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

// Of servers of which nothing is expected but an end.
constexpr std::chrono::seconds kTimeout{2};
// Of servers that answer, each on a machine that has other things to do.
constexpr std::chrono::seconds kLongTimeout{30};
constexpr std::chrono::seconds kPatience{90};
constexpr uint64_t kBytes = 3'000'000;

Deadline soon(Duration timeout = kLongTimeout) {
  return Deadline::after(Clock::system(), timeout);
}

Result<std::unique_ptr<Origin>> open(const std::string& url, Duration timeout = kLongTimeout) {
  origins::OriginRequest request{.url = TRY(origins::Url::parse(url))};
  request.timeout = timeout;
  return origins::open_origin(request);
}

unsigned long requests_of(const Origin& origin) {
  for (const auto& [key, value] : origin.status()) {
    if (key == "requests") return std::stoul(value);
  }
  return 0;
}

class LiesByRead : public testing::TestWithParam<const char*> {
 protected:
  FakeHttpServer server_;
};

INSTANTIATE_TEST_SUITE_P(Lies, LiesByRead, testing::ValuesIn(kLies), [](const auto& each) {
  std::string name = each.param;
  std::erase(name, '-');
  return name;
});

// What is opened by its first read has no version before that, and says which one it found.
TEST_P(LiesByRead, OfALiarNoWrongByteComesUnderTheVersionItSays) {
  const Watchdog watchdog(kPatience, [] { std::abort(); });
  const std::string lie = GetParam();
  const Duration timeout = lie == "healthy" ? kLongTimeout : kTimeout;
  Result<std::unique_ptr<Origin>> origin = open(server_.url(lie), timeout);
  ASSERT_TRUE(origin.ok()) << origin.error().message();
  const Result<NodeInfo> info = origin.value()->stat("file", soon(timeout));
  const std::unique_ptr<OriginFile> file = origin.value()->open_by_read("file");
  if (lie == "healthy") {
    ASSERT_TRUE(info.ok() && file);
  }
  // Not of a server of which nobody has seen a range yet, nor the promise of one.
  for (uint64_t at = 0; file && at < kFakeHttpBytes; at += kFakeHttpBytes / 3) {
    TestRead read(*file, {at, std::min<uint64_t>(100'000, kFakeHttpBytes - at)}, soon(timeout));
    origin.value()->issue_read(read);
    const std::optional<ReadOutcome> outcome = read.wait(kPatience);
    ASSERT_TRUE(outcome.has_value());
    EXPECT_TRUE(read.guards_intact());
    // It says its version, and its length.
    const bool told =
        outcome->validator_before && info.ok() &&
        outcome->size_before.value_or(kFakeHttpBytes) == info.value().attributes.size_bytes;
    if (lie == "healthy") {
      EXPECT_TRUE(told && *outcome->validator_before == info.value().validator);
      EXPECT_EQ(read.bytes().size(), read.range().length_bytes);
    }
    if (!told || *outcome->validator_before != info.value().validator) continue;
    EXPECT_TRUE(read.bytes() == pattern(kFakeHttpSeed, at, read.bytes().size()));
  }
}

TEST(OpenedByRead, AFileOfARealServerIsThatOfTheFirstAnswer) {
  const TempDir temp;
  TestHttp http(temp, {"nginx"});
  ASSERT_TRUE(http.ready()) << http.log();
  const auto at = [&](const char* port) { return MUST(open(http.url(port, temp.path() + "/"))); };
  const std::unique_ptr<Origin> origin = at("HTTP_NGINX_HTML_PORT");
  write_file(temp / "file", pattern(5, 0, kBytes), std::chrono::seconds(200));
  const Validator seen = MUST(origin->stat("file", soon())).validator;
  const unsigned long before = requests_of(*origin);
  const std::unique_ptr<OriginFile> file = origin->open_by_read("file");
  ASSERT_TRUE(file);
  TestRead first(*file, {1000, 50'000}, soon());
  origin->issue_read(first);
  const std::optional<ReadOutcome> outcome = first.wait(kPatience);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_TRUE(first.bytes() == pattern(5, 1000, 50'000));
  EXPECT_TRUE(outcome->validator_before == seen);
  EXPECT_EQ(requests_of(*origin), before + 1);

  // From then on it is that version.
  write_file(temp / "new", pattern(6, 0, kBytes), std::chrono::seconds(100));
  std::filesystem::rename(temp / "new", temp / "file");
  TestRead second(*file, {0, 1000}, soon());
  origin->issue_read(second);
  const std::optional<ReadOutcome> changed = second.wait(kPatience);
  ASSERT_TRUE(changed.has_value());
  EXPECT_TRUE(second.bytes().empty());
  EXPECT_TRUE(changed->validator_after == MUST(origin->stat("file", soon())).validator);

  const std::unique_ptr<OriginFile> gone = origin->open_by_read("nowhere");
  TestRead none(*gone, {0, 1000}, soon());
  origin->issue_read(none);
  const std::optional<ReadOutcome> nothing = none.wait(kPatience);
  ASSERT_TRUE(nothing.has_value());
  EXPECT_TRUE(nothing->transferred_bytes.is_error(ENOENT));
}

TEST(OpenedByRead, NotWhereTheServerHasNoRanges) {
  const TempDir temp;
  TestHttp http(temp, {"nginx"});
  ASSERT_TRUE(http.ready()) << http.log();
  write_file(temp / "file", pattern(5, 0, kBytes), std::chrono::seconds(200));
  const std::unique_ptr<Origin> origin =
      MUST(open(http.url("HTTP_NGINX_NORANGES_PORT", temp.path() + "/")));
  const Result<std::string> read = read_file(*origin, "file");
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_TRUE(read.value() == pattern(5, 0, kBytes));
  EXPECT_FALSE(origin->open_by_read("file"));
}

}  // namespace
}  // namespace netfs::test
