#include "tests/support/sftp_meter.h"

#include <gtest/gtest.h>
#include <sstream>
#include <sys/stat.h>

#include "tests/support/process.h"
#include "tests/support/tree.h"

namespace netfs::test {

namespace {
// Long against what a client takes from one request to the next, short for who waits for each.
constexpr const char* kDelayMs = "20";
}  // namespace

SftpMeter::SftpMeter(const TempDir& temp) : log_(temp / "meter.log"), program_(temp / "meter") {
  write_file(log_, "");
  // "ssh -G": there is no configuration to tell.
  write_file(program_, std::string("#!/bin/bash\n[[ $* != *-G* ]] || exit 1\numask 022\nexec ") +
                           NETFS_TEST_SFTP_METER + " " + log_ + " " + kDelayMs + " " + kServer +
                           "\n");
  EXPECT_EQ(::chmod(program_.c_str(), 0755), 0);
}

size_t SftpMeter::log_bytes() const {
  return read_text(log_).size();
}

Metered SftpMeter::since(size_t begin) const {
  std::istringstream lines(read_text(log_).substr(begin));
  Metered metered;
  bool answered = true;
  for (std::string line; std::getline(lines, line);) {
    const std::string name = line.substr(2);
    if (name == "CLOSE") continue;
    if (line[0] == '<') {
      answered = true;
      continue;
    }
    if (answered) ++metered.trips;
    if (!metered.requests.empty()) metered.requests += answered ? " | " : " ";
    metered.requests += name;
    answered = false;
  }
  return metered;
}

}  // namespace netfs::test
