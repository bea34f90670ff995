#include "harness/report.h"

#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

namespace netfs::bench {

namespace {

using nlohmann::json;

json to_json(const Sample& sample) {
  return {{"figure", sample.figure},
          {"seconds", sample.work.seconds},
          {"units", sample.work.units},
          {"cpu_seconds", sample.work.cpu_seconds},
          {"daemon_cpu_seconds", sample.daemon_cpu_seconds},
          {"load", sample.load}};
}

json to_json(const SideResult& side) {
  json samples = json::array();
  for (const Sample& sample : side.samples) samples.push_back(to_json(sample));
  return {{"name", side.name},
          {"how", side.how},
          {"failure", side.failure},
          {"median", side.median},
          {"min", side.min},
          {"max", side.max},
          {"cpu_seconds", side.cpu_seconds},
          {"daemon_cpu_seconds", side.daemon_cpu_seconds},
          {"ratio", side.ratio},
          {"ratio_min", side.ratio_min},
          {"ratio_max", side.ratio_max},
          {"samples", samples}};
}

// Four significant digits, with thousands separated.
std::string number(double value) {
  char text[64];
  double size = std::fabs(value);
  int decimals = size >= 1000 || size == 0 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3;
  snprintf(text, sizeof text, "%.*f", decimals, value);
  std::string digits = text;
  size_t point = digits.find('.');
  size_t end = point == std::string::npos ? digits.size() : point;
  for (size_t at = end; at > 3 + (digits[0] == '-' ? 1U : 0U); at -= 3) digits.insert(at - 3, ",");
  return digits;
}

// "name 123 (100-140)", and why there is none.
std::string side_cell(const json& side) {
  std::string name = side.at("name");
  std::string failure = side.at("failure");
  if (side.at("samples").empty()) return name + ": " + (failure.empty() ? "not run" : "failed");
  std::string cell = name + " " + number(side.at("median"));
  if (side.at("samples").size() > 1) {
    cell += " (" + number(side.at("min")) + " to " + number(side.at("max")) + ")";
  }
  return failure.empty() ? cell : cell + ", then failed";
}

std::string ratio_cell(const json& side) {
  double ratio = side.at("ratio");
  if (ratio == 0) return "";
  char text[128];
  snprintf(text, sizeof text, "**%.2f** of %s (%.2f to %.2f)", ratio,
           side.at("name").get<std::string>().c_str(), side.at("ratio_min").get<double>(),
           side.at("ratio_max").get<double>());
  return text;
}

std::string cpu_cell(const json& side) {
  if (side.at("samples").empty()) return "";
  char text[64];
  snprintf(text, sizeof text, "%.2f+%.2f", side.at("cpu_seconds").get<double>(),
           side.at("daemon_cpu_seconds").get<double>());
  return text;
}

void append(std::string& cell, const std::string& text) {
  if (text.empty()) return;
  if (!cell.empty()) cell += "<br>";
  cell += text;
}

}  // namespace

json to_json(const Machine& machine) {
  return {{"version", machine.version}, {"kernel", machine.kernel},
          {"cpu", machine.cpu},         {"cpus", machine.cpus},
          {"memory", machine.memory},   {"filesystem", machine.filesystem},
          {"date", machine.date},       {"servers", machine.servers}};
}

json to_json(const RowResult& row) {
  json sides = json::array();
  for (const SideResult& side : row.sides) sides.push_back(to_json(side));
  return {{"name", row.spec.name},
          {"what", row.spec.what},
          {"unit", row.spec.unit},
          {"reach", row.spec.reach},
          {"less_is_better", row.spec.less_is_better},
          {"load", {row.load_before, row.load_after}},
          {"clock_ghz", {row.clock_ghz_before, row.clock_ghz_after}},
          {"notes", row.notes},
          {"sides", sides}};
}

std::string markdown_table(const json& rows) {
  std::ostringstream out;
  out << "| what | unit | figures: median (min to max) | first over the other | to reach | "
         "CPU s: reader+daemon | load |\n| --- | --- | --- | --- | --- | --- | --- |\n";
  for (const json& row : rows) {
    std::string figures;
    std::string ratios;
    std::string cpu;
    for (const json& side : row.at("sides")) {
      append(figures, side_cell(side));
      append(ratios, ratio_cell(side));
      append(cpu, cpu_cell(side));
    }
    char load[64];
    snprintf(load, sizeof load, "%.1f", row.at("load").at(1).get<double>());
    out << "| " << row.at("what").get<std::string>() << " | " << row.at("unit").get<std::string>()
        << " | " << figures << " | " << ratios << " | " << row.at("reach").get<std::string>()
        << " | " << cpu << " | " << load << " |\n";
  }
  return out.str();
}

std::string markdown_machine(const json& machine) {
  std::ostringstream out;
  out << "Taken " << machine.at("date").get<std::string>() << " at "
      << machine.at("version").get<std::string>() << ": " << machine.at("cpus") << " CPUs ("
      << machine.at("cpu").get<std::string>() << "), " << machine.at("memory").get<std::string>()
      << ", " << machine.at("filesystem").get<std::string>() << ", "
      << machine.at("kernel").get<std::string>() << ".";
  const std::string servers = machine.value("servers", "");
  if (!servers.empty()) out << " Read from " << servers << ".";
  out << "\n";
  return out.str();
}

std::string markdown_notes(const json& rows) {
  std::ostringstream out;
  std::map<std::string, std::string> ways;  // how -> name; the same way is told once
  for (const json& row : rows) {
    for (const json& side : row.at("sides")) {
      std::string how = side.at("how");
      if (!how.empty()) ways.emplace(how, side.at("name"));
    }
  }
  for (const auto& [how, name] : ways) out << "* " << name << ": `" << how << "`\n";
  for (const json& row : rows) {
    std::string name = row.at("name");
    for (const json& note : row.at("notes")) {
      out << "* " << name << ": " << note.get<std::string>() << "\n";
    }
    for (const json& side : row.at("sides")) {
      std::string failure = side.at("failure");
      if (!failure.empty()) {
        out << "* " << name << ", " << side.at("name").get<std::string>() << ": " << failure
            << "\n";
      }
    }
  }
  return out.str();
}

Result<void> write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  if (!file) return Error(EIO, "bench.write", "cannot write " + path);
  return {};
}

Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Error(ENOENT, "bench.read", "cannot open " + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace netfs::bench
