// Goal: whatever a server sends, no wrong byte comes out, nothing is written outside a read's
// memory, every call and subrequest ends in bounded time, and so does the origin. Method:
// fake_sftp_server runs in place of ssh; the host in the URL names its lie.

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <set>

#include "base/kill_process.h"
#include "origins/module_loader.h"
#include "tests/origin-conformance/fake_sftp_server.h"
#include "tests/origin-conformance/reads.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

// Of servers whose silence is waited out, and of those of which nothing is expected but an end.
constexpr std::chrono::seconds kTimeout{2};
// Of servers that answer, each on a machine that has other things to do.
constexpr std::chrono::seconds kLongTimeout{30};
// Of servers that answer all but reads.
constexpr std::chrono::seconds kSilence{4};
constexpr std::chrono::seconds kPatience{90};

Result<std::unique_ptr<Origin>> open_liar(const std::string& lie, Duration timeout = kLongTimeout,
                                          const std::string& more = "1") {
  origins::OriginRequest request{.url = TRY(origins::Url::parse("sftp://" + lie + "/"))};
  request.options["ssh"] = NETFS_TEST_FAKE_SFTP_SERVER;
  request.options["connections"] = more;
  request.timeout = timeout;
  return origins::open_origin(request);
}

Deadline soon(Duration timeout = kLongTimeout) {
  return Deadline::after(Clock::system(), timeout);
}

// Asks for the whole file in eight reads at once.
struct Outcomes {
  unsigned ended = 0;
  unsigned right = 0;  // whole and right
  std::vector<int> errors;
};

void read_at_once(Origin& origin, OriginFile& file, Outcomes& outcomes,
                  Duration timeout = kLongTimeout) {
  const uint64_t piece = (kFakeFileBytes + 7) / 8;
  std::vector<std::unique_ptr<TestRead>> reads;
  for (uint64_t at = 0; at < kFakeFileBytes; at += piece) {
    const ByteRange range{at, std::min(piece, kFakeFileBytes - at)};
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
      outcomes.errors.push_back(outcome->transferred_bytes.error().code());
      continue;
    }
    const std::string bytes = read->bytes();
    EXPECT_TRUE(bytes == pattern(kFakeFileSeed, read->range().offset_bytes, bytes.size()));
    if (bytes.size() == read->range().length_bytes) ++outcomes.right;
  }
}

class HostileServer : public testing::TestWithParam<const char*> {};

const char* const kLies[] = {
    "healthy",
    "data-length-lies",
    "data-count-short",
    "data-too-long",
    "data-to-stat",
    "cut-in-data",
    "stall-in-data",
    "stall",
    "stall-one",
    "unknown-id",
    "twice",
    "huge-packet",
    "zero-packet",
    "huge-handle",
    "empty-handle",
    "zero-data",
    "one-byte",
    "short-reads",
    "early-end",
    "bad-names",
    "banner",
    "old-version",
    "silent-exit",
    "stall-connect",
    "size-lies",
    "read-fails",
    "status-ok",
    "garbage",
    "name-count-lies",
    "dies",
    "fds",
    "cut-attributes",
    "nameless-directory",
    "endless-directory",
};

INSTANTIATE_TEST_SUITE_P(Lies, HostileServer, testing::ValuesIn(kLies), [](const auto& each) {
  std::string name = each.param;
  std::erase(name, '-');
  return name;
});

TEST_P(HostileServer, GetsNoWrongByteInAndStopsNothing) {
  const Watchdog watchdog(kPatience, [] { std::abort(); });
  Result<std::unique_ptr<Origin>> origin = open_liar(GetParam(), kTimeout);
  if (origin.ok()) {
    (void)origin.value()->stat("file", soon(kTimeout)).ok();
    (void)origin.value()
        ->list("", soon(kTimeout), [](const OriginEntry&) -> Result<void> { return {}; })
        .ok();
    const Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon(kTimeout));
    Outcomes outcomes;
    if (file.ok()) {
      read_at_once(*origin.value(), *file.value(), outcomes, kTimeout);
      EXPECT_EQ(outcomes.ended, 8U);
    }
  } else {
    EXPECT_FALSE(origin.error().message().empty());
    EXPECT_EQ(origin.error().message().find('\n'), std::string::npos);
  }
  if (origin.ok()) origin.value().reset();
}

