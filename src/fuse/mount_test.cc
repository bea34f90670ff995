// What can be said of mounting without a mount; the rest is session_mount_test.cc.

#include "fuse/mount.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "fuse/mount_table.h"

namespace netfs::fuse {
namespace {

TEST(Mount, KernelOptionsSayWhatWasAsked) {
  const MountOptions plain{.source = "s", .mount_point = "/m", .default_permissions = false};
  const std::string ids =
      ",user_id=" + std::to_string(::geteuid()) + ",group_id=" + std::to_string(::getegid());
  EXPECT_EQ(kernel_options(plain, 5, 040000), "fd=5,rootmode=40000" + ids + ",max_read=1048576");
  MountOptions shared = plain;
  shared.allow_other = true;
  shared.default_permissions = true;
  shared.max_read_bytes = 0;
  EXPECT_EQ(kernel_options(shared, 5, 040000),
            "fd=5,rootmode=40000" + ids + ",allow_other,default_permissions");
}

TEST(Mount, HelperOptionsEscapeWhatTheHelperWouldSplit) {
  EXPECT_EQ(escape_option(R"(a,b\c)"), R"(a\,b\\c)");
  const MountOptions options{
      .source = "sftp://u@h:22/a,b", .mount_point = "/m", .read_only = true, .nosuid = false};
  EXPECT_EQ(helper_options(options),
            R"(fsname=sftp://u@h:22/a\,b,subtype=netfs,ro,suid,nodev,default_permissions,)"
            "max_read=1048576");
}

TEST(Mount, BadMountPointsAreOneLineWithTheirErrno) {
  EXPECT_TRUE(check_mount_point("").is_error(EINVAL));
  EXPECT_TRUE(check_mount_point("relative").is_error(EINVAL));
  const Result<void> missing = check_mount_point("/no/such/place");
  ASSERT_TRUE(missing.is_error(ENOENT));
  EXPECT_NE(missing.error().message().find("/no/such/place does not exist"), std::string::npos);
  EXPECT_TRUE(check_mount_point("/etc/passwd").is_error(ENOTDIR));
  EXPECT_TRUE(check_mount_point("/etc/passwd/x").is_error(ENOTDIR));
  EXPECT_TRUE(check_mount_point("/proc").is_error(EBUSY));
  EXPECT_TRUE(check_mount_point("/").is_error(EBUSY));
  EXPECT_TRUE(check_mount_point("/tmp/..//tmp").ok() || check_mount_point("/tmp").is_error(EBUSY));
}

TEST(Mount, UnmountOfWhatIsNotMountedSaysSo) {
  EXPECT_FALSE(unmount("/no/such/place", UnmountMode::kPlain).ok());
  EXPECT_FALSE(unmount("/no/such/place", UnmountMode::kLazy).ok());
}

TEST(MountTable, LinesAreTakenApartAndUnescaped) {
  const auto entry = parse_mount_line(
      R"(66 28 0:52 / /mnt/with\040space rw,nosuid shared:1 master:2 - fuse.netfs s\134x )"
      "rw,user_id=0");
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->device, "0:52");
  EXPECT_EQ(entry->mount_point, "/mnt/with space");
  EXPECT_EQ(entry->type, "fuse.netfs");
  EXPECT_EQ(entry->source, "s\\x");
  EXPECT_EQ(entry->options, "rw,nosuid,rw,user_id=0");
}

TEST(MountTable, WhatIsNoLineIsNothing) {
  for (const char* line : {"", " ", "1 2 3 4 5 6", "1 2 3 4 5 6 - type", "- - - - - -"}) {
    EXPECT_FALSE(parse_mount_line(line).has_value()) << line;
  }
}

TEST(MountTable, FindsTheRootAndNotWhatIsNoMount) {
  EXPECT_TRUE(MUST(find_mount("/proc")).has_value());
  EXPECT_TRUE(MUST(find_mount("/proc///")).has_value());
  EXPECT_FALSE(MUST(find_mount("/proc/self")).has_value());
}

}  // namespace
}  // namespace netfs::fuse
