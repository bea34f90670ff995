#pragma once
// report_json: a report for machines; all that the text has, and nothing less.
//
// One JSON object on one line, without the line's end.  docs/lockdep-report.md has the schema,
// whose version is kReportSchema: fields are added within a version, none is taken away or changed.
// Addresses are text in hexadecimal.  Stacks are resolved in full.  See report_text.h for what a
// caller owes; bytes that are no UTF-8 are written as U+FFFD.

#include <string>

#include "lockdep/report.h"
#include "lockdep/report_identity.h"
#include "lockdep/symbolizer.h"

namespace netfs::lockdep {

inline constexpr int kReportSchema = 1;

[[nodiscard]] std::string report_json(const Report& report, Symbolizer& symbolizer,
                                      const ReportIdentity& identity);

}  // namespace netfs::lockdep
