#pragma once
// LateWriter: the writing half of LateOrigin.
//
// Thread-safe; the origin outlives it.

#include <string>
#include <vector>

#include "netfs/late_origin.h"
#include "netfs/origin_writer.h"

namespace netfs {

class LateWriter final : public OriginWriter {
 public:
  LateWriter(LateOrigin& origin, const WriteCapabilities& capabilities)
      : origin_(origin), capabilities_(capabilities) {}

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
  Result<Seen> set_attributes(const FileAt& file, const AttributeChange& change,
                              Deadline deadline) override;
  void issue_write(WriteSubrequest& subrequest) override;
  Result<void> sync(const FileAt& file, SyncKind kind, Deadline deadline) override;
  Result<void> sync_all(Deadline deadline) override;
  Result<Seen> allocate(OriginFile& file, uint32_t mode, ByteRange range,
                        Deadline deadline) override;
  Result<uint64_t> seek(const FileAt& file, SeekFor what, uint64_t offset,
                        Deadline deadline) override;
  Result<Copied> copy(const FileAt& from, OriginFile& to, const Copying& what,
                      Deadline deadline) override;
  Result<std::string> get_xattr(const FileAt& file, const std::string& name,
                                Deadline deadline) override;
  Result<std::vector<std::string>> list_xattrs(const FileAt& file, Deadline deadline) override;
  Result<Seen> set_xattr(const FileAt& file, const std::string& name, const std::string& value,
                         uint32_t flags, Deadline deadline) override;
  Result<Seen> remove_xattr(const FileAt& file, const std::string& name,
                            Deadline deadline) override;

 private:
  // EROFS: it cannot be written to any more, and nobody was said to.
  Result<OriginWriter*> reach(Deadline deadline);

  LateOrigin& origin_;
  const WriteCapabilities capabilities_;
};

}  // namespace netfs
