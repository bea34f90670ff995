#pragma once
// Owners: the numbers of owners and groups, which version 4 says as text.
//
// "123" is that number; "name@domain" the user or group of that name on this machine, whatever the
// domain, and nobody (65534) where there is none.  What the system said of a name is kept for a
// minute.  It may ask a directory service, and then waits for it: never from a connection's thread.
// Thread-safe.

#include <cstdint>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "origins/nfs/lock_classes.h"
#include "origins/nfs/wire4.h"
#include "sync/mutex.h"

namespace netfs::origins::nfs {

class Owners {
 public:
  static constexpr uint32_t kNobody = 65534;

  NodeInfo info_of(Shown shown) EXCLUDES(mutex_);
  uint32_t uid_of(const std::string& owner) EXCLUDES(mutex_);
  uint32_t gid_of(const std::string& group) EXCLUDES(mutex_);

 private:
  struct Kept {
    uint32_t number;
    MonoTime until;
  };
  using Names = std::unordered_map<std::string, Kept>;
  using Look = uint32_t (*)(const std::string& name);

  uint32_t number_of(const std::string& text, Names Owners::*kept, Look look) EXCLUDES(mutex_);

  sync::Mutex mutex_{kOwnersLock};
  Names users_ GUARDED_BY(mutex_);
  Names groups_ GUARDED_BY(mutex_);
};

}  // namespace netfs::origins::nfs
