#include "base/ref.h"

#include <gtest/gtest.h>

namespace netfs {
namespace {

struct Thing : RefCounted<Thing> {
  explicit Thing(int& deaths_of) : deaths(deaths_of) {}
  ~Thing() { ++deaths; }
  int& deaths;
};

TEST(Ref, TheLastReferenceDeletes) {
  int deaths = 0;
  Ref<Thing> first = make_ref<Thing>(deaths);
  Ref<Thing> second = first;
  EXPECT_EQ(first->ref_count(), 2u);
  first = nullptr;
  EXPECT_EQ(deaths, 0);
  second = nullptr;
  EXPECT_EQ(deaths, 1);
}

TEST(Ref, MovingTakesNoReference) {
  int deaths = 0;
  Ref<Thing> first = make_ref<Thing>(deaths);
  Ref<Thing> second = std::move(first);
  EXPECT_EQ(second->ref_count(), 1u);
  EXPECT_FALSE(first);  // NOLINT: the moved-from state is what is tested
}

}  // namespace
}  // namespace netfs
