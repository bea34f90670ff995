// Goal: who unmounts reads in one line what is not at the origin, where it is, and nothing where
// all is there.

#include "daemon/left_behind.h"

#include <gtest/gtest.h>

namespace netfs::daemon {
namespace {

LeftBehind left() {
  return {.url = "sftp://h/a", .mount_point = "/mnt", .journal = "/cache/journal/1"};
}

TEST(LeftBehind, NothingIsSaidWhereAllIsThere) {
  EXPECT_EQ(left().line(), "");
}

TEST(LeftBehind, WhatWaitsIsSaidWithItsPlaceAndItsReason) {
  LeftBehind waits = left();
  waits.changes = 3;
  waits.bytes = 50'000;
  EXPECT_EQ(waits.line(),
            "/mnt: not at sftp://h/a: 3 changes, 48.8 KiB; they wait in /cache/journal/1 for the "
            "next mount with --write=back");
  waits.why = "origin: Transport endpoint is not connected";
  EXPECT_NE(waits.line().find("48.8 KiB (origin: Transport endpoint is not connected); they"),
            std::string::npos)
      << waits.line();
}

TEST(LeftBehind, WhatIsLostAndWhatWentOtherwiseIsSaidInTheSameLine) {
  LeftBehind lost = left();
  lost.lost_bytes = 4096;
  EXPECT_EQ(
      lost.line(),
      "/mnt: not at sftp://h/a, and lost since its worker started: 4.0 KiB of what was written; "
      "the log says of which files");
  lost.troubles = {"'f' went", "'g' went", "'h' went"};
  EXPECT_NE(lost.line().find("not all is there as it was made here: 'f' went, and 2 more"),
            std::string::npos)
      << lost.line();
  EXPECT_EQ(lost.line().find('\n'), std::string::npos);
}

}  // namespace
}  // namespace netfs::daemon
