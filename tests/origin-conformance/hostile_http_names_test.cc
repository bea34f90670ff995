// Goal: what a web server says of names and listings is taken for what it is worth, whatever it
// leaves out. Method: FakeHttpServer; the first folder of the URL names its lie.

#include <cerrno>
#include <cstdlib>
#include <gtest/gtest.h>
#include <map>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/unique_fd.h"
#include "origins/module_loader.h"
#include "sync/thread.h"
#include "tests/origin-conformance/fake_http_server.h"
#include "tests/origin-conformance/reads.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kTimeout{30};
constexpr std::chrono::seconds kPatience{90};

Deadline soon() {
  return Deadline::after(Clock::system(), kTimeout);
}

class HostileHttpNames : public testing::Test {
 protected:
  static Result<std::unique_ptr<Origin>> open(const std::string& url) {
    origins::OriginRequest request{.url = TRY(origins::Url::parse(url))};
    request.timeout = kTimeout;
    return origins::open_origin(request);
  }
  Result<std::unique_ptr<Origin>> open_liar(const std::string& lie) {
    return open(server_.url(lie));
  }
  Result<std::map<std::string, NodeInfo>> list_liar(const std::string& lie) {
    const std::unique_ptr<Origin> origin = TRY(open_liar(lie));
    return list(*origin);
  }
  static Result<std::map<std::string, NodeInfo>> list(Origin& origin) {
    std::map<std::string, NodeInfo> entries;
    TRY(origin.list("", soon(), [&](OriginEntry entry) -> Result<void> {
      entries.emplace(std::move(entry.name), entry.info);
      return {};
    }));
    return entries;
  }
  // How often a directory was, the root's first PROPFIND among them.
  [[nodiscard]] unsigned asked_of_directory(const std::string& method) const {
    unsigned count = 0;
    for (const FakeRequest& request : server_.requests()) {
      count += request.method == method && request.path.ends_with('/') ? 1 : 0;
    }
    return count;
  }
  // How often the file was asked for with a method.
  [[nodiscard]] unsigned asked(const std::string& method) const {
    unsigned count = 0;
    for (const FakeRequest& request : server_.requests()) {
      count += request.method == method && request.path.ends_with("/file") ? 1 : 0;
    }
    return count;
  }

  FakeHttpServer server_;
};

TEST_F(HostileHttpNames, AFileIsEmptyWhenAGetSaysSoAndNotByItsHeadAlone) {
  Result<std::unique_ptr<Origin>> origin = open_liar("head-of-nothing");
  ASSERT_TRUE(origin.ok());
  const Result<NodeInfo> full = origin.value()->stat("file", soon());
  ASSERT_TRUE(full.ok()) << full.error().message();
  EXPECT_EQ(full.value().attributes.size_bytes, kFakeHttpBytes);
  origin = open_liar("empty");
  ASSERT_TRUE(origin.ok());
  const Result<NodeInfo> empty = origin.value()->stat("file", soon());
  ASSERT_TRUE(empty.ok()) << empty.error().message();
  EXPECT_EQ(empty.value().attributes.size_bytes, 0U);
}

TEST_F(HostileHttpNames, HeadIsGivenUpOnlyWhereItIsNeverTaken) {
  for (const bool always : {false, true}) {
    const unsigned before = asked("HEAD");
    const Result<std::unique_ptr<Origin>> origin =
        open_liar(always ? "head-refused" : "head-refused-once");
    ASSERT_TRUE(origin.ok());
    for (int i = 0; i < 6; ++i) EXPECT_TRUE(origin.value()->stat("file", soon()).ok());
    EXPECT_EQ(asked("HEAD") - before, always ? 3U : 6U);
  }
}

TEST_F(HostileHttpNames, AFileOfOneByteSaysNothingOfRanges) {
  const Result<std::unique_ptr<Origin>> origin = open_liar("one-byte");
  ASSERT_TRUE(origin.ok());
  const Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon());
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_EQ(asked("GET"), 0U);
}

