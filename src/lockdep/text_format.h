#pragma once
// Small pieces of text that reports are made of.  Pure functions, thread-safe.

#include <cstdint>
#include <string>
#include <string_view>

namespace netfs::lockdep {

// Hexadecimal without prefix: as short as can be, or with 16 digits as the kernel writes addresses.
[[nodiscard]] std::string hex(uint64_t value);
[[nodiscard]] std::string hex_padded(uint64_t value);

// Control bytes, escapes of a terminal among them, as \xNN; all else unchanged.
[[nodiscard]] std::string printable(std::string_view bytes);

// A moment in nanoseconds since 1970, as UTC with microseconds: 2021-12-07T13:39:55.000000Z.
[[nodiscard]] std::string time_text(int64_t time_ns);

// SIGUSR1, SIGRTMIN+3; SIG99 for what is none.
[[nodiscard]] std::string signal_name(int signal);

}  // namespace netfs::lockdep
