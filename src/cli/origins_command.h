#pragma once
// origins_command: `netfs origins [SCHEME]`.
//
// Lists the modules that are installed, what each can do and which options it takes.  A module that
// does not load is a line of its own, and the exit code says so.

#include <string>

#include "cli/command.h"

namespace netfs::cli {

struct OriginsArguments {
  std::string scheme;            // only this one
  std::string module_directory;  // empty: beside the program
  bool as_json = false;
};

ExitCode run_origins(const OriginsArguments& arguments);

}  // namespace netfs::cli
