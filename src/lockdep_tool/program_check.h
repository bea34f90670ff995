#pragma once
// check_program: whether a program can be watched, found out before it is started.
//
// A preloaded library reaches dynamically linked programs of its own architecture that run with
// their caller's rights.  For others this says which it is, in one line.

#include <string>

#include "base/result.h"

namespace netfs::lockdep_tool {

// The path that execvp would take for `name`; ENOENT or EACCES as it would say.
[[nodiscard]] Result<std::string> find_program(const std::string& name);

// EACCES: it cannot be executed.  ENOEXEC: it is static, for another machine, or no program.
// EPERM: it would run with more rights than ours, where the loader ignores LD_PRELOAD.
// Scripts are followed to what runs them.
[[nodiscard]] Result<> check_program(const std::string& path);

// ENOEXEC: not the library that `lockdep run` preloads; the loader would leave it out and go on.
[[nodiscard]] Result<> check_library(const std::string& path);

}  // namespace netfs::lockdep_tool
