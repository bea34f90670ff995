// Goal: WebDAV lists as well over TLS, with a login and by way of a proxy.  Method: Apache's
// mod_dav and nginx from tests/servers/http.sh, and what they wrote down.

#include <filesystem>
#include <map>

#include "tests/origin-conformance/http_servers.h"
#include "tests/support/needs.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

// With the servers of that suite, which start slowly.
class WebdavTree : private HttpServers {
 public:
  // Empty, or what is missing.
  static std::string make() {
    if (http_->setting("HTTP_APACHE_DAVS_PORT").empty()) return "Apache with mod_dav";
    std::filesystem::create_directories(path() + "/inner");
    for (unsigned i = 0; i < kFiles; ++i) {
      write_file(path() + "/" + std::to_string(i), pattern(i, 0, 1000 + i), std::chrono::hours(2));
    }
    return "";
  }
  static std::string path() { return *temp_ / "tree"; }
  static OriginOptions login() {
    return {{"login", http_->setting("HTTP_USER")},
            {"password_file", secret("dav_password", http_->setting("HTTP_PASSWORD"))}};
  }
  // All there is, with what is known of it without another look.
  static void expect_listed(const Result<std::unique_ptr<Origin>>& origin) {
    ASSERT_TRUE(origin.ok()) << origin.error().message();
    EXPECT_EQ(status_of(*origin.value(), "listings"), "by WebDAV");
    std::map<std::string, NodeInfo> found;
    const Result<void> listed =
        origin.value()->list("tree", Deadline::within(kServerTimeout), [&](OriginEntry entry) {
          found.emplace(std::move(entry.name), entry.info);
          return Result<void>();
        });
    ASSERT_TRUE(listed.ok()) << listed.error().message();
    ASSERT_EQ(found.size(), kFiles + 1);
    EXPECT_EQ(found.at("inner").attributes.type, FileType::kDirectory);
    for (unsigned i = 0; i < kFiles; ++i) {
      EXPECT_EQ(found.at(std::to_string(i)).attributes.size_bytes, 1000 + i);
    }
    const Result<std::string> read = read_file(*origin.value(), "tree/3");
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_TRUE(read.value() == pattern(3, 0, 1003));
  }
  // What is written to a log from now on.
  class Written {
   public:
    explicit Written(const std::string& setting)
        : path_(http_->setting(setting)), before_(read_text(path_).size()) {}
    [[nodiscard]] std::string now() const { return read_text(path_).substr(before_); }
    [[nodiscard]] bool has(const std::string& words) const {
      return wait_until([&] { return now().find(words) != std::string::npos; }, kServerTimeout);
    }

   private:
    const std::string path_;
    const size_t before_;
  };

 private:
  static constexpr unsigned kFiles = 5;
};

TEST_F(HttpServers, WebdavListsADirectoryByOneRequestOverTlsAndWithALogin) {
  NETFS_TEST_NEEDS(WebdavTree::make());
  const std::string tree = WebdavTree::path();
  const WebdavTree::Written log("HTTP_APACHE_ACCESS");
  expect_refused(open_tls("HTTP_APACHE_DAVS_PORT", {}), "401");
  const Result<std::unique_ptr<Origin>> origin =
      open_tls("HTTP_APACHE_DAVS_PORT", WebdavTree::login());
  WebdavTree::expect_listed(origin);
  ASSERT_TRUE(origin.ok());
  EXPECT_EQ(status_of(*origin.value(), "protocol"), "HTTP/2");
  const std::string port = http_->setting("HTTP_APACHE_DAVS_PORT");
  EXPECT_TRUE(log.has(port + " PROPFIND " + tree + "/ 207 ")) << log.now();
  EXPECT_TRUE(log.has(port + " GET " + tree + "/3 ")) << log.now();
  EXPECT_EQ(log.now().find("GET " + tree + "/ "), std::string::npos) << log.now();
}

TEST_F(HttpServers, AProxyIsAskedToPassWebdavOn) {
  NETFS_TEST_NEEDS(WebdavTree::make());
  const Variable variable("http_proxy", http_->url("HTTP_APACHE_PROXY_PORT", ""));
  for (const char* port : {"HTTP_APACHE_DAV_PORT", "HTTP_NGINX_DAV_PORT"}) {
    if (http_->setting(port).empty()) continue;  // nginx's comes with another package
    const WebdavTree::Written proxied("HTTP_APACHE_PROXIED");
    WebdavTree::expect_listed(open(port, {}));
    const std::string line = "PROPFIND " + http_->url(port, WebdavTree::path() + "/") + " HTTP/1.1";
    EXPECT_TRUE(proxied.has(line)) << proxied.now();
  }
}

TEST_F(HttpServers, AProxySeesATunnelAndNoRequestOfWebdavOverTls) {
  NETFS_TEST_NEEDS(WebdavTree::make());
  const Variable variable("https_proxy", http_->url("HTTP_APACHE_PROXY_PORT", ""));
  const WebdavTree::Written proxied("HTTP_APACHE_PROXIED");
  WebdavTree::expect_listed(open_tls("HTTP_APACHE_DAVS_PORT", WebdavTree::login()));
  // It writes the line of a tunnel once that has ended.
  EXPECT_TRUE(proxied.has("CONNECT 127.0.0.1:" + http_->setting("HTTP_APACHE_DAVS_PORT")))
      << proxied.now();
  EXPECT_EQ(proxied.now().find("PROPFIND"), std::string::npos) << proxied.now();
}

}  // namespace
}  // namespace netfs::test
