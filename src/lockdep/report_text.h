#pragma once
// report_text: a report as text, in the layout of the kernel's lockdep.
//
// Who knows the kernel's pages finds each section where it was: rules, `the existing dependency
// chain (in reverse order) is:`, `Chain exists of:`, the unsafe scenario, held locks, `stack
// backtrace:`. Added are: one summary line first; for every dependency both stacks, who did it and
// when; and last the verdict with its reason and a line that silences the report.
// docs/lockdep-report.md has a page of each kind and what differs from the kernel's.
//
// Not thread-safe as far as the symbolizer is not.  Allocates; never under the validator's lock.
// Bytes of names that would steer a terminal are written as \xNN.  Class indices must be those of
// report.classes.
//
//   DwarfSymbolizer symbolizer;
//   TextOptions options{.identity = own_identity("0.1.0")};
//   fputs(report_text(report, symbolizer, options).c_str(), stderr);

#include <string>

#include "lockdep/report.h"
#include "lockdep/report_identity.h"
#include "lockdep/symbolizer.h"

namespace netfs::lockdep {

// Whether a terminal reads it; the caller knows.
enum class Colour { kNone, kTerminal };

struct TextOptions {
  ReportIdentity identity;
  Colour colour = Colour::kNone;
};

[[nodiscard]] std::string report_text(const Report& report, Symbolizer& symbolizer,
                                      const TextOptions& options);

}  // namespace netfs::lockdep
