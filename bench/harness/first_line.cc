#include "harness/first_line.h"

#include "harness/report.h"

namespace netfs::bench {

namespace {

constexpr std::chrono::seconds kStartTimeout{10};
constexpr std::chrono::milliseconds kLook{20};

}  // namespace

Result<std::string> first_line(Process& process, const std::string& program,
                               const std::string& log) {
  const auto until = std::chrono::steady_clock::now() + kStartTimeout;
  while (std::chrono::steady_clock::now() < until) {
    const Result<int> ended = process.wait(kLook);
    const Result<std::string> text = read_text(log);
    const std::string said = text.ok() ? text.value() : "";
    if (ended.ok()) return Error(EIO, "bench.start", program + " ended: " + said);
    const size_t end = said.find('\n');
    if (end != std::string::npos) return said.substr(0, end);
  }
  return Error(ETIMEDOUT, "bench.start", program + " does not say that it is ready");
}

}  // namespace netfs::bench
