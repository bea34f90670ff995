#pragma once
// DescriptorStore: what the service manager keeps for us (systemd's FileDescriptorStoreMax=), so
// that mounts outlive their supervisor: one that is killed, or restarted by `systemctl restart`.
//
// Kept are the descriptors of each mount that is served, and a text that says which is which
// (encode_stored() of supervisor_state.h); and what is held for their workers (held_descriptors.h),
// each by a name that says for which mount and by what key, up to half of what it keeps, 2,048, and
// what the mounts leave.  The next process of the same service is given them all again.  Nothing is
// done where there is no store (has_descriptor_store()).  For one thread.
//
// Nobody waits for the manager, which may be busy: what it has not read yet stands in its socket,
// and where that is full it is told the rest later, in the same order.
//
//   DescriptorStore store;
//   if (!store.keep({settings, workers_started, held})) ...   // after each change; again, soon
//
//   TakenStored taken = take_stored();                        // in the next process, once
//   if (taken.stored) ...                                     // serve them on, or drop_stored()
//
// Source: sd_notify(3), FDSTORE; sd_listen_fds(3).

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/supervisor_state.h"

namespace netfs::daemon {

class DescriptorStore {
 public:
  DescriptorStore() = default;
  // Goes on with what the manager has.
  explicit DescriptorStore(StoredNames kept);

  // Makes the manager have these, and nothing else of ours.  False: it was not told all of that; to
  // be called again after a moment, with what there is then.
  [[nodiscard]] bool keep(const MountsToStore& mounts);
  // The same for the last time: waits until it has been told, or a while.
  void finish(const MountsToStore& mounts);
  [[nodiscard]] StoredNames kept() const;

 private:
  // Of what is held for a mount.
  struct Held {
    struct One {
      int fd = -1;
      std::optional<uint64_t> serial;  // absent: as it was when the manager gave it to us
    };
    std::optional<uint64_t> changes;  // that is as it was then; absent: to be looked at
    std::map<uint64_t, One> stored;   // by their keys
  };

  bool send(const std::string& state, int fd);
  void tell_of(const Error& trouble);
  void tell_of_no_room(size_t room);
  [[nodiscard]] std::string stored_as(uint64_t mount, int fd) const;
  std::string name_of(uint64_t mount, int fd);
  bool drop(const std::string& name);
  [[nodiscard]] size_t held_count() const;
  [[nodiscard]] size_t room_for_held(const MountsToStore& mounts) const;
  void keep_held(const MountsToStore& mounts);
  bool drop_held(uint64_t mount, Held& has, const HeldDescriptors* now, size_t room);
  bool store_held_of(uint64_t mount, Held& has, const HeldDescriptors& now, size_t room);
  void keep_mounts(const MountsToStore& mounts);

  StoredNames kept_;  // but for what is held
  std::map<uint64_t, Held> held_;
  uint64_t names_ = 0;  // a number of the last one
  std::string text_;    // as it is kept
  std::string text_name_;
  int untold_ = 0;  // why something could not be sent: nothing that comes after it is
  MonoTime trouble_since_ = MonoTime::max();
  bool trouble_told_ = false;
  bool no_room_told_ = false;
};

// What another process of this service has left.
struct Stored {
  StoredMounts mounts;
  DescriptorStore store;
};

struct TakenStored {
  std::optional<Stored> stored;
  bool dropped = false;  // there was something that cannot be read: its mounts are dead
};
// Takes it out of the environment.
TakenStored take_stored();

// Nobody serves these on: they end, and are unmounted.
void drop_stored(Stored stored);
// Takes a dead mount away, if it is one of netfs.
void take_away(const std::string& mount_point);

}  // namespace netfs::daemon
