// Goal: what is read from a server without ranges costs neither others their connections nor the
// server more downloads than are due, and is never refused for good where it was read before.
// Method: FakeHttpServer with large files; how often a file was sent whole is counted.

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <ctime>
#include <gtest/gtest.h>

#include "netfs/buffer.h"
#include "netfs/library.h"
#include "netfs/testing/reading.h"
#include "origins/module_loader.h"
#include "tests/origin-conformance/fake_http_server.h"
#include "tests/origin-conformance/reads.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kBigMiB = 320;
constexpr uint64_t kSmallBytes = 1000;
constexpr std::chrono::seconds kTimeout{30};

Deadline soon(Duration timeout = kTimeout) {
  return Deadline::after(Clock::system(), timeout);
}

// Of which the files are made.
const std::string& block() {
  static const std::string bytes = pattern(kFakeHttpSeed, 0, kMiB);
  return bytes;
}

std::string expected(uint64_t offset, uint64_t bytes) {
  std::string text;
  while (text.size() < bytes) {
    const uint64_t at = (offset + text.size()) % kMiB;
    text += block().substr(at, bytes - text.size());
  }
  return text;
}

// Of a file that is written over in place, once its first MiB was sent.
std::atomic<bool> written_over = false;
constexpr const char* kBefore = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
constexpr const char* kAfter = "Last-Modified: Mon, 07 Nov 1994 08:49:37 GMT\r\n";
// Of a file whose time does not tell its changes before that is over.
std::atomic<time_t> racy_time = 0;

