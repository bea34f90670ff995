// Goal: what only a real web server shows: logins, certificates, a proxy, HTTP/2, listings that are
// exact, a server that stands still. Method: nginx and Apache from tests/servers/http.sh.

#include "tests/origin-conformance/http_servers.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sanitizer.h"
#include "base/unique_fd.h"
#include "tests/support/far_host.h"
#include "tests/support/needs.h"
#include "tests/support/process.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kTimeout = kServerTimeout;

Deadline soon(Duration timeout = kTimeout) {
  return Deadline::after(Clock::system(), timeout);
}

TEST_F(HttpServers, BasicLoginComesFromAFileTheEnvironmentOrNetrc) {
  const std::string wrong = secret("wrong", "guess");
  const std::string right = secret("right", http_->setting("HTTP_PASSWORD"));
  const std::string line = "machine 127.0.0.1 login ann password ";
  const std::string netrc = secret("netrc", line + http_->setting("HTTP_PASSWORD"));
  const Variable password("NETFS_TEST_PASSWORD", http_->setting("HTTP_PASSWORD"));
  const Variable home("HOME", temp_->path());
  for (const char* port : {"HTTP_NGINX_BASIC_PORT", "HTTP_APACHE_BASIC_PORT"}) {
    expect_refused(open(port, {}), "401");
    expect_refused(open(port, {{"login", "ann"}, {"password_file", wrong}}), "401");
    expect_readable(open(port, {{"login", "ann"}, {"password_file", right}}));
    expect_readable(open(port, {{"login", "ann"}, {"password_env", "NETFS_TEST_PASSWORD"}}));
    expect_readable(open(port, {{"netrc", netrc}}));
    ::unlink((*temp_ / ".netrc").c_str());
    expect_refused(open(port, {{"netrc", "yes"}}), "401");
    secret(".netrc", line + http_->setting("HTTP_PASSWORD"));
    expect_readable(open(port, {{"netrc", "yes"}}));
  }
}

TEST_F(HttpServers, ABearerTokenIsSentAndWrongOnesAreRefused) {
  const std::string no = secret("no", "sesame");
  const std::string token = secret("token", http_->setting("HTTP_BEARER"));
  const OriginOptions named = {{"bearer_env", "NETFS_TEST_BEARER"}};
  for (const char* port : {"HTTP_NGINX_BEARER_PORT", "HTTP_APACHE_BEARER_PORT"}) {
    expect_refused(open(port, {}), "401");
    expect_refused(open(port, {{"bearer_file", no}}), "401");
    expect_readable(open(port, {{"bearer_file", token}}));
    const Variable wrong("NETFS_TEST_BEARER", "sesame");
    expect_refused(open(port, named), "401");
    const Variable right("NETFS_TEST_BEARER", http_->setting("HTTP_BEARER"));
    expect_readable(open(port, named));
  }
}

TEST_F(HttpServers, OptionsThatMakeNoSenseAreRefusedInASentence) {
  const std::string two_lines = secret("lines", "xyzzy\tplugh");
  const std::string file = secret("some", "xyzzy");
  const struct {
    OriginOptions options;
    int code;
    const char* words;
  } cases[] = {
      {{{"login", "ann"}}, EINVAL, "password_file"},
      {{{"password_file", file}}, EINVAL, "login"},
      {{{"login", "ann"}, {"password_file", file}, {"bearer_file", file}}, EINVAL, "one way"},
      {{{"login", "ann"}, {"password_file", *temp_ / "none"}}, ENOENT, "No such file"},
      {{{"bearer_file", two_lines}}, EINVAL, "one line"},
      {{{"bearer_env", "NETFS_TEST_NO_SUCH"}}, EINVAL, "variable"},
      {{{"key", file}}, EINVAL, "cert"},
      {{{"connections", "0"}}, EINVAL, "1 to 64"},
      {{{"user_agent", "a\nb"}}, EINVAL, "user_agent"}};
  for (const auto& c : cases) {
    const Result<std::unique_ptr<Origin>> origin = open("HTTP_NGINX_HTML_PORT", c.options);
    ASSERT_TRUE(origin.is_error(c.code)) << c.words << " " << origin.code();
    EXPECT_NE(origin.error().message().find(c.words), std::string::npos)
        << origin.error().message();
    EXPECT_EQ(origin.error().message().find("xyzzy"), std::string::npos);
  }
}

