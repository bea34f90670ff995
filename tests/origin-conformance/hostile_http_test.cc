// Goal: whatever a web server says, no wrong byte comes out, nothing is written outside a read's
// memory, every call and subrequest ends in bounded time, and so does the origin. Method:
// FakeHttpServer; the first folder of the URL names its lie.

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <set>

#include "origins/module_loader.h"
#include "tests/origin-conformance/fake_http_lies.h"
#include "tests/origin-conformance/fake_http_server.h"
#include "tests/origin-conformance/reads.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kTimeout{2};
constexpr std::chrono::seconds kLongTimeout{30};
constexpr std::chrono::seconds kPatience{90};

Deadline soon(Duration timeout = kLongTimeout) {
  return Deadline::after(Clock::system(), timeout);
}

struct Outcomes {
  unsigned ended = 0;
  unsigned right = 0;    // whole and right
  unsigned changed = 0;  // said to be of another version
  std::set<int> errors;
  std::string words;  // of the last error
};

class HostileHttp : public testing::Test {
 protected:
  // Without the URL, which has the name of the lie in it.
  [[nodiscard]] std::string words_of(std::string message, const std::string& lie) const {
    const std::string url = server_.url(lie);
    for (size_t at = 0; (at = message.find(url, at)) != std::string::npos;) {
      message.erase(at, url.size());
    }
    return message;
  }
  static bool has(const std::string& text, const std::string& words) {
    return text.find(words) != std::string::npos;
  }

  Result<std::unique_ptr<Origin>> open_liar(const std::string& lie, Duration timeout,
                                            const origins::OriginOptions& options = {}) {
    origins::OriginRequest request{.url = TRY(origins::Url::parse(server_.url(lie)))};
    request.options = options;
    request.timeout = timeout;
    return origins::open_origin(request);
  }

  // Reads the whole file in eight pieces at once; each ends as it does, with right bytes.
  static Outcomes read_at_once(Origin& origin, OriginFile& file, Duration timeout) {
    Outcomes outcomes;
    const uint64_t piece = (kFakeHttpBytes + 7) / 8;
    std::vector<std::unique_ptr<TestRead>> reads;
    for (uint64_t at = 0; at < kFakeHttpBytes; at += piece) {
      const ByteRange range{at, std::min(piece, kFakeHttpBytes - at)};
      reads.push_back(std::make_unique<TestRead>(file, range, soon(timeout)));
      origin.issue_read(*reads.back());
    }
    for (auto& read : reads) {
      const std::optional<ReadOutcome> outcome = read->wait(kPatience);
      if (!outcome) {
        ADD_FAILURE() << "a subrequest does not end";
        (void)read.release();  // NOLINT: the origin holds it still
        continue;
      }
      ++outcomes.ended;
      EXPECT_TRUE(read->guards_intact());
      EXPECT_EQ(read->terminations(), 1U);
      if (!outcome->transferred_bytes.ok()) {
        outcomes.errors.insert(outcome->transferred_bytes.error().code());
        outcomes.words = outcome->transferred_bytes.error().message();
        continue;
      }
      const std::string bytes = read->bytes();
      EXPECT_TRUE(bytes == pattern(kFakeHttpSeed, read->range().offset_bytes, bytes.size()));
      if (bytes.size() == read->range().length_bytes) ++outcomes.right;
      // The file's own validator is strong: another one means another version.
      if (bytes.empty() && outcome->validator_after) ++outcomes.changed;
    }
    EXPECT_EQ(outcomes.ended, 8U);
    return outcomes;
  }

  // The same of a lie whose names can be looked up.
  Outcomes read_liar(const std::string& lie, Duration timeout = kLongTimeout) {
    Result<std::unique_ptr<Origin>> origin = open_liar(lie, timeout);
    EXPECT_TRUE(origin.ok()) << lie << ": " << origin.error().message();
    if (!origin.ok()) return {};
    const Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon(timeout));
    EXPECT_TRUE(file.ok()) << lie << ": " << file.error().message();
    return file.ok() ? read_at_once(*origin.value(), *file.value(), timeout) : Outcomes{};
  }

  Result<std::vector<std::string>> list_liar(const std::string& lie) {
    const std::unique_ptr<Origin> origin = TRY(open_liar(lie, kLongTimeout));
    std::vector<std::string> names;
    TRY(origin->list("", soon(), [&](OriginEntry entry) -> Result<void> {
      names.push_back(std::move(entry.name));
      return {};
    }));
    return names;
  }

  FakeHttpServer server_;
};

class HostileHttpLies : public HostileHttp, public testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(Lies, HostileHttpLies, testing::ValuesIn(kLies), [](const auto& each) {
  std::string name = each.param;
  std::erase(name, '-');
  return name;
});

