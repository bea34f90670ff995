// Goal: who has a file open that has no name any more has it from the process after this one, too,
// by the descriptor that was kept of it; and never another file in its place.

#include <fcntl.h>
#include <memory>
#include <string>

#include "vfs/testing/mount_fixture.h"
#include "vfs/testing/test_keeper.h"

namespace netfs::vfs {
namespace {

class KeptFilesOf : public MountFixture {
 protected:
  KeptFilesOf()
      : MountFixture({.capabilities = {.identity = true},
                      .write = WriteCapabilities{.files_outlive_names = true,
                                                 .extended_attributes = true}}) {
    session_options_.writable = true;
  }
  ~KeptFilesOf() override { end(); }
  // Each process has one of its own.
  Library& library() override {
    real_ = MUST(Library::create({.origin = origin_, .pool = pool_}));
    return *real_;
  }
  void close_library() override {
    if (real_) real_->close();
  }
  DescriptorKeeper* keeper() override { return &keeper_; }

  void start() {
    tree_.add_file("f", "bytes");
    tree_.add_file("g", "other");
    MountFixture::start({.write = Options::Write::kThrough});
    f_ = NodeId(look_up("f").nodeid);
    g_ = NodeId(look_up("g").nodeid);
  }
  uint64_t send_open(NodeId node, uint32_t flags) {
    return kernel_->send(Opcode::kOpen, node, proto::OpenIn{.flags = flags});
  }
  uint64_t open_with(NodeId node, uint32_t flags) {
    const Answer answer = await(send_open(node, flags));
    EXPECT_EQ(answer.error, 0);
    return answer.as<proto::OpenOut>().fh;
  }
  int unlink(std::string_view name) {
    return call_name(Opcode::kUnlink, fuse::kRootNode, name).error;
  }
  template <class In>
  Answer call_with(Opcode opcode, NodeId node, const In& in, const std::string& behind) {
    const std::string body = std::string(reinterpret_cast<const char*>(&in), sizeof in) + behind;
    return await(kernel_->send(opcode, node, std::as_bytes(std::span(body))));
  }
  int write_to(NodeId node, uint64_t handle, const std::string& bytes) {
    const proto::WriteIn in{
        .fh = handle, .size = static_cast<uint32_t>(bytes.size()), .flags = O_RDWR};
    return call_with(Opcode::kWrite, node, in, bytes).error;
  }
  // A process opens `f`, and dies when the origin has taken its name, before it could note that:
  // the one that follows finds it gone.  The handle.
  uint64_t open_and_find_its_name_gone() {
    start();
    const uint64_t handle = open_with(f_, O_RDWR);
    const OpenedFile f = MUST(origin_.writer()->open_for_writing("f", Deadline::never()));
    die();
    keeper_.keep(key_of_file(f_), f.file->descriptor());
    tree_.remove("f");
    follow();
    EXPECT_EQ(look_up_error("f"), ENOENT);
    return handle;
  }
  // Unlinks `f`, and opens it while the origin is about to be asked for that; the handle.
  uint64_t open_while_its_name_goes(uint32_t flags) {
    const size_t before = fs_->sizes().handles;
    uint64_t opening = 0;
    tree_.set_before_change([&](const std::string& path) {
      if (path != "f" || opening != 0) return;
      opening = send_open(f_, flags);
      EXPECT_TRUE(wait_for([&] { return fs_->sizes().handles == before + 1; }));
    });
    EXPECT_EQ(unlink("f"), 0);
    tree_.set_before_change({});
    const Answer opened = await(opening);
    EXPECT_EQ(opened.error, 0);
    return opened.as<proto::OpenOut>().fh;
  }

