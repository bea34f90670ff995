// The words of all commands but `run`: one file, for the reader of command lines is slow to
// compile.

#include <CLI/CLI.hpp>
#include <cstdio>

#include "lockdep/report_text.h"
#include "lockdep/report_words.h"
#include "lockdep/saved_graph_file.h"
#include "lockdep/stat_text.h"
#include "lockdep_preload/control.h"
#include "lockdep_tool/command.h"
#include "lockdep_tool/explanation.h"
#include "lockdep_tool/files.h"
#include "lockdep_tool/graph.h"
#include "lockdep_tool/merge.h"
#include "lockdep_tool/report_reader.h"

namespace netfs::lockdep_tool {
namespace {

constexpr const char* kMergeFooter =
    "Reports circles that the graphs form together, with the stacks of each part.  A circle whose\n"
    "parts different runs did is LIKELY if threads of different roles did them, neither alone, "
    "with\n"
    "no lock of one class around both; else it is ORDER-ONLY and says why.\n"
    "\n"
    "Exit code: 0, or that of --exit-code when a circle is LIKELY.\n"
    "\n"
    "Example:\n"
    "  lockdep run --save a.graph -- server --import\n"
    "  lockdep run --save b.graph -- server --serve\n"
    "  lockdep merge -o all.graph a.graph b.graph";

constexpr int kPidMax = 1 << 22;  // of the kernel, on 64 bits

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

int print(const Result<std::string>& answer) {
  if (!answer.ok()) return failed(answer.error());
  std::fputs(answer.value().c_str(), stdout);
  return kDone;
}

bool is_number(const std::string& word) {
  return !word.empty() && word.find_first_not_of("0123456789") == std::string::npos;
}

// Of a word that is_number(); one that is too long is nobody's.
Result<std::string> ask(const std::string& process, std::string_view word) {
  const long number = std::strtol(process.c_str(), nullptr, 10);
  if (number < 1 || number > kPidMax) {
    return Error(ESRCH, "ask", "there is no process " + process);
  }
  return lockdep_preload::ask(static_cast<int>(number), word);
}

Result<std::string> statistics_of(const std::string& of) {
  if (is_number(of)) return ask(of, "stat");
  const lockdep::SavedGraph graph = TRY(lockdep::read_saved_graph(of));
  return statistics_text(graph) + "\n" + classes_text(lockdep::snapshot_of(graph));
}

}  // namespace

int unread_words(const CLI::App& app, const CLI::ParseError& error, int code_of_mistake) {
  if (error.get_exit_code() == 0) return app.exit(error);
  const std::string& command = app.get_name();
  std::fprintf(stderr, "lockdep: %s; %s --help says how\n", error.what(), command.c_str());
  return code_of_mistake;
}

int explain_command(int argc, char** argv) {
  std::string file;
  bool full = false;
  CLI::App app("Say in plain English what a report means.", "lockdep explain");
  app.footer(
      "Example:\n"
      "  lockdep run --json -o reports.json -- server\n"
      "  lockdep explain reports.json");
  app.add_option("REPORT", file, "reports in JSON (lockdep run --json); - is stdin")->required();
  app.add_flag("--text", full, "the page of the report instead, as without --json");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return unread_words(app, error);
  }
  const Result<std::string> text = read_file(file);
  if (!text.ok()) return failed(text.error());
  Result<std::vector<ReadReport>> reports = read_reports(text.value(), file);
  if (!reports.ok()) return failed(reports.error());
  bool first = true;
  for (ReadReport& read : reports.value()) {
    if (!first) std::fputs("\n", stdout);
    first = false;
    const std::string shown =
        full ? report_text(read.report, read, {.identity = read.identity})
             : summary_line(read.report) + "\n\n" + explanation(read.report, read);
    std::fputs(shown.c_str(), stdout);
  }
  const Result<> whole = check_end(text.value(), file);
  return whole.ok() ? kDone : failed(whole.error());
}

int graph_command(int argc, char** argv) {
  std::string file;
  std::string output = "-";
  bool svg = false;
  CLI::App app("Draw which locks are taken under which.", "lockdep graph");
  app.footer(
      "Examples:\n"
      "  lockdep graph -o locks.svg all.graph        # all that runs have learnt\n"
      "  lockdep graph -o circle.svg reports.json    # the circle of the first report");
  app.add_option("FILE", file, "a saved graph, or reports in JSON; - is stdin")->required();
  app.add_option("-o,--output", output, "file; one that ends in .svg is drawn by graphviz");
  app.add_flag("--svg", svg, "draw, whatever the file is called; else the language of graphviz");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return unread_words(app, error);
  }
  const Result<> drawn =
      draw(file, output, svg || ends_with(output, ".svg") ? Drawing::kSvg : Drawing::kDot);
  return drawn.ok() ? kDone : failed(drawn.error());
}

int merge_command(int argc, char** argv) {
  Merging merging;
  int exit_code = 0;
  CLI::App app("Put saved graphs together and report the circles that they form.", "lockdep merge");
  app.footer(kMergeFooter);
  app.add_option("FILE", merging.files, "saved graphs (lockdep run --save)")->required();
  app.add_option("-o,--output", merging.output, "write the graph of all to this file");
  app.add_option("--suppressions", merging.suppressions, "file of reports not to be shown");
  app.add_flag("--json", merging.json, "reports for machines, one a line");
  app.add_flag("--order-only", merging.order_only,
               "show circles too that are known to be impossible");
  app.add_flag("-q,--quiet", merging.quiet, "no reports, the exit code only");
  app.add_option("--exit-code", exit_code, "when a circle is LIKELY")->check(CLI::Range(0, 255));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return unread_words(app, error);
  }
  const Result<size_t> likely = merge(merging);
  if (!likely.ok()) return failed(likely.error());
  return likely.value() == 0 ? kDone : exit_code;
}

int dump_command(int argc, char** argv) {
  std::string process;
  CLI::App app("Print who waits for whom in a program that was started by lockdep run.",
               "lockdep dump");
  app.footer(
      "The program must have started a thread: until then it has none of ours that could answer.\n"
      "Only its own user and root are answered.\n"
      "\n"
      "Example:\n"
      "  lockdep dump $(pidof server)");
  app.add_option("PID", process, "the program's process")
      ->required()
      ->check([](const std::string& word) {
        return is_number(word) ? std::string() : word + " is no number of a process";
      });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return unread_words(app, error);
  }
  return print(ask(process, "dump"));
}

int stat_command(int argc, char** argv) {
  std::string of;
  CLI::App app("Print what was learnt, as /proc/lockdep_stats and /proc/lockdep of the kernel do.",
               "lockdep stat");
  app.footer(
      "FD counts the classes that are taken, over any number of steps, under one, BD those under\n"
      "which it is; the classes taken directly under it follow.\n"
      "\n"
      "Examples:\n"
      "  lockdep stat $(pidof server)\n"
      "  lockdep stat all.graph");
  app.add_option("PID|FILE", of, "a program that runs under lockdep, or a saved graph")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return unread_words(app, error);
  }
  return print(statistics_of(of));
}

}  // namespace netfs::lockdep_tool