TEST_F(HttpServers, OnlyCertificatesOfTheGivenCaForThatNameAndTimeAreBelieved) {
  for (const std::string server : {"HTTP_NGINX", "HTTP_APACHE"}) {
    const std::string port = server + "_HTTPS_PORT";
    const Result<std::unique_ptr<Origin>> origin = open_tls(port, {});
    expect_readable(origin);
    ASSERT_TRUE(origin.ok()) << server;
    EXPECT_EQ(status_of(*origin.value(), "protocol"), "HTTP/2") << server;
    expect_refused(open(port, {}, "https"), "certificate");
    expect_refused(open_tls(port, {{"ca_cert", http_->setting("HTTP_OTHER_CA")}}), "certificate");
    expect_refused(open_tls(server + "_EXPIRED_PORT", {}), "expired");
    expect_refused(open_tls(server + "_WRONGNAME_PORT", {}), "127.0.0.1");
  }
}

TEST_F(HttpServers, AClientCertificateOpensWhatAsksForOne) {
  const OriginOptions certificate = {{"cert", http_->setting("HTTP_CLIENT_CERT")},
                                     {"key", http_->setting("HTTP_CLIENT_KEY")}};
  for (const char* port : {"HTTP_NGINX_CLIENTCERT_PORT", "HTTP_APACHE_CLIENTCERT_PORT"}) {
    EXPECT_FALSE(open_tls(port, {}).ok()) << port;
    expect_readable(open_tls(port, certificate));
  }
}

// nginx answers 400.  Of Apache the connection ends, and it may have done so before its word on why
// was read.
TEST_F(HttpServers, WhoHasNoClientCertificateIsToldToGiveOne) {
  std::string told;
  const auto is_told = [&] {
    const Result<std::unique_ptr<Origin>> origin = open_tls("HTTP_APACHE_CLIENTCERT_PORT", {});
    if (!origin.ok()) told = origin.error().message();
    return origin.is_error(EACCES) && told.find("-o cert=FILE") != std::string::npos;
  };
  EXPECT_TRUE(wait_until(is_told, kTimeout)) << told;
}