// The tag may be made of a time that another change within the second would not change.
TEST_F(HostileHttpNames, ATagIsGoodForTheBytesBehindItOnceTheFileHasBeenLeftAlone) {
  for (const bool fresh : {false, true}) {
    const Result<std::unique_ptr<Origin>> origin = open_liar(fresh ? "fresh" : "healthy");
    ASSERT_TRUE(origin.ok());
    Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon());
    ASSERT_TRUE(file.ok()) << file.error().message();
    const Result<ReadBytes> read = read_range(*origin.value(), *file.value(), {0, 1000});
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_EQ(read.value().bytes.size(), 1000U);
    EXPECT_EQ(read.value().validator.has_value(), !fresh);
    file.value() = nullptr;
  }
}

TEST_F(HostileHttpNames, OneSlowLookCostsTheListingItsTypeAndNothingElse) {
  const MonoTime began = Clock::system().now();
  const Result<std::map<std::string, NodeInfo>> listed = list_liar("list-slow");
  ASSERT_TRUE(listed.ok()) << listed.error().message();
  ASSERT_EQ(listed.value().size(), 2U);
  EXPECT_EQ(listed.value().at("slow").attributes.type, FileType::kUnknown);
  EXPECT_EQ(listed.value().at("file").attributes.size_bytes, kFakeHttpBytes);
  EXPECT_LT(Clock::system().now() - began, kTimeout / 2);
}

TEST_F(HostileHttpNames, AListingIsOfThePathThatWasAskedForAndOfATypeThatLists) {
  FakeHttpServer other;
  const std::string url = other.url("");
  server_.set_elsewhere(url.substr(0, url.size() - 1));
  EXPECT_TRUE(list_liar("list-led-away").is_error(EOPNOTSUPP));
  const Result<std::map<std::string, NodeInfo>> aside = list_liar("list-led-aside");
  ASSERT_TRUE(aside.ok()) << aside.error().message();
  EXPECT_TRUE(aside.value().contains("file"));
  // EFBIG, if its body had been looked at.
  EXPECT_TRUE(list_liar("list-stream").is_error(EOPNOTSUPP));
}

TEST_F(HostileHttpNames, AMillionNamesAreListedInTimeThoughNotEachWithItsSize) {
  const Watchdog watchdog(kPatience, [] { std::abort(); });
  const MonoTime began = Clock::system().now();
  const Result<std::map<std::string, NodeInfo>> names = list_liar("list-million");
  ASSERT_TRUE(names.ok()) << names.error().message();
  EXPECT_EQ(names.value().size(), 1'000'000U);
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(60));
}

// Who compares with his own clock takes a file of this moment for one of long ago.
TEST_F(HostileHttpNames, TimesInAJsonListingAreThoseOfTheServersClock) {
  const Result<std::map<std::string, NodeInfo>> listed = list_liar("list-json-exact");
  ASSERT_TRUE(listed.ok()) << listed.error().message();
  ASSERT_TRUE(listed.value().contains("file"));
  const NodeInfo& info = listed.value().at("file");
  EXPECT_EQ(info.attributes.size_bytes, kFakeHttpBytes);
  EXPECT_EQ(info.validator.strength, ValidatorStrength::kWeak);
  EXPECT_GT(info.validator.changed_at.seconds, Clock::system().wall().seconds - 60);
  // Of the sample; the listing itself was believed.
  EXPECT_EQ(asked("HEAD"), 1U);
}

// One file of its kind is looked at, to see that the two say the same.
TEST_F(HostileHttpNames, WhereTheServerSpeaksWebdavOneRequestListsADirectory) {
  const Result<std::unique_ptr<Origin>> origin = open_liar("dav-healthy");
  ASSERT_TRUE(origin.ok()) << origin.error().message();
  for (int i = 0; i < 3; ++i) {
    std::map<std::string, NodeInfo> listed;
    const Result<void> done =
        origin.value()->list("", soon(), [&](OriginEntry entry) -> Result<void> {
          listed.emplace(std::move(entry.name), entry.info);
          return {};
        });
    ASSERT_TRUE(done.ok()) << done.error().message();
    ASSERT_EQ(listed.size(), 1U);
    const NodeInfo& info = listed.at("file");
    EXPECT_EQ(info.attributes.size_bytes, kFakeHttpBytes);
    EXPECT_EQ(info.attributes.mtime.seconds, 784111777);
    EXPECT_EQ(info.validator, origin.value()->stat("file", soon()).value().validator);
  }
  std::map<std::string, unsigned> methods;
  for (const FakeRequest& request : server_.requests()) ++methods[request.method];
  EXPECT_EQ(methods["PROPFIND"], 4U) << "of the root, and three listings";
  EXPECT_EQ(methods["GET"], 0U);
  EXPECT_EQ(asked("HEAD"), 4U) << "one to compare, and three by this test";
}

