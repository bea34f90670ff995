// bench_report: merges the results of the benchmark programs.
//
//   bench_report OUT.json OUT.md RESULT.json...
//   bench_report --into docs/benchmarks.md OUT.md      puts the table between the page's markers

#include <cstdio>

#include "harness/report.h"

namespace netfs::bench {
namespace {

using nlohmann::json;

constexpr const char* kBegin = "<!-- figures: begin -->\n";
constexpr const char* kEnd = "<!-- figures: end -->\n";

Result<void> merge(int argc, char** argv) {
  json whole{{"rows", json::array()}};
  for (int i = 3; i < argc; ++i) {
    std::string text = TRY(read_text(argv[i]));
    json one = json::parse(text, nullptr, false);
    if (one.is_discarded())
      return Error(EPROTO, "bench.report", std::string(argv[i]) + ": no JSON");
    whole["machine"] = one.at("machine");
    whole["quick"] = one.at("quick");
    for (const json& row : one.at("rows")) whole["rows"].push_back(row);
  }
  if (whole["rows"].empty()) return Error(ENODATA, "bench.report", "the results hold no row");
  TRY(write_text(argv[1], whole.dump(1) + "\n"));
  std::string page = markdown_machine(whole["machine"]);
  if (whole["quick"].get<bool>()) page += "\n**With --quick: sizes too small to quote.**\n";
  page += "\n" + markdown_table(whole["rows"]) + "\n" + markdown_notes(whole["rows"]);
  return write_text(argv[2], page);
}

Result<void> put_into(const char* page_path, const char* table_path) {
  std::string page = TRY(read_text(page_path));
  std::string table = TRY(read_text(table_path));
  size_t begin = page.find(kBegin);
  size_t end = page.find(kEnd);
  if (begin == std::string::npos || end == std::string::npos || end < begin) {
    return Error(EINVAL, "bench.report", std::string(page_path) + " has no markers for the table");
  }
  begin += std::char_traits<char>::length(kBegin);
  return write_text(page_path, page.substr(0, begin) + "\n" + table + "\n" + page.substr(end));
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  using namespace netfs::bench;
  bool into = argc == 4 && std::string(argv[1]) == "--into";
  if (!into && argc < 4) {
    std::fprintf(stderr, "usage: %s OUT.json OUT.md RESULT.json...\n", argv[0]);
    return 2;
  }
  netfs::Result<void> done = into ? put_into(argv[2], argv[3]) : merge(argc, argv);
  if (!done.ok()) std::fprintf(stderr, "bench_report: %s\n", done.error().message().c_str());
  return done.ok() ? 0 : 1;
}
