#pragma once
// What a test needs of the machine; where it is missing the test is skipped with a printed reason,
// which scripts/test lists.
//
//   TEST(Frozen, ...) {
//     NETFS_TEST_NEEDS(root());
//     NETFS_TEST_NEEDS(fuse());

#include <cstdio>
#include <gtest/gtest.h>
#include <string>

namespace netfs::test {

// Each answers "" if it is there, else what is missing.
std::string root();
std::string fuse();
std::string loop_devices();
// A QuotaFolder.
std::string quotas();
std::string program(const std::string& name);

}  // namespace netfs::test

#define NETFS_TEST_NEEDS(need)                                                     \
  do {                                                                             \
    const std::string missing_ = (need);                                           \
    if (!missing_.empty()) {                                                       \
      const auto* info_ = testing::UnitTest::GetInstance()->current_test_info();   \
      std::printf("SKIPPED: %s.%s: %s\n", info_->test_suite_name(), info_->name(), \
                  missing_.c_str());                                               \
      GTEST_SKIP() << missing_;                                                    \
    }                                                                              \
  } while (false)
