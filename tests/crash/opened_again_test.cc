// Goal: what was opened by a request that was answered to nobody is opened once, and what is open
// while its name goes, or that of a directory above it, is open for who comes after.

#include "tests/crash/asked_again.h"
#include "vfs/hidden_names.h"
#include "vfs/taking_over.h"

namespace netfs::vfs {
namespace {

using OpenedAgain = AskedAgain;

TEST_P(OpenedAgain, AnOpenThatWasAnsweredToNobodyIsTheSameHandle) {
  for (const bool writes : {false, true}) {
    begin_tree();
    begin_process();
    const NodeId node(look_up("f").nodeid);
    const Request request = open_request(node, writes ? O_RDWR : O_RDONLY);
    const Answer answer = outlive(request, Death::kAnswering, "");
    ASSERT_EQ(answer.error, 0);
    const uint64_t handle = answer.as<proto::OpenOut>().fh;
    EXPECT_EQ(handle, first_.as<proto::OpenOut>().fh);
    EXPECT_EQ(read(node, handle), "text of f");
    EXPECT_EQ(fs_->sizes().handles, 1U);
    close(node, handle);
    EXPECT_EQ(fs_->sizes().handles, 0U);
  }
}

TEST_P(OpenedAgain, SoIsAnOpenOfADirectory) {
  begin_process();
  const Request request{Opcode::kOpendir, kRoot, body_of(proto::OpenIn{}, {})};
  const Answer answer = outlive(request, Death::kAnswering, "");
  ASSERT_EQ(answer.error, 0);
  const uint64_t handle = answer.as<proto::OpenOut>().fh;
  EXPECT_EQ(names_of(list(kRoot, handle)).size(), 4U);
  EXPECT_EQ(call(Opcode::kReleasedir, kRoot, proto::ReleaseIn{.fh = handle}).error, 0);
  EXPECT_EQ(fs_->sizes().handles, 0U);
}

TEST_P(OpenedAgain, WhatIsOpenBeneathADirectoryThatMovedIsReadOn) {
  begin_process();
  const NodeId directory(look_up("d").nodeid);
  const NodeId node(look_up("inner", directory).nodeid);
  const uint64_t handle = opened(node).fh;
  const Request request{Opcode::kRename, kRoot,
                        body_of(proto::RenameIn{.newdir = kRoot.value}, {"d", "moved"})};
  uint64_t unique = 0;
  UniqueFd left = die(request, Death::kMade, "rename", unique);
  succeed_by(std::move(left));
  // Somebody else comes by the old name first.
  EXPECT_EQ(look_up_error("d"), ENOENT);
  EXPECT_EQ(read(node, handle), "inner");
  EXPECT_EQ(ask_again(unique, request).error, 0);
  EXPECT_EQ(NodeId(look_up("moved").nodeid), directory);
  close(node, handle);
}

// The file that has a hidden name; and what it holds.
std::optional<std::string> path_of_hidden(const std::string& tree) {
  for (const fs::directory_entry& one : fs::directory_iterator(tree)) {
    if (one.path().filename().string().starts_with(".netfs-")) return one.path();
  }
  return {};
}
std::optional<std::string> hidden_in(const std::string& tree) {
  const std::optional<std::string> path = path_of_hidden(tree);
  if (!path) return {};
  return text_of(*path);
}

class Hiding : public AskedAgain {
 protected:
  void outlive_hiding(const Request& request, Death death, const std::string& call);
};

void Hiding::outlive_hiding(const Request& request, Death death, const std::string& call) {
  begin_tree();
  begin_process();
  const NodeId node(look_up("f").nodeid);
  (void)look_up("g");
  const uint64_t handle = await(send(open_request(node, O_RDWR))).as<proto::OpenOut>().fh;
  uint64_t unique = 0;
  UniqueFd left = die(request, death, call, unique);
  succeed_by(std::move(left));
  const auto expect_readable = [&] { EXPECT_EQ(read(node, handle), "text of f"); };
  (void)list();  // nobody takes it for left over
  expect_readable();
  EXPECT_EQ(ask_again(unique, request).error, 0);
  (void)list();
  EXPECT_EQ(hidden_in(tree_path_), "text of f");
  expect_readable();
  EXPECT_EQ(text_of(at("f")), request.opcode == Opcode::kUnlink ? "" : "text of g");
  close(node, handle);
  EXPECT_TRUE(wait_for([&] { return !hidden_in(tree_path_); })) << "it stays at the origin";
}

TEST_P(Hiding, AFileThatIsBeingHiddenOutlivesIt) {
  const Request unlink{Opcode::kUnlink, kRoot, std::string("f") + '\0'};
  const Request over{Opcode::kRename, kRoot,
                     body_of(proto::RenameIn{.newdir = kRoot.value}, {"g", "f"})};
  for (const Death death : {Death::kBefore, Death::kMade}) {
    SCOPED_TRACE(name_of(death));
    {
      SCOPED_TRACE("unlink, by a rename");
      outlive_hiding(unlink, death, "rename");
    }
    {
      SCOPED_TRACE("rename over it, by a link");
      outlive_hiding(over, death, "link");
    }
    SCOPED_TRACE("rename over it");
    outlive_hiding(over, death, "rename");
  }
}

// A name that is drawn anew each time; where files can be told apart that is seen as well.
TEST_P(Hiding, WhatWasToGoWithItsLastCloseGoesByTheNextProcessAndNothingElseInItsPlace) {
  enum class There { kItself, kNothing, kAnother };
  for (const There there : {There::kItself, There::kNothing, There::kAnother}) {
    if (there == There::kAnother && !GetParam().identities) continue;
    SCOPED_TRACE(static_cast<int>(there));
    begin_tree();
    begin_process();
    const NodeId node(look_up("f").nodeid);
    const uint64_t handle = opened(node).fh;
    ASSERT_EQ(call_name(Opcode::kUnlink, kRoot, "f").error, 0);
    const std::optional<std::string> path = path_of_hidden(tree_path_);
    ASSERT_TRUE(path);
    kernel_->forget(node, 1);
    stopping_->stop_at(there == There::kItself ? At::kBefore : At::kMade, "remove");
    close(node, handle);
    ASSERT_TRUE(stopping_->wait_stopped());
    succeed_by(copy_of(fs_->memory().fd()), [&] {
      EXPECT_EQ(fs::exists(*path), there == There::kItself);
      if (there == There::kAnother) put(*path, "of somebody else");
    });
    EXPECT_TRUE(wait_for([&] { return fs_->sizes().nodes == 1; })) << "the root; it has left";
    EXPECT_EQ(text_of(*path), there == There::kAnother ? "of somebody else" : "");
    EXPECT_EQ(fs::exists(*path), there == There::kAnother);
  }
}

// Where no link can be made a file that is to be replaced is hidden by a rename, and its name is
// free until that of the other one.
class HiddenForARename : public AskedAgain {
 protected:
  // What the process leaves that dies there in renaming g over f, which is open.
  UniqueFd die_in_renaming(Death death) {
    begin_tree();
    begin_process();
    node_ = NodeId(look_up("f").nodeid);
    (void)look_up("g");
    handle_ = await(send(open_request(node_, O_RDWR))).as<proto::OpenOut>().fh;
    UniqueFd left = die(over_, death, "rename", unique_);
    EXPECT_EQ(hidden_in(tree_path_).has_value(), death == Death::kMade);
    return left;
  }
  void expect_readable() { EXPECT_EQ(read(node_, handle_), "text of f"); }