std::string racy_field() {
  const time_t time = racy_time;
  struct tm parts {};
  ::gmtime_r(&time, &parts);
  char text[64];
  (void)std::strftime(text, sizeof(text), "Last-Modified: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
  return text;
}

std::string part_of_x(unsigned /*number*/) {
  return std::string(kMiB, 'x');
}
std::string part_of_y(unsigned /*number*/) {
  return std::string(kMiB, 'y');
}
std::string part_of_written_over(unsigned number) {
  if (number == 0) return block();
  (void)wait_until([] { return written_over.load(); }, kTimeout);
  return part_of_y(number);
}

FakeReply head_and(int status, uint64_t length, const std::string& fields = "") {
  return {.bytes = "HTTP/1.1 " + std::to_string(status) + " So\r\nETag: \"v1\"\r\n" + fields +
                   "Content-Length: " + std::to_string(length) + "\r\n\r\n",
          .then = Then::kGoOn,
          .repeats = 0,
          .again = ""};
}

class HttpStreams : public testing::Test {
 protected:
  std::unique_ptr<Origin> open_origin(const std::string& kind,
                                      const origins::OriginOptions& options = {}) {
    Result<origins::Url> url = origins::Url::parse(server_.url(kind));
    EXPECT_TRUE(url.ok());
    origins::OriginRequest request{.url = std::move(url).value()};
    request.options = options;
    request.timeout = kTimeout;
    Result<std::unique_ptr<Origin>> origin = origins::open_origin(request);
    EXPECT_TRUE(origin.ok()) << origin.error().message();
    return std::move(origin).value();
  }

  static std::unique_ptr<OriginFile> open_file(Origin& origin, const std::string& name) {
    Result<std::unique_ptr<OriginFile>> file = origin.open(name, soon());
    EXPECT_TRUE(file.ok()) << name << ": " << file.error().message();
    return std::move(file).value();
  }

  // 0 when the bytes are there and right.
  static int read(Origin& origin, OriginFile& file, uint64_t offset, uint64_t bytes = kMiB) {
    const Result<ReadBytes> got = read_range(origin, file, {offset, bytes});
    if (!got.ok()) return got.code();
    return got.value().bytes == expected(offset, bytes) ? 0 : EBADMSG;
  }

  std::unique_ptr<Library> open_library(Origin& origin) {
    return MUST(
        Library::create({.origin = origin, .volume = {}, .pool = pool_, .readahead = false}));
  }
  static Ref<File> open_by(Library& library, Origin& origin) {
    const NodeInfo info = MUST(origin.stat("big", soon()));
    return MUST(library.open({.path = "big",
                              .identity = info.identity,
                              .validator = info.validator,
                              .size_bytes = info.attributes.size_bytes}));
  }

  unsigned whole_gets() const {
    const std::vector<FakeRequest> requests = server_.requests();
    return static_cast<unsigned>(std::count_if(requests.begin(), requests.end(), [](const auto& r) {
      return r.method == "GET" && r.field("range").empty();
    }));
  }

  FakeHttpServer server_;
  BufferPool pool_{size_t{32} << 20, size_t{8} << 20};
};

TEST_F(HttpStreams, AFileThatStandsStillLeavesTheOnlyConnectionToWhoeverNeedsIt) {
  const std::unique_ptr<Origin> origin = open_origin("no-ranges", {{"connections", "1"}});
  const std::unique_ptr<OriginFile> file = open_file(*origin, "big");
  EXPECT_EQ(read(*origin, *file, 0), 0);
  const Result<NodeInfo> other = origin->stat("big2", soon(std::chrono::seconds(8)));
  EXPECT_TRUE(other.ok()) << other.error().message();
  EXPECT_EQ(read(*origin, *file, kMiB), 0);
}

TEST_F(HttpStreams, ManyFilesReadAtOnceTakeTurnsAndLeaveConnectionsToOthers) {
  constexpr unsigned kFiles = 16;
  const std::unique_ptr<Origin> origin = open_origin("no-ranges");
  std::vector<std::unique_ptr<OriginFile>> files;
  std::vector<std::unique_ptr<TestRead>> reads;
  for (unsigned i = 0; i < kFiles; ++i) {
    files.push_back(open_file(*origin, "big" + std::to_string(i)));
  }
  for (const auto& file : files) {
    reads.push_back(std::make_unique<TestRead>(*file, ByteRange{40 * kMiB, kMiB}, soon()));
    origin->issue_read(*reads.back());
  }
  for (const auto& each : reads) {
    const std::optional<ReadOutcome> outcome = each->wait(2 * kTimeout);
    ASSERT_TRUE(outcome);
    EXPECT_TRUE(outcome->transferred_bytes.ok()) << outcome->transferred_bytes.error().message();
    EXPECT_TRUE(each->bytes() == expected(40 * kMiB, kMiB));
  }
  const Result<NodeInfo> info = origin->stat("big2", soon(std::chrono::seconds(8)));
  EXPECT_TRUE(info.ok()) << info.error().message();
}

TEST_F(HttpStreams, WhatWasReachedInOrderIsReachedAgainByADownloadThatBeginsAnew) {
  const std::unique_ptr<Origin> origin = open_origin("no-ranges");
  std::unique_ptr<OriginFile> file = open_file(*origin, "big");
  EXPECT_EQ(read(*origin, *file, 300 * kMiB), EOPNOTSUPP);
  EXPECT_EQ(read(*origin, *file, 200 * kMiB), 0);
  EXPECT_EQ(read(*origin, *file, 300 * kMiB), 0);
  file = open_file(*origin, "big");
  EXPECT_EQ(read(*origin, *file, 301 * kMiB), 0);
}

TEST_F(HttpStreams, WhoReadsFarBehindAnotherGetsADownloadOfHisOwn) {
  const std::unique_ptr<Origin> origin = open_origin("no-ranges");
  const std::unique_ptr<OriginFile> file = open_file(*origin, "big");
  for (unsigned i = 0; i < 6; ++i) {
    EXPECT_EQ(read(*origin, *file, (100 + i) * kMiB), 0);
    EXPECT_EQ(read(*origin, *file, i * kMiB), 0);
  }
  EXPECT_EQ(whole_gets(), 2U);
}

TEST_F(HttpStreams, WhoReadsBackwardsIsRefusedInTheEndAndInOrderIsNot) {
  const std::unique_ptr<Origin> origin = open_origin("no-ranges");
  const std::unique_ptr<OriginFile> file = open_file(*origin, "big");
  int code = 0;
  unsigned reads = 0;
  for (; code == 0 && reads < 20; ++reads) {
    code = read(*origin, *file, (250 - 10 * reads) * kMiB, 4096);
  }
  EXPECT_EQ(code, EOPNOTSUPP);
  EXPECT_GT(reads, 3U);
  EXPECT_EQ(read(*origin, *file, 0), 0);
  EXPECT_EQ(read(*origin, *file, kMiB), 0);
}

TEST_F(HttpStreams, AWholeFileForARangeThatIsTheWholeFileIsNoLackOfRanges) {
  const std::unique_ptr<Origin> origin = open_origin("whole-of-small");
  const std::unique_ptr<OriginFile> small = open_file(*origin, "small");
  EXPECT_EQ(read(*origin, *small, 0, kSmallBytes), 0);
  const std::unique_ptr<OriginFile> big = open_file(*origin, "big");
  EXPECT_EQ(read(*origin, *big, 300 * kMiB, 4096), 0);
  EXPECT_EQ(whole_gets(), 0U);
  EXPECT_EQ(server_.requests().size(), 7U);  // the root twice, two looks, one byte, and two reads
}

TEST_F(HttpStreams, ASmallBodyThatNobodyWantsLeavesTheConnectionAsItIs) {
  // The root is asked for once, so that there is one connection to begin with.
  const std::unique_ptr<Origin> origin = open_origin("no-ranges", {{"webdav", "no"}});
  (void)open_file(*origin, "small");  // one byte is asked for, and the whole comes
  EXPECT_TRUE(origin->stat("small2", soon()).ok());
  EXPECT_EQ(server_.connections(), 1U);
}

TEST_F(HttpStreams, TheTextOfARangeBeyondTheEndIsNotWaitedFor) {
  const std::unique_ptr<Origin> origin = open_origin("long-beyond");
  const std::unique_ptr<OriginFile> file = open_file(*origin, "big");
  TestRead read(*file, {kBigMiB * kMiB, 4096}, soon(std::chrono::seconds(8)));
  origin->issue_read(read);
  const std::optional<ReadOutcome> outcome = read.wait(2 * kTimeout);
  ASSERT_TRUE(outcome);
  ASSERT_TRUE(outcome->transferred_bytes.ok()) << outcome->transferred_bytes.error().message();
  EXPECT_EQ(outcome->transferred_bytes.value(), 0U);
  EXPECT_TRUE(outcome->hit_end_of_file);
}

// The server goes on with the bytes of another version, under the head of the first.
TEST_F(HttpStreams, WhatIsWrittenOverWhileItIsSentIsGivenToNobodyAsWhatItWas) {
  written_over = false;
  const std::unique_ptr<Origin> origin = open_origin("written-over");
  const std::unique_ptr<Library> library = open_library(*origin);
  const Ref<File> file = open_by(*library, *origin);
  const Result<std::string> first = LibraryFixture::read(*file, {0, kMiB});
  ASSERT_TRUE(first.ok()) << first.error().message();
  EXPECT_TRUE(first.value() == block());
  written_over = true;
  const Result<std::string> second = LibraryFixture::read(*file, {kMiB, 4096});
  EXPECT_TRUE(second.is_error(ESTALE)) << (second.ok() ? "bytes of another version" : "");
}

// What its handle holds is of the open before, too.
TEST_F(HttpStreams, AChangeThatNoTimeTellsIsReadByWhoOpensTheFileThenAlsoInTheMidstOfIt) {
  written_over = false;
  racy_time = Clock::system().wall().seconds + 3600;
  const std::unique_ptr<Origin> origin = open_origin("racy");
  const std::unique_ptr<Library> library = open_library(*origin);
  const Ref<File> file = open_by(*library, *origin);
  EXPECT_TRUE(MUST(LibraryFixture::read(*file, {0, 4096})) == std::string(4096, 'x'));
  written_over = true;
  file->forget_racy();  // as an open does
  EXPECT_TRUE(MUST(LibraryFixture::read(*file, {0, 4096})) == std::string(4096, 'y'));
}

// ... nor is it kept when it is read after that second.
TEST_F(HttpStreams, WhatAStreamBroughtFromTheSecondOfAChangeIsNotKeptThatIsReadAfterIt) {
  written_over = false;
  racy_time = Clock::system().wall().seconds + 1;
  const std::unique_ptr<Origin> origin = open_origin("racy");
  const std::unique_ptr<Library> library = open_library(*origin);
  const Ref<File> file = open_by(*library, *origin);
  EXPECT_TRUE(MUST(LibraryFixture::read(*file, {0, 4096})) == std::string(4096, 'x'));
  written_over = true;
  const auto is_over = [] { return Clock::system().wall().seconds > racy_time + 1; };
  ASSERT_TRUE(wait_until(is_over, kTimeout));
  EXPECT_TRUE(MUST(LibraryFixture::read(*file, {kMiB, 4096})) == std::string(4096, 'x'));
  file->forget_racy();
  EXPECT_TRUE(MUST(LibraryFixture::read(*file, {kMiB, 4096})) == std::string(4096, 'y'));
}

// A strong tag is that of the head, and a server knows no other until it is asked again.
TEST_F(HttpStreams, AStrongTagSpeaksForWhatComesBehindItUntilTheDownloadHasStoodStill) {
  const std::unique_ptr<Origin> origin = open_origin("no-ranges");
  const std::unique_ptr<OriginFile> file = open_file(*origin, "big");
  uint64_t next = 0;
  // It stands still between one read and the next.
  const auto is_to_be_confirmed = [&] {
    TestRead one(*file, {std::min(next++, kBigMiB - 1) * kMiB, kMiB}, soon());
    origin->issue_read(one);
    const std::optional<ReadOutcome> outcome = one.wait(2 * kTimeout);
    EXPECT_TRUE(outcome && outcome->transferred_bytes.ok());
    if (!outcome) return false;
    EXPECT_NE(outcome->confirm_first, outcome->validator_after.has_value());
    return outcome->confirm_first;
  };
  EXPECT_TRUE(wait_until(is_to_be_confirmed, kTimeout));
  EXPECT_LT(next, kBigMiB);
}

}  // namespace

