#pragma once
// Outside: runs programs from a process that was started before.  Who forks has copies of all open
// files for a moment, and closing one of a mount waits for its origin: which may have to wait for
// the very program.  Made before such files are opened; by one thread at a time.
//
//   const Outside outside(temp);
//   outside.run({"tests/servers/nfs.sh", "resume"}, timeout)

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace netfs::test {

class Outside {
 public:
  explicit Outside(const TempDir& temp);
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

  // As run() of process.h, without output; -1: it has not ended in time.
  int run(const std::vector<std::string>& argv, Duration timeout);

 private:
  UniqueFd lines_;
  std::unique_ptr<Process> shell_;
};

// By `outside` where there is one.
int run_by(Outside* outside, const std::vector<std::string>& argv, Duration timeout);

}  // namespace netfs::test
