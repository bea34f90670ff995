#pragma once
// capture_stack: the return addresses of the calling thread, innermost first, into the caller's
// span.
//
// Async-signal-safe, allocates nothing, takes no lock, leaves errno alone.  The first frame is the
// return address of capture_stack itself, so it lies in the caller.  A stack deeper than the span
// keeps its innermost frames.
//
// The way is along frame pointers (we build with -fno-omit-frame-pointer), and never faults: a
// frame must lie on a stack whose bounds are known, be aligned and further out than the one before,
// and its return address must lie in a loaded object.  The bounds of a thread's own stack are found
// once a thread, by reading /proc/self/maps, and for the main thread again when it has grown; those
// of an alternate signal stack are asked at each capture on it; on a stack of any other kind
// (coroutines) maps is read at each capture.
//
// Such a walk breaks off at a function without frame pointers, such as qsort calling back.  It is
// known to be whole when it ends where this thread's stacks begin (in libc, below main or the
// thread's function), which the first capture of a thread learns.  One that is not whole is done
// again by the unwind tables, _Unwind_Backtrace, for some microseconds.  A function without frame
// pointers that leaves the register alone goes unseen: its caller is left out.
//
//   std::array<uintptr_t, 32> frames;
//   std::span<const uintptr_t> stack(frames.data(), capture_stack(frames));

#include <cstddef>
#include <cstdint>
#include <span>

namespace netfs::lockdep {

// Returns how many frames were written; 0 only for an empty span.
[[nodiscard]] size_t capture_stack(std::span<uintptr_t> frames) noexcept;

// The same in the form of a function pointer with a user's argument, which is not looked at.
size_t capture_stack_source(void* user, uintptr_t* frames, size_t frames_max) noexcept;

// The two ways alone, for tests and figures.  The first may break off early, even at nothing.
[[nodiscard]] size_t capture_frame_pointers(std::span<uintptr_t> frames) noexcept;
[[nodiscard]] size_t capture_unwind_tables(std::span<uintptr_t> frames) noexcept;

}  // namespace netfs::lockdep
