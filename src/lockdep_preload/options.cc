#include "lockdep_preload/options.h"

#include <array>
#include <charconv>

namespace netfs::lockdep_preload {

namespace {

constexpr std::string_view kHex = "0123456789abcdef";

std::string escaped(std::string_view value) {
  std::string out;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '%' || c == ',' || c == '=' || byte < 0x20 || byte == 0x7f) {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out;
}

std::optional<std::string> unescaped(std::string_view value) {
  std::string out;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] != '%') {
      out += value[i];
      continue;
    }
    if (value.size() - i < 3) return std::nullopt;
    const size_t high = kHex.find(value[i + 1]);
    const size_t low = kHex.find(value[i + 2]);
    if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return out;
}

std::optional<int> number(std::string_view value, int from, int to) {
  int out = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
  if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  if (out < from || out > to) return std::nullopt;
  return out;
}

// Every key that is a path, and every key that is on or absent.
struct PathKey {
  std::string_view key;
  std::string Options::*value;
};
constexpr std::array<PathKey, 4> kPaths{{{"output", &Options::output},
                                         {"suppressions", &Options::suppressions},
                                         {"save", &Options::save},
                                         {"stat", &Options::stat}}};
struct SwitchKey {
  std::string_view key;
  bool Options::*value;
};
constexpr std::array<SwitchKey, 3> kSwitches{{{"order-only", &Options::order_only},
                                              {"abort", &Options::abort},
                                              {"histograms", &Options::histograms}}};

bool set(Options& options, std::string_view key, const std::string& value) {
  for (const PathKey& path : kPaths) {
    if (path.key == key) {
      options.*path.value = value;
      return true;
    }
  }
  for (const SwitchKey& one : kSwitches) {
    if (one.key == key) {
      options.*one.value = value == "1";
      return value == "1" || value == "0";
    }
  }
  if (key == "format") {
    options.format = value == "json" ? Format::kJson : Format::kText;
    return value == "json" || value == "text";
  }
  if (key == "children") {
    options.children = value == "0" ? Children::kLeft : Children::kWatched;
    return value == "1" || value == "0";
  }
  if (key == "exit-code") {
    options.exit_code = number(value, 0, 255);
    return options.exit_code.has_value();
  }
  if (key == "watchdog") {
    const std::optional<int> seconds = number(value, 0, 86400);
    options.watchdog_seconds = seconds.value_or(0);
    return seconds.has_value();
  }
  return false;
}

template <class Visit>
void for_each_word(std::string_view list, std::string_view separators, Visit visit) {
  while (!list.empty()) {
    const size_t end = list.find_first_of(separators);
    const std::string_view word = list.substr(0, end);
    if (!word.empty()) visit(word);
    list = end == std::string_view::npos ? std::string_view() : list.substr(end + 1);
  }
}

}  // namespace

std::string encode(const Options& options) {
  std::string out;
  const auto add = [&out](std::string_view key, std::string_view value) {
    if (!out.empty()) out += ',';
    out += key;
    out += '=';
    out += escaped(value);
  };
  for (const PathKey& path : kPaths) {
    if (!(options.*path.value).empty()) add(path.key, options.*path.value);
  }
  for (const SwitchKey& one : kSwitches) {
    if (options.*one.value) add(one.key, "1");
  }
  if (options.format == Format::kJson) add("format", "json");
  if (options.children == Children::kLeft) add("children", "0");
  if (options.exit_code) add("exit-code", std::to_string(*options.exit_code));
  if (options.watchdog_seconds != Options().watchdog_seconds) {
    add("watchdog", std::to_string(options.watchdog_seconds));
  }
  return out;
}

Result<Options> decode(std::string_view text) {
  Options options;
  std::string wrong;
  for_each_word(text, ",", [&](std::string_view word) {
    const size_t equals = word.find('=');
    const std::string_view key = word.substr(0, equals);
    const std::optional<std::string> value =
        equals == std::string_view::npos ? std::nullopt : unescaped(word.substr(equals + 1));
    if (wrong.empty() && (!value || !set(options, key, *value))) wrong = word;
  });
  if (!wrong.empty()) {
    return Error(EINVAL, "lockdep.options", std::string(kOptionsVariable) + ": '" + wrong + "'");
  }
  return options;
}

std::string without_library(std::string_view list, std::string_view library) {
  std::string out;
  for_each_word(list, ": ", [&](std::string_view word) {
    if (word == library) return;
    if (!out.empty()) out += ':';
    out += word;
  });
  return out;
}

std::string with_library(std::string_view list, std::string_view library) {
  const std::string rest = without_library(list, library);
  return rest.empty() ? std::string(library) : std::string(library) + ":" + rest;
}

}  // namespace netfs::lockdep_preload
