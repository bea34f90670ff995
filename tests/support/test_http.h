#pragma once
// TestHttp: the real web servers of tests/servers/http.sh, for as long as the object lives (or, if
// its process is killed, no longer than that).  They serve what lies beside the temporary folder,
// so the trees of all tests, at URL paths that are the paths here.
//
//   TestHttp http(temp);
//   ASSERT_TRUE(http.ready()) << http.log();
//   http.url("HTTP_NGINX_HTML_PORT", tree)

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace netfs::test {

class TestHttp {
 public:
  // `kinds`: as http.sh has them; none: all.
  explicit TestHttp(const TempDir& temp, const std::vector<std::string>& kinds = {});
  // In a network name space that has this address.
  struct Place {
    std::string name_space;
    std::string address = "127.0.0.1";
  };
  TestHttp(const TempDir& temp, const std::vector<std::string>& kinds, Place place);
  ~TestHttp();
  TestHttp(const TestHttp&) = delete;
  TestHttp& operator=(const TestHttp&) = delete;

  [[nodiscard]] bool ready() const { return settings_.contains(kLastSetting); }
  [[nodiscard]] std::string log() const;

  // What `http.sh env` says, by name.
  [[nodiscard]] std::string setting(const std::string& name) const;
  // Of a path, by the server at a port; `port` names the setting.
  [[nodiscard]] std::string url(const std::string& port, const std::string& path,
                                const std::string& scheme = "http") const;

 private:
  static constexpr const char* kLastSetting = "HTTP_BEARER";

  const Place place_;
  const std::string dir_;
  UniqueFd life_;  // the servers live as long as it is open
  std::unique_ptr<Process> process_;
  std::map<std::string, std::string> settings_;
};

}  // namespace netfs::test
