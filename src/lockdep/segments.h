#pragma once
// Segments: what happened before what, by creation and joining of threads.
//
// A context's time is cut into segments where it publishes or observes.  A segment follows the one
// before it in its context, and the one it observed; A happens before B if A is found going back
// from B.  Numbers grow with time, so the way back is short.  Under the validator's lock.

#include <cstdint>

#include "lockdep/chunked_array.h"

namespace netfs::lockdep {

class Segments {
 public:
  // A new segment after up to two others (0: none).  0 when there is no memory: then nothing is
  // known, and two moments count as concurrent.
  uint32_t add(Arena& arena, uint32_t before, uint32_t observed);
  [[nodiscard]] bool ordered(uint32_t a, uint32_t b) {
    return a < b ? reaches(b, a) : reaches(a, b);
  }

 private:
  struct Node {
    uint32_t before;
    uint32_t observed;
    uint32_t seen;
  };

 public:
  // All segments there are so far; may be read without the validator's lock, until reset.
  struct View {
    ChunkedArray<Node> nodes;
    size_t end = 1;
    [[nodiscard]] uint32_t before(uint32_t id) const { return nodes[id].before; }
    [[nodiscard]] uint32_t observed(uint32_t id) const { return nodes[id].observed; }
  };
  [[nodiscard]] View view() const { return {.nodes = nodes_, .end = nodes_.end()}; }

 private:
  bool reaches(uint32_t late, uint32_t early);

  ChunkedArray<Node> nodes_;
  ChunkedArray<uint32_t> to_visit_;
  Arena* arena_ = nullptr;
  uint32_t generation_ = 0;
};

}  // namespace netfs::lockdep