  TestKeeper keeper_;
  std::unique_ptr<Library> real_;
  NodeId f_;
  NodeId g_;
};

TEST_F(KeptFilesOf, WhatIsOpenWithoutANameIsReadAndWrittenOn) {
  start();
  const uint64_t h = open_with(f_, O_RDWR);
  const uint64_t reads = open_with(g_, O_RDONLY);
  EXPECT_EQ(keeper_.count(), 0U) << "they have names";
  EXPECT_EQ(unlink("f"), 0);
  EXPECT_EQ(unlink("g"), 0);
  EXPECT_EQ(keeper_.count(), 2U);
  std::string bytes = "bytes";
  for (int process = 0; process < 3; ++process) {
    succeed();
    EXPECT_EQ(look_up_error("f"), ENOENT);
    EXPECT_EQ(read(f_, h), bytes);
    EXPECT_EQ(read(g_, reads), "other");
    EXPECT_EQ(get_attributes(f_).as<proto::AttrOut>().attr.nlink, 0U);
    bytes = "byte" + std::to_string(process);
    EXPECT_EQ(write_to(f_, h, bytes), 0);
    EXPECT_EQ(keeper_.count(), 2U);
  }
  EXPECT_EQ(read(f_, h), bytes);
  close(f_, h);
  EXPECT_EQ(keeper_.count(), 1U);
  close(g_, reads);
  EXPECT_EQ(keeper_.count(), 0U);
}

TEST_F(KeptFilesOf, AnOpenThatIsUnderWayWhenTheNameGoesIsKept) {
  start();
  const uint64_t h = open_while_its_name_goes(O_RDWR);
  EXPECT_EQ(keeper_.count(), 1U);
  succeed();
  EXPECT_EQ(read(f_, h), "bytes");
  EXPECT_EQ(write_to(f_, h, "again"), 0);
  EXPECT_EQ(read(f_, h), "again");
  close(f_, h);
  EXPECT_EQ(keeper_.count(), 0U);
}

TEST_F(KeptFilesOf, WhatIsKeptToWriteByTakesThePlaceOfWhatWasKeptToReadBy) {
  start();
  const uint64_t reads = open_with(f_, O_RDONLY);
  const uint64_t h = open_while_its_name_goes(O_RDWR);
  EXPECT_EQ(keeper_.count(), 1U);
  EXPECT_EQ(keeper_.drops(), 0U) << "at no moment there was none";
  succeed();
  EXPECT_EQ(write_to(f_, h, "again"), 0);
  EXPECT_EQ(read(f_, reads), "again");
  close(f_, h);
  succeed();
  EXPECT_EQ(read(f_, reads), "again");
  close(f_, reads);
  EXPECT_EQ(keeper_.count(), 0U);
}

TEST_F(KeptFilesOf, OneWhoseNameGoesBeforeANewProcessHasOpenedItIsWrittenOn) {
  start();
  const uint64_t h = open_with(f_, O_RDWR);
  succeed();
  EXPECT_EQ(unlink("f"), 0);
  EXPECT_EQ(write_to(f_, h, "again"), 0);
  EXPECT_EQ(read(f_, h), "again");
  succeed();
  EXPECT_EQ(write_to(f_, h, "still"), 0);
  EXPECT_EQ(read(f_, h), "still");
  close(f_, h);
  EXPECT_EQ(keeper_.count(), 0U);
}

// The origin was asked to take the name, and nobody came to note it.
TEST_F(KeptFilesOf, OneWhoseNameIsGoneAndStillKnownIsReadAndWrittenOn) {
  start();
  const uint64_t h = open_with(f_, O_RDWR);
  const uint64_t reads = open_with(g_, O_RDONLY);
  const Deadline never = Deadline::never();
  const OpenedFile f = MUST(origin_.writer()->open_for_writing("f", never));
  const std::unique_ptr<OriginFile> g = MUST(origin_.open("g", never));
  die();
  keeper_.keep(key_of_file(f_), f.file->descriptor());
  keeper_.keep(key_of_file(g_), g->descriptor());
  tree_.remove("f");
  tree_.replace("g", "mixed");
  follow();
  EXPECT_EQ(write_to(f_, h, "again"), 0);
  EXPECT_EQ(read(f_, h), "again");
  EXPECT_EQ(read(g_, reads), "other");
  close(f_, h);
  close(g_, reads);
  EXPECT_EQ(keeper_.count(), 0U);
}

TEST_F(KeptFilesOf, OneWhoseNameWasFoundGoneIsSynced) {
  const uint64_t h = open_and_find_its_name_gone();
  const uint64_t before = tree_.counts().syncs;
  EXPECT_EQ(call(Opcode::kFsync, f_, proto::FsyncIn{.fh = h}).error, 0);
  EXPECT_EQ(tree_.counts().syncs, before + 1);
}

TEST_F(KeptFilesOf, OneWhoseNameWasFoundGoneIsOpenedAgain) {
  open_and_find_its_name_gone();
  EXPECT_EQ(read(f_, open_with(f_, O_RDONLY)), "bytes");
}

// This origin has neither: it is asked, and says so.
TEST_F(KeptFilesOf, OneWhoseNameWasFoundGoneIsLinkedAndAskedForItsExtendedAttributes) {
  open_and_find_its_name_gone();
  const std::string end(1, '\0');
  EXPECT_EQ(call_with(Opcode::kGetxattr, f_, proto::GetxattrIn{}, "user.one" + end).error,
            EOPNOTSUPP);
  const proto::LinkIn to{.oldnodeid = f_.value};
  EXPECT_EQ(call_with(Opcode::kLink, fuse::kRootNode, to, "more" + end).error, EPERM);
}

TEST_F(KeptFilesOf, WhatOthersHavePutInItsPlaceIsNotKeptForIt) {
  start();
  const uint64_t h = open_with(f_, O_RDONLY);
  tree_.replace("f", "mixed");
  EXPECT_EQ(unlink("f"), 0);
  EXPECT_EQ(keeper_.count(), 0U);
  EXPECT_EQ(read(f_, h), "errno 116");
  close(f_, h);
}

TEST_F(KeptFilesOf, AnotherFileInItsPlaceIsNeverRead) {
  start();
  const uint64_t h = open_with(f_, O_RDWR);
  const uint64_t other = open_with(g_, O_RDWR);
  EXPECT_EQ(unlink("f"), 0);
  EXPECT_EQ(unlink("g"), 0);
  die();
  std::map<uint64_t, UniqueFd> kept = keeper_.take();
  ASSERT_EQ(kept.size(), 2U);
  keeper_.keep(kept.begin()->first, kept.rbegin()->second.get());
  keeper_.keep(kept.rbegin()->first, kept.begin()->second.get());
  follow();
  EXPECT_EQ(read(f_, h), "errno 116");
  EXPECT_EQ(write_to(g_, other, "mixed"), ESTALE);
  close(f_, h);
  close(g_, other);
  EXPECT_EQ(keeper_.count(), 0U);
}

TEST_F(KeptFilesOf, WhatIsOfNobodyIsDropped) {
  start();
  const uint64_t h = open_with(f_, O_RDWR);
  EXPECT_EQ(unlink("f"), 0);
  die();
  std::map<uint64_t, UniqueFd> kept = keeper_.take();
  ASSERT_EQ(kept.size(), 1U);
  keeper_.keep(key_of_file(g_), kept.begin()->second.get());             // nobody has it open
  keeper_.keep(kFileKeys | 0xffffffffffff, kept.begin()->second.get());  // nor is it known
  follow();
  EXPECT_EQ(keeper_.count(), 1U);
  EXPECT_EQ(read(f_, h), "bytes");
}

}  // namespace
}  // namespace netfs::vfs
