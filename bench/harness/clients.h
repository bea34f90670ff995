#pragma once
// Clients: the command lines that are compared, each with the options its own manual recommends.
//
// All stay in the foreground.  `how` texts for the tables come from the same place as the commands.

#include <string>
#include <vector>

#include "harness/jobs.h"
#include "harness/process.h"
#include "harness/sftp_server.h"

namespace netfs::bench {

struct Client {
  std::string name;  // "sshfs"
  std::string how;   // version and options
  Command command;
};

// kWriting: at the server when it is closed.  kBack: on the local disk first.
enum class Use { kReading, kWriting, kBack };

struct MountRequest {
  SftpAccess access;
  std::string remote_path;  // absolute, at the server
  std::string directory;    // mount point
  std::string cache;        // directory for a disk cache, made by the client
  std::string log;
  std::vector<std::string> options;  // netfs: further arguments
  Use use = Use::kReading;
};

Client netfs_client(const std::string& program, const MountRequest& request);
Client sshfs_client(const MountRequest& request);
Client rclone_client(const MountRequest& request);

// `sftp get` of one file in a session that stands before the clock starts; units: bytes.
Result<Work> sftp_get(const SftpAccess& access, const std::string& remote_path,
                      const std::string& local_path, uint64_t size_bytes);
std::string sftp_get_how();
// The same the other way: `sftp put`.
Result<Work> sftp_put(const SftpAccess& access, const std::string& local_path,
                      const std::string& remote_path, uint64_t size_bytes);
std::string sftp_put_how();

}  // namespace netfs::bench
