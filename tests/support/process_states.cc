#include "tests/support/process_states.h"

#include <filesystem>
#include <set>
#include <sstream>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "tests/support/process.h"

namespace netfs::test {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kFunctionsMax = 4;

std::vector<fs::path> threads_of(pid_t process) {
  std::vector<fs::path> threads;
  std::error_code gone;
  const std::string tasks = "/proc/" + std::to_string(process) + "/task";
  for (const auto& thread : fs::directory_iterator(tasks, gone)) threads.push_back(thread.path());
  return threads;
}

// "[<0>] futex_wait+0x74/0xf0" a line, the innermost first.
std::string waits_in(const fs::path& thread) {
  std::istringstream stack(read_text(thread / "stack"));
  std::string functions;
  unsigned count = 0;
  for (std::string line; count < kFunctionsMax && std::getline(stack, line); ++count) {
    const size_t begin = line.find(' ');
    if (begin == std::string::npos) continue;
    functions += (count == 0 ? "" : " < ") + line.substr(begin + 1, line.find('+') - begin - 1);
  }
  return functions;
}

std::string line_of(pid_t process, const fs::path& thread) {
  // "TID (NAME) STATE ..."
  const std::string stat = read_text(thread / "stat");
  const size_t end = stat.rfind(')');
  if (end == std::string::npos || end + 2 >= stat.size()) return "";  // it has ended meanwhile
  return std::to_string(process) + " " + stat.substr(0, end + 3) + " " + waits_in(thread) + "\n";
}

}  // namespace

std::string process_states() {
  std::string lines;
  std::vector<pid_t> waiting = {::getpid()};
  std::set<pid_t> seen;
  while (!waiting.empty()) {
    const pid_t process = waiting.back();
    waiting.pop_back();
    if (!seen.insert(process).second) continue;
    for (const fs::path& thread : threads_of(process)) {
      lines += line_of(process, thread);
      std::istringstream children(read_text(thread / "children"));
      for (pid_t child = 0; children >> child;) waiting.push_back(child);
    }
  }
  return lines;
}

}  // namespace netfs::test
