// Goal: a mount goes by the proxy that the environment names, and by none where it names none.
// Method: Apache as a forward proxy before nginx, with and without TLS; what it wrote down.

#include <cstdlib>
#include <map>
#include <string>

#include "tests/mount/http_fixture.h"

namespace netfs::test {
namespace {

constexpr const char* kVariables[] = {"http_proxy", "https_proxy", "all_proxy", "no_proxy",
                                      "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"};

enum class By { kNone, kGet, kConnect };

struct Environment {
  const char* name;
  const char* scheme;
  // PROXY stands for the proxy's URL.
  std::map<std::string, std::string> variables;
  By by;
};

class HttpProxy : public testing::TestWithParam<Environment> {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    ASSERT_EQ(::chmod(temp_.path().c_str(), 0755), 0);
    http_ = std::make_unique<TestHttp>(temp_, std::vector<std::string>{"nginx", "apache"});
    ASSERT_TRUE(http_->ready()) << http_->log();
    // Of the machine, too.
    for (const char* name : kVariables) {
      if (const char* value = std::getenv(name)) before_[name] = value;
      ::unsetenv(name);
    }
    for (const auto& [name, value] : GetParam().variables) {
      const std::string proxy = http_->url("HTTP_APACHE_PROXY_PORT", "");
      ::setenv(name.c_str(), (value == "PROXY" ? proxy : value).c_str(), 1);
    }
  }
  void TearDown() override {
    for (const char* name : kVariables) ::unsetenv(name);
    for (const auto& [name, value] : before_) ::setenv(name.c_str(), value.c_str(), 1);
  }

  void ask_the_proxy(const std::string& url) const {
    const std::string port = http_->setting("HTTP_APACHE_PROXY_PORT");
    const Finished asked = run({"bash", "-c",
                                "exec 3<>/dev/tcp/127.0.0.1/" + port + " && printf 'GET " + url +
                                    " HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3"},
                               kSoon);
    EXPECT_EQ(asked.status, 0) << asked.output;
  }

  TempDir temp_;
  std::unique_ptr<TestHttp> http_;
  std::map<std::string, std::string> before_;
};

INSTANTIATE_TEST_SUITE_P(
    Variables, HttpProxy,
    testing::Values(
        Environment{"http", "http", {{"http_proxy", "PROXY"}}, By::kGet},
        Environment{"https", "https", {{"https_proxy", "PROXY"}}, By::kConnect},
        Environment{"all_of_http", "http", {{"all_proxy", "PROXY"}}, By::kGet},
        Environment{"all_of_https", "https", {{"all_proxy", "PROXY"}}, By::kConnect},
        Environment{"https_in_capitals", "https", {{"HTTPS_PROXY", "PROXY"}}, By::kConnect},
        Environment{"none_for_the_host",
                    "http",
                    {{"http_proxy", "PROXY"}, {"no_proxy", "localhost,127.0.0.1"}},
                    By::kNone},
        Environment{"none_for_the_host_by_https",
                    "https",
                    {{"https_proxy", "PROXY"}, {"no_proxy", "127.0.0.1"}},
                    By::kNone},
        Environment{"all_in_capitals", "http", {{"ALL_PROXY", "PROXY"}}, By::kGet},
        Environment{"none_in_capitals",
                    "http",
                    {{"http_proxy", "PROXY"}, {"NO_PROXY", "127.0.0.1"}},
                    By::kNone},
        Environment{"none_for_another_host",
                    "http",
                    {{"http_proxy", "PROXY"}, {"no_proxy", "example.org"}},
                    By::kGet},
        Environment{"of_the_other_scheme", "https", {{"http_proxy", "PROXY"}}, By::kNone},
        // A web server sets it from a request's field "Proxy:" for what it runs.
        Environment{"http_in_capitals", "http", {{"HTTP_PROXY", "PROXY"}}, By::kNone}),
    [](const auto& each) { return each.param.name; });

TEST_P(HttpProxy, OfTheEnvironmentIsUsedWhereItIsMeantAndNowhereElse) {
  const std::string tree = temp_.make_dir("tree");
  ASSERT_EQ(::chmod(tree.c_str(), 0755), 0);
  write_file(tree + "/file", pattern(1, 0, 300'000), std::chrono::hours(2));
  const bool tls = GetParam().scheme == std::string("https");
  const std::string port = tls ? "HTTP_NGINX_HTTPS_PORT" : "HTTP_NGINX_HTML_PORT";
  NetfsMount::Options options{.url = http_->url(port, tree + "/", GetParam().scheme),
                              .cache_dir = temp_ / "cache",
                              .more = {}};
  if (tls) options.more = {"-o", "ca_cert=" + http_->setting("HTTP_CA")};
  NetfsMount mount(options, temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const Watchdog watchdog(kBound, [&] { mount.abort(); });
  EXPECT_TRUE(same_bytes(mount.path() + "/file", tree + "/file"));
  // The lines of tunnels are written when they end.
  ASSERT_TRUE(mount.unmount()) << mount.log();
  const auto proxied = [&] { return read_text(http_->setting("HTTP_APACHE_PROXIED")); };
  const std::string server = "127.0.0.1:" + http_->setting(port);
  switch (GetParam().by) {
    case By::kNone:
      // Whatever came before one of ours is written down before it.
      ask_the_proxy("http://" + server + "/last");
      EXPECT_TRUE(wait_until([&] { return proxied().find("/last") != std::string::npos; }, kSoon));
      EXPECT_EQ(proxied(), "GET http://" + server + "/last HTTP/1.0\n");
      break;
    case By::kGet:
      EXPECT_TRUE(wait_until(
          [&] {
            return proxied().find("GET http://" + server + tree + "/file HTTP/1.1") !=
                   std::string::npos;
          },
          kSoon))
          << proxied();
      break;
    case By::kConnect:
      EXPECT_TRUE(wait_until(
          [&] { return proxied().find("CONNECT " + server + " HTTP/1.1") != std::string::npos; },
          kSoon))
          << proxied();
      EXPECT_EQ(proxied().find("GET"), std::string::npos) << "the proxy sees no request";
      break;
  }
}

}  // namespace
}  // namespace netfs::test
