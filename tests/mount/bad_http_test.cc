// Goal: whatever a web server does wrong, a mount of it answers the right bytes or a clear errno,
// counts what it met, gives nobody a wrong byte, and holds up nobody for ever; and one that cannot
// be mounted says in one line what to do. Method: FakeHttpServer, the first folder of the URL names
// its lie (fake_http_lies.cc), or act_as(); nginx for what is about certificates and logins. A
// short --timeout bounds each call, a watchdog each test.

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "base/unique_fd.h"
#include "tests/origin-conformance/fake_http_server.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_http.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kBound{150};
constexpr int kFailed = 32;

// What a reader got of a file before its end, or before the error.
struct Got {
  std::string bytes;
  int error = 0;
};

Got read_on(int fd, size_t bytes_max = SIZE_MAX) {
  Got got;
  std::string part(128 * 1024, '\0');
  while (got.bytes.size() < bytes_max) {
    const ssize_t n = ::read(fd, part.data(), std::min(part.size(), bytes_max - got.bytes.size()));
    if (n < 0) got.error = errno;
    if (n <= 0) break;
    got.bytes.append(part, 0, static_cast<size_t>(n));
  }
  return got;
}

Got read_all(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return {.bytes = {}, .error = errno};
  return read_on(fd.get());
}

class BadHttp : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
  }

  // Of a server that answers, on a machine that has other things to do; and of one whose silence is
  // waited out.
  static std::string timeout_for(int error) { return error == ETIMEDOUT ? "4s" : "30s"; }
  // Every name is asked for anew.
  void mount_it(const std::string& url, const std::string& timeout = timeout_for(0)) {
    mount_ = std::make_unique<NetfsMount>(
        NetfsMount::Options{.url = url,
                            .cache_dir = temp_ / "cache",
                            .more = {"--timeout", timeout, "--metadata-ttl", "0s", "--hot", "0s"}},
        temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }
  void mount_liar(const std::string& lie, int error = 0) {
    mount_it(server_.url(lie), timeout_for(error));
  }

  [[nodiscard]] std::string file() const { return mount_->path() + "/file"; }
  [[nodiscard]] int stat_error() const {
    struct stat info {};
    return ::stat(file().c_str(), &info) == 0 ? 0 : errno;
  }
  [[nodiscard]] int list_error() const { return list_names(mount_->path()).code(); }

  // A number of the mount's status, by its pointer; or what its origin says of itself by a name.
  [[nodiscard]] uint64_t counter(const std::string& pointer) const {
    const nlohmann::json mount = mount_->status()["mounts"][0];
    if (pointer.starts_with('/')) {
      return mount.at(nlohmann::json::json_pointer(pointer)).get<uint64_t>();
    }
    return std::stoul(said(pointer));
  }
  [[nodiscard]] std::string said(const std::string& name) const {
    const nlohmann::json mount = mount_->status()["mounts"][0];
    for (const auto& field : mount["origin"]) {
      if (field["name"] == name) return field["value"].get<std::string>();
    }
    return "";
  }

  // As many bytes of the first version as came.
  static bool is_right(const std::string& bytes) {
    return bytes == pattern(kFakeHttpSeed, 0, bytes.size());
  }

  TempDir temp_;
  FakeHttpServer server_;
  std::unique_ptr<NetfsMount> mount_;
  const Watchdog watchdog_{kBound, [this] {
                             if (mount_) mount_->abort();
                           }};
};

// A lie, what a reader of the file gets of it (0: all its bytes), and a counter that says so.
struct ReadCase {
  const char* lie;
  int error;
  const char* counter;
};

class BadHttpReads : public BadHttp, public testing::WithParamInterface<ReadCase> {};

