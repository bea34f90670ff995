#include "daemon/mount_checks.h"

#include <gtest/gtest.h>

namespace netfs::daemon {

namespace {

MountPlan plan() {
  return {.mount_point = "/mnt", .cache_dir = "/cache", .local_origin = "/data", .own_mounts = {}};
}

}  // namespace

TEST(MountChecks, NamesThatOnlyBeginAlikeAreNotBelow) {
  EXPECT_TRUE(lies_under("/a/b", "/a"));
  EXPECT_TRUE(lies_under("/a", "/a"));
  EXPECT_TRUE(lies_under("/a", "/"));
  EXPECT_FALSE(lies_under("/ab", "/a"));
  EXPECT_FALSE(lies_under("/", "/a"));
}

TEST(MountChecks, PathsApartAreFine) {
  EXPECT_TRUE(check_plan(plan()).ok());
}

TEST(MountChecks, CacheUnderTheMountPointIsRefused) {
  MountPlan bad = plan();
  bad.cache_dir = "/mnt/cache";
  EXPECT_TRUE(check_plan(bad).is_error(ELOOP));
}

TEST(MountChecks, CacheOnAnotherOwnMountIsRefused) {
  MountPlan bad = plan();
  bad.own_mounts = {"/other"};
  bad.cache_dir = "/other/cache";
  EXPECT_TRUE(check_plan(bad).is_error(ELOOP));
}

TEST(MountChecks, OriginAndMountPointInEachOtherAreRefused) {
  MountPlan bad = plan();
  bad.local_origin = "/mnt/data";
  EXPECT_TRUE(check_plan(bad).is_error(ELOOP));
  bad.local_origin = "/";
  EXPECT_TRUE(check_plan(bad).is_error(ELOOP));
  bad.local_origin = "/own/data";
  bad.own_mounts = {"/own"};
  EXPECT_TRUE(check_plan(bad).is_error(ELOOP));
}

TEST(MountChecks, ResolvingStopsWhereNothingIs) {
  EXPECT_EQ(resolved("/proc/self/../none/x"), "/proc/none/x");
  EXPECT_EQ(resolved("/none/x"), "/none/x");
  EXPECT_EQ(resolved("/usr/bin/"), resolved("/usr/bin"));
}

TEST(MountChecks, NamespaceHasAName) {
  EXPECT_EQ(mount_namespace().substr(0, 4), "mnt:");
}

}  // namespace netfs::daemon
