#include "lockdep/stack_capture.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <dlfcn.h>
#include <unwind.h>

#include "lockdep/stack_bounds.h"

// The walkers read frames of functions that the sanitizers do not expect them to read.
#define NETFS_UNSANITIZED __attribute__((no_sanitize("address", "thread", "undefined")))
#define NETFS_NOINLINE __attribute__((noinline))

namespace netfs::lockdep {
namespace {

// What a frame pointer points at, on x86-64 and arm64 alike.
struct Frame {
  uintptr_t next;
  uintptr_t return_address;
};

// Where this thread's stacks begin: the outermost return addresses that the unwind tables know.
// Four, since frame pointers end one to three frames before the tables do.
struct StackBase {
  static constexpr size_t kDepth = 4;
  std::array<uintptr_t, kDepth> addresses{};
  [[nodiscard]] bool has(uintptr_t address) const {
    return std::find(addresses.begin(), addresses.end(), address) != addresses.end();
  }
};

// Initial-exec: the first use in a thread must not allocate, it may be in a signal handler.
__attribute__((tls_model("initial-exec"))) constinit thread_local StackBase stack_base;

// Whether an address lies in a loaded object.  Remembers the last one, since most frames of a stack
// lie in few objects.
class LoadedObjects {
 public:
  [[nodiscard]] bool has(uintptr_t address) {
    if (address - begin_ < size_) return true;
    dl_find_object found;
    if (_dl_find_object(reinterpret_cast<void*>(address), &found) != 0) return false;
    begin_ = reinterpret_cast<uintptr_t>(found.dlfo_map_start);
    size_ = reinterpret_cast<uintptr_t>(found.dlfo_map_end) - begin_;
    return true;
  }

 private:
  uintptr_t begin_ = 0;
  uintptr_t size_ = 0;
};

struct Walk {
  size_t count = 0;
  bool at_end = false;  // the chain of frame pointers ends in null, as it should
};

NETFS_UNSANITIZED Walk walk_frame_pointers(uintptr_t at, std::span<uintptr_t> frames) {
  StackBounds bounds = stack_bounds(at);
  LoadedObjects objects;
  Walk walk;
  while (walk.count < frames.size()) {
    if (at % alignof(Frame) != 0 || !bounds.hold(at, sizeof(Frame))) break;
    const Frame* frame = reinterpret_cast<const Frame*>(at);
    if (!objects.has(frame->return_address)) break;
    frames[walk.count++] = frame->return_address;
    const uintptr_t next = frame->next;
    if (next == 0) {
      walk.at_end = true;
      break;
    }
    if (bounds.alternate && !bounds.hold(next, sizeof(Frame))) {
      bounds = own_stack_bounds();  // from a signal's stack to that which it interrupted
    } else if (next <= at) {
      break;
    }
    at = next;
  }
  return walk;
}

// What the unwinder hands from frame to frame.
struct TableWalk {
  // Deeper than any span that is asked for; a stack that never ends would be walked for ever.
  static constexpr size_t kFramesMax = 1024;

  std::span<uintptr_t> frames;
  uintptr_t first;      // the frame to begin with: those before it are ours
  size_t count = 0;     // frames written
  size_t seen = 0;      // frames since `first`
  size_t visited = 0;   // all frames
  StackBase outermost;  // a ring by `seen`
};

_Unwind_Reason_Code visit_frame(_Unwind_Context* context, void* argument) {
  auto& walk = *static_cast<TableWalk*>(argument);
  const uintptr_t address = _Unwind_GetIP(context);
  if (address == 0 || ++walk.visited > TableWalk::kFramesMax) return _URC_END_OF_STACK;
  if (walk.seen == 0 && address != walk.first) return _URC_NO_REASON;
  walk.outermost.addresses[walk.seen++ % StackBase::kDepth] = address;
  if (walk.count < walk.frames.size()) walk.frames[walk.count++] = address;
  return _URC_NO_REASON;
}

NETFS_NOINLINE size_t walk_tables(std::span<uintptr_t> frames, uintptr_t first) {
  if (frames.empty()) return 0;
  TableWalk walk{.frames = frames, .first = first};
  _Unwind_Backtrace(visit_frame, &walk);
  if (walk.count == 0) {  // no tables for our own frames
    frames[0] = first;
    return 1;
  }
  if (walk.visited <= TableWalk::kFramesMax) stack_base = walk.outermost;
  return walk.count;
}

// `frame` is that of the function this is written in, which returns to `first`, the first frame to
// be written: inlined, since a tail call would give that frame up.
__attribute__((always_inline)) inline size_t capture(std::span<uintptr_t> frames, uintptr_t frame,
                                                     uintptr_t first) {
  const int saved_errno = errno;
  const Walk walk = walk_frame_pointers(frame, frames);
  size_t count = walk.count;
  const bool whole =
      walk.at_end || count == frames.size() || (count > 0 && stack_base.has(frames[count - 1]));
  if (!whole) count = walk_tables(frames, first);
  errno = saved_errno;
  return count;
}

}  // namespace

NETFS_NOINLINE size_t capture_stack(std::span<uintptr_t> frames) noexcept {
  return capture(frames, reinterpret_cast<uintptr_t>(__builtin_frame_address(0)),
                 reinterpret_cast<uintptr_t>(__builtin_return_address(0)));
}

NETFS_NOINLINE size_t capture_stack_source(void* /*user*/, uintptr_t* frames,
                                           size_t frames_max) noexcept {
  return capture({frames, frames_max}, reinterpret_cast<uintptr_t>(__builtin_frame_address(0)),
                 reinterpret_cast<uintptr_t>(__builtin_return_address(0)));
}

NETFS_NOINLINE size_t capture_frame_pointers(std::span<uintptr_t> frames) noexcept {
  const int saved_errno = errno;
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const size_t count = walk_frame_pointers(here, frames).count;
  errno = saved_errno;
  return count;
}

NETFS_NOINLINE size_t capture_unwind_tables(std::span<uintptr_t> frames) noexcept {
  const int saved_errno = errno;
  const size_t count =
      walk_tables(frames, reinterpret_cast<uintptr_t>(__builtin_return_address(0)));
  errno = saved_errno;
  return count;
}

}  // namespace netfs::lockdep
