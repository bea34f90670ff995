// The chains against brute force: what counts as known, and which edges are learnt.
//
//   lockdep_chain_test [--steps=N]    default 300000; NETFS_TEST_SEED sets the seed

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <set>
#include <tuple>

#include "lockdep/test_support.h"

namespace netfs::lockdep {
namespace {

uint64_t steps_wanted = 300000;

constexpr size_t kContextsKept = 8;  // as learn.cc says

using Step = std::tuple<uint32_t, Mode, Attempt>;
using Chain = std::vector<Step>;
using Edges = std::map<std::pair<uint32_t, uint32_t>, unsigned>;

struct Naive {
  // Whether this must be learnt; it is known afterwards.
  bool is_new(const Chain& chain, size_t context) {
    std::set<size_t>& who = known[chain];
    if (who.size() >= kContextsKept || who.count(context) != 0) return false;
    who.insert(context);
    return true;
  }
  void take(const Chain& held, const Step& taken) {
    const auto [to, mode, attempt] = taken;
    if (attempt == Attempt::kTry) return;
    for (const auto& [from, from_mode, from_attempt] : held) {
      const bool reader = from_mode != Mode::kWrite;
      const bool recursive = mode == Mode::kRecursiveRead;
      edges[{from, to}] |= reader ? (recursive ? kSR : kSN) : (recursive ? kER : kEN);
    }
  }
  std::map<Chain, std::set<size_t>> known;
  Edges edges;
};

// Classes are taken in rising order only, so that no circle has its classes watched.
TEST(Chains, AnAcquisitionIsLearntExactlyWhenItsChainIsNewAndItsEdgesAreAllPairs) {
  const uint64_t seed = test_seed("chains");
  std::mt19937_64 random(seed);
  const auto below = [&random](uint64_t limit) { return static_cast<uint32_t>(random() % limit); };
  constexpr uint32_t kClasses = 7;
  constexpr const char* kNames[kClasses] = {"0", "1", "2", "3", "4", "5", "6"};
  constexpr size_t kActors = 12;
  World world;
  Naive naive;
  std::vector<std::unique_ptr<ClassKey>> keys;
  std::vector<std::unique_ptr<Instance>> locks;
  for (uint32_t i = 0; i < kClasses; ++i) {
    keys.push_back(std::make_unique<ClassKey>(kNames[i]));
    locks.push_back(std::make_unique<Instance>(*keys.back()));
  }
  std::vector<std::unique_ptr<Actor>> actors;
  std::vector<Chain> held(kActors);
  for (size_t i = 0; i < kActors; ++i) actors.push_back(std::make_unique<Actor>(world, "actor"));

  uint64_t learnt = 0;
  for (uint64_t step = 0; step < steps_wanted; ++step) {
    const size_t who = below(kActors);
    Chain& chain = held[who];
    const uint32_t next = chain.empty() ? 0 : std::get<0>(chain.back()) + 1;
    if (next == kClasses || (!chain.empty() && below(3) == 0)) {
      const size_t out = below(chain.size());
      actors[who]->drop(*locks[std::get<0>(chain[out])]);
      chain.erase(chain.begin() + static_cast<ptrdiff_t>(out));
      continue;
    }
    const Step taken{next + below(kClasses - next), static_cast<Mode>(below(3)),
                     below(4) == 0 ? Attempt::kTry : Attempt::kBlocking};
    naive.take(chain, taken);
    chain.push_back(taken);
    learnt += naive.is_new(chain, who) ? 1 : 0;
    actors[who]->take(*locks[std::get<0>(taken)],
                      {.mode = std::get<1>(taken), .attempt = std::get<2>(taken)});
    if (step % 64 == 0 || step + 1 == steps_wanted) {
      ASSERT_EQ(world.validator.statistics().misses, learnt) << "step " << step << " seed " << seed;
    }
  }
  EXPECT_THAT(world.reports, ::testing::IsEmpty());
  std::map<uint32_t, uint32_t> number;  // of a class: its name
  for (const ClassInfo& info : world.validator.classes()) {
    number[info.id] = static_cast<uint32_t>(std::stoul(info.name));
  }
  Edges edges;
  for (const EdgeInfo& edge : world.validator.edges()) {
    edges[{number[edge.from], number[edge.to]}] = edge.kinds;
  }
  EXPECT_EQ(edges, naive.edges);
  std::printf("chains: %llu steps, %zu chains, %llu learnt\n",
              static_cast<unsigned long long>(steps_wanted), naive.known.size(),
              static_cast<unsigned long long>(learnt));
  for (size_t i = 0; i < kActors; ++i) actors[i]->drop_all();
}

}  // namespace
}  // namespace netfs::lockdep

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const std::string option = "--steps=";
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]).rfind(option, 0) == 0) {
      netfs::lockdep::steps_wanted = std::strtoull(argv[i] + option.size(), nullptr, 10);
    }
  }
  return RUN_ALL_TESTS();
}
