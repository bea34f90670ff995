#include "tests/lockdep/run_support.h"

#include <cstdio>
#include <gtest/gtest.h>
#include <sys/wait.h>

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

Ran shell(const std::string& command) {
  Ran ran;
  FILE* pipe = ::popen(("exec 2>&1; " + command).c_str(), "re");
  if (pipe == nullptr) return {.out = "popen failed", .status = -1};
  char buffer[4096];
  for (size_t size = 0; (size = std::fread(buffer, 1, sizeof buffer, pipe)) != 0;) {
    ran.out.append(buffer, size);
  }
  const int status = ::pclose(pipe);
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return ran;
}

Ran run(const std::string& options, const std::string& program) {
  return shell(std::string("exec ") + LOCKDEP + " run " + options + " -- " + program);
}

std::string scenario(const std::string& name) {
  return std::string(SCENARIOS) + " " + name;
}

std::string fresh_file(const std::string& name) {
  std::string path = testing::TempDir() + "lockdep-run-" + name;
  (void)std::remove(path.c_str());
  return path;
}
