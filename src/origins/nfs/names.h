#pragma once
// Names: from a path to the server's handle of it, by LOOKUP from the root; what is asked of a
// handle is said by the version of the protocol (names3.h, names4.h).
//
// The last component is always asked for, so what is found is what has that name now.  Handles of
// the directories above are kept for a second: a directory that somebody else moves meanwhile is
// found at its old place for that long.  One that is gone there (ESTALE) is looked up anew, once.
// Of one that is moved here none is kept that was looked up before.  Thread-safe.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "base/result.h"
#include "netfs/attributes.h"
#include "origins/nfs/lock_classes.h"
#include "origins/nfs/wire.h"
#include "sync/mutex.h"

namespace netfs::origins::nfs {

struct Found {
  Handle handle;
  NodeInfo info;
};

// A name in its directory.
struct Place {
  Handle directory;
  std::string name;
};

class Names {
 public:
  explicit Names(Handle root) : root_(std::move(root)) {}
  virtual ~Names() = default;
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;

  Result<Found> find(const std::string& path, Deadline deadline);
  Result<Handle> directory(const std::string& path, Deadline deadline);
  // EBUSY for the root itself.
  Result<Place> place(const std::string& path, Deadline deadline);
  // A directory was moved or removed, or was found to be: with all below it.  Of who moves or
  // removes it, when that is done.
  void forget(const std::string& path) EXCLUDES(mutex_);

  // What had that name when it was looked up, made or listed last, if that is remembered: it tells
  // a name whose file has been replaced since.
  [[nodiscard]] std::optional<Handle> seen(const std::string& path) const EXCLUDES(mutex_);
  void saw(const std::string& path, const Handle& handle) EXCLUDES(mutex_);
  void unsee(const std::string& path) EXCLUDES(mutex_);

  virtual Result<Found> look_up(const Handle& directory, const std::string& name,
                                Deadline deadline) = 0;
  virtual Result<NodeInfo> get_attributes(const Handle& handle, Deadline deadline) = 0;
  // What a symbolic link says; EINVAL of anything else.
  virtual Result<std::string> read_link(const Handle& link, Deadline deadline) = 0;

  // Does it, and once more from the root if a directory on the way is gone.
  template <class Do>
  auto with_fresh(const std::string& path, Do act) -> decltype(act()) {
    auto result = act();
    if (!result.is_error(ESTALE) || path.empty()) return result;
    forget(path.substr(0, path.find('/')));
    return act();
  }

 private:
  struct Kept {
    Handle handle;
    MonoTime until;
  };

  Result<Handle> walk(const std::string& path, Deadline deadline);

  const Handle root_;
  mutable sync::Mutex mutex_{kDirectoriesLock};
  std::map<std::string, Kept> kept_ GUARDED_BY(mutex_);
  uint64_t forgotten_ GUARDED_BY(mutex_) = 0;  // times
  std::unordered_map<std::string, Handle> seen_ GUARDED_BY(mutex_);
};

// "a/b" of "a/b/c".
std::string parent_of(const std::string& path);

}  // namespace netfs::origins::nfs
