#pragma once
// DescriptorKeeper: where descriptors outlive this process: whoever holds the mount's arena holds
// them too, by a key, and gives them to the process that serves the mount after this one.
//
// What a descriptor stands for is its user's: locks belong to its open file description, a file
// without a name lives by it.  A key is one user's, by its upper part.
//
// Thread-safe; neither waits for anybody but the one who keeps.  It may fail to keep one (there are
// too many): who takes over does without.

#include <cstdint>
#include <map>

#include "base/unique_fd.h"
#include "fuse/wire.h"
#include "vfs/inode_id.h"

namespace netfs::vfs {

// The keys of locks: these, the kind of the lock, and the number of its holder (saved_locks.h).
inline constexpr uint64_t kLockKeys = uint64_t{1} << 56;
inline constexpr unsigned kLockKindShift = 48;
// Those of files that are open and live by a descriptor: these, and a nodeid without its epoch.
inline constexpr uint64_t kFileKeys = uint64_t{1} << 57;

inline uint64_t key_of_file(fuse::NodeId id) {
  return kFileKeys | without_epoch(id.value);
}

class DescriptorKeeper {
 public:
  virtual ~DescriptorKeeper() = default;

  // When it has returned this process may die.  False: it was not even sent.
  virtual bool keep(uint64_t key, int fd) = 0;
  virtual void drop(uint64_t key) = 0;
  // What a process before this one had kept, still kept for one after this; once.
  virtual std::map<uint64_t, UniqueFd> take() = 0;
};

}  // namespace netfs::vfs
