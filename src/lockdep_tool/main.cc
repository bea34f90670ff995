// lockdep: checks the locks of programs.

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "lockdep_tool/command.h"

namespace netfs::lockdep_tool {
namespace {

constexpr Command kCommands[] = {
    {"run", "start a program and check its locks", run_command},
    {"explain", "say in plain English what reports mean", explain_command},
    {"graph", "draw which locks are taken under which", graph_command},
    {"merge", "put together what different runs did", merge_command},
    {"dump", "print who waits for whom in a running program", dump_command},
    {"stat", "print what was learnt", stat_command},
};

int help(FILE* to) {
  std::fputs("usage: lockdep COMMAND ...\n\ncommands:\n", to);
  for (const Command& command : kCommands) {
    std::fprintf(to, "  %-8s %s\n", command.name, command.summary);
  }
  std::fputs("\nlockdep COMMAND --help says more; so does lockdep(1).\n", to);
  return to == stdout ? kDone : kUsage;
}

// What a command wrote must have come out.
int finish(int code) {
  const bool lost = std::ferror(stdout) != 0;
  errno = 0;
  if (std::fflush(stdout) == 0 && !lost) return code;
  std::fprintf(stderr, "lockdep: stdout: %s\n",
               errno != 0 ? std::strerror(errno) : "not all could be written");
  return kFailed;
}

int dispatch(int argc, char** argv) {
  if (argc < 2) return help(stderr);
  if (std::strcmp(argv[1], "--help") == 0 || std::strcmp(argv[1], "-h") == 0) return help(stdout);
  if (std::strcmp(argv[1], "--version") == 0 || std::strcmp(argv[1], "-V") == 0) {
    std::puts("lockdep " NETFS_VERSION);
    return kDone;
  }
  for (const Command& command : kCommands) {
    if (std::strcmp(argv[1], command.name) == 0) return command.run(argc - 1, argv + 1);
  }
  std::fprintf(stderr, "lockdep: no command '%s'; lockdep --help lists them\n", argv[1]);
  return kUsage;
}

}  // namespace
}  // namespace netfs::lockdep_tool

int main(int argc, char** argv) {
  return netfs::lockdep_tool::finish(netfs::lockdep_tool::dispatch(argc, argv));
}
