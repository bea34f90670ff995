#pragma once
// ReadJob: one subrequest on one connection: READs in pieces, all under way at once, then an FSTAT.
//
// The server works in order, so the FSTAT shows the file as it was after the last byte was read:
// the subrequest's validator_after, with no round trip of its own.  A piece that came back short is
// asked on from where it ended; a piece that ended at the end of file cuts what follows it.  When
// the connection ends the subrequest terminates with that error, and the library asks again; so it
// does with ETIMEDOUT when short answers go on past its deadline.
//
// Thread-safety: started by one thread; the rest on the connection's.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ref.h"
#include "netfs/subrequest.h"
#include "origins/sftp/connection.h"
#include "sync/mutex.h"

namespace netfs::origins::sftp {

class ReadJob : public RefCounted<ReadJob> {
 public:
  explicit ReadJob(Subrequest& subrequest);
  ~ReadJob();

  // Once, with a handle of this connection that is in use for it; it ends the use.
  void run(Ref<Connection> connection, std::string handle);
  // It could not be started.
  void fail(const Error& error);
  [[nodiscard]] int64_t length_bytes() const {
    return static_cast<int64_t>(subrequest_.range().length_bytes);
  }

 private:
  class Piece;
  class Stat;

  void ask(Piece& piece);
  void ask_stat();
  void piece_ended(Piece& piece) EXCLUDES(mutex_);
  void part_ended() EXCLUDES(mutex_);
  void part_failed(const Error& error) EXCLUDES(mutex_);
  void finish();

  Subrequest& subrequest_;
  Ref<Connection> connection_;
  std::string handle_;
  std::vector<std::unique_ptr<Piece>> pieces_;
  std::unique_ptr<Stat> stat_;

  sync::Mutex mutex_{kReadJobLock};
  unsigned under_way_ GUARDED_BY(mutex_) = 0;  // answers to come, plus one while starting
  std::optional<Error> error_ GUARDED_BY(mutex_);
  std::optional<Validator> validator_ GUARDED_BY(mutex_);
  bool again_ GUARDED_BY(mutex_) = false;  // something was read after the FSTAT was asked
};

}  // namespace netfs::origins::sftp
