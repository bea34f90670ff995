#include "lockdep/text_format.h"

#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace netfs::lockdep {

std::string hex(uint64_t value) {
  std::array<char, 17> text;
  std::snprintf(text.data(), text.size(), "%lx", static_cast<unsigned long>(value));
  return text.data();
}

std::string hex_padded(uint64_t value) {
  const std::string digits = hex(value);
  return std::string(16 - digits.size(), '0') + digits;
}

std::string printable(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      text += c;
      continue;
    }
    text += "\\x";
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::string time_text(int64_t time_ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  // Rounded down, so that moments before 1970 have a positive part as well.
  const int64_t part = (time_ns % kSecond + kSecond) % kSecond;
  const time_t seconds = static_cast<time_t>((time_ns - part) / kSecond);
  tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 64> text;
  const size_t length = strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text.data() + length, text.size() - length, ".%06dZ",
                static_cast<int>(part / 1000));
  return text.data();
}

std::string signal_name(int signal) {
  if (const char* name = sigabbrev_np(signal); name != nullptr) return std::string("SIG") + name;
  if (signal >= SIGRTMIN && signal <= SIGRTMAX) {
    return "SIGRTMIN+" + std::to_string(signal - SIGRTMIN);
  }
  return "SIG" + std::to_string(signal);
}

}  // namespace netfs::lockdep
