#include "lockdep/graph_dot.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <gtest/gtest.h>
#include <random>
#include <stdlib.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "lockdep/report_sample.h"

namespace netfs::lockdep {
namespace {

GraphSnapshot sample_graph() {
  GraphSnapshot graph;
  graph.classes = {{{"c", 1, 0, "....", 2, 2}, 0},
                   {{"a", 1, 0, ".+..", 4, 4}, 12},
                   {{"b", 2, 1, "....", 4, 4}, 3},
                   {{"d", 1, 0, "....", 4, 4}, 0}};
  graph.edges = {{2, 0, GraphEdge::kEN | GraphEdge::kSR, true, 0},
                 {1, 2, GraphEdge::kEN, false, 1},
                 {0, 1, GraphEdge::kER | GraphEdge::kSN, false, 7},
                 {3, 1, GraphEdge::kEN, true, 0},
                 {1, 3, GraphEdge::kSN, false, 0}};
  return graph;
}

TEST(GraphDot, ClassesAndEdgesAreSortedAndTheCircleStandsOut) {
  EXPECT_EQ(graph_dot(sample_graph(), {1, 2, 0}), R"(digraph lockdep {
  rankdir=LR;
  node [shape=box, fontname="monospace"];
  edge [fontname="monospace"];
  n0 [label="a\n{.+..}-{4:4} 12x", color=red, penwidth=2];
  n1 [label="b#2/1\n{....}-{4:4} 3x", color=red, penwidth=2];
  n2 [label="c\n{....}-{2:2}", color=red, penwidth=2];
  n3 [label="d\n{....}-{4:4}"];
  n0 -> n1 [label="EN 1x new", style="bold,dashed", color=red, fontcolor=red, penwidth=2];
  n0 -> n3 [label="SN"];
  n1 -> n2 [label="EN SR declared", style="bold,dotted", color=red, fontcolor=red, penwidth=2];
  n2 -> n0 [label="ER SN 7x", style="bold", color=red, fontcolor=red, penwidth=2];
  n3 -> n0 [label="EN declared", style="dotted"];
}
)");
}

// Goal: the text depends on the graph and not on the order in which it was learnt.
TEST(GraphDot, TheOrderOfLearningDoesNotMatter) {
  const GraphSnapshot graph = sample_graph();
  const std::string wanted = graph_dot(graph, {1, 2, 0});
  const uint32_t seed = 726218;
  std::mt19937 random(seed);
  for (int round = 0; round < 100; ++round) {
    std::vector<uint32_t> place = {0, 1, 2, 3};
    std::shuffle(place.begin(), place.end(), random);
    GraphSnapshot shuffled = graph;
    for (uint32_t i = 0; i < place.size(); ++i) shuffled.classes[place[i]] = graph.classes[i];
    for (GraphEdge& edge : shuffled.edges) {
      edge.from = place[edge.from];
      edge.to = place[edge.to];
    }
    std::shuffle(shuffled.edges.begin(), shuffled.edges.end(), random);
    ASSERT_EQ(graph_dot(shuffled, {place[1], place[2], place[0]}), wanted) << "seed " << seed;
  }
}

TEST(GraphDot, AReportsCircleIsDrawnFromItsChain) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kCircular, symbolizer);
  report.chain = {sample_edge(0, 1, symbolizer), sample_edge(1, 0, symbolizer)};
  report.chain[1].from.mode = Mode::kRead;
  report.chain[1].to.mode = Mode::kRecursiveRead;
  const std::string dot = report_dot(report);
  EXPECT_NE(dot.find("n0 -> n1 [label=\"EN new\", style=\"bold,dashed\", color=red"),
            std::string::npos);
  EXPECT_NE(dot.find("n1 -> n0 [label=\"SR\", style=\"bold\", color=red"), std::string::npos);
  EXPECT_EQ(dot.find("n2"), std::string::npos);  // class c is in no edge
}

// Returns what `dot -Tsvg` made of a text; empty where it refused.
std::string drawn(const std::string& dot) {
  std::string path = "/var/tmp/lockdep_graph_dot_XXXXXX";
  const int fd = mkstemp(path.data());
  if (fd < 0) return {};
  close(fd);
  std::ofstream(path) << dot;
  std::string svg;
  if (FILE* pipe = popen(("dot -Tsvg " + path + " 2>&1").c_str(), "r"); pipe != nullptr) {
    char buffer[4096];
    for (size_t got = 0; (got = fread(buffer, 1, sizeof buffer, pipe)) > 0;)
      svg.append(buffer, got);
    const int status = pclose(pipe);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) svg.clear();
  }
  unlink(path.c_str());
  return svg;
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

// Goal: graphviz takes what we write, names of any bytes included, without a word of complaint.
TEST(GraphDot, GraphvizDrawsIt) {
  if (system("command -v dot >/dev/null") != 0) {
    std::puts("SKIPPED: no graphviz on this machine (scripts/install-deps test)");
    GTEST_SKIP() << "no graphviz";
  }
  GraphSnapshot graph = sample_graph();
  graph.classes[0].identity.name = "c \"quoted\" \\N \\ <&> \xff \n end\\";
  graph.classes[3].identity.usage = "\"];\\";
  const std::string svg = drawn(graph_dot(graph, {1, 2, 0}));
  EXPECT_EQ(svg.find("<?xml"), 0U) << svg.substr(0, 400);
  EXPECT_EQ(count_of(svg, "class=\"node\""), 4U);
  EXPECT_EQ(count_of(svg, "class=\"edge\""), 5U);
  EXPECT_NE(svg.find("c &quot;quoted&quot; \\N \\ &lt;&amp;&gt; \\xff \\x0a end\\<"),
            std::string::npos);
  EXPECT_EQ(drawn("digraph {").find("<?xml"), std::string::npos);  // it can refuse
}

}  // namespace
}  // namespace netfs::lockdep
