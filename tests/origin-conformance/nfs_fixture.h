#pragma once
// Nfs: a real NFS server for each test, and how what it is asked goes on when it is not there.

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <utility>

#include "origins/module_loader.h"
#include "sync/thread.h"
#include "tests/origin-conformance/reads.h"
#include "tests/support/needs.h"
#include "tests/support/test_nfs.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"

namespace netfs::test {

inline constexpr std::chrono::seconds kPatience{30};
inline constexpr uint64_t kBytes = 24'000'000;

class Nfs : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(TestNfs::needs());
    nfs_ = std::make_unique<TestNfs>(temp_);
    ASSERT_TRUE(nfs_->ready()) << nfs_->log();
    tree_ = temp_.make_dir("tree");
  }

  [[nodiscard]] static Deadline soon() { return Deadline::after(Clock::system(), kPatience); }
  [[nodiscard]] origins::OriginRequest request() const { return request(nfs_->url(tree_)); }
  [[nodiscard]] static origins::OriginRequest request(const std::string& url) {
    return {.url = MUST(origins::Url::parse(url)), .timeout = std::chrono::seconds(10)};
  }
  static std::unique_ptr<Origin> open(const origins::OriginRequest& request) {
    Result<std::unique_ptr<Origin>> origin = origins::open_origin(request);
    EXPECT_TRUE(origin.ok()) << origin.error().message();
    return origin.ok() ? std::move(origin).value() : nullptr;
  }
  static std::string refusal(const origins::OriginRequest& request, int code) {
    const Result<std::unique_ptr<Origin>> origin = origins::open_origin(request);
    EXPECT_TRUE(origin.is_error(code)) << origin.code();
    return origin.ok() ? "" : origin.error().message();
  }
  // As the library reads: what fails because the server is away is asked for again.
  static std::string read_persistently(Origin& origin, OriginFile& file) {
    std::string bytes;
    const MonoTime until = Clock::system().now() + kPatience;
    while (bytes.size() < kBytes && Clock::system().now() < until) {
      const uint64_t piece = std::min<uint64_t>(700'000, kBytes - bytes.size());
      const Result<ReadBytes> read = read_range(origin, file, {bytes.size(), piece}, kPatience);
      if (read.ok()) {
        bytes += read.value().bytes;
        continue;
      }
      EXPECT_TRUE(read.is_error(ENOTCONN) || read.is_error(ETIMEDOUT)) << read.code();
      (void)wait_until([&] { return !is_down(origin); }, kPatience);
    }
    return bytes;
  }
  static std::string field(const Origin& origin, const std::string& name) {
    for (const auto& [key, value] : origin.status()) {
      if (key == name) return value;
    }
    return "";
  }

  static bool is_down(const Origin& origin) {
    return field(origin, "connections").starts_with("0 of");
  }
  void start_when_down(const Origin& origin) {
    EXPECT_TRUE(wait_until([&] { return is_down(origin); }, kPatience));
    EXPECT_TRUE(nfs_->start_again()) << nfs_->log();
  }
  // Of "file", kBytes of pattern 1; the server is killed in the middle of a read that is under way.
  void read_over_a_restart(Origin& origin) {
    const Result<std::unique_ptr<OriginFile>> file = origin.open("file", soon());
    ASSERT_TRUE(file.ok()) << file.error().message();
    TestRead first(*file.value(), {0, 1'000'000}, soon());
    origin.issue_read(first);
    nfs_->crash();
    EXPECT_TRUE(first.wait(kPatience).has_value());
    sync::Thread starter("test-starter", [&] { start_when_down(origin); });
    EXPECT_TRUE(read_persistently(origin, *file.value()) == pattern(1, 0, kBytes));
    EXPECT_NE(field(origin, "lost connections"), "0") << "the server was not away";
    starter.join();
  }

  TempDir temp_;
  std::unique_ptr<TestNfs> nfs_;
  std::string tree_;
};

}  // namespace netfs::test
