#pragma once
// Lab: what every benchmark program has in common: options, work directory, server, mounts, result.
//
//   int main(int argc, char** argv) {
//     return Lab::run("sealed", argc, argv, [](Lab& lab) -> Result<void> {
//       ...
//       lab.add(run_row(spec, sides, lab.options().pairs));
//       return {};
//     });
//   }
//
// Everything it started ends, and all it wrote is removed, when run() returns.

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "harness/clients.h"
#include "harness/content.h"
#include "harness/mount.h"
#include "harness/options.h"
#include "harness/runner.h"
#include "harness/sftp_server.h"
#include "harness/workdir.h"

namespace netfs::bench {

enum class Peer { kNetfs, kSshfs, kRclone };

class Lab {
 public:
  // 0; 1 when the body or a side of a row failed (each said why); 2 for wrong options.
  static int run(const std::string& name, int argc, char** argv,
                 const std::function<Result<void>(Lab&)>& body);

  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] const Workdir& work() const { return work_; }
  // `full`, or `quick` under --quick.
  [[nodiscard]] uint64_t size(uint64_t full, uint64_t quick) const {
    return options_.quick ? quick : full;
  }

  // The sshd, started by the first call.
  Result<SftpAccess> server();

  // A file under the work directory and, with the same bytes, where the server serves it from:
  // they are two files, so that neither warms the other.
  Result<FileSpec> make_source(const std::string& name, uint64_t size_bytes);
  Result<FileSpec> make_native(const FileSpec& source);

  // The command that mounts `remote_path` with a new mount point and a cache named `cache`, which
  // is kept when it exists.
  Result<Client> client(Peer peer, const std::string& remote_path, const std::string& cache,
                        const std::vector<std::string>& options = {}, Use use = Use::kReading);
  // The same at another address of the server.
  Result<Client> client_at(const SftpAccess& access, Peer peer, const std::string& remote_path,
                           const std::string& cache, const std::vector<std::string>& options = {},
                           Use use = Use::kReading);
  // Mounts it on the directory that its command names.
  Result<Mount> mount(const Client& client) const;
  // Reads the files (paths on the mount) until each open is handed to the kernel: they are sealed.
  // ETIMEDOUT after two minutes.
  Result<void> await_sealed(const Mount& mount, const std::vector<FileSpec>& files) const;
  // Waits until the origin has opened the connections it wants.
  Result<void> await_connected(const Mount& mount) const;
  // Waits until nothing is left to be stored in the cache, or a minute.
  Result<void> await_stored(const Mount& mount) const;
  // Waits until the server has all that was written, or ten minutes.
  Result<void> await_uploaded(const Mount& mount) const;
  // What it says of itself: `netfs status --json`.
  Result<nlohmann::json> status(const Mount& mount) const;
  // Removes the cache that client() named.
  void remove_cache(const std::string& cache) const;

  void add(RowResult row) { rows_.push_back(std::move(row)); }

 private:
  Lab(std::string name, Options options, Workdir work)
      : name_(std::move(name)), options_(std::move(options)), work_(std::move(work)) {}
  Result<void> write_results();

  std::string name_;
  Options options_;
  Workdir work_;
  std::optional<SftpServer> server_;
  std::vector<RowResult> rows_;
  unsigned mounts_ = 0;
};

}  // namespace netfs::bench
