#pragma once
// Command: one sub-command of `lockdep`; main.cc has the table of all.
//
// A command gets its own name as argv[0] and its words behind it, writes to stdout what was asked
// for and to stderr what went wrong, one line that begins with `lockdep: `.  It returns the exit
// code of the program.

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace netfs::lockdep_tool {

struct Command {
  const char* name;
  const char* summary;  // one line of `lockdep --help`
  int (*run)(int argc, char** argv);
};

// Exit codes.  What a started program returns is its own; these are as of env(1) and timeout(1).
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;           // what was asked for could not be done
inline constexpr int kUsage = 2;            // words that are not understood
inline constexpr int kOwnFailure = 125;     // run: before the program was started
inline constexpr int kNotExecutable = 126;  // run: it is there and cannot be run, or not be watched
inline constexpr int kNotFound = 127;       // run: no such program

// The exit code for words that were not read, or that asked for help; says which.
int unread_words(const CLI::App& app, const CLI::ParseError& error, int code_of_mistake = kUsage);

int dump_command(int argc, char** argv);
int explain_command(int argc, char** argv);
int graph_command(int argc, char** argv);
int merge_command(int argc, char** argv);
int run_command(int argc, char** argv);
int stat_command(int argc, char** argv);

}  // namespace netfs::lockdep_tool