  const Request over_{Opcode::kRename, kRoot,
                      body_of(proto::RenameIn{.newdir = kRoot.value}, {"g", "f"})};
  uint64_t unique_ = 0;
  NodeId node_;
  uint64_t handle_ = 0;
};

TEST_P(HiddenForARename, HasItsNameBackWhereWhoAskedForThatDiedToo) {
  succeed_by(die_in_renaming(Death::kMade));
  EXPECT_EQ(hidden_in(tree_path_), std::nullopt);
  EXPECT_EQ(text_of(at("f")), "text of f");
  EXPECT_EQ(text_of(at("g")), "text of g");
  EXPECT_EQ(NodeId(look_up("f").nodeid), node_);
  expect_readable();
  succeed_by(copy_of(fs_->memory().fd()));
  close(node_, handle_);
  EXPECT_EQ(names_of(list()).size(), 4U);
  EXPECT_EQ(text_of(at("f")), "text of f") << "and does not go with the last close";
}

TEST_P(HiddenForARename, IsReplacedWhereThatIsAskedAgain) {
  for (const bool dies_again : {false, true}) {
    succeed_by(die_in_renaming(Death::kMade));
    if (dies_again) {
      stopping_->stop_at(At::kMade, "rename");
      unique_ = kernel_->send_again(unique_, over_.opcode, over_.node, bytes(over_));
      EXPECT_TRUE(stopping_->wait_stopped());
      EXPECT_EQ(hidden_in(tree_path_), "text of f");
      succeed_by(copy_of(fs_->memory().fd()));
      EXPECT_EQ(text_of(at("f")), "text of f") << "who goes on with it is as who began it";
    }
    EXPECT_EQ(ask_again(unique_, over_).error, 0);
    EXPECT_EQ(text_of(at("f")), "text of g");
    EXPECT_EQ(hidden_in(tree_path_), "text of f");
    expect_readable();
    close(node_, handle_);
    EXPECT_TRUE(wait_for([&] { return !hidden_in(tree_path_); })) << "it stays at the origin";
  }
}

// What is removed while it is open lies there as what was hidden for a rename does.
TEST_P(HiddenForARename, HasNoNameBackThatWasRemovedSince) {
  for (const Death death : {Death::kBefore, Death::kMade}) {
    SCOPED_TRACE(name_of(death));
    succeed_by(die_in_renaming(death));
    EXPECT_EQ(text_of(at("f")), "text of f");
    EXPECT_EQ(call_name(Opcode::kUnlink, kRoot, "f").error, 0);
    succeed_by(copy_of(fs_->memory().fd()));
    EXPECT_FALSE(fs::exists(at("f")));
    EXPECT_EQ(hidden_in(tree_path_), "text of f");
    close(node_, handle_);
    EXPECT_TRUE(wait_for([&] { return !hidden_in(tree_path_); }));
  }
}

INSTANTIATE_TEST_SUITE_P(Origins, OpenedAgain, testing::Values(kLocal, kLikeNfs, kLikeSftp),
                         name_of_kind);
INSTANTIATE_TEST_SUITE_P(Origins, Hiding, testing::Values(kLikeNfs, kLikeSftp), name_of_kind);
constexpr StoppingOrigin::Kind kNfsWithoutLinks{
    .name = "like_nfs", .files_outlive_names = false, .links = false};
constexpr StoppingOrigin::Kind kSftpWithoutLinks{
    .name = "like_sftp", .identities = false, .files_outlive_names = false, .links = false};
INSTANTIATE_TEST_SUITE_P(Origins, HiddenForARename,
                         testing::Values(kNfsWithoutLinks, kSftpWithoutLinks), name_of_kind);

TEST(HiddenNames, WhatOneMountTookOverIsLeftOverForNoneOfThem) {
  const HiddenNames one({.client = 77, .process = 1});
  const HiddenNames other({.client = 77, .process = 2});
  const std::string open = one.next();
  const std::string dead = one.next();
  HiddenNames::keep(open);
  EXPECT_FALSE(other.is_left_over(open));
  EXPECT_TRUE(other.is_left_over(dead));
  {
    const TakingOver more;
    EXPECT_FALSE(other.is_left_over(dead)) << "a mount that is still to come may have it open";
  }
  EXPECT_TRUE(other.is_left_over(dead));
}

}  // namespace
}  // namespace netfs::vfs
