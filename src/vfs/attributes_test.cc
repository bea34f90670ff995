#include <sys/stat.h>
#include <unistd.h>

#include "vfs/limits.h"
#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {
namespace {

using GetAttributes = MountFixture;

TEST_F(GetAttributes, RootIsNodeOneWithANumberOfItsOwn) {
  start();
  const auto out = get_attributes(fuse::kRootNode).as<proto::AttrOut>();
  EXPECT_TRUE(S_ISDIR(out.attr.mode));
  EXPECT_GT(out.attr.ino, 1U);
  EXPECT_EQ(out.attr_valid, 5U);
}

TEST_F(GetAttributes, AnOldNodeShowsItsOwnSizeToThoseWhoHaveItOpen) {
  write("file", "one");
  start();
  const NodeId old(look_up("file").nodeid);
  const uint64_t handle = opened(old).fh;
  rewrite("file", "and two");
  clock_.advance(std::chrono::seconds(6));
  EXPECT_EQ(look_up("file").attr.size, 7U);
  EXPECT_EQ(get_attributes(old).as<proto::AttrOut>().attr.size, 3U);
  close(old, handle);
  EXPECT_EQ(get_attributes(old).error, ESTALE) << "nobody has it open: look the name up again";
}

TEST_F(GetAttributes, AFileRemovedWhileItIsOpenKeepsItsAttributes) {
  write("file", "text");
  start();
  const NodeId node(look_up("file").nodeid);
  const uint64_t handle = opened(node).fh;
  tree_.remove("file");
  clock_.advance(std::chrono::seconds(6));
  EXPECT_EQ(get_attributes(node).as<proto::AttrOut>().attr.size, 4U);
  close(node, handle);
  EXPECT_EQ(get_attributes(node).error, ESTALE);
  EXPECT_EQ(look_up_error("file"), ENOENT);
}

TEST_F(GetAttributes, ConcurrentStatsOfOneNodeAreOneCall) {
  write("file", "text");
  start();
  const NodeId node(look_up("file").nodeid);
  clock_.advance(std::chrono::seconds(6));
  origin_.hold();
  std::vector<uint64_t> asked;
  for (int i = 0; i < 10; ++i) {
    asked.push_back(kernel_->send(Opcode::kGetattr, node, proto::GetattrIn{}));
  }
  asked.push_back(kernel_->send(Opcode::kStatx, node, proto::StatxIn{}));
  ASSERT_TRUE(origin_.wait_held(1));
  EXPECT_EQ(call(Opcode::kFlush, node, proto::FlushIn{}).error, ENOSYS);  // all have joined
  origin_.release();
  for (const uint64_t unique : asked) EXPECT_EQ(await(unique).error, 0);
  EXPECT_EQ(origin_.counts().stats, 3U);
}

TEST_F(GetAttributes, OwnersAndPermissionsAreAsTheOptionsSay) {
  write("file", "text");
  start({.uid = 12, .gid = 34, .umask = 0077});
  const proto::Attr attr = look_up("file").attr;
  EXPECT_EQ(attr.uid, 12U);
  EXPECT_EQ(attr.gid, 34U);
  EXPECT_EQ(attr.mode, S_IFREG | 0600U);
}

TEST_F(GetAttributes, StatxSaysTheSame) {
  write("file", "text");
  start();
  const proto::EntryOut entry = look_up("file");
  const auto out =
      call(Opcode::kStatx, NodeId(entry.nodeid), proto::StatxIn{}).as<proto::StatxOut>();
  EXPECT_EQ(out.stat.ino, entry.attr.ino);
  EXPECT_EQ(out.stat.size, 4U);
  EXPECT_EQ(out.attr_valid, 5U);
}

TEST_F(GetAttributes, AttributesThatNoFileCanHaveAreAnError) {
  write("file", "text");
  start();
  using Say = void (*)(NodeInfo&);
  const Say impossible[] = {
      [](NodeInfo& info) { info.attributes.size_bytes = uint64_t{1} << 63; },
      [](NodeInfo& info) { info.attributes.atime.nanoseconds = 1'000'000'000; },
      [](NodeInfo& info) { info.attributes.mtime.nanoseconds = 1'000'000'000; },
      [](NodeInfo& info) { info.attributes.ctime.nanoseconds = 1'000'000'000; },
      [](NodeInfo& info) { info.validator.bytes.assign(kValidatorBytesMax + 1, 'v'); },
      [](NodeInfo& info) { info.identity.assign(kIdentityBytesMax + 1, 'i'); },
  };
  uint64_t refused = 0;
  for (const Say say : impossible) {
    origin_.set_change([say](const std::string&, NodeInfo& info) { say(info); });
    EXPECT_EQ(look_up_error("file"), EIO) << refused;
    EXPECT_EQ(fs_->counters().refused_infos.get(), ++refused);
  }
  // The largest of each are a file like any other.
  origin_.set_change([](const std::string&, NodeInfo& info) {
    info.attributes.size_bytes = (uint64_t{1} << 63) - 1;
    info.attributes.mtime.nanoseconds = 999'999'999;
    info.validator.bytes.assign(kValidatorBytesMax, 'v');
    info.identity.assign(kIdentityBytesMax, 'i');
  });
  EXPECT_EQ(look_up_error("file"), 0);
  clock_.advance(std::chrono::seconds(6));
  origin_.set_change(nullptr);
  EXPECT_EQ(look_up_error("file"), 0);
}

TEST_F(GetAttributes, AccessKnowsExecutablesAndThatNothingIsWritable) {
  write("file", "text");
  start();
  const NodeId node(look_up("file").nodeid);
  const auto access = [&](NodeId of, uint32_t mask) {
    return call(Opcode::kAccess, of, proto::AccessIn{.mask = mask}).error;
  };
  EXPECT_EQ(access(node, R_OK), 0);
  EXPECT_EQ(access(node, W_OK), EROFS);
  EXPECT_EQ(access(node, X_OK), EACCES);
  EXPECT_EQ(access(fuse::kRootNode, X_OK), 0);
}

TEST_F(GetAttributes, EveryModifyingOperationIsRefused) {
  write("file", "text");
  start();
  const NodeId node(look_up("file").nodeid);
  const auto refused = [&](Opcode opcode, const auto& in, const std::string& names = {}) {
    std::vector<std::byte> body(sizeof in + names.size());
    std::memcpy(body.data(), &in, sizeof in);
    std::memcpy(body.data() + sizeof in, names.data(), names.size());
    const auto answer = kernel_->await(kernel_->send(opcode, node, std::span(body)));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->error, EROFS) << fuse::opcode_name(opcode);
  };
  const std::string one("n\0", 2);
  const std::string two("n\0m\0", 4);
  refused(Opcode::kMkdir, proto::MkdirIn{}, one);
  refused(Opcode::kMknod, proto::MknodIn{}, one);
  refused(Opcode::kLink, proto::LinkIn{}, one);
  refused(Opcode::kCreate, proto::CreateIn{}, one);
  refused(Opcode::kRename, proto::RenameIn{}, two);
  refused(Opcode::kRename2, proto::Rename2In{}, two);
  refused(Opcode::kWrite, proto::WriteIn{.size = 1}, "x");
  refused(Opcode::kSetxattr, proto::SetxattrIn{.size = 1}, two.substr(0, 2) + "x");
  refused(Opcode::kFallocate, proto::FallocateIn{.length = 1});
  for (const Opcode opcode : {Opcode::kUnlink, Opcode::kRmdir, Opcode::kRemovexattr}) {
    const auto answer = kernel_->call_name(opcode, node, "n");
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->error, EROFS) << fuse::opcode_name(opcode);
  }
  EXPECT_EQ(call(Opcode::kSetattr, node, proto::SetattrIn{}).error, EROFS);
  EXPECT_EQ(call(Opcode::kOpen, node, proto::OpenIn{.flags = 1 /* O_WRONLY */}).error, EROFS);
  EXPECT_EQ(call(Opcode::kListxattr, node, proto::GetxattrIn{}).error, ENOSYS);
  EXPECT_EQ(call(Opcode::kIoctl, node, proto::IoctlIn{}).error, ENOTTY);
}

TEST_F(GetAttributes, StatFileSystemIsTheOriginsAndRememberedForASecond) {
  start();
  const auto stat = [&] { return call(Opcode::kStatfs, fuse::kRootNode, proto::ForgetIn{}); };
  EXPECT_EQ(stat().as<proto::StatfsOut>().st.blocks, 1U << 20);
  EXPECT_EQ(stat().as<proto::StatfsOut>().st.namelen, 255U);
  EXPECT_EQ(origin_.counts().file_systems, 1U);
  clock_.advance(std::chrono::seconds(2));
  EXPECT_EQ(stat().error, 0);
  EXPECT_EQ(origin_.counts().file_systems, 2U);
}

}  // namespace
}  // namespace netfs::vfs
