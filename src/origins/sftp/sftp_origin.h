#pragma once
// SftpOrigin: a remote tree over SSH, sftp://[USER@]HOST[:PORT]/PATH or [USER@]HOST:PATH.
//
// Reads are pipelined over several connections (pool.h); metadata calls wait for their answer and
// are tried again on another connection when theirs is lost, until their deadline.  Version 3 of
// the protocol has no identity and no change counter: the path is the identity, and the validator
// is weak: size and mtime in seconds.
//
// Options: identity=FILE, known_hosts=FILE, connections=N, ssh=PROGRAM.  Thread-safe.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "netfs/origin.h"
#include "origins/module.h"
#include "origins/sftp/asker.h"
#include "origins/sftp/pool.h"
#include "origins/sftp/sftp_writer.h"

namespace netfs::origins::sftp {

class SftpOrigin final : public Origin {
 public:
  static Result<std::unique_ptr<Origin>> open(const OriginRequest& request);

  [[nodiscard]] const OriginCapabilities& capabilities() const override { return capabilities_; }
  [[nodiscard]] std::string volume_key() const override;
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override;
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override;
  Result<std::string> read_link(const std::string& path, Deadline deadline) override;
  Result<FileSystemStats> stat_file_system(Deadline deadline) override;
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override;
  std::unique_ptr<OriginFile> open_by_read(const std::string& path) override;
  void issue_read(Subrequest& subrequest) override;
  [[nodiscard]] OriginWriter* writer() override { return &writer_; }
  [[nodiscard]] StatusFields status() const override;

 private:
  SftpOrigin(std::unique_ptr<Pool> pool, std::string root, const Clock& clock)
      : pool_(std::move(pool)),
        asker_(std::make_unique<Asker>(*pool_, std::move(root), clock)),
        writer_(*asker_) {}

  class Names;
  Result<void> read_directory(Connection& connection, const std::string& path, Deadline deadline,
                              Names& names);
  Result<void> read_entries(Connection& connection, const std::string& handle, Deadline deadline,
                            Names& names);
  Result<std::unique_ptr<OriginFile>> open_file(Connection& connection, const std::string& path,
                                                Deadline deadline);

  // 512 KiB: small enough to spread evenly over connections of 2 MiB a round trip.  A listing takes
  // two round trips.
  const OriginCapabilities capabilities_{
      .read_bytes_max = 512 * 1024, .listings_ahead = 32, .files_ahead = true};
  const std::unique_ptr<Pool> pool_;
  const std::unique_ptr<Asker> asker_;
  SftpWriter writer_;
};

}  // namespace netfs::origins::sftp
