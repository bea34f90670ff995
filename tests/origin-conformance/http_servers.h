#pragma once
// What the tests of origins over real web servers share: nginx and Apache of tests/servers/http.sh,
// which serve `file`, and ways to open them.

#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>

#include "origins/module_loader.h"
#include "tests/origin-conformance/reads.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_http.h"
#include "tests/support/tree.h"

namespace netfs::test {

using origins::OriginOptions;

inline constexpr std::chrono::seconds kServerTimeout{10};

// A variable of the environment, for as long as the object lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    ::setenv(name, value.c_str(), 1);
  }
  ~Variable() {
    if (before_) ::setenv(name_, before_->c_str(), 1);
    if (!before_) ::unsetenv(name_);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* const name_;
  std::optional<std::string> before_;
};

class HttpServers : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // Of the machine: the tests say themselves which proxy there is.
    for (const char* name : {"http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY",
                             "no_proxy", "NO_PROXY"}) {
      ::unsetenv(name);
    }
    temp_ = new TempDir;
    http_ = new TestHttp(*temp_, {"nginx", "apache"});
    write_file(*temp_ / "file", pattern(1, 0, kBytes));
  }
  static void TearDownTestSuite() {
    delete http_;
    delete temp_;
  }
  void SetUp() override { ASSERT_TRUE(http_->ready()) << http_->log(); }

  static Result<std::unique_ptr<Origin>> open(const std::string& port, const OriginOptions& options,
                                              const std::string& scheme = "http",
                                              Duration timeout = kServerTimeout) {
    origins::OriginRequest request{
        .url = TRY(origins::Url::parse(http_->url(port, temp_->path() + "/", scheme)))};
    request.options = options;
    request.timeout = timeout;
    return origins::open_origin(request);
  }
  static Result<std::unique_ptr<Origin>> open_tls(const std::string& port, OriginOptions options) {
    options.emplace("ca_cert", http_->setting("HTTP_CA"));
    return open(port, options, "https");
  }
  static void expect_readable(const Result<std::unique_ptr<Origin>>& origin) {
    ASSERT_TRUE(origin.ok()) << origin.error().message();
    const Result<std::string> read = read_file(*origin.value(), "file");
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_TRUE(read.value() == pattern(1, 0, kBytes));
  }
  static void expect_refused(const Result<std::unique_ptr<Origin>>& origin,
                             const std::string& words) {
    ASSERT_TRUE(origin.is_error(EACCES)) << origin.code();
    EXPECT_NE(origin.error().message().find(words), std::string::npos) << origin.error().message();
  }
  static std::string secret(const std::string& name, const std::string& text) {
    std::ofstream(*temp_ / name) << text << "\n";
    return *temp_ / name;
  }
  static std::string status_of(const Origin& origin, const std::string& name) {
    for (const auto& [key, value] : origin.status()) {
      if (key == name) return value;
    }
    return "";
  }

  static constexpr uint64_t kBytes = 3'000'000;
  inline static TempDir* temp_ = nullptr;
  inline static TestHttp* http_ = nullptr;
};

}  // namespace netfs::test
