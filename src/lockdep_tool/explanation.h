#pragma once
// explanation: a report in plain English: what was found, how it goes wrong, how sure it is, and
// what can be done.  Pure but for the symbolizer, thread-safe.

#include <string>

#include "lockdep/report.h"
#include "lockdep/symbolizer.h"

namespace netfs::lockdep_tool {

[[nodiscard]] std::string explanation(const lockdep::Report& report,
                                      lockdep::Symbolizer& symbolizer);

}  // namespace netfs::lockdep_tool
