// Goal: a program mounts an origin of its own and serves it by itself.  Another process reads the
// mount, so that a mistake here is an error there and no hang of this one.

#include "daemon/mount_here.h"

#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/mount_table.h"
#include "netfs/testing/simulated_origin.h"

namespace netfs::daemon {

namespace {

std::string output_of(const std::string& command) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(
      ::popen(("timeout 60 " + command + " 2>&1").c_str(), "r"), ::pclose);
  std::string text;
  char buffer[256];
  while (pipe && std::fgets(buffer, sizeof buffer, pipe.get()) != nullptr) text += buffer;
  return text;
}

class MountHere : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || ::access("/dev/fuse", R_OK | W_OK) != 0) {
      std::printf("SKIPPED: MountHere: needs root and /dev/fuse\n");
      GTEST_SKIP();
    }
    ASSERT_NE(::mkdtemp(mount_point_.data()), nullptr);
    origin_.add_file("greeting", "hello\n");
  }
  void TearDown() override { ::rmdir(mount_point_.c_str()); }

  std::string mount_point_ = "/tmp/netfs-here-XXXXXX";
  SimulatedOrigin origin_{{}};
};

}  // namespace

TEST_F(MountHere, OwnOriginIsReadThroughTheKernel) {
  const auto mount = mount_here(origin_, {.source = "own:", .mount_point = mount_point_});
  ASSERT_TRUE(mount.ok()) << mount.error().message();
  EXPECT_EQ(output_of("cat " + mount_point_ + "/greeting"), "hello\n");
  EXPECT_EQ(output_of("umount " + mount_point_), "");
  EXPECT_TRUE(mount.value()->wait(Deadline::after(Clock::system(), std::chrono::seconds(60))));
}

TEST_F(MountHere, EndOfTheObjectUnmounts) {
  {
    const auto mount = mount_here(origin_, {.source = "own:", .mount_point = mount_point_});
    ASSERT_TRUE(mount.ok()) << mount.error().message();
    EXPECT_TRUE(fuse::find_mount(mount_point_).value().has_value());
    EXPECT_FALSE(mount.value()->wait(Deadline::after(Clock::system(), Duration(0))));
  }
  EXPECT_FALSE(fuse::find_mount(mount_point_).value().has_value());
}

TEST_F(MountHere, MissingMountPointIsRefused) {
  EXPECT_TRUE(mount_here(origin_, {.source = "own:", .mount_point = mount_point_ + "/none"})
                  .is_error(ENOENT));
}

}  // namespace netfs::daemon
