// Goal: a change of names that the kernel asks for again, because who had read it died, is made
// exactly once, wherever that was, and is answered as if nobody had died.

#include <linux/fs.h>
#include <sys/xattr.h>

#include "tests/crash/asked_again.h"

namespace netfs::vfs {
namespace {

struct Change {
  const char* name;
  const char* call;
  std::function<Request(const std::function<NodeId(const char*)>& node_of)> request;
};

std::vector<Change> all_changes() {
  using NodeOf = std::function<NodeId(const char*)>;
  const auto create = [](uint32_t flags) {
    return [flags](const NodeOf&) -> Request {
      return {Opcode::kCreate, kRoot,
              body_of(proto::CreateIn{.flags = flags | O_CREAT, .mode = 0644}, {"new"})};
    };
  };
  const auto remove = [](Opcode opcode, const char* name) {
    return [=](const NodeOf& node_of) -> Request {
      (void)node_of(name);
      return {opcode, kRoot, std::string(name) + '\0'};
    };
  };
  const auto rename = [](const char* from, const char* to, uint32_t flags) {
    return [=](const NodeOf& node_of) -> Request {
      (void)node_of(from);
      if (std::string_view(to) != "new") (void)node_of(to);
      return {Opcode::kRename2, kRoot,
              body_of(proto::Rename2In{.newdir = kRoot.value, .flags = flags}, {from, to})};
    };
  };
  return {
      {"create, exclusive", "create", create(O_WRONLY | O_EXCL)},
      {"create", "create", create(O_RDWR)},
      {"mknod", "make",
       [](const NodeOf&) -> Request {
         return {Opcode::kMknod, kRoot, body_of(proto::MknodIn{.mode = S_IFREG | 0600}, {"new"})};
       }},
      {"mkfifo", "make",
       [](const NodeOf&) -> Request {
         return {Opcode::kMknod, kRoot, body_of(proto::MknodIn{.mode = S_IFIFO | 0600}, {"new"})};
       }},
      {"mkdir", "make",
       [](const NodeOf&) -> Request {
         return {Opcode::kMkdir, kRoot, body_of(proto::MkdirIn{.mode = 0755}, {"new"})};
       }},
      {"symlink", "make",
       [](const NodeOf&) -> Request {
         return {Opcode::kSymlink, kRoot, std::string("new") + '\0' + "f" + '\0'};
       }},
      {"link", "link",
       [](const NodeOf& node_of) -> Request {
         return {Opcode::kLink, kRoot, body_of(proto::LinkIn{node_of("f").value}, {"new"})};
       }},
      {"unlink", "remove", remove(Opcode::kUnlink, "f")},
      {"rmdir", "remove", remove(Opcode::kRmdir, "e")},
      {"rename", "rename", rename("f", "new", 0)},
      {"rename over a file", "rename", rename("f", "g", 0)},
      {"rename to a free name only", "rename", rename("f", "new", RENAME_NOREPLACE)},
      {"rename of a directory", "rename", rename("d", "new", 0)},
      {"rename over a directory", "rename", rename("d", "e", 0)},
  };
}

// An origin makes a thing so that nobody else may look in, and gives it away after that.
TEST_P(AskedAgain, WhatWasMadeAndNotFinishedGetsThePermissionsThatWereAskedFor) {
  for (const Change& change : all_changes()) {
    const bool is_file = std::string_view(change.name) == "create";
    if (!is_file && std::string_view(change.name) != "mkdir") continue;
    SCOPED_TRACE(change.name);
    begin_tree();
    begin_process();
    const std::string made = tree_path_ + "/new";
    const Request request = change.request({});
    const Answer answer = outlive(request, Death::kMade, change.call, [&] {
      EXPECT_EQ(::chmod(made.c_str(), is_file ? 0600 : 0700), 0);
    });
    ASSERT_EQ(answer.error, 0);
    struct stat st {};
    EXPECT_EQ(::stat(made.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, is_file ? 0644U : 0755U);
    const auto entry = answer.as<proto::EntryOut>();
    EXPECT_EQ(entry.attr.mode & 07777, is_file ? 0644U : 0755U);
    if (is_file) {
      const auto opened = answer.as<proto::CreateOut>();
      close(NodeId(opened.entry.nodeid), opened.open.fh);
    }
    end_process();
  }
}

// The record of a change is damaged, or all that was left: asked again, nobody knows whether it was
// made, and nobody says it was not; what is asked anew goes on.
TEST_P(AskedAgain, WhatNobodyKnowsOfAnyMoreIsAnErrorAndIsNotMadeAgain) {
  const auto node_of = [this](const char* name) { return NodeId(look_up(name).nodeid); };
  for (const Change& change : all_changes()) {
    for (const bool all : {false, true}) {
      SCOPED_TRACE(change.name);
      begin_tree();
      begin_process();
      const Request request = change.request(node_of);
      uint64_t unique = 0;
      UniqueFd left = die(request, Death::kMade, change.call, unique);
      const std::vector<std::string> made = describe(tree_path_);
      if (!all) damage_intents(left);
      if (all) begin_without_what_was_left();
      if (!all) succeed_by(std::move(left));
      const Answer answer = ask_again(unique, request);
      EXPECT_EQ(answer.error, EIO);
      EXPECT_EQ(describe(tree_path_), made);
      EXPECT_EQ(stopping_->changes().size(), 1U) << "made more than once";
      const Request other{Opcode::kMkdir, kRoot,
                          body_of(proto::MkdirIn{.mode = 0755}, {"another"})};
      EXPECT_EQ(await(send(other)).error, 0);
      EXPECT_EQ(fs_->sizes().handles, 0U);
      end_process();
    }
  }
}

// Its owner has given it another name: by that it is more than what was made.
TEST_P(AskedAgain, WhatOthersHadAHandInMeanwhileStaysAsItIs) {
  begin_process();
  const std::string made = tree_path_ + "/new";
  const Request request{
      Opcode::kCreate, kRoot,
      body_of(proto::CreateIn{.flags = O_CREAT | O_RDWR, .mode = 04755}, {"new"})};
  const Answer answer = outlive(request, Death::kMade, "create", [&] {
    EXPECT_EQ(::chmod(made.c_str(), 0700), 0);
    EXPECT_EQ(::link(made.c_str(), (tree_path_ + "/another").c_str()), 0);
  });
  EXPECT_EQ(answer.error, 0);
  struct stat st {};
  EXPECT_EQ(::stat(made.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0700U);
}

// With something in it, it is more than what was made: who opened it to others would show that.
TEST_P(AskedAgain, ADirectoryThatIsNotEmptyAnyMoreStaysAsItIs) {
  begin_process();
  const std::string made = tree_path_ + "/new";
  const Request request{Opcode::kMkdir, kRoot, body_of(proto::MkdirIn{.mode = 0755}, {"new"})};
  const Answer answer = outlive(request, Death::kMade, "make", [&] {
    EXPECT_EQ(::chmod(made.c_str(), 0700), 0);
    put(made + "/private", "text");
  });
  EXPECT_EQ(answer.error, 0);
  struct stat st {};
  EXPECT_EQ(::stat(made.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0700U);
}

TEST_P(AskedAgain, EveryChangeIsMadeOnceWhereverWhoMadeItDied) {
  std::vector<Change> changes = all_changes();
  if (GetParam().identities) {
    changes.push_back(
        {"exchange", "rename", [](const auto& node_of) -> Request {
           for (const char* name : {"f", "g"}) (void)node_of(name);
           return {Opcode::kRename2, kRoot,
                   body_of(proto::Rename2In{.newdir = kRoot.value, .flags = RENAME_EXCHANGE},
                           {"f", "g"})};
         }});
  }
  const auto node_of = [this](const char* name) { return NodeId(look_up(name).nodeid); };
  for (const Change& change : changes) {
    begin_tree();
    begin_process();
    const Answer undisturbed = outlive(change.request(node_of), Death::kNone, change.call);
    ASSERT_EQ(undisturbed.error, 0) << change.name;
    const std::vector<std::string> expected = describe(tree_path_);
    for (const Death death : kDeaths) {
      // Of two exchanges that both come nobody can tell that they were meant as one.
      if (death == Death::kSent && std::string_view(change.name) == "exchange") continue;
      SCOPED_TRACE(std::string(change.name) + ", " + name_of(death));
      begin_tree();
      begin_process();
      const Request request = change.request(node_of);
      const Answer answer = outlive(request, death, change.call);
      EXPECT_EQ(answer.error, 0);
      EXPECT_EQ(answer.body.size(), undisturbed.body.size());
      EXPECT_EQ(describe(tree_path_), expected);
      EXPECT_EQ(stopping_->changes().size(), 1U) << "made more than once";
      if (death == Death::kAnswering) {
        EXPECT_EQ(answer.text(), first_.text());
      }
      if (request.opcode == Opcode::kCreate && answer.error == 0) {
        const auto made = answer.as<proto::CreateOut>();
        close(NodeId(made.entry.nodeid), made.open.fh);
      }
      EXPECT_EQ(fs_->sizes().handles, 0U);
    }
  }
}

TEST_P(AskedAgain, AnAttributeIsMadeOrRemovedOnce) {
  ASSERT_TRUE(stopping_->write_capabilities().extended_attributes);
  constexpr char kName[] = "user.netfs-test";
  for (const Death death : kDeaths) {
    SCOPED_TRACE(name_of(death));
    begin_tree();
    begin_process();
    const NodeId node(look_up("f").nodeid);
    const Request made{
        Opcode::kSetxattr, node,
        body_of(proto::SetxattrIn{.size = 5, .flags = XATTR_CREATE}, {kName}) + "value"};
    EXPECT_EQ(outlive(made, death, "set_xattr").error, 0);
    EXPECT_EQ(await(send(made)).error, EEXIST);
    const Request removed{Opcode::kRemovexattr, node, std::string(kName) + '\0'};
    EXPECT_EQ(outlive(removed, death, "remove_xattr").error, 0);
    EXPECT_EQ(await(send(removed)).error, ENODATA);
    EXPECT_EQ(stopping_->changes().size(), 2U);
  }
}

TEST_P(AskedAgain, AsOftenAsProcessesDie) {
  begin_process();
  const Request request{Opcode::kMkdir, kRoot, body_of(proto::MkdirIn{.mode = 0755}, {"new"})};
  uint64_t unique = 0;
  UniqueFd left = die(request, Death::kMade, "make", unique);
  // The next one dies before it has read anything.
  succeed_by(std::move(left));
  UniqueFd again = copy_of(fs_->memory().fd());
  succeed_by(std::move(again));
  EXPECT_EQ(ask_again(unique, request).error, 0);
  EXPECT_EQ(stopping_->changes().size(), 1U);
}

TEST_P(AskedAgain, WhatWasNeverBegunIsAnsweredAsTheFirstTime) {
  begin_process();
  constexpr uint64_t kNeverRead = 4000;
  const Request mkdir{Opcode::kMkdir, kRoot, body_of(proto::MkdirIn{.mode = 0755}, {"d"})};
  EXPECT_EQ(ask_again(kNeverRead, mkdir).error, EEXIST);
  const Request unlink{Opcode::kUnlink, kRoot, std::string("nothing") + '\0'};
  EXPECT_EQ(ask_again(kNeverRead + 2, unlink).error, ENOENT);
  const Request rename{Opcode::kRename, kRoot,
                       body_of(proto::RenameIn{.newdir = kRoot.value}, {"nothing", "g"})};
  EXPECT_EQ(ask_again(kNeverRead + 4, rename).error, ENOENT) << "g was there before";
  const Request create{
      Opcode::kCreate, kRoot,
      body_of(proto::CreateIn{.flags = O_CREAT | O_EXCL | O_WRONLY, .mode = 0644}, {"f"})};
  EXPECT_EQ(ask_again(kNeverRead + 6, create).error, EEXIST);
  EXPECT_EQ(stopping_->changes(), std::vector<std::string>());
}

// What others make of the name before it is asked again.
struct Theirs {
  const char* what;
  Death death;
  const char* call;
  Request request;
  std::function<void(const std::string& tree)> make;
  int error;
  std::vector<std::pair<const char*, const char*>> files;  // and what they hold then
};

std::vector<Theirs> all_theirs() {
  const Request mkdir{Opcode::kMkdir, kRoot, body_of(proto::MkdirIn{.mode = 0755}, {"new"})};
  const Request symlink{Opcode::kSymlink, kRoot, std::string("new") + '\0' + "f" + '\0'};
  const Request create{
      Opcode::kCreate, kRoot,
      body_of(proto::CreateIn{.flags = O_CREAT | O_EXCL | O_WRONLY, .mode = 0644}, {"new"})};
  const Request unlink{Opcode::kUnlink, kRoot, std::string("f") + '\0'};
  const Request rename{Opcode::kRename, kRoot,
                       body_of(proto::RenameIn{.newdir = kRoot.value}, {"f", "new"})};
  const auto file = [](const char* name) {
    return [name](const std::string& tree) { put(tree + "/" + name, "theirs"); };
  };
  return {
      {"a file for our directory",
       Death::kBefore,
       "make",
       mkdir,
       file("new"),
       EEXIST,
       {{"new", "theirs"}}},
      {"another link",
       Death::kBefore,
       "make",
       symlink,
       [](const std::string& tree) { fs::create_symlink("g", tree + "/new"); },
       EEXIST,
       {{"new", "text of g"}}},
      {"a file with bytes for our empty one",
       Death::kBefore,
       "create",
       create,
       file("new"),
       EEXIST,
       {{"new", "theirs"}}},
      {"a new file by the name that we had removed",
       Death::kMade,
       "remove",
       unlink,
       file("f"),
       0,
       {{"f", "theirs"}}},
      {"a new file by the name that we had renamed",
       Death::kMade,
       "rename",
       rename,
       file("f"),
       0,
       {{"f", "theirs"}, {"new", "text of f"}}},
      {"what we had renamed is removed",
       Death::kMade,
       "rename",
       rename,
       [](const std::string& tree) { fs::remove(tree + "/new"); },
       ENOENT,
       {}},
      {"what we were to remove is gone",
       Death::kBefore,
       "remove",
       unlink,
       [](const std::string& tree) { fs::remove(tree + "/f"); },
       0,
       {}},
  };
}

// Without identities one file is like another: docs/survival.md.
class AskedAgainOfThings : public AskedAgain {};

TEST_P(AskedAgainOfThings, WhatOthersMadeMeanwhileIsTheirs) {
  for (const Theirs& theirs : all_theirs()) {
    SCOPED_TRACE(theirs.what);
    begin_tree();
    begin_process();
    (void)look_up("f");
    const Answer answer =
        outlive(theirs.request, theirs.death, theirs.call, [&] { theirs.make(tree_path_); });
    EXPECT_EQ(answer.error, theirs.error);
    for (const auto& [name, text] : theirs.files) EXPECT_EQ(text_of(at(name)), text) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Origins, AskedAgain, testing::Values(kLocal, kLikeNfs, kLikeSftp),
                         name_of_kind);
INSTANTIATE_TEST_SUITE_P(Origins, AskedAgainOfThings, testing::Values(kLocal, kLikeNfs),
                         name_of_kind);

}  // namespace
}  // namespace netfs::vfs
