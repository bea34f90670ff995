#include "cli/command.h"

#include <cstdlib>
#include <gtest/gtest.h>

#include "cli/mount_helper.h"
#include "cli/status_text.h"

namespace netfs::cli {

TEST(Command, PathsBecomeAbsoluteByTheirText) {
  EXPECT_EQ(absolute_path("/a/./b//c/../d/"), "/a/b/d");
  EXPECT_EQ(absolute_path("/.."), "/");
  EXPECT_EQ(absolute_path("x").back(), 'x');
  EXPECT_EQ(absolute_path("x").front(), '/');
}

TEST(Command, MountPointKeepsItsLastNameAndResolvesTheRest) {
  EXPECT_EQ(mount_point_path("/proc/self/cwd/none").find("/proc"), std::string::npos);
  EXPECT_EQ(mount_point_path("/none"), "/none");
}

TEST(Command, HelperIsKnownByItsName) {
  EXPECT_TRUE(is_mount_helper("/sbin/mount.fuse.netfs"));
  EXPECT_TRUE(is_mount_helper("mount.netfs"));
  EXPECT_FALSE(is_mount_helper("/usr/bin/netfs"));
}

TEST(StatusText, NamesCannotCommandATerminal) {
  EXPECT_EQ(printable("a\x1b[2Jb\n"), "a\\x1b[2Jb\\x0a");
}

}  // namespace netfs::cli
