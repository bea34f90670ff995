// lockdep run: starts a program with our library preloaded.
//
// The program takes this process over (exec), so its pid, exit code and signals are its own.

#include <CLI/CLI.hpp>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "base/unique_fd.h"
#include "lockdep/suppression_list.h"
#include "lockdep_preload/options.h"
#include "lockdep_tool/command.h"
#include "lockdep_tool/files.h"
#include "lockdep_tool/program_check.h"

namespace netfs::lockdep_tool {

namespace {

using lockdep_preload::Children;
using lockdep_preload::Format;
using lockdep_preload::Options;

constexpr const char* kFooter =
    "lockdep run [OPTIONS] -- PROGRAM [ARGUMENTS]\n"
    "\n"
    "The program runs as without us: reports go to its stderr, or to --output.  Exit codes are "
    "the\n"
    "program's; 125: lockdep failed; 126: the program cannot be run, or not be watched (static,\n"
    "setuid, another architecture); 127: no such program.\n"
    "\n"
    "Example:\n"
    "  lockdep run --output reports.txt -- pigz -p 4 file";

struct Arguments {
  Options options;
  bool json = false;
  bool no_children = false;
  std::string library;
  std::vector<std::string> program;
};

int fail(int code, const std::string& why) {
  std::fprintf(stderr, "lockdep: %s\n", why.c_str());
  return code;
}

std::string own_folder() {
  char path[PATH_MAX];
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
  const std::string all(path, size > 0 ? static_cast<size_t>(size) : 0);
  return all.substr(0, all.rfind('/'));
}

// Paths must mean the same after the program has changed its directory.
std::string absolute(const std::string& path) {
  if (path.empty() || path[0] == '/') return path;
  char here[PATH_MAX];
  return ::getcwd(here, sizeof here) == nullptr ? path : std::string(here) + "/" + path;
}

void describe(CLI::App& app, Arguments& arguments) {
  Options& options = arguments.options;
  app.footer(kFooter);
  app.add_option("-o,--output", options.output, "write reports to this file");
  app.add_flag("--json", arguments.json, "reports for machines, one a line");
  app.add_option("--suppressions", options.suppressions, "file of reports not to be shown");
  app.add_option("--save", options.save, "save the orders that were learnt to this file");
  app.add_option("--stat", options.stat, "write figures to this file at the end");
  app.add_flag("--histograms", options.histograms,
               "time waiting and holding; --stat and lockdep stat show it");
  app.add_flag("--order-only", options.order_only,
               "show circular orders too that nothing shows to be possible");
  app.add_flag("--abort", options.abort, "abort the program after a report");
  app.add_option("--exit-code", options.exit_code,
                 "exit code of the program when something was reported")
      ->check(CLI::Range(0, 255));
  app.add_option("--watchdog", options.watchdog_seconds,
                 "seconds between looks for real deadlocks; 0: never")
      ->check(CLI::Range(0, 86400));
  app.add_flag("--no-children", arguments.no_children, "leave the program's children alone");
  app.add_option("--library", arguments.library, "the library to preload, if not ours");
}

// Each file that will be written is made now, so that what is wrong is said now.
bool writable(const std::string& path) {
  if (path.empty()) return true;
  // To open a pipe is to begin and to end what its reader reads.
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && S_ISFIFO(status.st_mode)) return true;
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
  return static_cast<bool>(file);
}

// The library reads them again, in the program: what is wrong with them is said before it starts.
Result<> check_suppressions(const std::string& path) {
  if (path.empty()) return {};
  const std::string text = TRY(read_file(path));
  TRY(lockdep::SuppressionList::parse(text, path));
  return {};
}

int start(const Arguments& arguments, const std::string& library) {
  Result<std::string> found = find_program(arguments.program[0]);
  if (!found.ok()) {
    return fail(found.is_error(EACCES) ? kNotExecutable : kNotFound, found.error().message());
  }
  Result<> possible = check_program(found.value());
  if (!possible.ok()) return fail(kNotExecutable, possible.error().message());

  const char* before = std::getenv(lockdep_preload::kPreloadVariable);
  const std::string list = lockdep_preload::with_library(before != nullptr ? before : "", library);
  ::setenv(lockdep_preload::kPreloadVariable, list.c_str(), 1);
  ::setenv(lockdep_preload::kOptionsVariable, lockdep_preload::encode(arguments.options).c_str(),
           1);
  std::vector<char*> words;
  for (const std::string& word : arguments.program)
    words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  ::execv(found.value().c_str(), words.data());
  if (errno == ENOEXEC) ::execvp(found.value().c_str(), words.data());  // a script without #!
  return fail(errno == ENOENT ? kNotFound : kNotExecutable,
              found.value() + ": " + std::strerror(errno));
}

}  // namespace

int run_command(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Starts a program and checks its locks.", "lockdep run");
  describe(app, arguments);
  // What follows `--` is the program's, whatever it looks like.
  int own = 1;
  while (own < argc && std::string_view(argv[own]) != "--") ++own;
  for (int i = own + 1; i < argc; ++i) arguments.program.emplace_back(argv[i]);
  try {
    app.parse(own, argv);
  } catch (const CLI::ParseError& error) {
    return unread_words(app, error, kOwnFailure);
  }
  if (arguments.program.empty()) {
    return fail(kOwnFailure, "no program: lockdep run [OPTIONS] -- PROGRAM [ARGUMENTS]");
  }
  Options& options = arguments.options;
  if (arguments.json) options.format = Format::kJson;
  if (arguments.no_children) options.children = Children::kLeft;
  for (std::string* path : {&options.output, &options.suppressions, &options.save, &options.stat}) {
    *path = absolute(*path);
  }
  for (const std::string& path : {options.output, options.save, options.stat}) {
    if (!writable(path)) return fail(kOwnFailure, path + ": " + std::strerror(errno));
  }
  Result<> readable = check_suppressions(options.suppressions);
  if (!readable.ok()) return fail(kOwnFailure, readable.error().message());
  const std::string library = arguments.library.empty()
                                  ? own_folder() + "/../lib/netfs/lockdep_preload.so"
                                  : absolute(arguments.library);
  char whole[PATH_MAX];
  if (::realpath(library.c_str(), whole) == nullptr) {
    return fail(kOwnFailure, library + ": " + std::strerror(errno));
  }
  Result<> ours = check_library(whole);
  if (!ours.ok()) return fail(kOwnFailure, ours.error().message());
  return start(arguments, whole);
}

}  // namespace netfs::lockdep_tool
