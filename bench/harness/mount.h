#pragma once
// Mount: a FUSE file system in the foreground of a child process, from mounted to unmounted.
//
// start() returns when the directory is mounted and answers statfs.  The destructor unmounts,
// lazily if it stays busy, and ends the process; it signals no process but its own child.
// Thread-safety: one thread.
//
//   Mount mount = TRY(Mount::start(sshfs_command(access, "/srv", dir), dir));

#include <string>
#include <vector>

#include "base/result.h"
#include "harness/process.h"

namespace netfs::bench {

class Mount {
 public:
  // ETIMEDOUT: not mounted within 30 s; EIO: the program ended before.  Both name its log.
  static Result<Mount> start(const Command& command, const std::string& directory);
  Mount(Mount&& other) noexcept
      : process_(std::move(other.process_)), directory_(std::exchange(other.directory_, {})) {}
  Mount& operator=(Mount&& other) noexcept;
  ~Mount() { unmount(); }

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string path(const std::string& name) const { return directory_ + "/" + name; }
  // The pid at the top of its tree.
  [[nodiscard]] std::vector<pid_t> processes() const { return {process_.pid()}; }
  void unmount();

 private:
  Mount(Process process, std::string directory)
      : process_(std::move(process)), directory_(std::move(directory)) {}
  Process process_;
  std::string directory_;
};

// Whether something is mounted on exactly this directory.
bool is_mounted(const std::string& directory);

}  // namespace netfs::bench
