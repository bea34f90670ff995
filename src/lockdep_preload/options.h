#pragma once
// Options: what `lockdep run` tells the preloaded library, in one environment variable.
//
//   LOCKDEP_OPTIONS="output=/tmp/a%2Cb.txt,format=json,exit-code=3"
//
// Values are percent-escaped: '%', ',', '=' and control bytes.  Both sides use this file, so a key
// that one knows the other does.  Pure functions, thread-safe.
//
// The library ignores what it does not understand but for one line on stderr: a program must not
// fail because of us.

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace netfs::lockdep_preload {

inline constexpr const char* kOptionsVariable = "LOCKDEP_OPTIONS";
inline constexpr const char* kPreloadVariable = "LD_PRELOAD";

enum class Format { kText, kJson };

// Whether what the program starts is watched as well.
enum class Children { kWatched, kLeft };

struct Options {
  std::string output;  // path, absolute; empty: the stderr that the program began with
  Format format = Format::kText;
  std::string suppressions;      // path; empty: none
  std::string save;              // path of the graph to be saved; empty: none
  std::string stat;              // path of the statistics; empty: none
  bool order_only = false;       // print ORDER-ONLY too
  bool histograms = false;       // time waiting and holding
  bool abort = false;            // after a report of LIKELY or PROVED
  std::optional<int> exit_code;  // in place of the program's, when LIKELY or PROVED was reported
  int watchdog_seconds = 1;      // between looks for circular waits; 0: never
  Children children = Children::kWatched;
};

[[nodiscard]] std::string encode(const Options& options);
// An error's detail names the word that is wrong.
[[nodiscard]] Result<Options> decode(std::string_view text);

// `list` (LD_PRELOAD's words, parted by ':' or ' ') with `library` first, and without it.
[[nodiscard]] std::string with_library(std::string_view list, std::string_view library);
[[nodiscard]] std::string without_library(std::string_view list, std::string_view library);

}  // namespace netfs::lockdep_preload
