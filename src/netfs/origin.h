#pragma once
// Origin: one remote tree, the interface that a protocol implements.
//
// Metadata calls block, bounded by their deadline (ETIMEDOUT past it), and are made from a pool of
// workers, many at a time.  Data calls do not block: issue_read() returns at once and the
// subrequest is terminated later from any thread.  A simple client library that only blocks is
// turned into this by BlockingOrigin (netfs/blocking_origin.h): five short functions.
//
// Paths are relative to the mounted root, components joined by '/', "" the root itself; they hold
// no empty, "." or ".." component and no NUL.  Names that come back are unchecked: the library
// refuses the forbidden ones.  Symbolic links are never followed but at the root.
//
// Errors are errnos as a local file system gives them: ENOENT, EACCES, ENOTDIR, ESTALE; EIO for
// nonsense from the server, ETIMEDOUT past the deadline, ENOTCONN while it cannot be reached.
//
// Thread-safety: every call from any thread, concurrently.  The destructor is called when no call
// runs and no subrequest is open.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "netfs/attributes.h"
#include "netfs/subrequest.h"

namespace netfs {

class OriginLocks;
class OriginWriter;

// What an origin can do; constant for its life.
struct OriginCapabilities {
  bool range_reads = true;     // else a file is read whole, from its start
  bool parallel_reads = true;  // several subrequests of one file at a time
  ValidatorStrength validator_strength = ValidatorStrength::kWeak;
  Duration validator_granularity = std::chrono::seconds(1);  // of a weak validator
  bool identity = false;                                     // NodeInfo::identity is filled
  // An open file is used on over a new connection.  Else it is opened again after ENOTCONN.
  bool handles_outlive_connections = false;
  bool change_notification = false;
  uint64_t read_bytes_max = 1 << 20;  // longest subrequest that pays
  // Subrequests ahead of a reader that are carried out at a time, and leave room for what somebody
  // waits for; more of them wait for each other.  0: as many as there are.
  unsigned reads_ahead = 0;
  // As many at a time leave room for what somebody waits for, at most (Origin::listings_ahead()).
  unsigned listings_ahead = 16;
  // Files that nobody has opened may be fetched, hundreds at a time: it opens them by read, and who
  // waits for another one is not behind them.
  bool files_ahead = false;
  // Who waits has files opened by read as well: that saves him a round trip.
  bool opens_by_read = false;
  // What is locked there is so by this process, and free when it has died, or soon after: others
  // may have had it before a process after this one asks.
  bool locks_end_with_process = false;
};

// An open file at the origin: whatever the protocol needs to read one version of it.  Destroying it
// closes it there, without waiting.
class OriginFile {
 public:
  virtual ~OriginFile() = default;

  // Whether bytes may lie in it, or come to it, that are not asked for yet.  Takes no lock.
  [[nodiscard]] virtual bool holds_bytes() const { return false; }
  // By which it is open on this machine: whoever has a copy of it has the file, whatever becomes of
  // its names and of this process (OriginWriter::take_over()).  -1: it has none.
  [[nodiscard]] virtual int descriptor() const { return -1; }
};

// For `netfs status`: ordered pairs such as {"connections", "8 of 8"}.
using StatusFields = std::vector<std::pair<std::string, std::string>>;

class Origin {
 public:
  virtual ~Origin() = default;

  [[nodiscard]] virtual const OriginCapabilities& capabilities() const = 0;

  // As many listings that nobody has asked for may be under way now, or fewer: of some origins it
  // shows with time what a listing costs.
  [[nodiscard]] virtual unsigned listings_ahead() const { return capabilities().listings_ahead; }

  // What tells this tree, seen with these credentials, from any other: scheme, authority, root,
  // user, and each option that changes bytes.  Caches are shared where these are equal.
  [[nodiscard]] virtual std::string volume_key() const = 0;

  // The file itself, not what a link points to.
  virtual Result<NodeInfo> stat(const std::string& path, Deadline deadline) = 0;

  // Calls `sink` for each entry but "." and "..", in any order, none twice; stops with sink's
  // error.  Of a large directory best as they come: it is shown while more is on its way.
  using EntrySink = std::function<Result<void>(OriginEntry)>;
  virtual Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) = 0;

  virtual Result<std::string> read_link(const std::string& path, Deadline deadline) = 0;

  virtual Result<FileSystemStats> stat_file_system(Deadline deadline) = 0;

  // Opens a regular file for reading.
  virtual Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) = 0;

  // The same without waiting, and without any I/O: its first read opens it there, and tells what is
  // wrong with it.  Null: this origin cannot do that, or has nothing to gain by it.
  virtual std::unique_ptr<OriginFile> open_by_read(const std::string& /*path*/) { return nullptr; }

  // Starts a read of subrequest.file(), which this origin opened.
  virtual void issue_read(Subrequest& subrequest) = 0;

  // What changes it, and belongs to it (netfs/origin_writer.h).  Null: nothing can be changed, and
  // that is EROFS.
  [[nodiscard]] virtual OriginWriter* writer() { return nullptr; }

  // Locks that everybody there heeds (netfs/origin_locks.h).  Null: there are none.
  [[nodiscard]] virtual OriginLocks* locks() { return nullptr; }

  [[nodiscard]] virtual StatusFields status() const { return {}; }
};

}  // namespace netfs
