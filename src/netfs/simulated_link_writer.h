#pragma once
// SimulatedLinkWriter: the writing half of SimulatedLink: every change takes one round trip more,
// and all bytes written share one bandwidth of their own direction.
//
// Thread-safe; the link and the inner writer outlive it.

#include <functional>
#include <string>
#include <vector>

#include "netfs/lock_classes.h"
#include "netfs/origin_writer.h"
#include "netfs/simulated_link.h"
#include "sync/mutex.h"
#include "sync/work_queue.h"

namespace netfs {

class SimulatedLinkWriter final : public OriginWriter {
 public:
  SimulatedLinkWriter(SimulatedLink& link, OriginWriter& inner) : link_(link), inner_(inner) {}

  [[nodiscard]] const WriteCapabilities& write_capabilities() const override {
    return inner_.write_capabilities();
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
  class Write;

  // When the link upwards has sent all that is booked and so many bytes more.
  MonoTime book(uint64_t bytes) EXCLUDES(mutex_);

  SimulatedLink& link_;
  OriginWriter& inner_;
  sync::Mutex mutex_{kSimulatedLinkLock};
  MonoTime free_at_ GUARDED_BY(mutex_);
};

}  // namespace netfs
