#include "daemon/held_descriptors.h"

#include <algorithm>
#include <sys/resource.h>
#include <vector>

#include "daemon/packet.h"
#include "daemon/supervisor_message.h"

namespace netfs::daemon {

namespace {

// Connections with their clones, arenas, sockets, children.
constexpr size_t kOwnDescriptors = 256;

}  // namespace

size_t HeldDescriptors::packets() const {
  return (fds_.size() + kPacketFdsMax - 1) / kPacketFdsMax;
}

Result<void> HeldDescriptors::send(int socket, uint64_t id, Deadline deadline) const {
  for (auto next = fds_.begin(); next != fds_.end();) {
    std::vector<uint64_t> keys;
    std::vector<int> fds;
    for (; next != fds_.end() && fds.size() < kPacketFdsMax; ++next) {
      keys.push_back(next->first);
      fds.push_back(next->second.get());
    }
    const SupervisorMessage kept{
        .verb = SupervisorVerb::kKept, .id = id, .text = encode_keys(keys)};
    TRY(send_packet(socket, encode(kept), fds, deadline));
  }
  return {};
}

size_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : before;
}

size_t make_room_for_descriptors() {
  const size_t limit = raise_descriptor_limit();
  return std::min(limit - std::min(limit, kOwnDescriptors), kHeldDescriptorsMax);
}

}  // namespace netfs::daemon
