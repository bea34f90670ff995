#pragma once
// WriteJob: one subrequest of the library as pipelined WRITEs on one connection, with an FSTAT in
// front and behind where they are wanted: OpenSSH's server works in order, so they see the file as
// it was before the first byte and after the last.
//
// Version 3 says "failure" of a full disk: then STATVFS is asked, and ENOSPC or EROFS answered if
// it says so.  When the connection ends the subrequest terminates with that error, and nobody knows
// what of it was carried out.
//
// Thread-safety: started by one thread; the rest on the connection's.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ref.h"
#include "netfs/origin.h"
#include "netfs/write_subrequest.h"
#include "origins/sftp/connection.h"
#include "origins/sftp/pool.h"
#include "origins/sftp/sftp_file.h"
#include "sync/mutex.h"

namespace netfs::origins::sftp {

// A file opened for writing: one handle on one connection, and no other: the server would work on
// writes by two of them in any order.  It goes with its connection.
class SftpWriteFile final : public OriginFile {
 public:
  // The handle is counted in the connection's ledger and in use.
  SftpWriteFile(Pool& pool, const Connection& connection, std::string handle)
      : pool_(pool), serial_(connection.serial()), handle_(std::move(handle)) {}
  ~SftpWriteFile() override;

  // Null when the connection is gone, and the handle with it.
  [[nodiscard]] Ref<Connection> connection() const;
  [[nodiscard]] const std::string& handle() const { return handle_; }

 private:
  Pool& pool_;
  const uint32_t serial_;
  const std::string handle_;
};

class WriteJob : public RefCounted<WriteJob> {
 public:
  // `root`: a path to ask STATVFS of.
  WriteJob(WriteSubrequest& subrequest, Ref<Connection> connection, std::string handle,
           std::string root);
  ~WriteJob();

  void run();

 private:
  class Piece;
  class Stat;
  class Why;

  bool submit_stat(Stat& stat);
  void part_ended() EXCLUDES(mutex_);
  void finish() EXCLUDES(mutex_);

  WriteSubrequest& subrequest_;
  const Ref<Connection> connection_;
  const std::string handle_;
  const std::string root_;
  std::vector<std::unique_ptr<Piece>> pieces_;
  std::unique_ptr<Stat> before_;
  std::unique_ptr<Stat> after_;
  std::unique_ptr<Why> why_;

  sync::Mutex mutex_{kWriteJobLock};
  unsigned under_way_ GUARDED_BY(mutex_) = 0;  // answers to come, plus one while starting
};

}  // namespace netfs::origins::sftp