TEST(HostileServerVerdict, AHealthyOneIsBelieved) {
  const Result<std::unique_ptr<Origin>> origin = open_liar("healthy");
  ASSERT_TRUE(origin.ok()) << origin.error().message();
  const Result<std::string> bytes = read_file(*origin.value(), "file");
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_TRUE(bytes.value() == pattern(kFakeFileSeed, 0, kFakeFileBytes));
}

TEST(HostileServerVerdict, ShortAnswersAreAskedOn) {
  const Result<std::unique_ptr<Origin>> origin = open_liar("short-reads");
  ASSERT_TRUE(origin.ok());
  const Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon());
  ASSERT_TRUE(file.ok());
  Outcomes outcomes;
  read_at_once(*origin.value(), *file.value(), outcomes);
  EXPECT_EQ(outcomes.right, 8U);
}

TEST(HostileServerVerdict, MoreThanAskedIsEioAndNoByteOutsideTheReadChanges) {
  for (const char* lie : {"data-too-long", "data-length-lies", "twice", "unknown-id"}) {
    const Result<std::unique_ptr<Origin>> origin = open_liar(lie);
    ASSERT_TRUE(origin.ok());
    const Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon());
    ASSERT_TRUE(file.ok());
    Outcomes outcomes;
    read_at_once(*origin.value(), *file.value(), outcomes);
    ASSERT_FALSE(outcomes.errors.empty()) << lie;
    for (const int code : outcomes.errors) EXPECT_TRUE(code == EIO || code == ENOTCONN) << code;
    EXPECT_EQ(outcomes.errors.front(), EIO) << lie;
  }
}

TEST(HostileServerVerdict, ASilentOneEndsReadsWithEnotconnAfterTheTimeout) {
  for (const char* lie : {"stall", "stall-in-data", "stall-one"}) {
    const Result<std::unique_ptr<Origin>> origin = open_liar(lie, kSilence);
    ASSERT_TRUE(origin.ok());
    const Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon());
    ASSERT_TRUE(file.ok());
    const MonoTime began = Clock::system().now();
    Outcomes outcomes;
    read_at_once(*origin.value(), *file.value(), outcomes);
    ASSERT_FALSE(outcomes.errors.empty()) << lie;
    for (const int code : outcomes.errors) EXPECT_EQ(code, ENOTCONN) << lie;
    EXPECT_GE(Clock::system().now() - began, kSilence) << lie;
  }
}

TEST(HostileServerVerdict, ZeroBytesInsideTheFileAreItsEnd) {
  const Result<std::unique_ptr<Origin>> origin = open_liar("zero-data");
  ASSERT_TRUE(origin.ok());
  const Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon());
  ASSERT_TRUE(file.ok());
  const Result<ReadBytes> read =
      read_range(*origin.value(), *file.value(), {0, 100'000}, kPatience);
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_TRUE(read.value().hit_end_of_file);
  EXPECT_EQ(read.value().bytes, "");
}

TEST(HostileServerVerdict, AnEarlyEndIsToldAndWhatIsBehindItCut) {
  const Result<std::unique_ptr<Origin>> origin = open_liar("early-end");
  ASSERT_TRUE(origin.ok());
  const Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon());
  ASSERT_TRUE(file.ok());
  const Result<ReadBytes> read =
      read_range(*origin.value(), *file.value(), {0, kFakeFileBytes}, kPatience);
  ASSERT_TRUE(read.ok());
  EXPECT_TRUE(read.value().hit_end_of_file);
  EXPECT_TRUE(read.value().bytes == pattern(kFakeFileSeed, 0, kFakeFileBytes / 2));
}

