#include "fuse/session_slots.h"

#include <algorithm>
#include <sys/mman.h>

namespace netfs::fuse {

Session::Queue::~Queue() {
  if (!buffer.empty()) ::munmap(buffer.data(), buffer.size());
}

Result<void> Session::Queue::map_buffer(size_t bytes) {
  // All of its pages are there from the start: a thread that is killed while the kernel copies a
  // request to it ends the request with EIO if a page has to be brought first, and leaves it for
  // the next process if none has.
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (at == MAP_FAILED) return Error::from_errno("fuse.session.buffer");
  buffer = {static_cast<std::byte*>(at), bytes};
  return {};
}

Session::Slot* Session::Queue::find_free() {
  for (size_t tried = 0; tried < slots.size(); ++tried) {
    Slot& slot = slots[cursor];
    cursor = (cursor + 1) % slots.size();
    if (slot.unique.load(std::memory_order_acquire) == 0) return &slot;
  }
  return nullptr;
}

Session::Slot* Session::find_slot(uint64_t unique) const {
  for (const auto& queue : queues_) {
    for (Slot& slot : queue->slots) {
      if (slot.unique.load(std::memory_order_acquire) == unique) return &slot;
    }
  }
  return nullptr;
}

bool Session::idle() const {
  for (const auto& queue : queues_) {
    for (const Slot& slot : queue->slots) {
      if (slot.unique.load() != 0) return false;
    }
  }
  return unlisted_live_.load() == 0;
}

size_t Session::live_count() const {
  size_t count = unlisted_live_.load();
  for (const auto& queue : queues_) {
    for (const Slot& slot : queue->slots) {
      if (slot.unique.load(std::memory_order_relaxed) > kAnswering) ++count;
    }
  }
  return count;
}

std::vector<LiveRequest> Session::live() const {
  std::vector<LiveRequest> out;
  const MonoTime now = clock_.now();
  for (const auto& queue : queues_) {
    for (const Slot& slot : queue->slots) {
      const uint64_t unique = slot.unique.load(std::memory_order_acquire);
      if (unique <= kAnswering) continue;
      const MonoTime arrived{Duration(slot.arrived_ns.load(std::memory_order_relaxed))};
      const LiveRequest request{.unique = unique,
                                .opcode = static_cast<Opcode>(slot.opcode.load()),
                                .node = NodeId(slot.node.load()),
                                .pid = slot.pid.load(),
                                .age = now - arrived};
      if (slot.unique.load() == unique) out.push_back(request);
    }
  }
  std::sort(out.begin(), out.end(),
            [](const LiveRequest& a, const LiveRequest& b) { return a.age > b.age; });
  return out;
}

}  // namespace netfs::fuse
