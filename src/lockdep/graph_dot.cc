#include "lockdep/graph_dot.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>

#include "lockdep/report_words.h"
#include "lockdep/text_format.h"

namespace netfs::lockdep {
namespace {

// A string in quotes.  A backslash in a label starts an escape, so it is doubled; bytes that are no
// ASCII are written as \xNN, since graphviz refuses what is no UTF-8.
std::string quoted(const std::string& bytes) {
  std::string ascii;
  for (const char c : bytes) {
    if (static_cast<unsigned char>(c) < 0x80) {
      ascii += c;
    } else {
      ascii += "\\x" + hex(static_cast<unsigned char>(c));
    }
  }
  std::string text = "\"";
  for (const char c : printable(ascii)) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + "\"";
}

// Two lines of one label; each may hold anything.
std::string two_lines(const std::string& first, const std::string& second) {
  std::string text = quoted(first);
  text.pop_back();
  return text + "\\n" + quoted(second).substr(1);
}

std::string kinds_text(uint8_t kinds) {
  std::string text;
  for (const auto& [bit, name] :
       {std::pair{GraphEdge::kEN, "EN"}, std::pair{GraphEdge::kER, "ER"},
        std::pair{GraphEdge::kSN, "SN"}, std::pair{GraphEdge::kSR, "SR"}}) {
    if ((kinds & bit) == 0) continue;
    if (!text.empty()) text += ' ';
    text += name;
  }
  return text;
}

class Writer {
 public:
  Writer(const GraphSnapshot& graph, const GraphCircle& circle) : graph_(graph), circle_(circle) {
    order_.resize(graph.classes.size());
    std::iota(order_.begin(), order_.end(), 0U);
    // By all that distinguishes classes; those that nothing does keep their order.
    std::stable_sort(order_.begin(), order_.end(), [&](uint32_t a, uint32_t b) {
      const ReportedClass& x = graph.classes[a].identity;
      const ReportedClass& y = graph.classes[b].identity;
      return std::tie(x.name, x.version, x.subclass) < std::tie(y.name, y.version, y.subclass);
    });
    rank_.resize(order_.size());
    for (uint32_t i = 0; i < order_.size(); ++i) rank_[order_[i]] = i;
  }

  std::string write() {
    text_ =
        "digraph lockdep {\n  rankdir=LR;\n  node [shape=box, fontname=\"monospace\"];\n"
        "  edge [fontname=\"monospace\"];\n";
    for (const uint32_t index : order_) write_class(index);
    std::vector<GraphEdge> edges = graph_.edges;
    std::stable_sort(edges.begin(), edges.end(), [&](const GraphEdge& a, const GraphEdge& b) {
      return std::pair(rank_.at(a.from), rank_.at(a.to)) <
             std::pair(rank_.at(b.from), rank_.at(b.to));
    });
    for (const GraphEdge& edge : edges) write_edge(edge);
    return text_ + "}\n";
  }

 private:
  // Where in the circle an edge stands; 0 is the new one.
  [[nodiscard]] std::optional<size_t> place_in_circle(uint32_t from, uint32_t to) const {
    for (size_t i = 0; i < circle_.size(); ++i) {
      if (circle_[i] == from && circle_[(i + 1) % circle_.size()] == to) return i;
    }
    return std::nullopt;
  }

  void write_class(uint32_t index) {
    const GraphClass& lock_class = graph_.classes[index];
    const ReportedClass& identity = lock_class.identity;
    std::string second = "{" + identity.usage + "}-{" + std::to_string(identity.wait_outer) + ":" +
                         std::to_string(identity.wait_inner) + "}";
    if (lock_class.acquired_count > 0)
      second += " " + std::to_string(lock_class.acquired_count) + "x";
    // Names need not differ, numbers do.
    text_ +=
        "  n" + std::to_string(rank_[index]) + " [label=" + two_lines(class_name(identity), second);
    const bool in_circle = std::find(circle_.begin(), circle_.end(), index) != circle_.end();
    text_ += in_circle ? ", color=red, penwidth=2];\n" : "];\n";
  }

  void write_edge(const GraphEdge& edge) {
    const std::optional<size_t> place = place_in_circle(edge.from, edge.to);
    const bool is_new = place && *place == 0;
    std::string label = kinds_text(edge.kinds);
    const auto add = [&label](const std::string& word) {
      label += (label.empty() ? "" : " ") + word;
    };
    if (edge.seen_count > 0) add(std::to_string(edge.seen_count) + "x");
    if (edge.declared) add("declared");
    if (is_new) add("new");
    text_ += "  n" + std::to_string(rank_.at(edge.from)) + " -> n" +
             std::to_string(rank_.at(edge.to)) + " [label=" + quoted(label);
    const char* style = is_new ? "bold,dashed" : edge.declared ? "dotted" : "";
    if (place && !is_new) style = edge.declared ? "bold,dotted" : "bold";
    if (*style != '\0') text_ += std::string(", style=\"") + style + "\"";
    if (place) text_ += ", color=red, fontcolor=red, penwidth=2";
    text_ += "];\n";
  }

  const GraphSnapshot& graph_;
  const GraphCircle& circle_;
  std::vector<uint32_t> order_;  // class indices by name
  std::vector<uint32_t> rank_;   // place in `order_` of each class
  std::string text_;
};

}  // namespace

std::string graph_dot(const GraphSnapshot& graph, const GraphCircle& circle) {
  return Writer(graph, circle).write();
}

std::string report_dot(const Report& report) {
  // Only the classes that are in it: a report's table may hold those of other held locks.
  GraphSnapshot graph;
  GraphCircle circle;
  std::vector<std::optional<uint32_t>> index(report.classes.size());
  const auto node = [&](uint32_t class_index) {
    std::optional<uint32_t>& known = index.at(class_index);
    if (!known) {
      known = static_cast<uint32_t>(graph.classes.size());
      graph.classes.push_back({.identity = report.classes[class_index]});
    }
    return *known;
  };
  for (const ReportedEdge& edge : report.chain) {
    const uint32_t from = node(edge.from.class_index);
    const uint32_t to = node(edge.to.class_index);
    const bool writer = edge.from.mode == Mode::kWrite;
    const uint8_t kind = edge.to.mode == Mode::kRecursiveRead
                             ? (writer ? GraphEdge::kER : GraphEdge::kSR)
                             : (writer ? GraphEdge::kEN : GraphEdge::kSN);
    graph.edges.push_back({.from = from, .to = to, .kinds = kind, .declared = edge.declared});
    if (report.kind == ReportKind::kCircular) circle.push_back(from);
  }
  return graph_dot(graph, circle);
}

}  // namespace netfs::lockdep