TEST_P(HostileHttpLies, GetsNoWrongByteInAndStopsNothing) {
  const Watchdog watchdog(kPatience, [] { std::abort(); });
  const MonoTime began = Clock::system().now();
  Result<std::unique_ptr<Origin>> origin = open_liar(GetParam(), kTimeout);
  ASSERT_TRUE(origin.ok()) << origin.error().message();
  (void)origin.value()->stat("file", soon(kTimeout)).ok();
  (void)origin.value()
      ->list("", soon(kTimeout), [](const OriginEntry&) -> Result<void> { return {}; })
      .ok();
  Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon(kTimeout));
  if (file.ok()) {
    (void)read_at_once(*origin.value(), *file.value(), kTimeout);
    file.value() = nullptr;
  }
  origin.value() = nullptr;
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(30));
}

TEST_F(HostileHttp, OfServersThatOnlyLackRangesOrWordsEveryByteIsRead) {
  for (const char* lie :
       {"healthy", "whole-instead", "whole-at-times", "head-refused", "head-without-length",
        "head-of-nothing", "parts-without-time", "busy-once"}) {
    EXPECT_EQ(read_liar(lie).right, 8U) << lie;
  }
}

TEST_F(HostileHttp, AServerWithoutRangesSendsTheFileOnceAndNotOnceForEachRead) {
  EXPECT_EQ(read_liar("whole-instead").right, 8U);
  unsigned whole = 0;
  for (const FakeRequest& request : server_.requests()) {
    whole += request.method == "GET" && request.field("range").empty() ? 1 : 0;
  }
  EXPECT_EQ(whole, 1U);
}

TEST_F(HostileHttp, WhatDoesNotFitTogetherIsEioAndSaysSo) {
  const struct {
    const char* lie;
    const char* words;
  } cases[] = {{"wrong-start", "another range"},
               {"more-than-asked", "another range"},
               {"no-content-range", "Content-Range"},
               {"nonsense-content-range", "Content-Range"},
               {"other-length", "another length"},
               {"no-body", "without its bytes"},
               {"long-chunked", "a longer part"},
               {"gzip", "gzip"},
               {"transfer-gzip", "gzip"},
               {"error-page", "something else"},
               {"error-page-of-that-length", "something else"},
               {"wrong-total", "something else"},
               {"shorter", "something else"},
               {"two-lengths", "contradicts"},
               {"endless-head", "no end"},
               {"status-500", "500"},
               {"status-418", "418"}};
  for (const auto& c : cases) {
    const Outcomes outcomes = read_liar(c.lie);
    EXPECT_EQ(outcomes.errors, std::set<int>{EIO}) << c.lie;
    EXPECT_EQ(outcomes.right, 0U) << c.lie;
    EXPECT_TRUE(has(words_of(outcomes.words, c.lie), c.words)) << c.lie << ": " << outcomes.words;
  }
}

TEST_F(HostileHttp, WhatIsCutShortIsAskedAgainFromWhereItEnded) {
  for (const char* lie : {"short-body", "short-chunked", "less-than-asked"}) {
    Result<std::unique_ptr<Origin>> origin = open_liar(lie, kLongTimeout);
    ASSERT_TRUE(origin.ok());
    const Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon());
    ASSERT_TRUE(file.ok());
    const Result<ReadBytes> read = read_range(*origin.value(), *file.value(), {1000, 5000});
    ASSERT_TRUE(read.ok()) << lie << ": " << read.error().message();
    EXPECT_TRUE(read.value().bytes == pattern(kFakeHttpSeed, 1000, 5000)) << lie;
  }
}

TEST_F(HostileHttp, ATagThatChangesIsAnotherVersionAndGivesNoByte) {
  for (const char* lie : {"tag-changes", "tag-changes-unconditionally"}) {
    const Outcomes outcomes = read_liar(lie);
    EXPECT_TRUE(outcomes.errors.empty()) << lie << ": " << outcomes.words;
    EXPECT_GT(outcomes.right, 0U) << lie;
    EXPECT_GT(outcomes.changed, 0U) << lie;
    EXPECT_EQ(outcomes.right + outcomes.changed, 8U) << lie;
  }
}

TEST_F(HostileHttp, StatusesHaveTheErrnosOfALocalFileSystem) {
  const struct {
    const char* lie;
    int code;
  } cases[] = {{"status-401", EACCES},
               {"status-403", EACCES},
               {"status-404", ESTALE},
               {"status-410", ESTALE},
               {"status-503", EAGAIN},
               {"busy-always", EAGAIN},
               {"status-204", EIO},
               {"busy-for-long", EAGAIN},
               {"status-502", EIO},
               {"status-504", ETIMEDOUT},
               {"grows-without-versions", ESTALE}};
  for (const auto& c : cases) {
    EXPECT_EQ(read_liar(c.lie).errors, std::set<int>{c.code}) << c.lie;
  }
  EXPECT_EQ(read_liar("gone-later").errors, std::set<int>{ESTALE});
}

TEST_F(HostileHttp, AnAnswerThatNeverComesIsEtimedoutInTime) {
  for (const char* lie : {"stall", "stall-in-head", "stall-in-body"}) {
    const MonoTime began = Clock::system().now();
    EXPECT_EQ(read_liar(lie, kTimeout).errors, std::set<int>{ETIMEDOUT}) << lie;
    EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(15)) << lie;
  }
}

