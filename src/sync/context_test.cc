#include "sync/context.h"

#include <gtest/gtest.h>

#include "sync/thread.h"

namespace netfs::sync {
namespace {

TEST(Context, IsAdoptedForAScopeAndNests) {
  const Context fault(kFuseFault);
  const Context plain;
  EXPECT_EQ(Context::current(), nullptr);
  {
    ContextScope outer(fault);
    EXPECT_TRUE(current_context_holds(kFuseFault));
    {
      ContextScope inner(plain);
      EXPECT_EQ(Context::current(), &plain);
      // Who waits for the outer one still waits for this thread.
      EXPECT_TRUE(current_context_holds(kFuseFault));
    }
    EXPECT_EQ(Context::current(), &fault);
    EXPECT_TRUE(current_context_holds(kFuseFault));
  }
  EXPECT_FALSE(current_context_holds(kFuseFault));
}

TEST(Context, BelongsToTheRequestNotToTheThread) {
  const Context fault(kFuseFault);
  ContextScope scope(fault);
  bool held_elsewhere = true;
  bool held_when_adopted = false;
  Thread other("other", [&] {
    held_elsewhere = current_context_holds(kFuseFault);
    ContextScope adopted(fault);
    held_when_adopted = current_context_holds(kFuseFault);
  });
  other.join();
  EXPECT_FALSE(held_elsewhere);
  EXPECT_TRUE(held_when_adopted);
}

}  // namespace
}  // namespace netfs::sync