TEST(HostileServerVerdict, NonsenseInMetadataIsEio) {
  const struct {
    const char* lie;
    int stat;
    int list;
    int open;
  } cases[] = {{"size-lies", EIO, EIO, EIO},          {"cut-attributes", EIO, 0, EIO},
               {"data-to-stat", EIO, 0, EIO},         {"huge-handle", 0, EIO, EIO},
               {"name-count-lies", 0, EIO, 0},        {"nameless-directory", 0, EIO, 0},
               {"endless-directory", 0, ETIMEDOUT, 0}};
  for (const auto& c : cases) {
    const Result<std::unique_ptr<Origin>> origin = open_liar(c.lie);
    ASSERT_TRUE(origin.ok()) << c.lie << ": " << origin.error().message();
    EXPECT_EQ(origin.value()->stat("file", soon()).code(), c.stat) << c.lie;
    const auto take = [](const OriginEntry&) -> Result<void> { return {}; };
    // A list that never ends is waited out.
    const Duration list_timeout = c.list == ETIMEDOUT ? kTimeout : kLongTimeout;
    EXPECT_EQ(origin.value()->list("", soon(list_timeout), take).code(), c.list) << c.lie;
    EXPECT_EQ(origin.value()->open("file", soon()).code(), c.open) << c.lie;
  }
}

TEST(HostileServerVerdict, NamesComeThroughAsTheyWereSent) {
  const Result<std::unique_ptr<Origin>> origin = open_liar("bad-names");
  ASSERT_TRUE(origin.ok());
  std::vector<std::string> names;
  ASSERT_TRUE(origin.value()
                  ->list("", soon(),
                         [&](const OriginEntry& entry) -> Result<void> {
                           names.push_back(entry.name);
                           return {};
                         })
                  .ok());
  const std::vector<std::string> expected = {"",    "a/b",  "../../etc/passwd",
                                             "nul", "file", std::string("x\0y", 3)};
  EXPECT_EQ(names, expected);
}

TEST(HostileServerVerdict, AListingWhoseConnectionIsLostGoesOnByAnotherAndNamesNothingTwice) {
  const TempDir temp;
  ::setenv(kFakeMark, (temp / "mark").c_str(), 1);
  const Result<std::unique_ptr<Origin>> origin = open_liar("dies-in-listing");
  ASSERT_TRUE(origin.ok());
  std::vector<std::string> names;
  const Result<void> listed =
      origin.value()->list("", soon(), [&](const OriginEntry& entry) -> Result<void> {
        if (names.empty()) write_file(temp / (std::string("mark") + kFakeSeen), "");
        names.push_back(entry.name);
        return {};
      });
  ::unsetenv(kFakeMark);
  EXPECT_TRUE(listed.ok()) << listed.error().message();
  EXPECT_EQ(names.front(), "n0") << "handed on before the connection was lost";
  EXPECT_EQ(names.size(), static_cast<size_t>(kFakeNames));
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
}

TEST(HostileServerVerdict, AListingEndsWithTheErrorOfWhoTakesIt) {
  const Result<std::unique_ptr<Origin>> origin = open_liar("dies-in-listing");
  ASSERT_TRUE(origin.ok());
  size_t taken = 0;
  // One that the connection has as well, and then the listing begins anew.
  const Result<void> listed =
      origin.value()->list("", soon(), [&](const OriginEntry&) -> Result<void> {
        return ++taken < 2000 ? Result<void>() : Error(ENOTCONN, "test.sink");
      });
  EXPECT_EQ(listed.code(), ENOTCONN);
  EXPECT_EQ(taken, 2000U);
}

TEST(HostileServerVerdict, AServerThatCannotBeOpenedIsExplainedInOneLine) {
  const struct {
    const char* lie;
    int code;
    const char* words;
    Duration timeout = kLongTimeout;
  } cases[] = {{"banner", EPROTO, "not SFTP"},
               {"old-version", EPROTO, "older than version 3"},
               {"silent-exit", ENOTCONN, "without a word"},
               {"stall-connect", ETIMEDOUT, "did not answer in time", kTimeout}};
  for (const auto& c : cases) {
    const Result<std::unique_ptr<Origin>> origin = open_liar(c.lie, c.timeout);
    ASSERT_TRUE(origin.is_error(c.code)) << c.lie << " " << origin.code();
    EXPECT_NE(origin.error().message().find(c.words), std::string::npos)
        << origin.error().message();
  }
}

