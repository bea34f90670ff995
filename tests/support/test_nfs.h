#pragma once
// TestNfs: the real NFS server of tests/servers/nfs.sh, for as long as the object lives (or, if its
// process is killed, no longer than that).  It exports what lies beside the temporary folder, so
// the trees of all tests, at the paths that they have here; or a folder that is named.
//
//   TestNfs nfs(temp);
//   ASSERT_TRUE(nfs.ready()) << nfs.log();
//   nfs.url(tree)

#include <map>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "tests/support/outside.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace netfs::test {

class TestNfs {
 public:
  struct Place {
    std::string name_space{};  // of the network; empty: ours
    std::string address = "127.0.0.1";
    std::string exported{};
  };

  explicit TestNfs(const TempDir& temp);
  TestNfs(const TempDir& temp, Place place);
  ~TestNfs();
  TestNfs(const TestNfs&) = delete;
  TestNfs& operator=(const TestNfs&) = delete;

  // Empty, or why it cannot run here (netfs's NETFS_TEST_NEEDS).
  [[nodiscard]] static std::string needs();

  [[nodiscard]] bool ready() const { return settings_.contains(kLastSetting); }
  [[nodiscard]] std::string log() const;
  [[nodiscard]] std::string setting(const std::string& name) const;
  [[nodiscard]] std::string url(const std::string& path) const;
  [[nodiscard]] std::string url_4(const std::string& path) const;  // by version 4

  // What it is told to do is done by that.
  void ask(Outside& outside) { outside_ = &outside; }
  // As nfs.sh has them: kills it, starts it again on the same ports, freezes it, lets it go on.
  void crash() { command("crash"); }
  [[nodiscard]] bool start_again() { return command("start"); }
  void pause() { command("pause"); }
  void resume() { command("resume"); }

 private:
  static constexpr const char* kLastSetting = "NFS_PID";

  bool command(const std::string& verb);
  [[nodiscard]] std::vector<std::string> script(const std::vector<std::string>& words) const;

  const Place place_;
  const std::string dir_;
  const std::string root_;
  UniqueFd life_;  // the server lives as long as it is open
  std::unique_ptr<Process> process_;
  std::map<std::string, std::string> settings_;
  Outside* outside_ = nullptr;
};

}  // namespace netfs::test
