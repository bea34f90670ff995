#pragma once
// Report: rows as JSON and as a markdown table.
//
// A program's JSON is {"program", "machine": {...}, "quick", "rows": [...]}; bench_report merges
// several.  Every sample stands in it: the table can be made again from it.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "harness/machine.h"
#include "harness/runner.h"

namespace netfs::bench {

nlohmann::json to_json(const Machine& machine);
nlohmann::json to_json(const RowResult& row);

// The table of a list of rows in to_json's form.
std::string markdown_table(const nlohmann::json& rows);
// The lines above a table: where it was taken.
std::string markdown_machine(const nlohmann::json& machine);
// What each side was, and what a row adds.
std::string markdown_notes(const nlohmann::json& rows);

Result<void> write_text(const std::string& path, const std::string& text);
Result<std::string> read_text(const std::string& path);

}  // namespace netfs::bench
