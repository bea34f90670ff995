#pragma once
// runtime_dir: where the control sockets of this user's daemons are.
//
// /run/netfs for root, $XDG_RUNTIME_DIR/netfs for others, else /tmp/netfs-UID: a directory of mode
// 0700 that belongs to us, made when missing and refused when it is anybody else's.  One daemon
// owns one cache directory; its files there are NAME.sock, NAME.lock (held by its supervisor as
// long as it lives) and NAME.log, with NAME made of the directory's device and inode, so that two
// spellings of one directory meet.
//
// Errors carry a sentence: EACCES when the directory belongs to somebody else.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace netfs::daemon {

// The directory, made if need be.
Result<std::string> runtime_dir();

struct OwnerPaths {
  std::string socket;
  std::string lock;
  std::string log;
};
OwnerPaths owner_paths(const std::string& runtime_dir, const std::string& name);

// The name of the owner of a cache directory, which must exist.
Result<std::string> owner_name(const std::string& cache_dir);
// A name for a daemon without a cache: this process's.
std::string cacheless_owner_name();

// Names of all owners with a socket there, dead ones included.
std::vector<std::string> list_owners(const std::string& runtime_dir);

// The lock of an owner, taken; nullopt while somebody has it.
Result<std::optional<UniqueFd>> try_lock_owner(const OwnerPaths& paths);

}  // namespace netfs::daemon
