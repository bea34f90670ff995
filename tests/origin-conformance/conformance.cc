#include "tests/origin-conformance/conformance.h"

#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/test_http.h"
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
  TestHttp& http() {
    if (!http_) http_ = std::make_unique<TestHttp>(temp_);
    return *http_;
  }
  void stop() {
    sshd_.reset();
    http_.reset();
  }
  [[nodiscard]] const TempDir& temp() const { return temp_; }

 private:
  TempDir temp_;
  std::unique_ptr<TestSshd> sshd_;
  std::unique_ptr<TestHttp> http_;
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

// What a web server says, and what it never can.
constexpr Abilities kHttp = {.links = false, .modes = false, .changes = false, .space = false};

constexpr Abilities without_ranges() {
  Abilities can = kHttp;
  can.ranges = false;
  return can;
}

// Python's server lists what is not UTF-8 by other names.
constexpr Abilities of_python() {
  Abilities can = without_ranges();
  can.all_names = false;
  return can;
}

// A module that reaches the tree through a port of the servers in tests/servers/http.sh.
OriginModuleUnderTest http_module(const std::string& name, const std::string& port, Abilities can) {
  const auto request_by = [](const std::string& by,
                             const std::string& tree) -> Result<OriginRequest> {
    TestHttp& http = Servers::get().http();
    if (!http.ready()) return Error(ENOTCONN, "test.http", http.log());
    // Apache never runs as root.
    const std::string above = tree.substr(0, tree.rfind('/'));
    (void)::chmod(above.c_str(), 0755);
    if (struct stat native{}; ::stat(tree.c_str(), &native) == 0 && S_ISDIR(native.st_mode)) {
      (void)::chmod(tree.c_str(), 0755);
    }
    const bool tls = by.find("HTTPS") != std::string::npos;
    OriginRequest request{.url = TRY(Url::parse(http.url(by, tree, tls ? "https" : "http")))};
    if (tls) request.options["ca_cert"] = http.setting("HTTP_CA");
    return request;
  };
  return {.name = name,
          .request = [=](const std::string& tree) { return request_by(port, tree); },
          .ordinary_request =
              [=](const std::string& tree) { return request_by("HTTP_NOBODY_PORT", tree); },
          .can = can};
}

}  // namespace

const std::vector<OriginModuleUnderTest>& modules_under_test() {
  static const std::vector<OriginModuleUnderTest> modules = {
      {"file", file_request, file_request},
      {"sftp", sftp_request, sftp_request_as_nobody},
      http_module("http_nginx", "HTTP_NGINX_HTML_PORT", kHttp),
      http_module("http_nginx_json", "HTTP_NGINX_JSON_PORT", kHttp),
      http_module("http_nginx_without_ranges", "HTTP_NGINX_NORANGES_PORT", without_ranges()),
      http_module("https_nginx", "HTTP_NGINX_HTTPS_PORT", kHttp),
      http_module("http_apache", "HTTP_APACHE_PORT", kHttp),
      http_module("https_apache", "HTTP_APACHE_HTTPS_PORT", kHttp),
      http_module("http_python", "HTTP_PYTHON_PORT", of_python()),
      {"file_journaled", file_request, file_request, {}, true},
      {"sftp_journaled", sftp_request, sftp_request_as_nobody, {}, true},
  };
  return modules;
}

std::vector<OriginModuleUnderTest> writable_modules_under_test() {
  std::vector<OriginModuleUnderTest> writable;
  for (const OriginModuleUnderTest& module : modules_under_test()) {
    if (module.can.changes) writable.push_back(module);
  }
  return writable;
}

}  // namespace netfs::test
