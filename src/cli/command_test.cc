#include "cli/command.h"

#include <cstdlib>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

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

TEST(StatusText, WhatWasFetchedAheadAndReadByNobodyIsShown) {
  nlohmann::json mount = {{"url", "http://h/"}, {"mount_point", "/h"}};
  const auto text = [&] { return status_text({{"mounts", nlohmann::json::array({mount})}}); };
  EXPECT_EQ(text().find("ahead"), std::string::npos);
  mount["files_ahead"] = {{"fetched", 12}, {"used", 9}, {"wasted", 3}, {"wasted_bytes", 3072}};
  EXPECT_NE(text().find("files ahead  12 fetched, 9 of them read; 3.0 KiB wasted\n"),
            std::string::npos)
      << text();
}

TEST(StatusText, WhatWaitsIsToldOfEachMountThatIsWrittenTo) {
  const nlohmann::json owners = {
      {{"mounts",
        {{{"url", "file:///r"}, {"mount_point", "/r"}, {"options", {{"write", "no"}}}},
         {{"url", "file:///a"},
          {"mount_point", "/a"},
          {"options", {{"write", "back"}}},
          {"bytes", {{"dirty_bytes", 24}}},
          {"journal",
           {{"pending_changes", 3},
            {"pending_bytes", 1000},
            {"oldest_s", 61},
            {"conflicts", 1},
            {"changes_set_aside", 2},
            {"upload_error", "away\x1b"}}}}}}},
      {{"mounts",
        {{{"url", "file:///c"},
          {"mount_point", "/c"},
          {"options", {{"write", "close"}}},
          {"bytes", {{"dirty_bytes", 2048}}}},
         {{"url", "file:///n"},
          {"mount_point", "/n"},
          {"options", {{"write", "back"}}},
          {"journal", {{"conflicts", 2}}}}}}}};
  const nlohmann::json dirty = dirty_json(owners);
  ASSERT_EQ(dirty["mounts"].size(), 3U);
  EXPECT_EQ(dirty["mounts"][0]["pending_bytes"], 1024);
  EXPECT_EQ(dirty["mounts"][0]["conflicts"], 1);
  EXPECT_EQ(dirty["mounts"][0]["changes_set_aside"], 2);
  EXPECT_EQ(
      dirty_text(dirty),
      "file:///a on /a: 3 changes, 1.0 KiB, the oldest 61.0 s old; the upload waits: away\\x1b; "
      "1 conflict; 2 changes set aside\n"
      "file:///c on /c: 2.0 KiB\n"
      "file:///n on /n: nothing waits; 2 conflicts\n");
  EXPECT_EQ(dirty_text(dirty_json(nlohmann::json::array())),
            "nothing that is written to is mounted\n");
}

}  // namespace netfs::cli
