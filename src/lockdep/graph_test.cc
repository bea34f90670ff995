// The graph's search against brute force, on random graphs.
//
//   lockdep_graph_test [--queries=N]    default 300000; NETFS_TEST_SEED sets the seed

#include "lockdep/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lockdep/test_support.h"

namespace netfs::lockdep {
namespace {

uint64_t queries_wanted = 300000;

struct Random {
  explicit Random(uint64_t seed) : engine(seed) {}
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(engine() % limit); }
  std::mt19937_64 engine;
};

struct RandomGraph {
  explicit RandomGraph(Random& random) : nodes(3 + random.below(3)) {
    for (uint32_t node = 1; node <= nodes; ++node) EXPECT_TRUE(graph.add_node(arena, node));
    for (uint32_t from = 1; from <= nodes; ++from) {
      for (uint32_t to = 1; to <= nodes; ++to) {
        if (from == to || random.below(100) >= 30) continue;
        const auto kinds = static_cast<uint8_t>(1 + random.below(15));
        const uint32_t id = graph.add(arena, from, to);
        graph.edge(id).kinds = kinds;
        edges.push_back(id);
      }
    }
  }
  Arena arena;
  Graph graph;
  uint32_t nodes;
  std::vector<uint32_t> edges;
};

struct Query {
  uint32_t start;
  Mode start_mode;
  uint32_t target;
  Mode target_mode;  // how the target is held
  uint32_t without;
};

// Tries every sequence of single dependencies, up to `length`: nothing is remembered or pruned.
bool some_walk(const RandomGraph& g, const Query& query, uint32_t node, bool came_recursive,
               unsigned length) {
  if (length == 0) {
    return node == query.target && (query.target_mode == Mode::kWrite || !came_recursive);
  }
  for (const uint32_t id : g.edges) {
    const Edge& edge = g.graph.edge(id);
    if (edge.from != node || id == query.without) continue;
    for (const uint8_t kind : {kSR, kER, kSN, kEN}) {
      if ((edge.kinds & kind) == 0) continue;
      const bool from_reader = kind == kSR || kind == kSN;
      if (came_recursive && from_reader) continue;
      if (some_walk(g, query, edge.to, kind == kSR || kind == kER, length - 1)) return true;
    }
  }
  return false;
}

// The length of the shortest strong walk; 0 if there is none.
unsigned shortest(const RandomGraph& g, const Query& query) {
  for (unsigned length = 1; length < 2 * g.nodes; ++length) {
    const bool recursive = query.start_mode == Mode::kRecursiveRead;
    if (some_walk(g, query, query.start, recursive, length)) return length;
  }
  return 0;
}

bool is_strong(const RandomGraph& g, const Query& query) {
  bool recursive = query.start_mode == Mode::kRecursiveRead;
  uint32_t node = query.start;
  for (size_t i = 0; i < g.graph.path_length(); ++i) {
    const Edge& edge = g.graph.edge(g.graph.path(i));
    const unsigned kinds = recursive ? edge.kinds & (kER | kEN) : edge.kinds;
    if (edge.from != node || kinds == 0) return false;
    recursive = (kinds & (kSN | kEN)) == 0;
    node = edge.to;
  }
  return node == query.target && (query.target_mode == Mode::kWrite || !recursive);
}

TEST(GraphSearch, FindsTheShortestStrongPathExactlyWhenBruteForceFindsOne) {
  const uint64_t seed = test_seed("graph");
  Random random(seed);
  uint64_t found = 0;
  uint64_t done = 0;
  constexpr Mode kModes[] = {Mode::kWrite, Mode::kRead, Mode::kRecursiveRead};
  while (done < queries_wanted) {
    RandomGraph g(random);
    for (int i = 0; i < 40 && done < queries_wanted; ++i, ++done) {
      Query query{.start = 1 + random.below(g.nodes),
                  .start_mode = kModes[random.below(3)],
                  .target = 1 + random.below(g.nodes),
                  .target_mode = kModes[random.below(2)],
                  .without = 0};
      if (query.start == query.target) continue;
      if (!g.edges.empty() && random.below(4) == 0) {
        query.without = g.edges[random.below(static_cast<uint32_t>(g.edges.size()))];
      }
      const unsigned expected = shortest(g, query);
      const bool obtained = g.graph.search(
          g.arena, query.start, query.start_mode, query.without,
          [&query](uint32_t node, bool recursive) {
            return node == query.target && (query.target_mode == Mode::kWrite || !recursive);
          });
      ASSERT_EQ(obtained, expected != 0) << "query " << done << ", seed " << seed;
      if (!obtained) continue;
      ++found;
      ASSERT_EQ(g.graph.path_length(), expected) << "query " << done << ", seed " << seed;
      ASSERT_TRUE(is_strong(g, query)) << "query " << done << ", seed " << seed;
    }
  }
  std::printf("graph: %llu queries, %llu paths\n", static_cast<unsigned long long>(done),
              static_cast<unsigned long long>(found));
  EXPECT_GT(found, done / 10);
  EXPECT_LT(found, done * 9 / 10);
}

TEST(GraphSearch, AnEdgeThatWasRemovedIsNoLongerFound) {
  Arena arena;
  Graph graph;
  for (uint32_t node = 1; node <= 3; ++node) ASSERT_TRUE(graph.add_node(arena, node));
  const uint32_t first = graph.add(arena, 1, 2);
  const uint32_t second = graph.add(arena, 2, 3);
  graph.edge(first).kinds = kEN;
  graph.edge(second).kinds = kEN;
  const auto is_three = [](uint32_t node, bool) { return node == 3; };
  EXPECT_TRUE(graph.search(arena, 1, Mode::kWrite, 0, is_three));
  graph.remove(first);
  EXPECT_FALSE(graph.search(arena, 1, Mode::kWrite, 0, is_three));
  EXPECT_EQ(graph.find(1, 2), 0U);
  EXPECT_EQ(graph.edge_count(), 1U);
}

// All dependencies that contexts make, as single ones; a circle is a circle of those that may
// follow each other.
class NaiveOrders {
 public:
  void take(const std::vector<std::pair<uint32_t, Mode>>& held, uint32_t taken, Mode mode) {
    for (const auto& [from, from_mode] : held) {
      if (from == taken) continue;
      const Single single{from, taken, from_mode != Mode::kWrite, mode == Mode::kRecursiveRead};
      if (std::find(all_.begin(), all_.end(), single) == all_.end()) all_.push_back(single);
    }
  }
  [[nodiscard]] bool has_circle() const {
    for (const Single& first : all_) {
      std::vector<bool> seen(all_.size());
      std::vector<const Single*> next{&first};
      while (!next.empty()) {
        const Single at = *next.back();
        next.pop_back();
        for (size_t i = 0; i < all_.size(); ++i) {
          const Single& to = all_[i];
          if (to.from != at.to || (at.recursive && to.from_reader)) continue;
          if (&to == &first) return true;
          if (!seen[i]) next.push_back(&to);
          seen[i] = true;
        }
      }
    }
    return false;
  }

