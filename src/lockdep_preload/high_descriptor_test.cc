#include "lockdep_preload/high_descriptor.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace netfs::lockdep_preload {
namespace {

class HighDescriptor : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0); }
  void TearDown() override { ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }
  void limit(rlim_t count) const {
    rlimit lower = before_;
    lower.rlim_cur = count;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &lower), 0);
  }

  rlimit before_{};
};

TEST_F(HighDescriptor, IsTheOneWishedForOrTheNextFreeOne) {
  limit(128);
  const UniqueFd first(high_descriptor(STDERR_FILENO, 90));
  const UniqueFd second(high_descriptor(STDERR_FILENO, 90));
  EXPECT_EQ(first.get(), 90);
  EXPECT_EQ(second.get(), 91);
}

TEST_F(HighDescriptor, IsTheHighestThatIsFreeWhereTheLimitIsLower) {
  limit(60);
  const UniqueFd first(high_descriptor(STDERR_FILENO, 900));
  const UniqueFd second(high_descriptor(STDERR_FILENO, 900));
  EXPECT_EQ(first.get(), 59);
  EXPECT_EQ(second.get(), 58);
}

TEST_F(HighDescriptor, IsNoneWhereTheProgramNeedsAll) {
  limit(16);
  EXPECT_EQ(high_descriptor(STDERR_FILENO, 900), -1);
}

TEST_F(HighDescriptor, IsNoneOfAFileThatIsNotOpen) {
  EXPECT_EQ(high_descriptor(-1, 90), -1);
}

}  // namespace
}  // namespace netfs::lockdep_preload
