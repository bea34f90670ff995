#pragma once
// number_with_unit(): "1.5Gbit" or "20ms" from a command line, with the units that are given.
//
//   number_with_unit("20ms", kTimes)  // 2e7

#include <charconv>
#include <span>
#include <string_view>
#include <system_error>

namespace netfs::tools {

struct Unit {
  std::string_view name;
  double factor;
};

inline constexpr Unit kPlain[] = {{"", 1}};
inline constexpr Unit kTimes[] = {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
inline constexpr Unit kRates[] = {{"bit", 1}, {"Kbit", 1e3}, {"Mbit", 1e6}, {"Gbit", 1e9}};

// Below 0 when it is none.
inline double number_with_unit(std::string_view text, std::span<const Unit> units) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 0) return -1;
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  for (const Unit& known : units) {
    if (unit == known.name) return value * known.factor;
  }
  return -1;
}

}  // namespace netfs::tools
