#include "daemon/quantity.h"

#include <array>
#include <charconv>
#include <chrono>
#include <limits>

#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

Error bad(std::string_view what, std::string_view text, std::string_view example) {
  return Error(EINVAL, "options",
               fmt::format("'{}' is not a {} (such as {})", text, what, example));
}

// Takes the digits off the front of `text`; false when there are none or too many.
bool take_number(std::string_view& text, uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

bool take_unit(std::string_view& text, int64_t& unit_ns) {
  struct Unit {
    std::string_view name;
    Duration length;
  };
  static constexpr std::array<Unit, 5> kUnits = {{{"ms", std::chrono::milliseconds(1)},
                                                  {"s", std::chrono::seconds(1)},
                                                  {"m", std::chrono::minutes(1)},
                                                  {"h", std::chrono::hours(1)},
                                                  {"d", std::chrono::hours(24)}}};
  for (const Unit& unit : kUnits) {
    if (text.substr(0, unit.name.size()) != unit.name) continue;
    text.remove_prefix(unit.name.size());
    unit_ns = unit.length.count();
    return true;
  }
  return false;
}

}  // namespace

Result<uint64_t> parse_size(std::string_view text) {
  const Error error = bad("size", text, "500M or 20G");
  std::string_view rest = text;
  uint64_t number = 0;
  if (!take_number(rest, number)) return error;
  unsigned shift = 0;
  if (!rest.empty()) {
    const size_t power = std::string_view("KMGT").find(rest.front());
    if (power == std::string_view::npos) return error;
    shift = 10 * (static_cast<unsigned>(power) + 1);
    rest.remove_prefix(1);
    if (rest != "" && rest != "iB") return error;
  }
  if (number > (std::numeric_limits<uint64_t>::max() >> shift)) return error;
  return number << shift;
}

Result<DiskAmount> parse_disk_amount(std::string_view text) {
  if (!text.empty() && text.back() == '%') {
    uint64_t percent = 0;
    std::string_view rest = text;
    if (!take_number(rest, percent) || rest != "%" || percent < 1 || percent > 100) {
      return bad("share of the disk", text, "20%");
    }
    return DiskAmount{.percent = static_cast<unsigned>(percent)};
  }
  const uint64_t bytes = TRY(parse_size(text));
  if (bytes == 0) return bad("cache size", text, "20G or 10%; --no-cache turns the cache off");
  return DiskAmount{.bytes = bytes};
}

Result<Duration> parse_duration(std::string_view text) {
  if (text == "forever" || text == "infinite") return kForever;
  const Error error = bad("duration", text, "500ms, 5s, 1m, 1h, 7d or forever");
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  std::string_view rest = text;
  int64_t total_ns = 0;
  do {
    uint64_t number = 0;
    if (!take_number(rest, number)) return error;
    int64_t unit_ns = std::chrono::nanoseconds(std::chrono::seconds(1)).count();
    if (!take_unit(rest, unit_ns) && !(rest.empty() && total_ns == 0)) return error;
    if (number > static_cast<uint64_t>((kMax - total_ns) / unit_ns)) return error;
    total_ns += static_cast<int64_t>(number) * unit_ns;
  } while (!rest.empty());
  return Duration(total_ns);
}

Result<uint32_t> parse_number(std::string_view text, int base, uint32_t max) {
  uint32_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, number, base);
  if (error != std::errc() || stopped != end || number > max) {
    return Error(
        EINVAL, "options",
        fmt::format("'{}' is not {} number of at most {}", text, base == 8 ? "an octal" : "a",
                    base == 8 ? fmt::format("{:o}", max) : fmt::format("{}", max)));
  }
  return number;
}

std::string format_bytes(uint64_t bytes) {
  static constexpr std::array<const char*, 6> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0) return fmt::format("{} B", bytes);
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string format_duration(Duration duration) {
  const auto ns = static_cast<double>(duration.count());
  if (duration == kForever) return "forever";
  if (ns < 1e3) return fmt::format("{:.0f} ns", ns);
  if (ns < 1e6) return fmt::format("{:.0f} us", ns / 1e3);
  if (ns < 1e9) return fmt::format("{:.1f} ms", ns / 1e6);
  if (ns < 120e9) return fmt::format("{:.1f} s", ns / 1e9);
  if (ns < 7200e9) return fmt::format("{:.0f} min", ns / 60e9);
  return fmt::format("{:.1f} h", ns / 3600e9);
}

}  // namespace netfs::daemon
