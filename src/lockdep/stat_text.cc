#include "lockdep/stat_text.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "lockdep/graph.h"
#include "lockdep/report_words.h"

namespace netfs::lockdep {
namespace {

std::string row(const std::string& what, uint64_t number) {
  constexpr size_t kNameWidth = 34;
  constexpr size_t kNumberWidth = 14;
  std::string text = " " + what + ":";
  text.resize(std::max(text.size(), kNameWidth), ' ');
  const std::string digits = std::to_string(number);
  if (digits.size() < kNumberWidth) text.append(kNumberWidth - digits.size(), ' ');
  return text + digits + "\n";
}

std::string padded(size_t number, size_t width) {
  const std::string digits = std::to_string(number);
  return digits.size() < width ? std::string(width - digits.size(), ' ') + digits : digits;
}

// How many can be reached from `start`, itself included.
size_t reach(const std::vector<std::vector<uint32_t>>& next, uint32_t start) {
  std::vector<bool> seen(next.size());
  std::vector<uint32_t> to_visit{start};
  seen[start] = true;
  size_t count = 0;
  while (!to_visit.empty()) {
    const uint32_t at = to_visit.back();
    to_visit.pop_back();
    ++count;
    for (const uint32_t other : next[at]) {
      if (seen[other]) continue;
      seen[other] = true;
      to_visit.push_back(other);
    }
  }
  return count;
}

void add_stack(const Stack& stack, Symbolizer& symbolizer, std::string& text) {
  for (const uintptr_t address : stack) {
    for (const Frame& frame : symbolizer.resolve(address)) {
      text += "      " + frame_text(frame) + "\n";
    }
  }
}

}  // namespace

std::string statistics_text(const Statistics& s) {
  std::string text;
  text += row("lock-classes", s.classes);
  text += row("direct dependencies", s.edges);
  text += row("dependency chains", s.chains);
  text += row("stack traces", s.stacks);
  text += row("acquisitions of living contexts", s.acquires);
  text += row("chain lookup misses", s.misses);
  text += row("graph searches", s.searches);
  text += row("contexts", s.contexts);
  text += row("reports", s.reports);
  text += row("memory [bytes]", s.memory_bytes);
  text += row("memory limit reached", s.memory_full ? 1 : 0);
  return text;
}

std::string statistics_text(const SavedGraph& graph) {
  return row("lock-classes", graph.classes.size()) +
         row("direct dependencies", graph.edges.size()) + row("stack traces", graph.stacks.size()) +
         row("contexts", graph.contexts.size()) + row("runs", graph.runs.size());
}

std::string classes_text(const GraphSnapshot& graph) {
  const size_t count = graph.classes.size();
  std::vector<std::vector<uint32_t>> after(count);
  std::vector<std::vector<uint32_t>> before(count);
  for (const GraphEdge& edge : graph.edges) {
    after.at(edge.from).push_back(edge.to);
    before.at(edge.to).push_back(edge.from);
  }
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0U);
  const auto key = [&graph](uint32_t index) {
    const ReportedClass& one = graph.classes[index].identity;
    return std::tie(one.name, one.version, one.subclass);
  };
  const auto less = [&key](uint32_t a, uint32_t b) { return key(a) < key(b); };
  std::stable_sort(order.begin(), order.end(), less);
  std::string text = "all lock classes:\n";
  for (const uint32_t index : order) {
    const ReportedClass& one = graph.classes[index].identity;
    text += "FD:" + padded(reach(after, index), 5) + " BD:" + padded(reach(before, index), 5) +
            " " + (one.usage.empty() ? ".." : one.usage) + ": " + class_name(one) + "\n";
    std::stable_sort(after[index].begin(), after[index].end(), less);
    for (const uint32_t other : after[index]) {
      text += " -> " + class_name(graph.classes[other].identity) + "\n";
    }
  }
  return text;
}

std::string waits_text(const std::vector<Report>& waits, Symbolizer& symbolizer) {
  if (waits.empty()) return "nobody waits for a lock\n";
  std::string text =
      std::to_string(waits.size()) +
      (waits.size() == 1 ? " context waits for a lock" : " contexts wait for locks") + ":\n";
  for (const Report& wait : waits) {
    const auto name = [&wait](const ReportedLock& lock) {
      return class_text(wait.classes.at(lock.class_index));
    };
    text += "\n" + context_text(wait.context) + " waits for" + name(wait.taking);
    for (size_t i = 0; i < wait.waiting.size(); ++i) {
      text += (i == 0 ? ", held by " : ", ") + context_text(wait.waiting[i]);
    }
    text += wait.waiting.empty() ? ", of which no holder is known, at:\n" : ", at:\n";
    add_stack(wait.taking.stack, symbolizer, text);
    for (const ReportedLock& held : wait.held) {
      text += "  it holds" + name(held) + ", taken at:\n";
      add_stack(held.stack, symbolizer, text);
    }
  }
  return text;
}

GraphSnapshot snapshot_of(const SavedGraph& graph) {
  GraphSnapshot snapshot;
  for (const SavedGraph::Class& one : graph.classes) {
    const unsigned outer = one.wait_outer;
    snapshot.classes.push_back({.identity = {.name = one.name,
                                             .subclass = one.subclass,
                                             .wait_outer = outer,
                                             .wait_inner = one.wait_inner}});
  }
  for (const SavedGraph::Edge& edge : graph.edges) {
    uint8_t kinds = 0;
    for (const SavedGraph::Witness& witness : edge.witnesses) {
      kinds |= edge_kind(witness.from.mode, witness.to.mode);
    }
    snapshot.edges.push_back({.from = edge.from, .to = edge.to, .kinds = kinds});
  }
  return snapshot;
}

}  // namespace netfs::lockdep
