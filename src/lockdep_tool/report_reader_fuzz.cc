// Any bytes may be given as a report: nothing but an Error follows, or reports that can be shown in
// every form.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "lockdep/graph_dot.h"
#include "lockdep/report_json.h"
#include "lockdep/report_text.h"
#include "lockdep_tool/explanation.h"
#include "lockdep_tool/report_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace tool = netfs::lockdep_tool;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto reports = tool::read_reports(text, "fuzz");
  if (!reports.ok()) return 0;
  for (tool::ReadReport& read : reports.value()) {
    NETFS_ASSERT(!explanation(read.report, read).empty());
    NETFS_ASSERT(!report_dot(read.report).empty());
    NETFS_ASSERT(!report_text(read.report, read, {.identity = read.identity}).empty());
    const std::string again = report_json(read.report, read, read.identity);
    NETFS_ASSERT(tool::read_reports(again, "again").ok());
  }
  return 0;
}
