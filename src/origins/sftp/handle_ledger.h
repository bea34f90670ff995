#pragma once
// HandleLedger: the file handles open on one connection, so that there are never more than the
// server allows: the one that has been idle longest is given up for the next.
//
//   if (auto idle = ledger.reserve()) idle->owner->forget(...);   // before OPEN is sent
//   ledger.opened(owner, handle);                                 // or ledger.refused()
//   ...READs...
//   ledger.unuse(handle);
//
// A handle in use is never given up.  Where all are in use one more is opened all the same, and the
// server has the last word.  Directories are not listed here: theirs are open for one listing only,
// and kDirectories is left for them.
//
// Thread-safe; under its lock nothing is called.

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/ref.h"
#include "origins/sftp/lock_classes.h"
#include "sync/mutex.h"

namespace netfs::origins::sftp {

class Handles;

class HandleLedger {
 public:
  // Of a server that does not say.
  static constexpr uint64_t kLimitDefault = 256;
  static constexpr uint64_t kDirectories = 16;

  HandleLedger();
  ~HandleLedger();

  // What the server says of open handles; 0: nothing.
  void set_server_limit(uint64_t handles_max) EXCLUDES(mutex_);

  struct Idle {
    Ref<Handles> owner;
    std::string handle;
  };
  // Counts a handle that is about to be opened; what must be closed first.
  std::optional<Idle> reserve() EXCLUDES(mutex_);
  void refused() EXCLUDES(mutex_);
  // It is in use from now on, until unuse().
  void opened(Ref<Handles> owner, const std::string& handle) EXCLUDES(mutex_);
  // Once more, at the same time; false: it was given up.
  bool use(const std::string& handle) EXCLUDES(mutex_);
  void unuse(const std::string& handle) EXCLUDES(mutex_);
  // Takes it off the list; who gets true sends CLOSE, and nobody else does: by then the server may
  // have given another file the same handle.
  bool remove(const std::string& handle) EXCLUDES(mutex_);

  [[nodiscard]] size_t open_count() const EXCLUDES(mutex_);

 private:
  struct Entry {
    Ref<Handles> owner;
    std::string handle;
    unsigned uses = 0;
  };
  mutable sync::Mutex mutex_{kHandleLedgerLock};
  size_t limit_ GUARDED_BY(mutex_) = kLimitDefault;
  size_t opening_ GUARDED_BY(mutex_) = 0;
  std::list<Entry> entries_ GUARDED_BY(mutex_);  // the one used last is last
  std::unordered_map<std::string, std::list<Entry>::iterator> by_handle_ GUARDED_BY(mutex_);
};

}  // namespace netfs::origins::sftp
