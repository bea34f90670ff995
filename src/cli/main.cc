// netfs: one program for the command, for mount(8)'s helper, and for the daemon's worker.

#include <cstring>

#include "cli/command_line.h"
#include "cli/mount_helper.h"
#include "daemon/worker.h"

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "worker") == 0) return netfs::daemon::worker_main();
  if (argc > 0 && netfs::cli::is_mount_helper(argv[0])) {
    return static_cast<int>(netfs::cli::run_mount_helper(argc, argv));
  }
  return static_cast<int>(netfs::cli::run_command_line(argc, argv));
}