TEST_F(HostileHttpNames, WhatIsRefusedOrNonsenseByWebdavIsListedByItsPage) {
  for (const char* lie : {"dav-never", "dav-refused", "dav-page", "dav-rubbish", "dav-cut",
                          "dav-bomb", "dav-of-other", "dav-far"}) {
    const Result<std::map<std::string, NodeInfo>> listed = list_liar(lie);
    ASSERT_TRUE(listed.ok()) << lie << ": " << listed.error().message();
    ASSERT_EQ(listed.value().size(), 1U) << lie;
    EXPECT_EQ(listed.value().begin()->first, "file") << lie;
  }
  const Result<std::map<std::string, NodeInfo>> listed = list_liar("dav-rubbish-only");
  EXPECT_TRUE(listed.is_error(EIO)) << "and where there is no page that is said";
}

TEST_F(HostileHttpNames, WhyWebdavDoesNotListIsSaidWhereThereIsNoPage) {
  const std::map<std::string, int> errors = {{"dav-busy-only", EAGAIN},
                                             {"dav-late-only", ETIMEDOUT},
                                             {"dav-broken-only", EIO},
                                             {"dav-large-only", EFBIG},
                                             {"dav-refused-only", EACCES},
                                             {"dav-broken-gone", ENOENT},
                                             {"dav-busy", 0},
                                             {"dav-late", 0},
                                             {"dav-broken", 0}};
  for (const auto& [lie, error] : errors) {
    const unsigned before = asked_of_directory("PROPFIND");
    const Result<std::map<std::string, NodeInfo>> listed = list_liar(lie);
    EXPECT_EQ(listed.ok() ? 0 : listed.error().code(), error) << lie;
    EXPECT_EQ(asked_of_directory("PROPFIND") - before, 2U) << lie;
  }
}

TEST_F(HostileHttpNames, WhoDoesNotKnowTheQuestionIsNoLongerAskedAndWhoHasNoTimeIs) {
  constexpr unsigned kTimes = 12;
  Result<std::unique_ptr<Origin>> origin = open_liar("dav-refused");
  ASSERT_TRUE(origin.ok()) << origin.error().message();
  for (unsigned i = 0; i < kTimes; ++i) EXPECT_TRUE(list(*origin.value()).ok());
  EXPECT_EQ(asked_of_directory("PROPFIND"), 1U + 8U);
  for (const char* lie : {"dav-busy", "dav-late", "dav-broken", "dav-cut", "dav-refused-only"}) {
    origin = open_liar(lie);
    ASSERT_TRUE(origin.ok()) << origin.error().message();
    const unsigned before = asked_of_directory("PROPFIND");
    for (unsigned i = 0; i < kTimes; ++i) (void)list(*origin.value());
    EXPECT_EQ(asked_of_directory("PROPFIND") - before, kTimes) << lie;
  }
}

TEST_F(HostileHttpNames, AServerThatIsAwayForAWhileIsListedByWebdavAfterIt) {
  const Result<std::unique_ptr<Origin>> origin = open_liar("dav-healthy");
  ASSERT_TRUE(origin.ok()) << origin.error().message();
  for (const char* trouble : {"all-503", "all-404", "all-500", "all-405"}) {
    server_.act_as(trouble);
    for (int i = 0; i < 9; ++i) EXPECT_FALSE(list(*origin.value()).ok()) << trouble;
    server_.act_as("");
    const unsigned before = asked_of_directory("GET");
    const Result<std::map<std::string, NodeInfo>> listed = list(*origin.value());
    ASSERT_TRUE(listed.ok()) << trouble << ": " << listed.error().message();
    EXPECT_EQ(listed.value().size(), 1U);
    EXPECT_EQ(asked_of_directory("GET") - before, 0U) << trouble;
  }
}

