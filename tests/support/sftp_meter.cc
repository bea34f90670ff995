#include "tests/support/sftp_meter.h"

#include <cstdio>
#include <gtest/gtest.h>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/process.h"
#include "tests/support/tree.h"

namespace netfs::test {

namespace {
// Long against what a client takes from one request to the next, short for who waits for each.
constexpr const char* kDelayMs = "20";
}  // namespace

SftpMeter::SftpMeter(const TempDir& temp, Server server)
    : log_(temp / "meter.log"), program_(temp / "meter") {
  write_file(log_, "");
  const bool by_ssh = server == Server::kBySsh;
  // "ssh -G" asks for the configuration: of kServer there is none to tell.
  const std::string asked = by_ssh ? "exec ssh \"$@\"" : "exit 1";
  const std::string leads_to = by_ssh ? "ssh \"$@\"" : std::string(kServer);
  write_file(program_, "#!/bin/bash\n[[ $* != *-G* ]] || " + asked + "\numask 022\nexec " +
                           NETFS_TEST_SFTP_METER + " " + log_ + " " + kDelayMs + " " + leads_to +
                           "\n");
  EXPECT_EQ(::chmod(program_.c_str(), 0755), 0);
}

void SftpMeter::hold_after(unsigned answers) const {
  write_file(log_ + ".new", std::to_string(answers) + "\n");
  EXPECT_EQ(::rename((log_ + ".new").c_str(), (log_ + ".hold").c_str()), 0);
}

void SftpMeter::let_go() const {
  EXPECT_EQ(::unlink((log_ + ".hold").c_str()), 0);
}

unsigned SftpMeter::come(const std::string& name) const {
  std::istringstream lines(read_text(log_));
  unsigned count = 0;
  for (std::string line; std::getline(lines, line);) count += line == "> " + name ? 1 : 0;
  return count;
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
