#pragma once
// NfsOrigin: an export of an NFS server, version 3, nfs://HOST/EXPORT/PATH (settings.h).
//
// A file is its handle, for reading and writing, and its identity fsid and fileid; the validator is
// weak: mtime, ctime and size, as good as the server's clock.  Attributes come with nearly every
// answer.  Requests go over several connections, many in flight on each (pool.h).  Thread-safe.

#include <memory>
#include <string>

#include "netfs/origin.h"
#include "origins/module.h"
#include "origins/nfs/call.h"
#include "origins/nfs/names3.h"
#include "origins/nfs/nfs_writer.h"
#include "origins/nfs/settings.h"

namespace netfs::origins::nfs {

class NfsOrigin final : public Origin {
 public:
  static Result<std::unique_ptr<Origin>> open(const OriginRequest& request, Settings settings);

  [[nodiscard]] const OriginCapabilities& capabilities() const override { return capabilities_; }
  [[nodiscard]] std::string volume_key() const override;
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override;
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override;
  Result<std::string> read_link(const std::string& path, Deadline deadline) override;
  Result<FileSystemStats> stat_file_system(Deadline deadline) override;
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override;
  void issue_read(Subrequest& subrequest) override;
  [[nodiscard]] OriginWriter* writer() override { return &writer_; }
  [[nodiscard]] StatusFields status() const override;

 private:
  NfsOrigin(Settings settings, std::unique_ptr<Pool> pool, Handle root, const ServerLimits& limits);

  const Settings settings_;
  const Handle root_;
  const ServerLimits limits_;
  OriginCapabilities capabilities_;
  std::unique_ptr<Pool> pool_;
  mutable Caller caller_;
  Names3 names_;
  NfsWriter writer_;
};

}  // namespace netfs::origins::nfs
