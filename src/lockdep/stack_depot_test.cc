#include "lockdep/stack_depot.h"

#include <algorithm>
#include <atomic>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <thread>
#include <vector>

namespace netfs::lockdep {
namespace {

using Frames = std::vector<uintptr_t>;

Frames kept(const StackDepot& depot, StackId id) {
  const auto frames = depot.get(id);
  return {frames.begin(), frames.end()};
}

TEST(StackDepot, EqualStacksHaveOneIdAndOthersAnother) {
  StackDepot depot;
  const Frames a = {1, 2, 3};
  const Frames b = {1, 2};
  const StackId first = depot.intern(a);
  EXPECT_NE(first, kNoStack);
  EXPECT_EQ(depot.intern(Frames(a)), first);
  EXPECT_NE(depot.intern(b), first);
  EXPECT_EQ(depot.stack_count(), 2U);
  EXPECT_EQ(kept(depot, first), a);
}

TEST(StackDepot, TheEmptyStackIsNoStack) {
  StackDepot depot;
  EXPECT_EQ(depot.intern({}), kNoStack);
  EXPECT_TRUE(depot.get(kNoStack).empty());
  EXPECT_EQ(depot.stack_count(), 0U);
}

TEST(StackDepot, ALongStackKeepsItsInnermostFrames) {
  StackDepot depot;
  Frames deep(kStackFramesMax + 50);
  for (size_t i = 0; i < deep.size(); ++i) deep[i] = i + 1;
  const Frames cut(deep.begin(), deep.begin() + kStackFramesMax);
  EXPECT_EQ(kept(depot, depot.intern(deep)), cut);
}

// Goal: ids and spans stay what they were while many chunks are added.  Method: 200,000 stacks of
// random length against a plain map.
TEST(StackDepot, IdsStayValidWhileChunksAreAdded) {
  const uint32_t seed = 20211207;
  std::mt19937 random(seed);
  StackDepot depot;
  std::map<Frames, StackId> model;
  const Frames early = {7, 8, 9};
  model[early] = depot.intern(early);
  const auto early_span = depot.get(model[early]);
  for (int i = 0; i < 200'000; ++i) {
    Frames frames(1 + random() % 24);
    for (uintptr_t& frame : frames) frame = 0x400000 + random() % 8;
    const StackId id = depot.intern(frames);
    const auto [at, added] = model.emplace(frames, id);
    ASSERT_EQ(at->second, id) << "seed " << seed << ", stack " << i;
  }
  EXPECT_GT(depot.bytes_used(), size_t{4} << 20);
  EXPECT_EQ(depot.stack_count(), model.size());
  for (const auto& [frames, id] : model) ASSERT_EQ(kept(depot, id), frames);
  EXPECT_TRUE(std::equal(early.begin(), early.end(), early_span.begin(), early_span.end()));
}

// Goal: threads that bring the same stacks get the same ids, and read what others wrote.
TEST(StackDepot, ThreadsAgreeOnIds) {
  constexpr size_t kThreads = 4;
  constexpr size_t kStacks = 20'000;
  StackDepot depot;
  std::vector<std::vector<StackId>> ids(kThreads, std::vector<StackId>(kStacks));
  std::atomic<bool> wrong{false};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&depot, &ids, &wrong, t] {
      for (size_t i = 0; i < kStacks; ++i) {
        const Frames frames = {i + 1, i * 3 + 1, i % 7 + 1};
        ids[t][i] = depot.intern(frames);
        if (kept(depot, ids[t][i]) != frames) wrong = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(wrong);
  for (size_t t = 1; t < kThreads; ++t) EXPECT_EQ(ids[t], ids[0]);
  EXPECT_EQ(depot.stack_count(), kStacks);
}

}  // namespace
}  // namespace netfs::lockdep
