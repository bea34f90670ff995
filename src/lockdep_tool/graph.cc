#include "lockdep_tool/graph.h"

#include "lockdep/graph_dot.h"
#include "lockdep/saved_graph_file.h"
#include "lockdep/saved_graph_text.h"
#include "lockdep/stat_text.h"
#include "lockdep_tool/files.h"
#include "lockdep_tool/report_reader.h"

namespace netfs::lockdep_tool {
namespace {

// Of the first report with a chain, or of all that a saved graph has.
Result<std::string> dot_of(const std::string& file) {
  const std::string text = TRY(read_file(file));
  if (text.compare(0, 14, "lockdep-graph ") == 0) {
    const Result<lockdep::SavedGraph> graph = lockdep::decode_saved_graph(text);
    if (!graph.ok()) {
      return Error(graph.code(), "graph", file + " " + graph.error().message());
    }
    return graph_dot(lockdep::snapshot_of(graph.value()), {});
  }
  for (const ReadReport& read : TRY(read_reports(text, file))) {
    if (!read.report.chain.empty()) return report_dot(read.report);
  }
  return Error(EINVAL, "graph", file + " has no report of several locks: there is nothing to draw");
}

}  // namespace

Result<> draw(const std::string& file, const std::string& output, Drawing drawing) {
  const std::string dot = TRY(dot_of(file));
  const std::string drawn = drawing == Drawing::kSvg ? TRY(svg_of(dot)) : dot;
  return write_file(output, drawn);
}

}  // namespace netfs::lockdep_tool