// A read goes on once the server has time again; who has no time to wait hears of it at once.
TEST_F(HttpServers, ABusyServerIsAskedAgainAfterTheTimeThatItSays) {
  struct Reader {
    std::unique_ptr<Origin> origin;
    std::unique_ptr<OriginFile> file;
    std::unique_ptr<TestRead> read{};
  };
  const std::string bytes = pattern(2, 0, 100'000);
  write_file(*temp_ / "wanted", bytes);
  std::vector<Reader> readers;
  for (const char* port : {"HTTP_NGINX_BUSY_PORT", "HTTP_APACHE_BUSY_PORT"}) {
    Result<std::unique_ptr<Origin>> origin = open(port, {});
    ASSERT_TRUE(origin.ok()) << origin.error().message();
    Result<std::unique_ptr<OriginFile>> file = origin.value()->open("wanted", soon());
    ASSERT_TRUE(file.ok()) << file.error().message();
    readers.push_back({std::move(origin).value(), std::move(file).value()});
  }
  write_file(*temp_ / "wanted.busy", "");
  const MonoTime began = Clock::system().now();
  for (Reader& one : readers) {
    constexpr std::chrono::milliseconds kShort{500};
    EXPECT_TRUE(one.origin->stat("wanted", soon(kShort)).is_error(EAGAIN));
    one.read = std::make_unique<TestRead>(*one.file, ByteRange{0, bytes.size()}, soon());
    one.origin->issue_read(*one.read);
  }
  for (Reader& one : readers) {
    const auto told = [&] { return std::stoi(status_of(*one.origin, "busy answers")) >= 2; };
    EXPECT_TRUE(wait_until(told, kTimeout)) << status_of(*one.origin, "server");
  }
  ::unlink((*temp_ / "wanted.busy").c_str());
  for (Reader& one : readers) {
    const std::optional<ReadOutcome> outcome = one.read->wait(kTimeout);
    ASSERT_TRUE(outcome);
    EXPECT_TRUE(outcome->transferred_bytes.ok()) << outcome->transferred_bytes.code();
    EXPECT_TRUE(one.read->bytes() == bytes);
    EXPECT_GE(Clock::system().now() - began, std::chrono::seconds(1)) << "Retry-After says so";
  }
  for (Reader& one : readers) one.file = nullptr;
}

// The system's folder of CAs, in a name space of its own, holds the server's CA: with `ca_cert`
// naming another one the server is not believed all the same.
TEST_F(HttpServers, ACaFileTakesThePlaceOfTheSystemsCas) {
  NETFS_TEST_NEEDS(root());
  const std::string cas = temp_->make_dir("cas");
  const std::string ca = http_->setting("HTTP_CA");
  // Beside the folder libcurl looks at one file in it.
  const std::string link = "cp " + http_->setting("HTTP_OTHER_CA") + " " + cas +
                           "/ca-certificates.crt && ln -s " + ca + " " + cas +
                           "/$(openssl x509 -hash -noout -in " + ca + ").0";
  ASSERT_EQ(run({"sh", "-c", link}, kTimeout).status, 0);
  const std::string read =
      "mount --bind " + cas + " /etc/ssl/certs && exec " + std::string(NETFS_TEST_ORIGIN_READ) +
      " " + http_->url("HTTP_NGINX_HTTPS_PORT", temp_->path() + "/", "https") + " file";
  const Finished by_folder = run({"unshare", "-m", "sh", "-c", read}, kTimeout);
  EXPECT_EQ(by_folder.status, 0) << "the folder is not looked at: " << by_folder.output;
  const std::string other = " ca_cert=" + http_->setting("HTTP_OTHER_CA");
  const Finished by_file = run({"unshare", "-m", "sh", "-c", read + other}, kTimeout);
  EXPECT_EQ(by_file.status, 1) << by_file.output;
  EXPECT_NE(by_file.output.find("certificate"), std::string::npos) << by_file.output;
}

TEST_F(HttpServers, TheEnvironmentsProxyIsUsed) {
  const std::string proxy = http_->url("HTTP_NGINX_PROXY_PORT", "");
  const size_t before = read_text(http_->setting("HTTP_NGINX_ACCESS")).size();
  {
    const Variable variable("http_proxy", proxy);
    expect_readable(open("HTTP_NGINX_HTML_PORT", {}));
  }
  const std::string by_proxy = http_->setting("HTTP_NGINX_PROXY_PORT") + " GET ";
  std::string log;
  // nginx writes its line once it is done with the answer.
  const auto is_written = [&] {
    log = read_text(http_->setting("HTTP_NGINX_ACCESS")).substr(before);
    return log.find(by_proxy) != std::string::npos;
  };
  EXPECT_TRUE(wait_until(is_written, kTimeout)) << log;
}

TEST_F(HttpServers, ARootThatIsLedToItsHttpsSideIsReadThereAndNotInClear) {
  const std::string root = http_->url("HTTP_NGINX_UPGRADE_PORT", temp_->path());
  origins::OriginRequest request{.url = MUST(origins::Url::parse(root))};
  request.options["ca_cert"] = http_->setting("HTTP_CA");
  request.timeout = kTimeout;
  const Result<std::unique_ptr<Origin>> origin = origins::open_origin(request);
  expect_readable(origin);
  EXPECT_EQ(status_of(*origin.value(), "server"),
            http_->url("HTTP_NGINX_HTTPS_PORT", temp_->path() + "/", "https"));
}

TEST_F(HttpServers, HttpsIsNeverLedToHttp) {
  const Result<std::unique_ptr<Origin>> origin = open_tls("HTTP_NGINX_DOWNGRADE_PORT", {});
  ASSERT_TRUE(origin.is_error(EIO)) << origin.code();
  EXPECT_NE(origin.error().message().find("leads on to http:, where https:"), std::string::npos)
      << origin.error().message();
}

TEST_F(HttpServers, AFileThatIsSentCompressedAllTheSameIsRefusedInASentenceAndOthersAreNot) {
  write_file(*temp_ / "packed", "twelve bytes");
  write_file(*temp_ / "packed.gz", "\x1f\x8b and so on");
  const Result<std::unique_ptr<Origin>> origin = open("HTTP_NGINX_GZIP_PORT", {});
  expect_readable(origin);
  const Result<std::string> read = read_file(*origin.value(), "packed");
  ASSERT_TRUE(read.is_error(EIO)) << read.code();
  EXPECT_NE(read.error().message().find("gzip"), std::string::npos) << read.error().message();
}

TEST_F(HttpServers, AJsonListingIsBelievedOnceOneOfItsFilesWasComparedAndAsksForNoOther) {
  const std::string dir = temp_->make_dir("json");
  for (int i = 0; i < 200; ++i) write_file(dir + "/" + std::to_string(i), std::string(i, 'x'));
  const Result<std::unique_ptr<Origin>> origin = open("HTTP_NGINX_JSON_PORT", {});
  ASSERT_TRUE(origin.ok()) << origin.error().message();
  EXPECT_EQ(origin.value()->listings_ahead(), 2U) << "nobody knows yet";
  const int64_t before = std::stoll(status_of(*origin.value(), "requests"));
  unsigned known = 0;
  const Result<void> listed =
      origin.value()->list("json", soon(), [&](const OriginEntry& entry) -> Result<void> {
        known += entry.info.attributes.size_bytes == std::stoull(entry.name) &&
                 entry.info.attributes.type == FileType::kRegular;
        return {};
      });
  ASSERT_TRUE(listed.ok()) << listed.error().message();
  EXPECT_EQ(known, 200U);
  EXPECT_EQ(std::stoll(status_of(*origin.value(), "requests")) - before, 2);
  EXPECT_EQ(origin.value()->listings_ahead(), 16U);
}

TEST_F(HttpServers, ADirectoryWithoutListingIsSaidToHaveNoneAndItsFilesAreFound) {
  const Result<std::unique_ptr<Origin>> origin = open("HTTP_NGINX_BARE_PORT", {});
  expect_readable(origin);
  const auto ignore = [](const OriginEntry&) -> Result<void> { return {}; };
  EXPECT_TRUE(origin.value()->list("", soon(), ignore).is_error(EACCES));
}

TEST_F(HttpServers, AServerThatStandsStillTimesOutAndANewConnectionServesAgain) {
  for (const char* port : {"HTTP_NGINX_HTTPS_PORT", "HTTP_NGINX_HTML_PORT"}) {
    const bool tls = std::string(port) == "HTTP_NGINX_HTTPS_PORT";
    Result<std::unique_ptr<Origin>> origin = tls ? open_tls(port, {}) : open(port, {});
    expect_readable(origin);
    const std::string script = std::string(NETFS_TEST_SERVERS) + "/http.sh";
    const auto control = [&](const std::string& what) {
      const Finished done = run({"env", "SERVERS_DIR=" + (*temp_ / "web"), script, what}, kTimeout);
      EXPECT_EQ(done.status, 0) << done.output;
    };
    control("pause");
    const MonoTime began = Clock::system().now();
    EXPECT_TRUE(origin.value()->stat("file", soon(std::chrono::seconds(1))).is_error(ETIMEDOUT));
    EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(5));
    control("resume");
    const Result<NodeInfo> again = origin.value()->stat("file", soon());
    EXPECT_TRUE(again.ok()) << port << ": " << again.error().message();
    expect_readable(origin);
  }
}

