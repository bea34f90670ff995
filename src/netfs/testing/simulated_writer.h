#pragma once
// SimulatedWriter: the writing half of a SimulatedOrigin, where its options ask for one.
//
// Writes are answered by the origin's threads, or from within issue_write() if its answers are
// inline; a fault function is asked before each.  Thread-safe; the origin outlives it.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "netfs/origin_writer.h"
#include "netfs/testing/simulated_origin.h"

namespace netfs {

class SimulatedWriter final : public OriginWriter {
 public:
  explicit SimulatedWriter(SimulatedOrigin& origin) : origin_(origin) {}

  [[nodiscard]] const WriteCapabilities& write_capabilities() const override {
    return *origin_.options_.write;
  }
  Result<NodeInfo> make(const std::string& path, const NewNode& what, Deadline deadline) override;
  Result<OpenedFile> create(const std::string& path, const NewNode& what,
                            Deadline deadline) override;
  Result<OpenedFile> take_over(UniqueFd descriptor, Deadline deadline) override;
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

 private:
  void begin_change(const std::string& path);
  Result<NodeInfo> put_new(const std::string& path, const NewNode& what);
  void answer(WriteSubrequest& subrequest);

  SimulatedOrigin& origin_;
};

}  // namespace netfs