 private:
  struct Single {
    uint32_t from, to;
    bool from_reader, recursive;
    bool operator==(const Single&) const = default;
  };
  std::vector<Single> all_;
};

TEST(GraphSearch, RandomProgramsAreReportedExactlyWhenTheirOrdersHaveACircle) {
  const uint64_t seed = test_seed("programs");
  Random random(seed);
  uint64_t circles = 0;
  const uint64_t programs = queries_wanted / 100;
  for (uint64_t program = 0; program < programs; ++program) {
    World world;
    NaiveOrders naive;
    ClassKey keys[5] = {ClassKey("k0"), ClassKey("k1"), ClassKey("k2"), ClassKey("k3"),
                        ClassKey("k4")};
    Instance locks[5] = {Instance(keys[0]), Instance(keys[1]), Instance(keys[2]), Instance(keys[3]),
                         Instance(keys[4])};
    for (int step = 0; step < 6; ++step) {
      Actor actor(world, "actor");
      std::vector<std::pair<uint32_t, Mode>> held;
      for (uint32_t nested = 1 + random.below(3); nested > 0; --nested) {
        const uint32_t which = random.below(5);
        const auto mode = static_cast<Mode>(random.below(3));
        if (std::any_of(held.begin(), held.end(), [&](auto& h) { return h.first == which; })) {
          continue;
        }
        actor.take(locks[which], {.mode = mode});
        naive.take(held, which, mode);
        held.emplace_back(which, mode);
      }
      ASSERT_EQ(world.count(ReportKind::kCircular) != 0, naive.has_circle())
          << "program " << program << ", seed " << seed;
    }
    circles += naive.has_circle() ? 1 : 0;
  }
  std::printf("programs: %llu, %llu with circles\n", static_cast<unsigned long long>(programs),
              static_cast<unsigned long long>(circles));
  EXPECT_GT(circles, programs / 20);
  EXPECT_LT(circles, programs * 19 / 20);
}

}  // namespace
}  // namespace netfs::lockdep

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const std::string option = "--queries=";
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]).rfind(option, 0) == 0) {
      netfs::lockdep::queries_wanted = std::strtoull(argv[i] + option.size(), nullptr, 10);
    }
  }
  return RUN_ALL_TESTS();
}
