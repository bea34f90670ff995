#pragma once
// FileOrigin: a local folder as an origin, file:///PATH.
//
// Every path is resolved beneath the root's descriptor and through no symbolic link (openat2), so
// a link planted in the tree leads nowhere else.  Identity is device, inode and birth time: a
// reused inode number is another file.  The validator is weak: mtime, ctime and size, within a
// granule of 10 ms, the coarsest clock tick with which file systems stamp.  Reads and
// writes run on a pool of their own.
//
// Thread-safe.

#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "netfs/origin.h"
#include "origins/file/file_locks.h"
#include "origins/file/file_writer.h"
#include "origins/module.h"
#include "sync/work_queue.h"

namespace netfs::origins {

class FileOrigin final : public Origin {
 public:
  // ENOENT, ENOTDIR, EACCES with a sentence when the root is not a readable directory.
  static Result<std::unique_ptr<Origin>> open(const OriginRequest& request);

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
  FileOrigin(UniqueFd root, std::string root_path, std::string volume_key);

  const UniqueFd root_;
  const std::string root_path_;
  const std::string volume_key_;
  const OriginCapabilities capabilities_;
  sync::WorkQueue workers_;  // for reads and writes
  FileWriter writer_;
  FileLocks locks_;
};

}  // namespace netfs::origins