INSTANTIATE_TEST_SUITE_P(Lies, BadHttpReads,
                         testing::Values(ReadCase{"healthy", 0, "/bytes/downloaded_bytes"},
                                         ReadCase{"whole-instead", 0, "/bytes/downloaded_bytes"},
                                         ReadCase{"error-page", EIO, "/reads/failed"},
                                         ReadCase{"error-page-of-that-length", EIO,
                                                  "/reads/failed"},
                                         ReadCase{"short-body", 0, "/errors/short_reads"},
                                         ReadCase{"no-body", EIO, "/errors/retries"},
                                         ReadCase{"wrong-start", EIO, "/reads/failed"},
                                         ReadCase{"other-length", EIO, "/reads/failed"},
                                         ReadCase{"gzip", EIO, "/reads/failed"},
                                         ReadCase{"binary", EIO, "/reads/failed"},
                                         ReadCase{"tag-changes-early", ESTALE, "/errors/stale"},
                                         ReadCase{"shorter", EIO, "/reads/failed"},
                                         ReadCase{"gone-later", ESTALE, "/reads/failed"},
                                         ReadCase{"stall", ETIMEDOUT, "/errors/timeouts"},
                                         ReadCase{"stall-in-body", ETIMEDOUT, "/errors/timeouts"},
                                         ReadCase{"busy-once", 0, "busy answers"},
                                         ReadCase{"busy-always", ETIMEDOUT, "busy answers"},
                                         ReadCase{"busy-for-long", ETIMEDOUT, "/errors/timeouts"},
                                         ReadCase{"status-401", EACCES, "/reads/failed"},
                                         ReadCase{"status-403", EACCES, "/reads/failed"},
                                         ReadCase{"status-404", ESTALE, "/reads/failed"},
                                         ReadCase{"status-500", EIO, "/errors/retries"},
                                         ReadCase{"status-503", ETIMEDOUT, "/errors/timeouts"},
                                         ReadCase{"status-504", ETIMEDOUT, "/errors/timeouts"}),
                         [](const auto& each) {
                           std::string name = each.param.lie;
                           std::erase(name, '-');
                           return name;
                         });