// The only connection is taken by a request that stands still.
TEST_F(HostileHttp, WhoWaitsForAConnectionWaitsNoLongerThanHisDeadline) {
  Result<std::unique_ptr<Origin>> origin = open_liar("stall", kLongTimeout, {{"connections", "1"}});
  ASSERT_TRUE(origin.ok());
  Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon());
  ASSERT_TRUE(file.ok());
  TestRead read(*file.value(), {0, 1000}, soon(std::chrono::seconds(8)));
  origin.value()->issue_read(read);
  const MonoTime began = Clock::system().now();
  EXPECT_TRUE(origin.value()->stat("file", soon(std::chrono::seconds(1))).is_error(ETIMEDOUT));
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(5));
  const std::optional<ReadOutcome> outcome = read.wait(kPatience);
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->transferred_bytes.is_error(ETIMEDOUT));
  EXPECT_TRUE(origin.value()->stat("file", soon()).ok());
  file.value() = nullptr;
}

TEST_F(HostileHttp, RedirectsAreFollowedWithinBoundsAndNowhereElse) {
  FakeHttpServer other;
  server_.set_elsewhere(other.url("healthy").substr(0, other.url("healthy").size() - 8));
  const TempDir temp;
  std::ofstream(temp / "secret") << "a-pass-word\n";
  std::ofstream(temp / "netrc") << "default login ann password a-pass-word\n";
  const struct {
    origins::OriginOptions options;
    const char* field;
  } logins[] = {
      {{{"login", "ann"}, {"password_file", temp / "secret"}}, "Basic YW5uOmEtcGFzcy13b3Jk"},
      {{{"bearer_file", temp / "secret"}}, "Bearer a-pass-word"},
      {{{"netrc", temp / "netrc"}}, "Basic YW5uOmEtcGFzcy13b3Jk"}};
  // The login goes to the server that was named, and not to where that one leads.
  size_t asked = 0;
  for (const auto& login : logins) {
    for (const char* lie : {"redirect-other", "redirect-with-login", "redirect-with-page"}) {
      Result<std::unique_ptr<Origin>> origin = open_liar(lie, kLongTimeout, login.options);
      ASSERT_TRUE(origin.ok()) << origin.error().message();
      const Result<std::string> read = read_file(*origin.value(), "file");
      ASSERT_TRUE(read.ok()) << lie << ": " << read.error().message();
      EXPECT_TRUE(read.value() == pattern(kFakeHttpSeed, 0, kFakeHttpBytes)) << lie;
    }
    const std::vector<FakeRequest> requests = server_.requests();
    ASSERT_GT(requests.size(), asked);
    for (; asked < requests.size(); ++asked) {
      EXPECT_EQ(requests[asked].field("authorization"), login.field) << requests[asked].path;
    }
  }
  EXPECT_FALSE(other.requests().empty());
  for (const FakeRequest& request : other.requests()) {
    EXPECT_EQ(request.field("authorization"), "") << request.path;
  }
  const struct {
    const char* lie;
    int code;
    const char* words;
  } refused[] = {{"redirect-loop", ELOOP, "on and on"},
                 {"redirect-ever-on", ELOOP, "on and on"},
                 {"redirect-file", EIO, "what is no URL"},
                 {"redirect-ftp", EIO, "leads on to ftp:"},
                 {"redirect-nonsense", EIO, "what is no URL"}};
  for (const auto& c : refused) {
    Result<std::unique_ptr<Origin>> origin = open_liar(c.lie, kLongTimeout);
    ASSERT_TRUE(origin.ok());
    const Result<NodeInfo> info = origin.value()->stat("file", soon());
    ASSERT_TRUE(info.is_error(c.code)) << c.lie << " " << info.code();
    EXPECT_TRUE(has(words_of(info.error().message(), c.lie), c.words)) << info.error().message();
  }
}

TEST_F(HostileHttp, ListingsAreNamesOrAnErrorAndNothingElse) {
  const Result<std::vector<std::string>> evil = list_liar("list-evil");
  ASSERT_TRUE(evil.ok()) << evil.error().message();
  EXPECT_EQ(evil.value(), std::vector<std::string>{"file"});
  EXPECT_TRUE(list_liar("list-page").is_error(EOPNOTSUPP));
  EXPECT_TRUE(list_liar("list-rubbish").is_error(EOPNOTSUPP));
  EXPECT_TRUE(list_liar("list-json-rubbish").is_error(EIO));
  EXPECT_TRUE(list_liar("list-refused").is_error(EACCES));
  EXPECT_TRUE(list_liar("list-too-many").is_error(EFBIG));
  EXPECT_TRUE(list_liar("list-too-long").is_error(EFBIG));
  // Where nothing is listed the names are there all the same.
  for (const char* lie : {"list-page", "list-refused"}) {
    Result<std::unique_ptr<Origin>> origin = open_liar(lie, kLongTimeout);
    ASSERT_TRUE(origin.ok());
    EXPECT_TRUE(origin.value()->stat("file", soon()).ok()) << lie;
  }
}

}  // namespace
}  // namespace netfs::test
