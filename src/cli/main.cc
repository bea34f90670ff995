// netfs: one program for the command, for mount(8)'s helper, and for the daemon's worker.

#include <charconv>
#include <cstring>

#include "cli/command_line.h"
#include "cli/mount_helper.h"
#include "daemon/program_probe.h"
#include "daemon/supervisor.h"
#include "daemon/worker.h"

namespace {

// "supervise N": the number; -1: it is no number.
int number_of(const char* text) {
  int number = -1;
  const char* end = text + std::strlen(text);
  const auto [at, error] = std::from_chars(text, end, number);
  return error == std::errc() && at == end && number > 2 ? number : -1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "worker") == 0) return netfs::daemon::worker_main();
  if (argc == 3 && std::strcmp(argv[1], "supervise") == 0) {
    return netfs::daemon::supervisor_main(number_of(argv[2]));
  }
  if (argc >= 3 && std::strcmp(argv[1], "daemon") == 0 && std::strcmp(argv[2], "--probe") == 0) {
    return netfs::daemon::probe_main({argv + 3, argv + argc});
  }
  if (argc > 0 && netfs::cli::is_mount_helper(argv[0])) {
    return static_cast<int>(netfs::cli::run_mount_helper(argc, argv));
  }
  return static_cast<int>(netfs::cli::run_command_line(argc, argv));
}
