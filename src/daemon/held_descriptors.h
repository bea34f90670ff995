#pragma once
// HeldDescriptors: what the supervisor keeps for the worker of a mount besides the mount's own
// descriptors (vfs/descriptor_keeper.h): key -> descriptor, given to the next worker by and by.
//
// One thread.

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace netfs::daemon {

class HeldDescriptors {
 public:
  // In the place of one that had the key.
  void keep(uint64_t key, UniqueFd fd) {
    fds_.insert_or_assign(key, std::move(fd));
    serials_[key] = ++changes_;
  }
  void drop(uint64_t key) {
    changes_ += fds_.erase(key);
    serials_.erase(key);
  }
  // Another one for each descriptor that is kept, which its number is not.
  [[nodiscard]] uint64_t serial(uint64_t key) const { return serials_.at(key); }
  // How often they have changed.
  [[nodiscard]] uint64_t changes() const { return changes_; }
  [[nodiscard]] bool has(uint64_t key) const { return fds_.contains(key); }
  [[nodiscard]] size_t count() const { return fds_.size(); }
  [[nodiscard]] const std::map<uint64_t, UniqueFd>& all() const { return fds_; }
  std::map<uint64_t, UniqueFd> take() {
    ++changes_;
    serials_.clear();
    return std::exchange(fds_, {});
  }

  // kKept messages, so many of them.
  [[nodiscard]] size_t packets() const;
  Result<void> send(int socket, uint64_t id, Deadline deadline) const;

 private:
  std::map<uint64_t, UniqueFd> fds_;
  std::map<uint64_t, uint64_t> serials_;
  uint64_t changes_ = 0;
};

// How many this process may hold for all its mounts: as many as it may open, but for what it needs
// itself, and no more than kHeldDescriptorsMax.  Raises the limit of open files as far as it goes.
inline constexpr size_t kHeldDescriptorsMax = 16'384;
size_t make_room_for_descriptors();
// The limit of open files, as high as it may be.
size_t raise_descriptor_limit();

}  // namespace netfs::daemon
