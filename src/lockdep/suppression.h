#pragma once
// suppression_line: the line that names a kind of report and its lock classes, to silence it.
//
// Pure, thread-safe.  A report is silenced by a line that equals its own:
//
//   circular "&mm->mmap_lock" -> "mapping.invalidate_lock" -> "sb_writers"
//
// The same circle has the same line wherever it was found: it begins with its least name.  Versions
// (#3) are left out, since they depend on which class came first; subclasses are not.  Names are
// quoted, with \" and \\ for those bytes and \xNN for control bytes.  No line ever spans two.

#include <string>
#include <vector>

#include "lockdep/report.h"

namespace netfs::lockdep {

[[nodiscard]] std::string suppression_line(const Report& report);

// The names of that line, each in its quotes.
[[nodiscard]] std::vector<std::string> suppression_names(const Report& report);

}  // namespace netfs::lockdep
