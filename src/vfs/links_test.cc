#include "vfs/links.h"

#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {
namespace {

TEST(ContainedTarget, RelativeTargetsMayClimbToTheRootOfTheMount) {
  EXPECT_EQ(contained_target("", "file", ""), "file");
  EXPECT_EQ(contained_target("a/b", "../../c", ""), "../../c");
  EXPECT_EQ(contained_target("a", ".././/../c", ""), std::nullopt);
  EXPECT_EQ(contained_target("a", ".//..//c", ""), ".//..//c");
  EXPECT_EQ(contained_target("", "..", ""), std::nullopt);
  EXPECT_EQ(contained_target("a/b", "../../../c", ""), std::nullopt);
  EXPECT_EQ(contained_target("", "", ""), std::nullopt);
}

TEST(ContainedTarget, ANameMayBeALinkSoNothingClimbsBehindIt) {
  // a/b/up -> ../.. would make up/.. lead out of the mount.
  EXPECT_EQ(contained_target("a/b", "up/../..", ""), std::nullopt);
  EXPECT_EQ(contained_target("a/b", "../up/..", ""), std::nullopt);
}

TEST(ContainedTarget, AbsoluteTargetsAreShownRelativeWhereTheTreeIsKnown) {
  EXPECT_EQ(contained_target("a/b", "/etc/passwd", ""), std::nullopt);
  EXPECT_EQ(contained_target("a/b", "/etc/passwd", "/srv/data"), std::nullopt);
  EXPECT_EQ(contained_target("a/b", "/srv/data/c/d", "/srv/data"), "../../c/d");
  EXPECT_EQ(contained_target("", "/srv/data//c", "/srv/data"), "c");
  EXPECT_EQ(contained_target("", "/srv/data", "/srv/data"), ".");
  EXPECT_EQ(contained_target("a", "/srv/data/", "/srv/data"), "../");
  EXPECT_EQ(contained_target("a", "/srv/database/c", "/srv/data"), std::nullopt);
  EXPECT_EQ(contained_target("a", "/srv/data/../x", "/srv/data"), std::nullopt);
  EXPECT_EQ(contained_target("a/b", "/etc/passwd", "/"), "../../etc/passwd");
  EXPECT_EQ(contained_target("", "/", "/"), ".");
  EXPECT_EQ(contained_target("a", "/../x", "/"), std::nullopt);
}

using ReadLink = MountFixture;

TEST_F(ReadLink, TargetsThatStayBeneathAreShownAndRemembered) {
  tree_.add_symlink("dir/link", "../file");
  start();
  const NodeId dir(look_up("dir").nodeid);
  const NodeId link(look_up("link", dir).nodeid);
  EXPECT_EQ(call(Opcode::kReadlink, link, proto::ForgetIn{}).text(), "../file");
  EXPECT_EQ(call(Opcode::kReadlink, link, proto::ForgetIn{}).text(), "../file");
  EXPECT_EQ(origin_.counts().links, 1U);
}

TEST_F(ReadLink, TargetsThatEscapeAreRefused) {
  tree_.add_symlink("passwd", "/etc/passwd");
  tree_.add_symlink("up", "../up");
  tree_.add_symlink("inside", "/srv/data/file");
  start({.remote_root = "/srv/data/"});
  const auto read_link = [&](const char* name) {
    return call(Opcode::kReadlink, NodeId(look_up(name).nodeid), proto::ForgetIn{});
  };
  EXPECT_EQ(read_link("passwd").error, EACCES);
  EXPECT_EQ(read_link("up").error, EACCES);
  EXPECT_EQ(read_link("inside").text(), "file");
  EXPECT_EQ(fs_->counters().refused_links.get(), 2U);
}

TEST_F(ReadLink, AsIsShowsWhatTheOriginSays) {
  tree_.add_symlink("passwd", "/etc/passwd");
  start({.symlinks = Symlinks::kAsIs});
  const NodeId link(look_up("passwd").nodeid);
  EXPECT_EQ(call(Opcode::kReadlink, link, proto::ForgetIn{}).text(), "/etc/passwd");
}

TEST_F(ReadLink, AnotherTargetIsAnotherNode) {
  // The kernel keeps the target with the node, for ever.
  tree_.add_symlink("link", "one");
  start();
  const proto::EntryOut first = look_up("link");
  EXPECT_EQ(call(Opcode::kReadlink, NodeId(first.nodeid), proto::ForgetIn{}).text(), "one");
  tree_.write("link", "two");
  clock_.advance(std::chrono::seconds(6));
  const proto::EntryOut second = look_up("link");
  EXPECT_NE(second.nodeid, first.nodeid);
  EXPECT_EQ(second.attr.ino, first.attr.ino);
  EXPECT_EQ(call(Opcode::kReadlink, NodeId(second.nodeid), proto::ForgetIn{}).text(), "two");
}

TEST_F(ReadLink, TargetsThatNoLinkCanHaveAreAnError) {
  tree_.add_symlink("long", std::string(4096, 'x'));
  tree_.add_symlink("nul", std::string("a\0b", 3));
  write("file", "text");
  start();
  const auto error = [&](const char* name) {
    return call(Opcode::kReadlink, NodeId(look_up(name).nodeid), proto::ForgetIn{}).error;
  };
  EXPECT_EQ(error("long"), EIO);
  EXPECT_EQ(error("nul"), EIO);
  EXPECT_EQ(error("file"), EINVAL);
}

}  // namespace
}  // namespace netfs::vfs
