#include "lockdep/stack_bounds.h"

#include <array>
#include <csignal>
#include <fcntl.h>
#include <unistd.h>

// Where the kernel put the main thread's stack; the dynamic loader's word for it.
extern "C" void* __libc_stack_end;  // NOLINT: the name is glibc's

namespace netfs::lockdep {
namespace {

// Initial-exec: the first use in a thread must not allocate, it may be in a signal handler.
__attribute__((tls_model("initial-exec"))) constinit thread_local StackBounds own_bounds;

// Finds in the text of /proc/self/maps, given piece by piece, the readable mapping of an address.
// A line is `LOW-HIGH PERMISSIONS ...`, both in hexadecimal.
class MapsReader {
 public:
  explicit MapsReader(uintptr_t address) : address_(address) {}

  // True once it has been found.
  bool take(char c) {
    switch (state_) {
      case State::kLow:
        if (c == '-')
          state_ = State::kHigh;
        else
          low_ = low_ << 4 | digit(c);
        break;
      case State::kHigh:
        if (c == ' ')
          state_ = State::kPermissions;
        else
          high_ = high_ << 4 | digit(c);
        break;
      case State::kPermissions:
        if (c == 'r' && address_ >= low_ && address_ < high_) return true;
        state_ = State::kRest;
        break;
      case State::kRest:
        if (c == '\n') {
          state_ = State::kLow;
          low_ = high_ = 0;
        }
        break;
    }
    return false;
  }
  [[nodiscard]] StackBounds found() const { return {.low = low_, .high = high_}; }

 private:
  enum class State : uint8_t { kLow, kHigh, kPermissions, kRest };
  static uintptr_t digit(char c) {
    return static_cast<uintptr_t>(c <= '9' ? c - '0' : c - 'a' + 10);
  }

  uintptr_t address_;
  uintptr_t low_ = 0;
  uintptr_t high_ = 0;
  State state_ = State::kLow;
};

StackBounds mapping_of(uintptr_t address) {
  const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  MapsReader reader(address);
  StackBounds bounds;
  std::array<char, 1024> text;  // on what may be a small signal stack
  ssize_t got = 0;
  while (bounds.high == 0 && (got = read(fd, text.data(), text.size())) > 0) {
    for (ssize_t i = 0; i < got; ++i) {
      if (!reader.take(text[static_cast<size_t>(i)])) continue;
      bounds = reader.found();
      break;
    }
  }
  close(fd);
  return bounds;
}

}  // namespace

StackBounds own_stack_bounds() noexcept {
  return own_bounds;
}

StackBounds stack_bounds(uintptr_t address) noexcept {
  if (own_bounds.hold(address, 1)) return own_bounds;

  stack_t alternate{};
  if (sigaltstack(nullptr, &alternate) == 0 && (alternate.ss_flags & SS_ONSTACK) != 0) {
    const auto low = reinterpret_cast<uintptr_t>(alternate.ss_sp);
    const StackBounds bounds{.low = low, .high = low + alternate.ss_size, .alternate = true};
    if (bounds.hold(address, 1)) return bounds;
  }

  // glibc puts a thread's control block at the high end of its stack, above all frames; memory
  // beyond it may belong to somebody else and go away.
  StackBounds bounds = mapping_of(address);
  const auto control_block = reinterpret_cast<uintptr_t>(__builtin_thread_pointer());
  const auto main_stack = reinterpret_cast<uintptr_t>(__libc_stack_end);
  if (address < control_block && bounds.hold(control_block, 1)) {
    bounds.high = control_block;
    own_bounds = bounds;
  } else if (bounds.hold(main_stack, 1)) {
    own_bounds = bounds;
  }
  return bounds;
}

}  // namespace netfs::lockdep
