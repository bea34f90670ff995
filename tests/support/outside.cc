#include "tests/support/outside.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/wait.h"

namespace netfs::test {
namespace {

// A line is a command; for each its status is said.
constexpr const char* kLoop =
    "while read -r line; do (eval \"$line\") </dev/null >/dev/null 2>&1; echo $?; done <\"$0\"";

std::string quoted(const std::string& word) {
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "' ";
}

}  // namespace

Outside::Outside(const TempDir& temp) {
  const std::string fifo = temp / "outside";
  ::mkfifo(fifo.c_str(), 0600);
  lines_ = UniqueFd(::open(fifo.c_str(), O_RDWR | O_CLOEXEC));
  shell_ = std::make_unique<Process>(std::vector<std::string>{"bash", "-c", kLoop, fifo},
                                     temp / "outside-says");
}

int Outside::run(const std::vector<std::string>& argv, Duration timeout) {
  std::string line;
  for (const std::string& word : argv) line += quoted(word);
  line += '\n';
  const std::string before = shell_->output();
  if (::write(lines_.get(), line.data(), line.size()) < 0) return -1;
  std::string says;
  const auto is_said = [&] {
    says = shell_->output().substr(before.size());
    return says.ends_with('\n');
  };
  return wait_until(is_said, timeout) ? std::stoi(says) : -1;
}

int run_by(Outside* outside, const std::vector<std::string>& argv, Duration timeout) {
  return outside != nullptr ? outside->run(argv, timeout) : run(argv, timeout).status;
}

}  // namespace netfs::test
