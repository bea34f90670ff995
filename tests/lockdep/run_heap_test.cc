// What `lockdep run` makes of locks on the heap that no init call made (scenarios_heap.cc): what
// allocated them tells their classes apart, in one run and from one run to the next.

#include <cstdio>
#include <gtest/gtest.h>

#include "tests/lockdep/run_support.h"

namespace {

TEST(LockdepHeap, LocksBehindOneClassAreToldApartByWhatAllocatedThem) {
  for (const char* name : {"wrapped_in_order", "wrapped_reuse"}) {
    const Ran ran = run("--order-only", scenario(name));
    EXPECT_EQ(ran.status, 0) << name;
    EXPECT_EQ(ran.out, "") << name << ": one class of all would be under itself";
  }
}

TEST(LockdepHeap, AnInversionIsToldByTheNamesOfWhatWasAllocated) {
  const std::string graph = fresh_file("heap");
  EXPECT_EQ(run("--order-only --save " + graph, scenario("wrapped_half_ab")).out, "");
  const Ran second = run("--order-only --save " + graph, scenario("wrapped_half_ba"));
  EXPECT_EQ(count(second.out, "lockdep: ORDER-ONLY: possible circular"), 1U) << second.out;
  EXPECT_TRUE(has(second.out, "mutex allocated in scenarios::(anonymous namespace)::wrapped_half"))
      << second.out;
  EXPECT_TRUE(has(second.out, "in another run")) << second.out;
  (void)std::remove(graph.c_str());
  (void)std::remove((graph + ".lock").c_str());
}

}  // namespace
