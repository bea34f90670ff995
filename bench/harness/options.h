#pragma once
// Options: the command line that all benchmark programs share.
//
//   bench_NAME [--quick] [--only TEXT] [--pairs N] [--workdir DIR] [--json FILE] [--netfs PROGRAM]
//              [--sftp SCRIPT] [--proxy PROGRAM] [--no-peers] [--no-netfs] [--count N]

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/result.h"

namespace netfs::bench {

struct Options {
  bool quick = false;  // small files: to see that it works, not to quote
  bool peers = true;   // sshfs, rclone, sftp get
  bool netfs = true;   // off: the native and the peers' sides only
  unsigned pairs = 7;  // rounds of each row
  uint64_t count = 0;  // of what some rows are about (bench_names: names/many); 0: the row's own
  std::string only;    // rows whose name contains this
  std::string workdir = "/var/tmp";
  std::string json;              // where the result goes; empty: nowhere
  std::string netfs_program;     // build/bin/netfs beside the benchmark by default
  std::string sftp_script;       // starts the sshd; tests/servers/sftp.sh by default
  std::string http_script;       // starts the web servers: tests/servers/http.sh
  std::string proxy_program;     // build/bin/delay_proxy beside the benchmark by default
  std::string far_link_program;  // build/bin/far_link beside the benchmark

  [[nodiscard]] bool wants(const std::string& row) const {
    return row.find(only) != std::string::npos;
  }
  [[nodiscard]] bool wants_any(std::initializer_list<const char*> rows) const {
    return std::any_of(rows.begin(), rows.end(), [&](const char* row) { return wants(row); });
  }
};

// EINVAL names the option; the usage text is its detail.
Result<Options> parse_options(int argc, char** argv);

}  // namespace netfs::bench
