#pragma once
// read_reports: reports that were written as JSON (docs/lockdep-report.md), back as reports.
//
// A file has one report a line; other lines, such as a program's own output, are left out.  What a
// report lacks has its default; indices are checked, so that what is read can be shown and drawn.
// Stacks are kept as names: ReadReport is their symbolizer.  Pure, thread-safe.
//
//   for (ReadReport& read : TRY(read_reports(text, "reports.json"))) {
//     puts(report_text(read.report, read, {.identity = read.identity}).c_str());
//   }

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lockdep/report.h"
#include "lockdep/report_identity.h"
#include "lockdep/symbolizer.h"

namespace netfs::lockdep_tool {

struct ReadReport final : lockdep::Symbolizer {
  lockdep::Report report;
  lockdep::ReportIdentity identity;
  std::vector<std::vector<lockdep::Frame>> frames;  // a stack's "addresses" are 1 + index in here

  [[nodiscard]] std::vector<lockdep::Frame> resolve(uintptr_t return_address) override;
};

// EINVAL: not one report is in there, or a line is one of another schema, or none that makes sense.
[[nodiscard]] Result<std::vector<ReadReport>> read_reports(std::string_view text,
                                                           const std::string& name);

// EINVAL: the last line begins as a report and is cut short; read_reports leaves it out.
[[nodiscard]] Result<> check_end(std::string_view text, const std::string& name);

}  // namespace netfs::lockdep_tool
