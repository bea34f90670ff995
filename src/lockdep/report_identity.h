#pragma once
// ReportIdentity: whose report it is, in place of the kernel's release, version and taint.
//
// The build-id names the very binary, as `5.15.0 #292` names the very kernel.  Taint has no
// counterpart: nothing marks a process whose memory cannot be trusted.  Stable: the same binary has
// the same line.

#include <cstdint>
#include <string>

namespace netfs::lockdep {

struct ReportIdentity {
  std::string program;   // netfs
  std::string version;   // 0.1.0; may be empty
  std::string build_id;  // hexadecimal; empty where the linker made none
  int64_t process = 0;   // its id; 0 where unknown.  Not part of the line
};

// Of this process; the version is the caller's.  Takes no lock.
[[nodiscard]] ReportIdentity own_identity(std::string version);

// `netfs 0.1.0 build-id 4f1c8e02a9b3c5d7`: the first 16 digits.
[[nodiscard]] std::string identity_line(const ReportIdentity& identity);

}  // namespace netfs::lockdep
