#include "tests/origin-conformance/conformance.h"

#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"

namespace netfs::test {
namespace {

using origins::OriginRequest;
using origins::Url;

// Servers that live as long as the program.
class Servers {
 public:
  static Servers& get() {
    static Servers servers;
    return servers;
  }
  TestSshd& sshd() {
    if (!sshd_) sshd_ = std::make_unique<TestSshd>(temp_);
    return *sshd_;
  }
  void stop() { sshd_.reset(); }
  [[nodiscard]] const TempDir& temp() const { return temp_; }

 private:
  TempDir temp_;
  std::unique_ptr<TestSshd> sshd_;
};

class StopServers final : public testing::Environment {
 public:
  void TearDown() override { Servers::get().stop(); }
};
const testing::Environment* const kStop = testing::AddGlobalTestEnvironment(new StopServers);

Result<OriginRequest> file_request(const std::string& tree) {
  return OriginRequest{.url = TRY(Url::parse("file://" + tree))};
}

Result<OriginRequest> sftp_request(const std::string& tree) {
  TestSshd& sshd = Servers::get().sshd();
  if (!sshd.ready()) return Error(ENOTCONN, "test.sshd", sshd.log());
  OriginRequest request{.url = TRY(Url::parse(sshd.url(tree)))};
  request.options["identity"] = sshd.key_file();
  request.options["known_hosts"] = sshd.known_hosts_file();
  return request;
}

// Its server runs as nobody, if that takes a change.
Result<OriginRequest> sftp_request_as_nobody(const std::string& tree) {
  OriginRequest request = TRY(sftp_request(tree));
  if (::geteuid() != 0) return request;
  const std::string script = Servers::get().temp() / "nobody";
  write_file(script,
             "#!/bin/bash\n[[ $* != *-G* ]] || exit 1\nexec setpriv --reuid=65534 --regid=65534 "
             "--clear-groups /usr/lib/openssh/sftp-server\n");
  if (::chmod(script.c_str(), 0755) != 0) return Error::from_errno("chmod");
  request.options["ssh"] = script;
  return request;
}

}  // namespace

const std::vector<OriginModuleUnderTest>& modules_under_test() {
  static const std::vector<OriginModuleUnderTest> modules = {
      {"file", file_request, file_request},
      {"sftp", sftp_request, sftp_request_as_nobody},
  };
  return modules;
}

}  // namespace netfs::test
