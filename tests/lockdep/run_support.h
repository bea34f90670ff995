#pragma once
// Commands for the tests of `lockdep run`, and what they print.

#include <cstddef>
#include <string>

struct Ran {
  std::string out;  // stdout and stderr, as the command put them
  int status = 0;   // exit code, or minus the signal
};

[[nodiscard]] bool has(const std::string& text, const std::string& part);
[[nodiscard]] size_t count(const std::string& text, const std::string& part);

Ran shell(const std::string& command);
// lockdep run OPTIONS -- PROGRAM
Ran run(const std::string& options, const std::string& program);
// The command that runs one of lockdep_scenarios.
std::string scenario(const std::string& name);
// A path for a file of this test, where there is none yet.
std::string fresh_file(const std::string& name);
