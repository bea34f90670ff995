#pragma once
// FileWriter: changes a local folder: the writing half of FileOrigin.
//
// Names are changed in the directory that holds them, which is resolved beneath the root and
// through no symbolic link.  Owners are those asked for where this process may give files away;
// otherwise they stay its own.  What a directory's default ACL says of new files in it holds, as on
// the file system itself.  Open files outlive their names.  A file may be fuller of what the
// kernel does for it than a caller can see: capabilities in `security.*` go by themselves when it
// is written to.
//
// Thread-safe; root and pool outlive it.

#include <string>
#include <vector>

#include "netfs/origin_writer.h"
#include "sync/work_queue.h"

namespace netfs::origins {

class FileWriter final : public OriginWriter {
 public:
  FileWriter(int root, sync::WorkQueue& workers);

  [[nodiscard]] const WriteCapabilities& write_capabilities() const override {
    return capabilities_;
  }
  Result<NodeInfo> make(const std::string& path, const NewNode& what, Deadline deadline) override;
  Result<OpenedFile> create(const std::string& path, const NewNode& what,
                            Deadline deadline) override;
  Result<NodeInfo> finish(const std::string& path, const NewNode& what, Deadline deadline) override;
  Result<OpenedFile> take_over(UniqueFd descriptor, Deadline deadline) override;
  Result<OpenedFile> open_for_writing(const std::string& path, Deadline deadline) override;
  Result<void> remove(const std::string& path, RemoveKind kind, Deadline deadline) override;
  Result<void> rename(const std::string& from, const std::string& to, RenameHow how,
                      Deadline deadline) override;
  Result<OpenedFile> create_nameless(const std::string& directory, const NewNode& what,
                                     Deadline deadline) override;
  Result<NodeInfo> link(const FileAt& from, const std::string& to, Deadline deadline) override;
  Result<uint64_t> seek(const FileAt& file, SeekFor what, uint64_t offset,
                        Deadline deadline) override;
  Result<Copied> copy(const FileAt& from, OriginFile& to, const Copying& what,
                      Deadline deadline) override;
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
  const int root_;
  sync::WorkQueue& workers_;
  const WriteCapabilities capabilities_;
};

}  // namespace netfs::origins
