#pragma once
// LimitedWriter: the writing half of LimitedOrigin.
//
// Thread-safe; the inner writer outlives it.

#include <string>
#include <vector>

#include "netfs/origin.h"
#include "netfs/origin_writer.h"
#include "netfs/pace.h"

namespace netfs {

class LimitedWriter final : public OriginWriter {
 public:
  explicit LimitedWriter(OriginWriter& inner) : inner_(inner) {}

  void limit(uint64_t bytes_per_second) { up_.set(bytes_per_second); }
  [[nodiscard]] uint64_t limit() const { return up_.bytes_per_second(); }

  void issue_write(WriteSubrequest& subrequest) override;

  [[nodiscard]] const WriteCapabilities& write_capabilities() const override {
    return inner_.write_capabilities();
  }
  Result<NodeInfo> make(const std::string& path, const NewNode& what, Deadline deadline) override {
    return inner_.make(path, what, deadline);
  }
  Result<OpenedFile> create(const std::string& path, const NewNode& what,
                            Deadline deadline) override {
    return inner_.create(path, what, deadline);
  }
  Result<NodeInfo> finish(const std::string& path, const NewNode& what,
                          Deadline deadline) override {
    return inner_.finish(path, what, deadline);
  }
  Result<OpenedFile> take_over(UniqueFd descriptor, Deadline deadline) override {
    return inner_.take_over(std::move(descriptor), deadline);
  }
  Result<OpenedFile> open_for_writing(const std::string& path, Deadline deadline) override {
    return inner_.open_for_writing(path, deadline);
  }
  Result<void> remove(const std::string& path, RemoveKind kind, Deadline deadline) override {
    return inner_.remove(path, kind, deadline);
  }
  Result<void> rename(const std::string& from, const std::string& to, RenameHow how,
                      Deadline deadline) override {
    return inner_.rename(from, to, how, deadline);
  }
  Result<OpenedFile> create_nameless(const std::string& directory, const NewNode& what,
                                     Deadline deadline) override {
    return inner_.create_nameless(directory, what, deadline);
  }
  Result<NodeInfo> link(const FileAt& from, const std::string& to, Deadline deadline) override {
    return inner_.link(from, to, deadline);
  }
  Result<Seen> set_attributes(const FileAt& file, const AttributeChange& change,
                              Deadline deadline) override {
    return inner_.set_attributes(file, change, deadline);
  }
  Result<void> sync(const FileAt& file, SyncKind kind, Deadline deadline) override {
    return inner_.sync(file, kind, deadline);
  }
  Result<void> sync_all(Deadline deadline) override { return inner_.sync_all(deadline); }
  Result<Seen> allocate(OriginFile& file, uint32_t mode, ByteRange range,
                        Deadline deadline) override {
    return inner_.allocate(file, mode, range, deadline);
  }
  Result<uint64_t> seek(const FileAt& file, SeekFor what, uint64_t offset,
                        Deadline deadline) override {
    return inner_.seek(file, what, offset, deadline);
  }
  Result<Copied> copy(const FileAt& from, OriginFile& to, const Copying& what,
                      Deadline deadline) override {
    return inner_.copy(from, to, what, deadline);
  }
  Result<std::string> get_xattr(const FileAt& file, const std::string& name,
                                Deadline deadline) override {
    return inner_.get_xattr(file, name, deadline);
  }
  Result<std::vector<std::string>> list_xattrs(const FileAt& file, Deadline deadline) override {
    return inner_.list_xattrs(file, deadline);
  }
  Result<Seen> set_xattr(const FileAt& file, const std::string& name, const std::string& value,
                         uint32_t flags, Deadline deadline) override {
    return inner_.set_xattr(file, name, value, flags, deadline);
  }
  Result<Seen> remove_xattr(const FileAt& file, const std::string& name,
                            Deadline deadline) override {
    return inner_.remove_xattr(file, name, deadline);
  }

 private:
  class Write;

  OriginWriter& inner_;
  Pace up_{"netfs-pace-up"};
};

}  // namespace netfs
