#pragma once
// JournaledWriter: the writing half of JournaledOrigin.  A change is checked against what users
// see, with the errnos of a local file system, recorded, and answered; sync() and a rename over
// something answer when it is durable here.  What a rename replaces may live on by another name:
// that is one change.
//
// What an origin may not be able to do is not promised for later: links, devices and extended
// attributes wait until all that is pending is uploaded, and are the origin's to answer (ETIMEDOUT
// while it cannot be reached).  EINVAL: renames that exchange or leave a whiteout.
//
// Thread-safe; part of its origin.

#include <functional>
#include <string>
#include <vector>

#include "journal/journal.h"
#include "netfs/origin_writer.h"
#include "sync/work_queue.h"

namespace netfs::journal {

class JournaledWriter final : public OriginWriter {
 public:
  explicit JournaledWriter(Journal& journal);

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
  Result<bool> replace(const std::string& from, const std::string& to, const std::string& kept,
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
  Result<Journal::Looked> look(const FileAt& file, Deadline deadline);
  // What was known of it before the origin was asked, which it is not if it was a moment ago.
  Result<Journal::Glance> must_be_absent(const std::string& path, bool believed, Deadline deadline);
  Result<void> must_be_directory(const std::string& path, Deadline deadline);
  Result<Journal::Committed> commit_new(const std::string& path, const NewNode& what,
                                        Deadline deadline);
  // Whether something was replaced.
  Result<bool> rename(Record record, Deadline deadline);
  Result<bool> is_empty(const std::string& path, Deadline deadline);
  // Waits until the origin has all of it; then it is where it says.
  Result<FileAt> settled(const FileAt& file, Deadline& deadline);
  Result<std::string> place_of_new(const std::string& path, Deadline& deadline);
  void write(WriteSubrequest& subrequest);

  Journal& journal_;
  const WriteCapabilities capabilities_;
  sync::WorkQueue writes_;  // one thread: in the order in which they were issued
};

}  // namespace netfs::journal
