#include "base/result.h"

#include <gtest/gtest.h>
#include <memory>
#include <string>

namespace netfs {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return Error(EINVAL, "half");
  return value / 2;
}

Result<int> quarter(int value) {
  return half(TRY(half(value)));
}

Result<void> check(int value) {
  TRY(half(value));
  return {};
}

TEST(Result, TryPassesTheValueOnAndReturnsTheError) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_TRUE(quarter(6).is_error(EINVAL));
  EXPECT_TRUE(check(2).ok());
  EXPECT_EQ(check(3).code(), EINVAL);
}

TEST(Result, CarriesWhatCanOnlyBeMoved) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(7);
  const std::unique_ptr<int> value = std::move(result).value();
  EXPECT_EQ(*value, 7);
}

TEST(Error, MessageIsTheDetailOrTheErrnoInContext) {
  EXPECT_EQ(Error(ENOENT, "file.stat").message(), "file.stat: No such file or directory");
  EXPECT_EQ(Error(EACCES, "x", "host key is unknown").message(), "host key is unknown");
}

TEST(ResultDeathTest, ReadingTheValueOfAnErrorAsserts) {
  EXPECT_DEATH((void)half(1).value(), "assertion failed");
}

}  // namespace
}  // namespace netfs
