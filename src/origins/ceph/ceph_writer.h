#pragma once
// CephWriter: what CephFS can change, which is nearly all that a local file system can.
//
// Each is one request to the metadata server, with the owner it is for where this client is root:
// nothing is made in steps.  Bytes go to the stores at once; what the metadata server has to know
// of them, size and times, is told it by sync(), by close, or when somebody asks.
//
// The server's rename replaces, always.  So without replacing a file gets its new name by a link,
// which is EEXIST where something has it, and loses the old one after that; a directory is looked
// for and renamed: what comes there in between is replaced if it is an empty directory, and nothing
// else.

#include <string>
#include <vector>

#include "netfs/origin_writer.h"
#include "origins/ceph/calls.h"
#include "origins/ceph/ceph_file.h"
#include "origins/ceph/overdue.h"
#include "origins/ceph/session.h"

namespace netfs::origins::ceph {

class CephWriter final : public OriginWriter {
 public:
  CephWriter(Calls& calls, Calls& transfers, Ref<Overdue> overdue, Ref<Sessions> sessions);

  [[nodiscard]] const WriteCapabilities& write_capabilities() const override {
    return capabilities_;
  }
  Result<NodeInfo> make(const std::string& path, const NewNode& what, Deadline deadline) override;
  Result<OpenedFile> create(const std::string& path, const NewNode& what,
                            Deadline deadline) override;
  Result<OpenedFile> open_for_writing(const std::string& path, Deadline deadline) override;
  Result<void> remove(const std::string& path, RemoveKind kind, Deadline deadline) override;
  Result<void> rename(const std::string& from, const std::string& to, RenameHow how,
                      Deadline deadline) override;
  Result<NodeInfo> link(const FileAt& from, const std::string& to, Deadline deadline) override;
  Result<Seen> set_attributes(const FileAt& file, const AttributeChange& change,
                              Deadline deadline) override;
  void issue_write(WriteSubrequest& subrequest) override;
  Result<void> sync(const FileAt& file, SyncKind kind, Deadline deadline) override;
  Result<void> sync_all(Deadline deadline) override;
  Result<Seen> allocate(OriginFile& file, uint32_t mode, ByteRange range,
                        Deadline deadline) override;
  Result<std::string> get_xattr(const FileAt& file, const std::string& name,
                                Deadline deadline) override;
  Result<std::vector<std::string>> list_xattrs(const FileAt& file, Deadline deadline) override;
  Result<Seen> set_xattr(const FileAt& file, const std::string& name, const std::string& value,
                         uint32_t flags, Deadline deadline) override;
  Result<Seen> remove_xattr(const FileAt& file, const std::string& name,
                            Deadline deadline) override;

 private:
  // Calls `change(node)` between two looks at a file.
  template <class Change>
  Result<Seen> seen_around(const FileAt& file, Deadline deadline, Change change);

  Calls& calls_;
  Calls& transfers_;
  const Ref<Overdue> overdue_;
  const Ref<Sessions> sessions_;
  const WriteCapabilities capabilities_;
};

}  // namespace netfs::origins::ceph