// The peer of an HTTP/2 connection is gone without a word: who has sent something there hears of it
// long before his deadline, and the next request is served by a new connection.
TEST_F(HttpServers, ABlackHoleIsNoticedBeforeTheDeadlineAndANewConnectionServesAgain) {
  NETFS_TEST_NEEDS(root());
  NETFS_TEST_NEEDS(program("ip"));
  FarHost far;
  NETFS_TEST_NEEDS(far.works() ? "" : "network name spaces");
  const TestHttp http(*temp_, {"nginx"}, {far.name_space(), far.address()});
  ASSERT_TRUE(http.ready()) << http.log();
  origins::OriginRequest request{.url = MUST(origins::Url::parse(http.url(
                                     "HTTP_NGINX_HTTPS_PORT", temp_->path() + "/", "https")))};
  request.options["ca_cert"] = http.setting("HTTP_CA");
  request.timeout = std::chrono::seconds(2);
  const Result<std::unique_ptr<Origin>> origin = origins::open_origin(request);
  expect_readable(origin);
  EXPECT_EQ(status_of(*origin.value(), "protocol"), "HTTP/2");
  Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon());
  ASSERT_TRUE(file.ok()) << file.error().message();
  ASSERT_TRUE(far.vanish());
  const MonoTime began = Clock::system().now();
  TestRead read(*file.value(), {0, 100'000}, soon(std::chrono::seconds(60)));
  origin.value()->issue_read(read);
  const std::optional<ReadOutcome> outcome = read.wait(std::chrono::seconds(70));
  ASSERT_TRUE(outcome);
  // Of the connection, or of libcurl's second try to get one.
  const int code = outcome->transferred_bytes.code();
  EXPECT_TRUE(code == ECONNRESET || code == ENOTCONN) << code;
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(20));
  ASSERT_TRUE(far.come_back());
  const Result<NodeInfo> again = origin.value()->stat("file", soon(std::chrono::seconds(30)));
  EXPECT_TRUE(again.ok()) << again.error().message();
  file.value() = nullptr;
}