TEST_F(HostileHttpNames, WhatIsLongerThanIsTakenIsNotAskedForAgainWhereThereIsAPage) {
  for (const bool page : {true, false}) {
    const Result<std::unique_ptr<Origin>> origin = open_liar(page ? "dav-large" : "dav-large-only");
    ASSERT_TRUE(origin.ok()) << origin.error().message();
    const unsigned before = asked_of_directory("PROPFIND");
    for (int i = 0; i < 10; ++i) EXPECT_EQ(list(*origin.value()).ok(), page);
    EXPECT_EQ(asked_of_directory("PROPFIND") - before, page ? 1U : 10U);
  }
}

TEST_F(HostileHttpNames, OfAListingByWebdavOnlyWhatLiesInItIsShown) {
  const Result<std::unique_ptr<Origin>> origin = open_liar("dav-evil");
  ASSERT_TRUE(origin.ok()) << origin.error().message();
  const Result<std::map<std::string, NodeInfo>> listed = list(*origin.value());
  ASSERT_TRUE(listed.ok()) << listed.error().message();
  ASSERT_EQ(listed.value().size(), 1U);
  EXPECT_EQ(listed.value().begin()->first, "file");
  EXPECT_EQ(asked_of_directory("GET"), 0U) << "it was by WebDAV";
  for (const auto& [name, value] : origin.value()->status()) {
    if (name == "names refused") {
      EXPECT_EQ(value, "8");
    }
  }
}

// The version is what reads will meet.
TEST_F(HostileHttpNames, AVersionThatOnlyWebdavHasIsNotBelieved) {
  const Result<std::map<std::string, NodeInfo>> listed = list_liar("dav-other-tag");
  ASSERT_TRUE(listed.ok()) << listed.error().message();
  ASSERT_TRUE(listed.value().contains("file"));
  EXPECT_EQ(listed.value().at("file").validator.bytes, "v1");
  EXPECT_EQ(asked_of_directory("PROPFIND"), 2U);
  EXPECT_EQ(asked_of_directory("GET"), 0U);
}

// Many say so of what they make anew for each GET.
TEST_F(HostileHttpNames, ALengthOf0ThatWebdavListsIsLookedAt) {
  const Result<std::map<std::string, NodeInfo>> listed = list_liar("dav-empty");
  ASSERT_TRUE(listed.ok()) << listed.error().message();
  ASSERT_TRUE(listed.value().contains("made"));
  EXPECT_EQ(listed.value().at("made").attributes.size_bytes, kFakeHttpBytes);
  EXPECT_EQ(asked_of_directory("GET"), 0U);
  EXPECT_EQ(asked("HEAD"), 1U) << "of the one that is compared: the kind is believed";
}

TEST_F(HostileHttpNames, AConnectionThatIsResetInTheHandshakeIsAResetConnection) {
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(listener.get(), generic, length), 0);
  ASSERT_EQ(::listen(listener.get(), 16), 0);
  ASSERT_EQ(::getsockname(listener.get(), generic, &length), 0);
  sync::Thread thread("test-reset", [&listener] {
    for (;;) {
      const UniqueFd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (peer.get() < 0) return;
      char hello[4096];
      (void)::recv(peer.get(), hello, sizeof(hello), 0);
      const linger reset{.l_onoff = 1, .l_linger = 0};
      ::setsockopt(peer.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }
  });
  const Result<std::unique_ptr<Origin>> origin =
      open("https://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/");
  EXPECT_TRUE(origin.is_error(ECONNRESET)) << origin.code();
  ::shutdown(listener.get(), SHUT_RDWR);
  thread.join();
}

}  // namespace
}  // namespace netfs::test
