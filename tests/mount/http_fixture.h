#pragma once
// What the tests of a mount over HTTP share: real web servers, a tree that they serve, a mount of
// it, and what the servers wrote down of the requests for it.

#include <chrono>
#include <gtest/gtest.h>
#include <memory>
#include <sstream>
#include <string>
#include <sys/stat.h>
#include <vector>

#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_http.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {

inline constexpr std::chrono::seconds kBound{150};
inline constexpr std::chrono::seconds kSoon{30};

struct Web {
  const char* name;
  const char* port;
};

// A line of a server's access log, as http.sh has it written.
struct WebRequest {
  std::string method;
  std::string uri;
  std::string status;
  std::string if_range;    // quoted
  std::string connection;  // the client's port
  std::string protocol;
};

class WebMount : public testing::TestWithParam<Web> {
 protected:
  static void SetUpTestSuite() {
    if (!root().empty() || !fuse().empty()) return;
    shared_ = std::make_unique<TempDir>();
    http_ =
        std::make_unique<TestHttp>(*shared_, std::vector<std::string>{"nginx", "apache", "python"});
  }
  static void TearDownTestSuite() {
    http_.reset();
    shared_.reset();
  }
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    ASSERT_EQ(::chmod(temp_.path().c_str(), 0755), 0);
    tree_ = temp_.make_dir("tree");
    ASSERT_EQ(::chmod(tree_.c_str(), 0755), 0);
    ASSERT_TRUE(http_->ready()) << http_->log();
  }

  // Its kind.
  [[nodiscard]] static std::string server() {
    const std::string name = GetParam().name;
    return name.substr(0, name.find('_'));
  }
  [[nodiscard]] static bool is_tls() {
    return std::string(GetParam().port).ends_with("HTTPS_PORT");
  }
  void mount_it(std::vector<std::string> more) {
    more.insert(more.end(), {"--hot", "0s"});
    if (is_tls()) more.insert(more.end(), {"-o", "ca_cert=" + http_->setting("HTTP_CA")});
    mount_.reset();
    mount_ = std::make_unique<NetfsMount>(
        NetfsMount::Options{
            .url = http_->url(GetParam().port, tree_ + "/", is_tls() ? "https" : "http"),
            .cache_dir = temp_ / "cache",
            .more = std::move(more)},
        temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }
  [[nodiscard]] std::string at(const std::string& name) const {
    return mount_->path() + "/" + name;
  }

  // What was asked for below the tree so far; not of Python's server.
  [[nodiscard]] std::vector<WebRequest> requests() const {
    const std::string log = server() == "apache" ? "HTTP_APACHE_ACCESS" : "HTTP_NGINX_ACCESS";
    std::istringstream lines(read_text(http_->setting(log)));
    std::vector<WebRequest> found;
    for (std::string line; std::getline(lines, line);) {
      std::istringstream fields(line);
      WebRequest one;
      std::string port;
      std::string range;
      std::string bytes;
      fields >> port >> one.method >> one.uri >> one.status >> range >> one.if_range >> bytes >>
          one.connection >> one.protocol;
      if (one.uri.starts_with(tree_ + "/")) found.push_back(one);
    }
    return found;
  }
  // A number that the origin of the mount says of itself.
  [[nodiscard]] long of_origin(const std::string& name) const {
    const nlohmann::json status = mount_->status();
    for (const auto& word : status["mounts"][0]["origin"]) {
      if (word["name"] == name) return std::stol(word["value"].get<std::string>());
    }
    return -1;
  }
  [[nodiscard]] long sent() const { return of_origin("requests"); }
  // As much memory as the process that serves has had at a time is less than that.
  void expect_peak_below(long bytes) const {
    const std::string status = read_text("/proc/" + std::to_string(mount_->worker()) + "/status");
    const size_t at = status.find("VmHWM:");
    ASSERT_NE(at, std::string::npos) << status;
    const long peak = std::stol(status.substr(at + 6)) * 1024;
    ASSERT_GT(peak, 0);
    EXPECT_LT(peak, bytes);
  }

  // Servers of all tests of a suite, which start slowly.
  inline static std::unique_ptr<TempDir> shared_;
  inline static std::unique_ptr<TestHttp> http_;
  TempDir temp_;
  std::string tree_;
  std::unique_ptr<NetfsMount> mount_;
  const Watchdog watchdog_{kBound, [this] { abort_mount(temp_ / "mnt"); }};
};

}  // namespace netfs::test