TEST_P(BadHttpReads, GiveRightBytesOrAClearErrnoAndAreCounted) {
  const ReadCase& expected = GetParam();
  mount_liar(expected.lie, expected.error);
  ASSERT_EQ(stat_error(), 0);
  const Got got = read_all(file());
  EXPECT_EQ(got.error, expected.error);
  EXPECT_TRUE(is_right(got.bytes)) << got.bytes.size();
  if (expected.error == 0) {
    EXPECT_EQ(got.bytes.size(), kFakeHttpBytes);
  }
  EXPECT_GE(counter(expected.counter), 1U) << mount_->status().dump(2);
  EXPECT_EQ(stat_error(), 0) << "its names are there all the same";
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_F(BadHttp, AServerThatSendsTheWholeInsteadOfAPartHasNoRanges) {
  mount_liar("whole-instead");
  const Got got = read_all(file());
  ASSERT_EQ(got.error, 0);
  EXPECT_TRUE(got.bytes.size() == kFakeHttpBytes && is_right(got.bytes));
  EXPECT_TRUE(said("ranges").starts_with("no")) << said("ranges");
  server_.act_as("second-version");  // which has them
  const Got again = read_all(file());
  ASSERT_EQ(again.error, 0);
  EXPECT_TRUE(again.bytes == pattern(kFakeHttpOtherSeed, 0, kFakeHttpBytes));
  EXPECT_EQ(said("ranges"), "yes");
}

// nginx, which sends on what it has of a body and then ends the connection.
TEST_F(BadHttp, ABodyThatIsCutShortBehindARealProxyIsAskedOnFromItsEndOrIsAnError) {
  TestHttp http(temp_, {"nginx"});
  ASSERT_TRUE(http.ready()) << http.log();
  ::unsetenv("no_proxy");
  ::unsetenv("NO_PROXY");
  ::setenv("http_proxy", http.url("HTTP_NGINX_PROXY_PORT", "").c_str(), 1);
  mount_liar("short-body");
  const Got got = read_all(file());
  EXPECT_EQ(got.error, 0);
  EXPECT_TRUE(got.bytes.size() == kFakeHttpBytes && is_right(got.bytes)) << got.bytes.size();
  EXPECT_GE(counter("/errors/short_reads"), 1U) << mount_->status().dump(2);
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
  mount_liar("no-body");
  const Got nothing = read_all(file());
  EXPECT_EQ(nothing.error, EIO);
  EXPECT_TRUE(is_right(nothing.bytes));
  EXPECT_GE(counter("/errors/retries"), 1U) << mount_->status().dump(2);
  ::unsetenv("http_proxy");
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
  const std::string proxied = http.setting("HTTP_NGINX_PROXY_PORT") + " GET ";
  for (const char* lie : {"/short-body/file", "/no-body/file"}) {
    const auto came = [&] {
      return read_text(http.setting("HTTP_NGINX_ACCESS")).find(proxied + lie) != std::string::npos;
    };
    EXPECT_TRUE(wait_until(came, std::chrono::seconds(20))) << lie << " did not come by the proxy";
  }
}

TEST_F(BadHttp, BytesThatAreCompressedAreNobodysAndTheLogSaysSo) {
  mount_liar("gzip");
  EXPECT_EQ(read_all(file()).error, EIO);
  EXPECT_TRUE(mount_->says("sends it as 'gzip' although asked not to")) << mount_->log();
}

// Who has it open gets no byte of what came after; who opens it then gets that.
TEST_F(BadHttp, AFileThatIsReplacedInMidReadIsStaleToItsReader) {
  for (const char* later : {"second-version", "shorter-everywhere"}) {
    const bool shorter = std::string(later) == "shorter-everywhere";
    server_.act_as("healthy");
    mount_it(server_.url(later));
    UniqueFd fd(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(fd);
    server_.act_as(later);
    const Got got = read_on(fd.get());
    EXPECT_EQ(got.error, ESTALE) << later;
    EXPECT_EQ(got.bytes.size(), 0U) << later;
    EXPECT_GE(counter("/errors/stale"), 1U) << later;
    const Got now = read_all(file());
    EXPECT_EQ(now.error, 0) << later;
    EXPECT_TRUE(now.bytes ==
                pattern(kFakeHttpOtherSeed, 0, shorter ? kFakeHttpShortBytes : kFakeHttpBytes))
        << later << " " << now.bytes.size();
    fd.reset();
    EXPECT_TRUE(mount_->unmount()) << mount_->log();
  }
}

// What the server answers to everything, once it is mounted, and what comes of it.
struct LookCase {
  const char* lie;
  int stat_error;
  int list_error;
  const char* counter;
};

class BadHttpLooks : public BadHttp, public testing::WithParamInterface<LookCase> {};

INSTANTIATE_TEST_SUITE_P(
    Lies, BadHttpLooks,
    testing::Values(LookCase{"all-401", EACCES, EACCES, "/names/origin_errors"},
                    LookCase{"all-403", EACCES, EACCES, "/names/origin_errors"},
                    LookCase{"all-429", ETIMEDOUT, ETIMEDOUT, "busy answers"},
                    LookCase{"all-500", EIO, EIO, "/names/origin_errors"},
                    LookCase{"all-502", EIO, EIO, "/names/origin_errors"},
                    LookCase{"all-503", ETIMEDOUT, ETIMEDOUT, "/errors/timeouts"},
                    LookCase{"all-504", ETIMEDOUT, ETIMEDOUT, "/errors/timeouts"},
                    LookCase{"redirect-loop", ELOOP, 0, "/names/origin_errors"},
                    LookCase{"redirect-ever-on", ELOOP, 0, "/names/origin_errors"},
                    LookCase{"redirect-file", EIO, 0, "/names/origin_errors"},
                    LookCase{"redirect-ftp", EIO, 0, "/names/origin_errors"},
                    LookCase{"redirect-nonsense", EIO, 0, "/names/origin_errors"},
                    LookCase{"list-page", 0, EOPNOTSUPP, "/names/origin_errors"},
                    LookCase{"list-refused", 0, EACCES, "/names/origin_errors"},
                    LookCase{"list-rubbish", 0, EOPNOTSUPP, "/names/origin_errors"},
                    LookCase{"list-binary", 0, 0, "/names/listings"},
                    LookCase{"list-json-rubbish", 0, EIO, "/names/origin_errors"},
                    LookCase{"list-too-many", 0, EFBIG, "/names/origin_errors"}),
    [](const auto& each) {
      std::string name = each.param.lie;
      std::erase(name, '-');
      return name;
    });

TEST_P(BadHttpLooks, AreAnsweredWithAClearErrnoAndCounted) {
  const LookCase& expected = GetParam();
  server_.act_as("healthy");
  mount_it(server_.url("any"), timeout_for(expected.stat_error));
  server_.act_as(expected.lie);
  EXPECT_EQ(stat_error(), expected.stat_error);
  EXPECT_EQ(list_error(), expected.list_error);
  EXPECT_GE(counter(expected.counter), 1U) << mount_->status().dump(2);
  server_.act_as("healthy");
  EXPECT_EQ(stat_error(), 0) << "nothing is left of it";
  EXPECT_EQ(list_names(mount_->path()).value(), std::vector<std::string>{"file"});
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_F(BadHttp, AListingByWebdavThatIsRubbishIsMadeUpForByThePage) {
  mount_it(server_.url("dav-cut"), "60s");
  EXPECT_EQ(said("listings"), "by WebDAV");
  const Result<std::vector<std::string>> names = list_names(mount_->path());
  ASSERT_TRUE(names.ok()) << names.error().message();
  EXPECT_EQ(names.value(), std::vector<std::string>{"file"});
  EXPECT_TRUE(is_right(read_all(file()).bytes));
  EXPECT_TRUE(mount_->says("it is listed by its page (said once)")) << mount_->log();
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_F(BadHttp, AListingOfWaysOutHasOnlyWhatLiesInIt) {
  mount_liar("list-evil");
  const Result<std::vector<std::string>> names = list_names(mount_->path());
  ASSERT_TRUE(names.ok()) << names.error().message();
  EXPECT_EQ(names.value(), std::vector<std::string>{"file"});
  EXPECT_GE(counter("names refused"), 7U) << "all but ../ and the first file";
}

TEST_F(BadHttp, AListingOfAMillionNamesIsReadToItsEnd) {
  mount_it(server_.url("list-million"), "60s");
  const Result<std::vector<std::string>> names = list_names(mount_->path());
  ASSERT_TRUE(names.ok()) << names.error().message();
  EXPECT_EQ(names.value().size(), 1'000'000U);
}

// What cannot be mounted.
class BadHttpMount : public BadHttp {
 protected:
  void expect_refused(const std::string& url, const std::vector<std::string>& options,
                      const std::vector<std::string>& words) {
    std::vector<std::string> argv = {netfs_binary(),        "mount",       url,
                                     temp_.make_dir("mnt"), "--cache-dir", temp_ / "cache",
                                     "--timeout",           timeout_for(0)};
    for (const std::string& option : options) argv.insert(argv.end(), {"-o", option});
    const Finished finished = run(argv, kBound);
    EXPECT_EQ(finished.status, kFailed) << finished.output;
    EXPECT_EQ(std::count(finished.output.begin(), finished.output.end(), '\n'), 1)
        << "one line: " << finished.output;
    for (const std::string& word : words) {
      EXPECT_NE(finished.output.find(word), std::string::npos)
          << "names '" << word << "': " << finished.output;
    }
    EXPECT_EQ(finished.output.find("guess"), std::string::npos) << "a secret: " << finished.output;
    EXPECT_EQ(::rmdir((temp_ / "mnt").c_str()), 0) << "something is mounted there";
  }
};

TEST_F(BadHttpMount, ThatIsRefusedByTheServerSaysWhatToDo) {
  const std::string secret = temp_ / "secret";
  write_file(secret, "guess\n");
  const auto refused = [&](const char* lie, const std::vector<std::string>& words) {
    expect_refused(server_.url(lie), {}, words);
  };
  refused("all-401", {"401", "give a login", "-o login=NAME,password_file=FILE", "bearer_file"});
  expect_refused(server_.url("all-401"), {"login=ann,password_file=" + secret},
                 {"401", "does not take the login"});
  refused("all-404", {"404", "check the path"});
  refused("all-429", {"429", "mount again later"});
  refused("all-503", {"503", "mount again later"});
  refused("all-500", {"500", "the server's own log"});
  server_.act_as("healthy");
  expect_refused(server_.url("healthy") + "file", {}, {"Not a directory"});
  server_.act_as("all-403");
  // Nobody listens on a port that was free a moment ago.
  const unsigned gone = FakeHttpServer().port();
  expect_refused("http://127.0.0.1:" + std::to_string(gone) + "/", {}, {"127.0.0.1", "connect"});
  // Of a URL with '/' at its end that is the word of servers that do not list a directory.
  const std::string url = server_.url("any") + "inner";
  expect_refused(url, {}, {"403", "without a login"});
  expect_refused(url, {"login=ann,password_file=" + secret}, {"403", "no right to this path"});
}

TEST_F(BadHttpMount, OfAServerThatIsNotBelievedSaysWhatToDo) {
  TestHttp http(temp_, {"nginx"});
  ASSERT_TRUE(http.ready()) << http.log();
  const std::string believed = "ca_cert=" + http.setting("HTTP_CA");
  const auto at = [&](const char* port) { return http.url(port, temp_.path() + "/", "https"); };
  expect_refused(at("HTTP_NGINX_HTTPS_PORT"), {}, {"give it: -o ca_cert=FILE"});
  expect_refused(at("HTTP_NGINX_HTTPS_PORT"), {"ca_cert=" + http.setting("HTTP_OTHER_CA")},
                 {"ca_cert=FILE"});
  expect_refused(at("HTTP_NGINX_EXPIRED_PORT"), {believed}, {"expired", "new certificate"});
  expect_refused(at("HTTP_NGINX_WRONGNAME_PORT"), {believed},
                 {"use the name that its certificate is for"});
  expect_refused(http.url("HTTP_NGINX_BASIC_PORT", temp_.path() + "/"), {},
                 {"401", "give a login"});
}

}  // namespace
}  // namespace netfs::test
