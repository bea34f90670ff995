// What few nodes have goes when nothing of it is left, and no earlier.

#include "vfs/node.h"

#include <gtest/gtest.h>

namespace netfs::vfs {
namespace {

TEST(Node, AnOpenThatIsUnderWayCountsWhateverElseEnds) {
  Node node;
  node.seldom_part().shown_until = MonoTime(std::chrono::seconds(1));
  ++node.seldom_part().opening;
  node.end_showing();
  EXPECT_TRUE(node.is_opening());
}

TEST(Node, AChangeThatIsUnderWayCountsWhateverElseEnds) {
  Node node;
  node.seldom_part().shown_until = MonoTime(std::chrono::seconds(1));
  ++node.seldom_part().going;
  node.end_showing();
  EXPECT_TRUE(node.is_going());
}

}  // namespace
}  // namespace netfs::vfs
