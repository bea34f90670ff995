#pragma once
// SftpMeter: an SFTP server behind sftp_meter (sftp_meter.cc), and what was asked of it.
//
// A round trip is a run of requests that were sent before any answer to one of them came; what is
// sent after an answer begins another.  CLOSE does not count: nobody waits for it.  A client that
// loses the processor for the whole delay between two requests seems to have waited, so a test
// takes the least of some attempts: fewer than are needed it cannot be.
//
//   SftpMeter meter(temp);
//   request.options["ssh"] = meter.program();   // with connections=1
//   const Metered metered = meter.measure([&] { origin.stat("file", deadline); });
//   EXPECT_EQ(metered.requests, "LSTAT");
//
// Answers can be held, as by a server that stands still.

#include <string>
#include <utility>

#include "tests/support/temp_dir.h"

namespace netfs::test {

struct Metered {
  std::string requests;  // by name in the order they came, a "|" where an answer was waited for
  unsigned trips = 0;
};

class SftpMeter {
 public:
  static constexpr const char* kServer = "/usr/lib/openssh/sftp-server";

  // In front of kServer by itself, or of what ssh leads to.
  enum class Server { kAlone, kBySsh };
  explicit SftpMeter(const TempDir& temp, Server server = Server::kAlone);

  // To be run in place of ssh.
  [[nodiscard]] std::string program() const { return program_; }
  // What is asked while `work` runs.
  template <class Work>
  Metered measure(Work work) const {
    const size_t begin = log_bytes();
    work();
    return since(begin);
  }
  // So many answers still go, by each connection, and no more until they may.
  void hold_after(unsigned answers) const;
  void let_go() const;
  // How many requests of a name have come until now.
  [[nodiscard]] unsigned come(const std::string& name) const;

 private:
  [[nodiscard]] size_t log_bytes() const;
  [[nodiscard]] Metered since(size_t begin) const;

  const std::string log_;
  const std::string program_;
};

}  // namespace netfs::test
