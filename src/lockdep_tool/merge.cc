#include "lockdep_tool/merge.h"

#include <cstdio>

#include "lockdep/dwarf_symbolizer.h"
#include "lockdep/report_json.h"
#include "lockdep/report_text.h"
#include "lockdep/report_words.h"
#include "lockdep/saved_graph_file.h"
#include "lockdep/saved_symbolizer.h"
#include "lockdep/suppression_list.h"
#include "lockdep/validator.h"
#include "lockdep_tool/files.h"

namespace netfs::lockdep_tool {
namespace {

using lockdep::Report;
using lockdep::SavedGraph;
using lockdep::SuppressionList;
using lockdep::Validator;

struct Shown {
  const Merging& arguments;
  SuppressionList& suppressions;
  lockdep::Symbolizer& symbolizer;
  size_t likely = 0;
};

void show(void* user, const Report& report) {
  auto& shown = *static_cast<Shown*>(user);
  const bool error = report.verdict != lockdep::Verdict::kOrderOnly;
  if (!error && !report.joined && !shown.arguments.order_only) return;
  if (shown.suppressions.matches(report, shown.symbolizer)) return;
  shown.likely += error ? 1 : 0;
  if (shown.arguments.quiet) return;
  lockdep::ReportIdentity identity{.program = "lockdep merge", .version = {}, .build_id = {}};
  const std::string text =
      shown.arguments.json
          ? report_json(report, shown.symbolizer, identity) + "\n"
          : report_text(report, shown.symbolizer, {.identity = std::move(identity)});
  std::fputs(text.c_str(), stdout);
}

}  // namespace

Result<size_t> merge(const Merging& arguments) {
  lockdep::SavedGraphMerger merger;
  for (const std::string& file : arguments.files) merger.add(TRY(lockdep::read_saved_graph(file)));
  const SavedGraph graph = merger.take();
  if (!arguments.output.empty()) {
    TRY(lockdep::write_saved_graph(arguments.output, graph));
  }
  SuppressionList suppressions;
  if (!arguments.suppressions.empty()) {
    const std::string text = TRY(read_file(arguments.suppressions));
    suppressions = TRY(SuppressionList::parse(text, arguments.suppressions));
  }
  lockdep::DwarfSymbolizer live;
  lockdep::SavedSymbolizer symbolizer(graph, live);
  Shown shown{.arguments = arguments, .suppressions = suppressions, .symbolizer = symbolizer};
  // Classes of programs that were run under us are guessed: the very locks count, within a run.
  Validator validator({.sink = show, .sink_user = &shown, .match = Validator::Match::kExact});
  validator.seed(graph);
  validator.check_seeded();
  for (const std::string& entry : suppressions.unused()) {
    std::fprintf(stderr, "lockdep: suppression that matched nothing: %s\n", entry.c_str());
  }
  std::fprintf(stderr, "lockdep: %zu graphs: %zu classes, %zu dependencies, %zu runs\n",
               arguments.files.size(), graph.classes.size(), graph.edges.size(), graph.runs.size());
  return shown.likely;
}

}  // namespace netfs::lockdep_tool
