#pragma once
// ProgramProbe: asks a program, before mounts are handed over to it, whether it is a netfs that can
// go on with them: `PROGRAM daemon --probe SCHEME...`, which says its formats and loads the modules
// of those schemes.
//
// A child of the supervisor; its end is seen by whoever reaps.  probe_main() is what it runs.
//
//   ProgramProbe probe = TRY(ProgramProbe::start("/usr/bin/netfs", {"sftp"}));
//   // waitpid(probe.pid(), &status, WNOHANG) answers; then
//   const Formats formats = TRY(probe.ended(status));
//
// Errors: a sentence for the user, without the program's path.  start(): ENOENT, EACCES, EINVAL:
// there is no such file, or it is no program.  ended(): ENOEXEC.

#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/formats.h"

namespace netfs::daemon {

class ProgramProbe {
 public:
  static Result<ProgramProbe> start(const std::string& path,
                                    const std::vector<std::string>& schemes);

  [[nodiscard]] pid_t pid() const { return pid_; }
  // The program as it was when it was asked; close-on-exec, and out of the way of low numbers.
  UniqueFd take_program() { return std::move(program_); }
  // What it said, once it was reaped.
  Result<Formats> ended(int wait_status);

 private:
  ProgramProbe(UniqueFd program, UniqueFd output, pid_t pid)
      : program_(std::move(program)), output_(std::move(output)), pid_(pid) {}

  UniqueFd program_;
  UniqueFd output_;
  pid_t pid_;
};

// What `netfs daemon --probe SCHEME...` does; the exit code.
int probe_main(const std::vector<std::string>& schemes);

}  // namespace netfs::daemon
