#pragma once
// NetfsMount: a real `netfs mount`, by the binary of this build, with a bounded end.
//
// The supervisor runs in front (--foreground), so its worker can be found and killed.  At the end
// it is unmounted; if that takes too long the connection is aborted and everything killed.
//
//   NetfsMount mount({.url = "file://" + tree, .cache_dir = cache}, temp);
//   ASSERT_TRUE(mount.ready()) << mount.log();
//   read_all(mount.path() + "/a");

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/clock.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace netfs::test {

class NetfsMount {
 public:
  struct Options {
    std::string url;
    std::string cache_dir;
    std::vector<std::string> more;        // further arguments of `netfs mount`
    std::string name = "mnt";             // of the mount point below the temporary folder
    std::vector<std::string> in_front{};  // the words of a program that becomes it, such as prlimit
  };

  NetfsMount(Options options, const TempDir& temp);
  ~NetfsMount();
  NetfsMount(const NetfsMount&) = delete;
  NetfsMount& operator=(const NetfsMount&) = delete;

  // Whether it is mounted and served.
  [[nodiscard]] bool ready() const { return ready_; }
  // Whether it still is, by the table of mounts: never hangs.
  [[nodiscard]] bool mounted() const;
  [[nodiscard]] const std::string& path() const { return path_; }
  // What the processes printed so far.
  [[nodiscard]] std::string log() const;
  // Whether these words are in it, or soon are: a line is written behind what it is of.
  [[nodiscard]] bool says(const std::string& words) const;

  [[nodiscard]] pid_t supervisor() const { return process_->pid(); }
  // The process that serves now; -1 between two.
  [[nodiscard]] pid_t worker() const;

  // `netfs status --json`; null where it did not answer in time.
  [[nodiscard]] nlohmann::json status() const;
  // The sum of all numbers with this key, wherever they stand in the status; -1: none.
  [[nodiscard]] int64_t status_number(const std::string& key) const;

  // `netfs umount`; whether it was gone, and the processes ended, before the time was over.
  [[nodiscard]] bool unmount(Duration timeout = std::chrono::seconds(60));
  // Ends the connection: every call on the mount fails from now on.
  void abort() const;

 private:
  const std::string path_;
  const std::string log_file_;
  std::unique_ptr<Process> process_;
  bool ready_ = false;
};

// Ends the connection of a mount by its path; for a Watchdog, beside whom mounts come and go.
void abort_mount(const std::string& path);

// The `netfs` of this build.
std::string netfs_binary();
// The program that faults a mapping in: fault_reader.cc.
std::string fault_reader();

}  // namespace netfs::test
