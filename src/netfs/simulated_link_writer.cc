#include "netfs/simulated_link_writer.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace netfs {

// A write on its way: its bytes queue for the link, the answer travels back.
class SimulatedLinkWriter::Write final : public WriteSubrequest {
 public:
  Write(SimulatedLinkWriter& writer, WriteSubrequest& outer)
      : WriteSubrequest(outer.file(), outer.range(), outer.source(), outer.wants(),
                        outer.deadline()),
        writer_(writer),
        outer_(outer) {}

  void terminated(WriteOutcome outcome) override {
    outcome_ = std::move(outcome);
    if (!writer_.link_.later(writer_.link_.half(), [this] { arrive(); })) arrive();
  }

 private:
  void arrive() {
    const std::unique_ptr<Write> self(this);
    outer_.terminated(std::move(outcome_));
  }

  SimulatedLinkWriter& writer_;
  WriteSubrequest& outer_;
  WriteOutcome outcome_;
};

MonoTime SimulatedLinkWriter::book(uint64_t bytes) {
  const MonoTime now = Clock::system().now();
  sync::MutexLock lock(mutex_);
  free_at_ = std::max(now, free_at_) + link_.transfer_time(bytes);
  return free_at_;
}

void SimulatedLinkWriter::issue_write(WriteSubrequest& subrequest) {
  auto* write = new Write(*this, subrequest);  // deletes itself on arrival
  const Duration sent = book(subrequest.range().length_bytes) - Clock::system().now();
  const bool posted =
      link_.later(sent + link_.half(), [this, write] { inner_.issue_write(*write); });
  if (!posted) write->terminated({.transferred_bytes = Error(ENOTCONN, "simulate")});
}

Result<NodeInfo> SimulatedLinkWriter::make(const std::string& path, const NewNode& what,
                                           Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.make(path, what, deadline);
}

Result<OpenedFile> SimulatedLinkWriter::create(const std::string& path, const NewNode& what,
                                               Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.create(path, what, deadline);
}

Result<NodeInfo> SimulatedLinkWriter::finish(const std::string& path, const NewNode& what,
                                             Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.finish(path, what, deadline);
}

Result<OpenedFile> SimulatedLinkWriter::take_over(UniqueFd descriptor, Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.take_over(std::move(descriptor), deadline);
}

Result<OpenedFile> SimulatedLinkWriter::open_for_writing(const std::string& path,
                                                         Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.open_for_writing(path, deadline);
}

Result<void> SimulatedLinkWriter::remove(const std::string& path, RemoveKind kind,
                                         Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.remove(path, kind, deadline);
}

Result<void> SimulatedLinkWriter::rename(const std::string& from, const std::string& to,
                                         RenameHow how, Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.rename(from, to, how, deadline);
}

Result<OpenedFile> SimulatedLinkWriter::create_nameless(const std::string& directory,
                                                        const NewNode& what, Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.create_nameless(directory, what, deadline);
}

Result<NodeInfo> SimulatedLinkWriter::link(const FileAt& from, const std::string& to,
                                           Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.link(from, to, deadline);
}

Result<uint64_t> SimulatedLinkWriter::seek(const FileAt& file, SeekFor what, uint64_t offset,
                                           Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.seek(file, what, offset, deadline);
}

Result<Copied> SimulatedLinkWriter::copy(const FileAt& from, OriginFile& to, const Copying& what,
                                         Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.copy(from, to, what, deadline);
}

Result<Seen> SimulatedLinkWriter::set_attributes(const FileAt& file, const AttributeChange& change,
                                                 Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.set_attributes(file, change, deadline);
}

Result<void> SimulatedLinkWriter::sync(const FileAt& file, SyncKind kind, Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.sync(file, kind, deadline);
}

Result<void> SimulatedLinkWriter::sync_all(Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.sync_all(deadline);
}

Result<Seen> SimulatedLinkWriter::allocate(OriginFile& file, uint32_t mode, ByteRange range,
                                           Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.allocate(file, mode, range, deadline);
}

Result<std::string> SimulatedLinkWriter::get_xattr(const FileAt& file, const std::string& name,
                                                   Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.get_xattr(file, name, deadline);
}

Result<std::vector<std::string>> SimulatedLinkWriter::list_xattrs(const FileAt& file,
                                                                  Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.list_xattrs(file, deadline);
}

Result<Seen> SimulatedLinkWriter::set_xattr(const FileAt& file, const std::string& name,
                                            const std::string& value, uint32_t flags,
                                            Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.set_xattr(file, name, value, flags, deadline);
}

Result<Seen> SimulatedLinkWriter::remove_xattr(const FileAt& file, const std::string& name,
                                               Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.remove_xattr(file, name, deadline);
}

}  // namespace netfs