// /KIND/NAME; in the place of fake_http_lies.cc.
FakeReply lie(const FakeRequest& request, const std::string& elsewhere) {
  (void)elsewhere;
  const bool is_small = request.path.find("/small") != std::string::npos;
  const uint64_t size = is_small ? kSmallBytes : kBigMiB * kMiB;
  if (request.path.ends_with('/')) return head_and(200, 0);
  const bool beyond = request.path.starts_with("/long-beyond/");
  const std::string words = beyond ? "Accept-Ranges: bytes\r\n" : "";
  FakeReply whole = head_and(200, size, words);
  const bool is_racy = request.path.starts_with("/racy/");
  if (is_racy || request.path.starts_with("/written-over/")) {
    whole.bytes = "HTTP/1.1 200 So\r\n" +
                  (is_racy ? racy_field() : std::string(written_over ? kAfter : kBefore)) +
                  "Content-Length: " + std::to_string(size) + "\r\n\r\n";
    whole.part = part_of_written_over;
  }
  if (is_racy) whole.part = written_over ? part_of_y : part_of_x;
  if (request.method == "HEAD") return whole;
  unsigned long long first = 0;
  unsigned long long last = size - 1;
  (void)std::sscanf(request.field("range").c_str(), "bytes=%llu-%llu", &first, &last);
  if (beyond) {
    FakeReply reply =
        head_and(416, 64 * kMiB, "Content-Range: bytes */" + std::to_string(size) + "\r\n");
    reply.repeats = 1;
    reply.again = block();
    reply.then = Then::kStall;
    return reply;
  }
  const bool all = first == 0 && last + 1 >= size;
  if (request.path.starts_with("/whole-of-small/") && !all) {
    last = std::min<unsigned long long>(last, size - 1);
    FakeReply part = head_and(206, last - first + 1,
                              "Content-Range: bytes " + std::to_string(first) + "-" +
                                  std::to_string(last) + "/" + std::to_string(size) + "\r\n");
    part.bytes += expected(first, last - first + 1);
    return part;
  }
  if (is_small) {
    whole.bytes += expected(0, size);
  } else {
    whole.repeats = kBigMiB;
    whole.again = block();
  }
  return whole;
}

}  // namespace netfs::test
