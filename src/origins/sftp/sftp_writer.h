#pragma once
// SftpWriter: changes a remote tree by SFTP version 3 and OpenSSH's extensions.
//   sftp_writer.cc          names: make, remove, rename, link; sync
//   sftp_writer_open.cc     files that are made or opened for writing
//   sftp_writer_set.cc      attributes
//   sftp_copy.cc            copies at the server
//
// What can leave together does (batch.h).  Round trips, where nothing fails:
//   make, create            1; 2 where the server's umask or login gave it other permissions or
//                           another owner than it is to have
//   open_for_writing        2
//   set_attributes          1; 2 for one of owner and group, or of the two times, alone, for a size
//                           by path, and for permissions together with anything else
//   write                   1 for a subrequest
//   remove, rename, link    1
//   sync                    1 by a handle, 2 by path
//   copy                    3
// A close is not waited for.
//
// What version 3 cannot say: sockets, FIFOs, devices (EPERM, as on a file system without them),
// exchanging two names and allocating (EOPNOTSUPP), nanoseconds and times before 1970 or after 2106
// (cut to what it can say).  Hard links, replacing by rename and copies at the server
// (copy-data, since OpenSSH 9.0, from one file to another, else EOPNOTSUPP) need its extensions.
// Owners are given where the login may; one refusal is remembered.
//
// "Failure" is its word for most of what goes wrong: then the path and the server's free space are
// asked what it was.
//
// Thread-safe; the asker outlives it.

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netfs/origin_writer.h"
#include "origins/sftp/asker.h"
#include "origins/sftp/write_job.h"

namespace netfs::origins::sftp {

class SftpWriter final : public OriginWriter {
 public:
  explicit SftpWriter(Asker& asker) : asker_(asker) {}

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
  Result<Copied> copy(const FileAt& from, OriginFile& to, const Copying& what,
                      Deadline deadline) override;
  Result<Seen> set_attributes(const FileAt& file, const AttributeChange& change,
                              Deadline deadline) override;
  void issue_write(WriteSubrequest& subrequest) override;
  Result<void> sync(const FileAt& file, SyncKind kind, Deadline deadline) override;
  Result<void> sync_all(Deadline deadline) override;
  Result<Seen> allocate(OriginFile& file, uint32_t mode, ByteRange range,
                        Deadline deadline) override;

 private:
  struct Asking {
    const std::string& path;
    uint32_t flags = 0;
    SetAttributes attributes{};
    bool with_directory = false;
  };
  // A file's OPEN, and what its name shows behind that; its directory too, if that was asked for.
  struct Opening {
    Result<std::unique_ptr<SftpWriteFile>> file;
    Result<NodeInfo> seen;
    std::optional<Result<NodeInfo>> directory{};
  };
  // Attributes that were set, and what was seen in front and behind.
  struct Setting {
    std::optional<Result<NodeInfo>> before;
    std::vector<Result<void>> done;  // of each step
    std::optional<Result<NodeInfo>> after;
  };
  // In this order.
  using Steps = std::vector<SetAttributes>;

  Result<Opening> open_on(Connection& connection, const Asking& asking, Deadline deadline);
  // Counts its attempts: more than one, and those before were lost with their connection.
  Result<Opening> open_anywhere(const Asking& asking, unsigned& attempts, Deadline deadline);
  Result<OpenedFile> open_existing(Connection& connection, const std::string& path,
                                   Deadline deadline);
  static Result<NodeInfo> stat_handle(Connection& connection, const std::string& handle,
                                      Deadline deadline);
  Result<NodeInfo> finish_new(FileAt made, const NewNode& what, const NodeInfo& info,
                              Deadline deadline);
  template <class Encode>
  Result<void> change(const std::string& path, Deadline deadline, bool& lost, Encode encode);
  Result<void> set(const FileAt& file, const Steps& steps, WantsSeen wants, Setting& setting,
                   Deadline deadline);
  Result<void> set_on(Connection& connection, const FileAt& file, const Steps& steps,
                      WantsSeen wants, Setting& setting, Deadline deadline);
  Result<void> set_one(const FileAt& file, const SetAttributes& step, WantsSeen wants,
                       Setting& setting, Deadline deadline);
  Result<NodeInfo> look(const FileAt& file, Deadline deadline);
  Result<bool> sets_links(Deadline deadline);
  [[nodiscard]] Error explain(Error error, const std::string& path, Deadline deadline);
  [[nodiscard]] bool exists(const std::string& path, Deadline deadline);

  Asker& asker_;
  // 128 KiB is half of what OpenSSH takes, so a subrequest is one WRITE there.
  const WriteCapabilities capabilities_{.write_bytes_max = 128 * 1024,
                                        .files_outlive_names = false,
                                        .validator_can_be_set = true,
                                        .copies = true};
  std::atomic<bool> may_give_away_{true};
};

}  // namespace netfs::origins::sftp
