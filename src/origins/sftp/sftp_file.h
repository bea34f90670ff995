#pragma once
// SftpFile: one file open at the server, on as many connections as read it.
//
// A handle belongs to one connection; others are opened when work is first put on them, and reads
// wait for that in order.  One that has been idle may have been closed to make room for another
// file's (handle_ledger.h): the next read opens it again.  Thread-safe.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/ref.h"
#include "netfs/origin.h"
#include "origins/sftp/connection.h"
#include "origins/sftp/lock_classes.h"
#include "origins/sftp/pool.h"
#include "sync/mutex.h"

namespace netfs::origins::sftp {

class ReadJob;

// The handles of one file; held by the file and by the reads under way.
class Handles : public RefCounted<Handles> {
 public:
  explicit Handles(std::string path);
  ~Handles();

  [[nodiscard]] const std::string& path() const { return path_; }
  // Counts one more handle on this connection, and closes the one there that has been idle longest
  // if it is one too many.  Before each OPEN.
  static void make_room(Connection& connection);
  // A handle got by open().
  void add(Connection& connection, const std::string& handle) EXCLUDES(mutex_);
  // Connections that have a handle or will.
  [[nodiscard]] std::vector<uint32_t> serials() const EXCLUDES(mutex_);

  // Starts the job on a connection: at once, or when the handle has come.
  void start(Ref<Connection> connection, Ref<ReadJob> job) EXCLUDES(mutex_);
  // Nobody reads any more: closes every handle, without waiting.
  void close(Pool& pool) EXCLUDES(mutex_);

 private:
  friend class OpenForRead;
  enum class State { kOpening, kOpen };
  struct PerConnection {
    State state = State::kOpening;
    std::string handle;
    std::vector<Ref<ReadJob>> waiting;
  };
  void opened(Connection& connection, Result<std::string> handle) EXCLUDES(mutex_);
  void forget(uint32_t serial, const std::string& handle) EXCLUDES(mutex_);

  const std::string path_;
  mutable sync::Mutex mutex_{kFileLock};
  std::map<uint32_t, PerConnection> by_serial_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
};

class SftpFile final : public OriginFile {
 public:
  SftpFile(Pool& pool, Ref<Handles> handles) : pool_(pool), handles_(std::move(handles)) {}
  ~SftpFile() override { handles_->close(pool_); }
  [[nodiscard]] const Ref<Handles>& handles() const { return handles_; }

 private:
  Pool& pool_;
  const Ref<Handles> handles_;
};

}  // namespace netfs::origins::sftp
