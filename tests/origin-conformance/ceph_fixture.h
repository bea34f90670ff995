#pragma once
// What the tests of CephFS as an origin share: one server for all of them, and another client of
// it, which has each test's folder at the path that it has in the file system.

#include <chrono>
#include <filesystem>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>

#include "netfs/origin_writer.h"
#include "origins/module_loader.h"
#include "tests/origin-conformance/reads.h"
#include "tests/origin-conformance/waited_write.h"
#include "tests/support/needs.h"
#include "tests/support/test_ceph.h"
#include "tests/support/tree.h"

namespace netfs::test {

inline constexpr std::chrono::seconds kPatience{60};

class CephOrigin : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!TestCeph::needs().empty()) return;
    temp() = std::make_unique<TempDir>();
    server() = std::make_unique<TestCeph>(*temp());
  }
  static void TearDownTestSuite() {
    server().reset();
    temp().reset();
  }
  void SetUp() override {
    NETFS_TEST_NEEDS(TestCeph::needs());
    ASSERT_TRUE(server()->ready()) << server()->log();
    const std::string beside = temp()->path() + "/beside";
    // Not yet, or no more: it was thrown out as well.
    if (::access((beside + "/here").c_str(), F_OK) != 0) {
      ASSERT_TRUE(server()->mount_beside(beside)) << server()->log();
      std::filesystem::create_directories(beside + "/here");
    }
    tree_ = beside + "/" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directory(tree_);
    origin_ = open(request());
    ASSERT_NE(origin_, nullptr);
  }
  static std::unique_ptr<TempDir>& temp() {
    static std::unique_ptr<TempDir> dir;
    return dir;
  }
  static std::unique_ptr<TestCeph>& server() {
    static std::unique_ptr<TestCeph> ceph;
    return ceph;
  }

  [[nodiscard]] static Deadline soon() { return Deadline::after(Clock::system(), kPatience); }
  [[nodiscard]] static Deadline in_a_second() {
    return Deadline::after(Clock::system(), std::chrono::seconds(1));
  }
  [[nodiscard]] origins::OriginRequest request() const {
    return request(server()->url(tree_), server()->options());
  }
  // Of a mount of its own, as daemons ask.
  [[nodiscard]] static origins::OriginRequest request(
      const std::string& url, const std::map<std::string, std::string>& options,
      Duration timeout = std::chrono::seconds(20)) {
    static int mounts = 0;
    return {.url = MUST(origins::Url::parse(url)),
            .options = options,
            .timeout = timeout,
            .mount_id = "mount-" + std::to_string(++mounts)};
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
  [[nodiscard]] std::string at(const std::string& name) const { return tree_ + "/" + name; }
  OriginWriter& writer() { return *origin_->writer(); }
  NodeInfo look(const std::string& path) { return MUST(origin_->stat(path, soon())); }
  WriteOutcome write(OriginFile& file, uint64_t offset, const std::string& bytes) {
    return WaitedWrite(file, offset, bytes).run(writer());
  }
  std::string read_all(const std::string& path) {
    Result<std::string> read = read_file(*origin_, path);
    return read.ok() ? read.value() : "error " + std::to_string(read.code());
  }

  std::string tree_;
  std::unique_ptr<Origin> origin_;
};

}  // namespace netfs::test
