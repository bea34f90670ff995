#include "fuse/backing.h"

#include <atomic>
#include <gtest/gtest.h>
#include <vector>

#include "fuse/fake_kernel.h"
#include "sync/thread.h"

namespace netfs::fuse {
namespace {

constexpr NodeId kNode{7};
constexpr int kAnyFd = 0;

TEST(BackingIds, AllOpensOfANodeUseOneId) {
  const auto kernel = FakeKernel::create();
  BackingIds ids(kernel->channel());
  const int32_t id = MUST(ids.acquire(kNode, kAnyFd));
  EXPECT_GT(id, 0);
  EXPECT_EQ(MUST(ids.acquire(kNode, kAnyFd)), id);
  EXPECT_EQ(ids.acquire_known(kNode), id);
  EXPECT_NE(MUST(ids.acquire(NodeId(8), kAnyFd)), id);
  EXPECT_EQ(kernel->backing_open_count(), 2U);
}

TEST(BackingIds, AnIdleIdIsRememberedAndUsedAgain) {
  const auto kernel = FakeKernel::create();
  BackingIds ids(kernel->channel());
  const int32_t id = MUST(ids.acquire(kNode, kAnyFd));
  EXPECT_TRUE(ids.in_use(kNode));
  ids.release(kNode);
  EXPECT_FALSE(ids.in_use(kNode));
  EXPECT_EQ(kernel->backing_open_count(), 1U);
  EXPECT_EQ(ids.acquire_known(kNode), id);
  EXPECT_EQ(ids.counters().issued.get(), 1U);
}

TEST(BackingIds, TheLeastRecentlyUsedIdleIdGoesFirst) {
  const auto kernel = FakeKernel::create();
  BackingIds ids(kernel->channel(), 2);
  for (const uint64_t node : {1, 2, 3}) {
    EXPECT_TRUE(ids.acquire(NodeId(node), kAnyFd).ok());
    ids.release(NodeId(node));
  }
  EXPECT_EQ(kernel->backing_open_count(), 2U);
  EXPECT_FALSE(ids.acquire_known(NodeId(1)).has_value());
  EXPECT_TRUE(ids.acquire_known(NodeId(2)).has_value());
}

TEST(BackingIds, OpenNodesAreNeverEvicted) {
  const auto kernel = FakeKernel::create();
  BackingIds ids(kernel->channel(), 0);
  const int32_t id = MUST(ids.acquire(kNode, kAnyFd));
  EXPECT_TRUE(ids.acquire(NodeId(8), kAnyFd).ok());
  ids.release(NodeId(8));
  EXPECT_EQ(ids.acquire_known(kNode), id);
  EXPECT_EQ(kernel->backing_open_count(), 1U);
}

TEST(BackingIds, ForgetClosesAnOpenNodesIdOnlyAtItsLastRelease) {
  const auto kernel = FakeKernel::create();
  BackingIds ids(kernel->channel());
  EXPECT_TRUE(ids.acquire(kNode, kAnyFd).ok());
  EXPECT_TRUE(ids.acquire(kNode, kAnyFd).ok());
  ids.forget(kNode);
  EXPECT_EQ(kernel->backing_open_count(), 1U);
  ids.release(kNode);
  EXPECT_EQ(kernel->backing_open_count(), 1U);
  ids.release(kNode);
  EXPECT_EQ(kernel->backing_open_count(), 0U);
  EXPECT_EQ(ids.size(), 0U);
}

TEST(BackingIds, ForgetClosesAnIdleIdAtOnce) {
  const auto kernel = FakeKernel::create();
  BackingIds ids(kernel->channel());
  EXPECT_TRUE(ids.acquire(kNode, kAnyFd).ok());
  ids.release(kNode);
  ids.forget(kNode);
  ids.forget(NodeId(99));
  EXPECT_EQ(kernel->backing_open_count(), 0U);
}

TEST(BackingIds, TheKernelsRefusalIsTheCallersError) {
  const auto kernel = FakeKernel::create();
  BackingIds ids(kernel->channel());
  kernel->set_backing_error(EPERM);
  EXPECT_TRUE(ids.acquire(kNode, kAnyFd).is_error(EPERM));
  EXPECT_FALSE(ids.in_use(kNode));
  EXPECT_EQ(ids.counters().failed.get(), 1U);
}

TEST(BackingIds, ItsEndClosesEveryId) {
  const auto kernel = FakeKernel::create();
  {
    BackingIds ids(kernel->channel());
    EXPECT_TRUE(ids.acquire(kNode, kAnyFd).ok());
    EXPECT_TRUE(ids.acquire(NodeId(8), kAnyFd).ok());
    ids.release(kNode);
  }
  EXPECT_EQ(kernel->backing_open_count(), 0U);
}

// Many threads open and release the same few nodes; at no time do two opens of one node see
// different ids, and nothing leaks.
TEST(BackingIds, RacingOpensAgreeOnOneIdAndLeakNone) {
  const auto kernel = FakeKernel::create();
  std::atomic<unsigned> disagreements{0};
  {
    BackingIds ids(kernel->channel(), 1);
    std::vector<sync::Thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back("opener", [&, t] {
        for (int i = 0; i < 2000; ++i) {
          const NodeId node(1 + static_cast<uint64_t>(i + t) % 3);
          const int32_t first = MUST(ids.acquire(node, kAnyFd));
          const int32_t second = MUST(ids.acquire(node, kAnyFd));
          if (first != second) ++disagreements;
          ids.release(node);
          ids.release(node);
        }
      });
    }
    for (sync::Thread& thread : threads) thread.join();
    EXPECT_LE(ids.size(), 1U);
  }
  EXPECT_EQ(disagreements.load(), 0U);
  EXPECT_EQ(kernel->backing_open_count(), 0U);
}

}  // namespace
}  // namespace netfs::fuse
