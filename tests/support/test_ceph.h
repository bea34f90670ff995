#pragma once
// TestCeph: the real CephFS of tests/servers/ceph.sh, for as long as the object lives (or, if its
// process is killed, no longer than that); and another client of it, that is mounted here.
//
//   TestCeph ceph(temp);
//   ASSERT_TRUE(ceph.ready()) << ceph.log();
//   ceph.url("/path"), ceph.options()

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace netfs::test {

class TestCeph {
 public:
  explicit TestCeph(const TempDir& temp);
  ~TestCeph();
  TestCeph(const TestCeph&) = delete;
  TestCeph& operator=(const TestCeph&) = delete;

  // Empty, or why it cannot run here (netfs's NETFS_TEST_NEEDS).
  [[nodiscard]] static std::string needs();

  [[nodiscard]] bool ready() const { return settings_.contains(kLastSetting); }
  [[nodiscard]] std::string log() const;
  [[nodiscard]] std::string setting(const std::string& name) const;
  [[nodiscard]] std::string url(const std::string& path) const;
  // By name, as after -o.
  [[nodiscard]] std::map<std::string, std::string> options() const;

  // What has this path in the file system is at this path here, by another client.
  [[nodiscard]] bool mount_beside(const std::string& path) { return command({"beside", path}); }
  // As ceph.sh has them, of a daemon: "mds", "osd", "mon".
  void crash(const std::string& daemon) { command({"crash", daemon}); }
  void pause(const std::string& daemon) { command({"pause", daemon}); }
  void resume(const std::string& daemon) { command({"resume", daemon}); }
  [[nodiscard]] bool start_again() { return command({"start"}); }
  [[nodiscard]] bool evict() { return command({"evict"}); }
  [[nodiscard]] bool allow_snapshots() { return command({"snapshots"}); }
  // The keyring of a new client, of that name.
  [[nodiscard]] std::string make_key(const std::string& name, const std::string& mds_caps);

 private:
  static constexpr const char* kLastSetting = "CEPH_KEYRING";

  bool command(const std::vector<std::string>& words);
  [[nodiscard]] std::vector<std::string> script(const std::vector<std::string>& words) const;

  const std::string dir_;
  UniqueFd life_;  // the server lives as long as it is open
  std::unique_ptr<Process> process_;
  std::map<std::string, std::string> settings_;
};

}  // namespace netfs::test
