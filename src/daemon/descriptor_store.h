#pragma once
// DescriptorStore: what the service manager keeps for us (systemd's FileDescriptorStoreMax=), so
// that mounts outlive their supervisor: one that is killed, or restarted by `systemctl restart`.
//
// Kept are the descriptors of each mount that is served, and a text that says which is which
// (encode_stored() of supervisor_state.h).  The next process of the same service is given them all
// again.  Nothing is done without a service manager; one that has no store for us drops what it is
// sent.  For one thread.
//
//   DescriptorStore store;
//   store.keep({settings, workers_started, held});     // after each change
//
//   std::optional<Stored> stored = take_stored();      // in the next process, once
//
// Source: sd_notify(3), FDSTORE; sd_listen_fds(3).

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "daemon/supervisor_state.h"

namespace netfs::daemon {

class DescriptorStore {
 public:
  DescriptorStore() = default;
  // Goes on with what the manager has.
  explicit DescriptorStore(StoredNames kept);

  struct Mounts {
    const std::string& settings;
    uint64_t workers_started;
    const std::map<uint64_t, HeldMount>& held;  // those that are served are kept
  };
  // Makes the manager have these, and nothing else of ours.
  void keep(const Mounts& mounts);
  [[nodiscard]] const StoredNames& kept() const { return kept_; }

 private:
  std::string name_of(uint64_t mount, int fd);
  void drop(const std::string& name);

  StoredNames kept_;
  uint64_t names_ = 0;  // a number of the last one
  std::string text_;    // as it is kept
  std::string text_name_;
};

// What another process of this service has left.
struct Stored {
  StoredMounts mounts;
  DescriptorStore store;
};

// Takes it out of the environment, where it is and can be read; what cannot is said in the log, and
// dropped.
std::optional<Stored> take_stored();

}  // namespace netfs::daemon
