// The conformance suite over a real CephFS, in programs of its own.  The trees are those of another
// client, mounted here at the paths that they have there: what is changed behind the origin is
// changed by somebody else.

#include <cstdio>
#include <cstdlib>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/origin-conformance/conformance.h"
#include "tests/support/test_ceph.h"
#include "tests/support/tree.h"

namespace netfs::test {
namespace {

using origins::OriginRequest;
using origins::Url;

// A server that lives as long as the program, and the temporary folders of its tests are in it.
class CephServer final : public testing::Environment {
 public:
  void SetUp() override {
    if (const std::string needs = TestCeph::needs(); !needs.empty()) return;
    temp_ = std::make_unique<TempDir>();
    ceph_ = std::make_unique<TestCeph>(*temp_);
    const std::string beside = temp_->path() + "/beside";
    ASSERT_TRUE(ceph_->ready() && ceph_->mount_beside(beside)) << ceph_->log();
    // It counts by four megabytes, and what is there a moment later.
    write_file(beside + "/space", std::string(size_t{16} << 20, 's'));
    // Others are to come by, as to the folder that is in the way of that.
    ASSERT_EQ(::chmod(temp_->path().c_str(), 0755), 0);
    ASSERT_EQ(::setenv("TMPDIR", beside.c_str(), 1), 0);
  }
  void TearDown() override {
    ::unsetenv("TMPDIR");
    ceph_.reset();
    temp_.reset();
  }
  [[nodiscard]] const TestCeph* ceph() const { return ceph_.get(); }

 private:
  std::unique_ptr<TempDir> temp_;
  std::unique_ptr<TestCeph> ceph_;
};

CephServer* const kServer = [] {
  auto* server = new CephServer;
  testing::AddGlobalTestEnvironment(server);  // owns it
  return server;
}();

Result<OriginRequest> ceph_request_as(const std::string& tree, const std::string& user) {
  const TestCeph* const ceph = kServer->ceph();
  if (ceph == nullptr || !ceph->ready()) return Error(ENOTCONN, "test.ceph");
  OriginRequest request{.url = TRY(Url::parse(ceph->url(tree) + user))};
  request.options = ceph->options();
  return request;
}

Result<OriginRequest> ceph_request(const std::string& tree) {
  return ceph_request_as(tree, "");
}

Result<OriginRequest> ceph_request_as_nobody(const std::string& tree) {
  return ceph_request_as(tree, "?uid=65534&gid=65534");
}

}  // namespace

const std::vector<OriginModuleUnderTest>& modules_under_test() {
  static const std::vector<OriginModuleUnderTest> modules = [] {
    std::vector<OriginModuleUnderTest> both = {
        {"ceph", ceph_request, ceph_request_as_nobody},
        {"ceph_journaled", ceph_request, ceph_request_as_nobody, {}, true},
    };
    if (const std::string needs = TestCeph::needs(); !needs.empty()) {
      std::printf("SKIPPED: the conformance suite over CephFS: %s\n", needs.c_str());
      both.clear();
    }
    return both;
  }();
  return modules;
}

std::vector<OriginModuleUnderTest> writable_modules_under_test() {
  return modules_under_test();
}

}  // namespace netfs::test