TEST(HostileServerVerdict, AServerThatDiesAgainAndAgainIsLivedThrough) {
  const Result<std::unique_ptr<Origin>> origin = open_liar("dies");
  ASSERT_TRUE(origin.ok());
  const Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon());
  ASSERT_TRUE(file.ok());
  std::string bytes;
  const MonoTime until = Clock::system().now() + std::chrono::seconds(60);
  // The library's part: it asks again what failed.
  while (bytes.size() < 300'000 && Clock::system().now() < until) {
    const Result<ReadBytes> read =
        read_range(*origin.value(), *file.value(), {bytes.size(), 100'000}, kPatience);
    if (read.ok()) bytes += read.value().bytes;
    if (!read.ok()) {
      EXPECT_TRUE(read.is_error(ENOTCONN)) << read.error().message();
      wait_until([&] { return origin.value()->stat("file", soon()).ok(); }, kTimeout);
    }
  }
  EXPECT_TRUE(bytes == pattern(kFakeFileSeed, 0, 300'000));
}

TEST(SshProcess, InheritsNoDescriptor) {
  const int leaked = ::dup(2);  // without O_CLOEXEC, as a library might
  const Result<std::unique_ptr<Origin>> origin = open_liar("fds");
  ::close(leaked);
  EXPECT_TRUE(origin.ok()) << origin.error().message();
}

TEST(SshProcess, AMissingProgramIsNamed) {
  origins::OriginRequest request{.url = MUST(origins::Url::parse("sftp://h/"))};
  request.options["ssh"] = "/nonexistent/ssh";
  const Result<std::unique_ptr<Origin>> origin = origins::open_origin(request);
  ASSERT_TRUE(origin.is_error(ENOENT));
  EXPECT_NE(origin.error().message().find("/nonexistent/ssh"), std::string::npos)
      << origin.error().message();
}

std::vector<pid_t> pids_in(const std::string& path) {
  std::ifstream in(path);
  return {std::istream_iterator<pid_t>(in), std::istream_iterator<pid_t>()};
}

bool all_gone(const std::vector<pid_t>& pids) {
  return std::all_of(pids.begin(), pids.end(),
                     [](pid_t pid) { return kill_process(pid, 0) == ESRCH; });
}

TEST(SshProcess, NoneIsLeftWhenTheOriginIsClosed) {
  const TempDir temp;
  ASSERT_EQ(::setenv("NETFS_FAKE_SFTP_PIDS", (temp / "pids").c_str(), 1), 0);
  {
    const Result<std::unique_ptr<Origin>> origin = open_liar("healthy", kLongTimeout, "4");
    ASSERT_TRUE(origin.ok());
    EXPECT_TRUE(wait_until([&] { return pids_in(temp / "pids").size() == 4; }, kPatience));
  }
  ::unsetenv("NETFS_FAKE_SFTP_PIDS");
  // Not even as zombies: those would still be there for kill().
  EXPECT_TRUE(all_gone(pids_in(temp / "pids")));
}

TEST(SshProcess, DiesWithTheProgramThatStartedIt) {
  const TempDir temp;
  ASSERT_EQ(::setenv("NETFS_FAKE_SFTP_PIDS", (temp / "pids").c_str(), 1), 0);
  Process reader({NETFS_TEST_ORIGIN_READ, "sftp://stall/", "file", "connections=2",
                  std::string("ssh=") + NETFS_TEST_FAKE_SFTP_SERVER},
                 temp / "log");
  ::unsetenv("NETFS_FAKE_SFTP_PIDS");
  ASSERT_TRUE(wait_until([&] { return pids_in(temp / "pids").size() == 2; }, kPatience));
  reader.signal(SIGKILL);
  reader.wait(kPatience);
  EXPECT_TRUE(wait_until([&] { return all_gone(pids_in(temp / "pids")); }, kPatience));
}

}  // namespace
}  // namespace netfs::test
