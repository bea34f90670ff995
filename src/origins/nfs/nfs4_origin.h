#pragma once
// Nfs4Origin: a directory of an NFS server, version 4.0, nfs://HOST/PATH?version=4 (settings.h).
// It reads only.
//
// Nothing is opened there: a file is its handle, and is read with the anonymous state, which every
// server has to take and which leaves nothing to be given back or made anew when the server was
// restarted.  (What that cannot do is keep others from a file by a share reservation, which nobody
// who reads asks for.)  The validator is weak (wire4.h says why), the identity fsid and fileid,
// also across the exports below.  Connections and their care are those of version 3.  Thread-safe.

#include <memory>
#include <string>

#include "netfs/origin.h"
#include "origins/module.h"
#include "origins/nfs/call.h"
#include "origins/nfs/limits.h"
#include "origins/nfs/names4.h"
#include "origins/nfs/owners.h"
#include "origins/nfs/settings.h"

namespace netfs::origins::nfs {

class Nfs4Origin final : public Origin {
 public:
  static Result<std::unique_ptr<Origin>> open(const OriginRequest& request, Settings settings);

  [[nodiscard]] const OriginCapabilities& capabilities() const override { return capabilities_; }
  [[nodiscard]] std::string volume_key() const override { return settings_.volume_key(); }
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override;
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override;
  Result<std::string> read_link(const std::string& path, Deadline deadline) override;
  Result<FileSystemStats> stat_file_system(Deadline deadline) override;
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override;
  void issue_read(Subrequest& subrequest) override;
  [[nodiscard]] StatusFields status() const override;

 private:
  Nfs4Origin(Settings settings, std::unique_ptr<Pool> pool, Handle root,
             const ServerLimits& limits);

  const Settings settings_;
  const Handle root_;
  const OriginCapabilities capabilities_;
  std::unique_ptr<Pool> pool_;
  Caller caller_;
  Owners owners_;
  Names4 names_;
};

}  // namespace netfs::origins::nfs
