// The conformance suite over a real NFS server, in programs of its own.

#include <sys/stat.h>
#include <unistd.h>

#include "tests/origin-conformance/conformance.h"
#include "tests/support/test_nfs.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

using origins::OriginRequest;
using origins::Url;

// A server that lives as long as the program.
class Server {
 public:
  static Server& get() {
    static Server server;
    return server;
  }
  TestNfs& nfs() {
    if (!nfs_) nfs_ = std::make_unique<TestNfs>(temp_);
    return *nfs_;
  }
  void stop() { nfs_.reset(); }

 private:
  TempDir temp_;
  std::unique_ptr<TestNfs> nfs_;
};

class StopServer final : public testing::Environment {
 public:
  void TearDown() override { Server::get().stop(); }
};
const testing::Environment* const kStop = testing::AddGlobalTestEnvironment(new StopServer);

// By version 3 or 4.
template <int kVersion>
Result<OriginRequest> nfs_request_as(const std::string& tree, const std::string& user) {
  if (const std::string needs = TestNfs::needs(); !needs.empty()) {
    return Error(EPERM, "test.nfs", needs);
  }
  TestNfs& nfs = Server::get().nfs();
  if (!nfs.ready()) return Error(ENOTCONN, "test.nfs", nfs.log());
  const std::string url = kVersion == 4 ? nfs.url_4(tree) : nfs.url(tree);
  return OriginRequest{.url = TRY(Url::parse(url + user))};
}

template <int kVersion>
Result<OriginRequest> nfs_request(const std::string& tree) {
  return nfs_request_as<kVersion>(tree, "");
}

template <int kVersion>
Result<OriginRequest> nfs_request_as_nobody(const std::string& tree) {
  OriginRequest request = TRY(nfs_request_as<kVersion>(tree, "&uid=65534&gid=65534"));
  // The server believes for a while that the way there is as closed as it was.
  const auto is_let_in = [&] {
    const Result<std::unique_ptr<Origin>> origin = origins::open_origin(request);
    const Deadline deadline = Deadline::after(Clock::system(), std::chrono::seconds(10));
    return origin.ok() &&
           origin.value()
               ->list("", deadline, [](const OriginEntry&) -> Result<void> { return {}; })
               .ok();
  };
  (void)wait_until(is_let_in, std::chrono::seconds(10));
  return request;
}

}  // namespace

const std::vector<OriginModuleUnderTest>& modules_under_test() {
  static const std::vector<OriginModuleUnderTest> modules = {
      {"nfs", nfs_request<3>, nfs_request_as_nobody<3>},
      {"nfs_journaled", nfs_request<3>, nfs_request_as_nobody<3>, {}, true},
      {"nfs4", nfs_request<4>, nfs_request_as_nobody<4>, {.changes = false}},
  };
  return modules;
}

std::vector<OriginModuleUnderTest> writable_modules_under_test() {
  std::vector<OriginModuleUnderTest> writable = modules_under_test();
  std::erase_if(writable, [](const OriginModuleUnderTest& each) { return !each.can.changes; });
  return writable;
}

}  // namespace netfs::test
