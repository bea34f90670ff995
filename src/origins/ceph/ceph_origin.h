#pragma once
// CephOrigin: a CephFS as an origin, ceph://FSNAME/PATH, on libcephfs's interface for inodes.
//
// What this client knows of the tree is kept true by the cluster, as long as it is connected: most
// questions are answered without one to the metadata server.  The validator is strong: the version
// that moves with each change of an inode, with its size and mtime.  Bytes come from the stores,
// and go there, without a cache of libcephfs's.
//
// Each call runs on a thread of Calls, and each transfer on one of its own pool; at its deadline
// it is answered, whatever libcephfs does.  A client that was thrown out of the cluster is made
// anew by the next call.
//
// Thread-safe.

#include <memory>
#include <string>

#include "netfs/origin.h"
#include "origins/ceph/calls.h"
#include "origins/ceph/ceph_file.h"
#include "origins/ceph/ceph_locks.h"
#include "origins/ceph/ceph_writer.h"
#include "origins/ceph/overdue.h"
#include "origins/ceph/session.h"
#include "origins/ceph/settings.h"

namespace netfs::origins::ceph {

class CephOrigin final : public Origin {
 public:
  static Result<std::unique_ptr<Origin>> open(const OriginRequest& request);
  ~CephOrigin() override;

  [[nodiscard]] const OriginCapabilities& capabilities() const override { return capabilities_; }
  [[nodiscard]] std::string volume_key() const override { return volume_key_; }
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override;
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override;
  Result<std::string> read_link(const std::string& path, Deadline deadline) override;
  Result<FileSystemStats> stat_file_system(Deadline deadline) override;
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override;
  void issue_read(Subrequest& subrequest) override;
  [[nodiscard]] OriginWriter* writer() override { return &writer_; }
  [[nodiscard]] OriginLocks* locks() override { return &locks_; }
  [[nodiscard]] StatusFields status() const override;

 private:
  CephOrigin(Settings settings, std::unique_ptr<Calls> calls, Ref<Sessions> sessions,
             std::string volume_key);

  const Settings settings_;
  const std::string volume_key_;
  const OriginCapabilities capabilities_;
  const Ref<Sessions> sessions_;
  const std::unique_ptr<Calls> calls_;
  Calls transfers_;
  const Ref<Overdue> overdue_;
  CephWriter writer_;
  CephLocks locks_;
};

}  // namespace netfs::origins::ceph