// A name server that never answers, in a name space of its own: neither the mount's first look nor
// the end of the process waits for the look-up of the name.
TEST_F(HttpServers, ANameThatIsNeverLookedUpHoldsUpNothing) {
#if NETFS_THREAD_SANITIZER
  GTEST_SKIP() << "SKIPPED: ThreadSanitizer does not bear the thread that libcurl leaves behind at "
                  "the end of the process";
#endif
  NETFS_TEST_NEEDS(root());
  const UniqueFd silent(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(53);
  ASSERT_EQ(::inet_pton(AF_INET, "127.0.0.97", &address.sin_addr), 1);
  ASSERT_EQ(::bind(silent.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  write_file(*temp_ / "resolv", "nameserver 127.0.0.97\noptions timeout:30 attempts:5\n");
  const MonoTime began = Clock::system().now();
  const Finished read = run({"unshare", "-m", "sh", "-c",
                             "touch /etc/resolv.conf; mount --bind " + (*temp_ / "resolv") +
                                 " /etc/resolv.conf && exec " + NETFS_TEST_ORIGIN_READ +
                                 " http://no-such-host.example/ file timeout=2"},
                            std::chrono::seconds(30));
  EXPECT_EQ(read.status, 1) << read.output;
  EXPECT_NE(read.output.find("timed out"), std::string::npos) << read.output;
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(10));
}

}  // namespace
}  // namespace netfs::test
