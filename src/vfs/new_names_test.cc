// Goal: what is known of a directory that was made here, so that names which come in it are not
// looked for; and when that ends.

#include <algorithm>
#include <fcntl.h>

#include "fuse/protocol_changes.h"
#include "vfs/limits.h"
#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {
namespace {

class NewNames : public MountFixture {
 protected:
  NewNames() : MountFixture({.write = WriteCapabilities{}}) {
    real_ = MUST(Library::create({.origin = origin_, .pool = pool_}));
  }
  ~NewNames() override { end(); }
  Library& library() override { return *real_; }
  void close_library() override { real_->close(); }

  void start_writable(Options options = {}) {
    options.write = Options::Write::kThrough;
    start(std::move(options));
  }

  // A request whose body is followed by names.
  template <class In>
  Answer call_names(Opcode opcode, NodeId node, const In& in,
                    const std::vector<std::string>& names) {
    std::string body(reinterpret_cast<const char*>(&in), sizeof in);
    for (const std::string& name : names) body += name + '\0';
    return await(kernel_->send(opcode, node, std::as_bytes(std::span(body.data(), body.size()))));
  }
  NodeId make_directory(const std::string& name, NodeId parent = fuse::kRootNode) {
    const Answer answer =
        call_names(Opcode::kMkdir, parent, proto::MkdirIn{.mode = 0755, .umask = 0}, {name});
    EXPECT_EQ(answer.error, 0);
    return NodeId(answer.as<proto::EntryOut>().nodeid);
  }
  Answer create(const std::string& name, NodeId parent) {
    return call_names(Opcode::kCreate, parent,
                      proto::CreateIn{.flags = O_WRONLY | O_CREAT, .mode = 0644}, {name});
  }
  // A file that is made and closed.
  void make_file(const std::string& name, NodeId parent) {
    const Answer made = create(name, parent);
    ASSERT_EQ(made.error, 0) << name;
    const auto out = made.as<proto::CreateOut>();
    close(NodeId(out.entry.nodeid), out.open.fh);
  }
  int rename(NodeId from, const std::string& name, NodeId to, const std::string& new_name) {
    return call_names(Opcode::kRename, from, proto::RenameIn{.newdir = to.value}, {name, new_name})
        .error;
  }
  // How often the origin was asked for `name`, which must answer `error`.
  uint64_t looks_for(const std::string& name, NodeId directory, int error) {
    const uint64_t before = origin_.counts().stats;
    EXPECT_EQ(look_up_error(name, directory), error) << name;
    return origin_.counts().stats - before;
  }

  // A look in vain, as if the origin were far away.
  void miss_slowly(const std::string& name, NodeId directory, size_t listings_end) {
    origin_.hold();
    const uint64_t look = kernel_->send(Opcode::kLookup, directory,
                                        std::as_bytes(std::span(name.c_str(), name.size() + 1)));
    ASSERT_TRUE(origin_.wait_held(1));
    clock_.advance(std::chrono::milliseconds(20));
    origin_.release(listings_end);
    EXPECT_NE(await(look).error, EIO);
  }
  // Of a directory for nobody, until it has begun; it stops behind so many entries.
  void begin_listing(NodeId directory, size_t entries = SIZE_MAX) {
    const uint64_t before = origin_.counts().lists;
    for (uint32_t i = 0; i < kMissesBeforeListing; ++i) {
      EXPECT_EQ(origin_.counts().lists, before);
      ASSERT_NO_FATAL_FAILURE(miss_slowly("missed-" + std::to_string(i), directory, entries));
    }
    ASSERT_TRUE(wait_for([&] { return origin_.counts().lists == before + 1; }));
  }
  // Whether it comes to pass that names which are not there are known not to be.
  bool becomes_known(NodeId directory) {
    int i = 0;
    return wait_for(
        [&] { return looks_for("none-" + std::to_string(i++), directory, ENOENT) == 0; });
  }

  std::unique_ptr<Library> real_;
};

TEST_F(NewNames, InADirectoryMadeHereNothingIsLookedForThatNobodyMade) {
  start_writable();
  const NodeId made = make_directory("made");
  EXPECT_EQ(looks_for("a", made, ENOENT), 0U);
  make_file("a", made);
  EXPECT_EQ(looks_for("a", made, 0), 0U) << "it was made here";
  EXPECT_EQ(looks_for("b", made, ENOENT), 0U) << "what we make leaves the rest as it is";
  const NodeId below = make_directory("below", made);
  EXPECT_EQ(looks_for("c", below, ENOENT), 0U);
  EXPECT_EQ(call_name(Opcode::kUnlink, made, "a").error, 0);
  EXPECT_EQ(looks_for("a", made, ENOENT), 0U);
  EXPECT_EQ(looks_for("d", fuse::kRootNode, ENOENT), 1U) << "the root was there";
}

TEST_F(NewNames, ADirectoryThatWasListedIsKnownAsWellAndStaysKnownWhileNamesAreMadeInIt) {
  write("there/file", "x");
  start_writable({.negative_ttl = std::chrono::seconds(2)});
  const NodeId there(look_up("there").nodeid);
  EXPECT_EQ(looks_for("a", there, ENOENT), 1U);
  EXPECT_EQ(list(there).size(), 3U);
  make_file("a", there);
  EXPECT_EQ(looks_for("b", there, ENOENT), 0U);
  EXPECT_EQ(looks_for("a", there, 0), 0U);
  EXPECT_EQ(call_name(Opcode::kUnlink, there, "file").error, 0);
  EXPECT_EQ(looks_for("file", there, ENOENT), 0U);
  clock_.advance(std::chrono::seconds(3));
  EXPECT_EQ(looks_for("b", there, ENOENT), 1U);
}

TEST_F(NewNames, WhoseNamesAreLookedForInVainIsListedAndKnownThen) {
  write("there/file", "x");
  start_writable();
  const NodeId there(look_up("there").nodeid);
  ASSERT_NO_FATAL_FAILURE(begin_listing(there));
  EXPECT_TRUE(becomes_known(there));
  make_file("a", there);
  EXPECT_EQ(looks_for("b", there, ENOENT), 0U);
}

TEST_F(NewNames, NamesMadeWhileItIsListedAreAmongThoseThatAreKnown) {
  write("there/file", "x");
  start_writable();
  const NodeId there(look_up("there").nodeid);
  ASSERT_NO_FATAL_FAILURE(begin_listing(there, 0));
  ASSERT_TRUE(origin_.wait_held(1));
  make_file("a", there);
  origin_.release();
  EXPECT_TRUE(becomes_known(there));
  EXPECT_EQ(looks_for("a", there, 0), 0U);
  EXPECT_EQ(looks_for("file", there, 0), 0U);
}

// The listing may have come by it before.
TEST_F(NewNames, ANameRemovedWhileItIsListedLeavesItUnknown) {
  write("there/file", "x");
  write("there/other", "x");
  start_writable();
  const NodeId there(look_up("there").nodeid);
  (void)look_up("file", there);
  ASSERT_NO_FATAL_FAILURE(begin_listing(there, 1));
  ASSERT_TRUE(origin_.wait_held(1));
  EXPECT_EQ(call_name(Opcode::kUnlink, there, "file").error, 0);
  origin_.release();
  ASSERT_TRUE(wait_for([&] { return fs_->counters().ahead_wasted.get() == 1; }));
  ASSERT_NO_FATAL_FAILURE(begin_listing(there));
  EXPECT_TRUE(becomes_known(there)) << "by that one";
}

TEST_F(NewNames, ANameThatIsTakenAfterAllIsLookedFor) {
  write("there/file", "x");
  start_writable();
  const NodeId there(look_up("there").nodeid);
  EXPECT_EQ(list(there).size(), 3U);
  tree_.add_file("there/foreign", "of somebody else");
  EXPECT_EQ(looks_for("foreign", there, ENOENT), 0U);
  EXPECT_EQ(call_names(Opcode::kMkdir, there, proto::MkdirIn{.mode = 0755}, {"foreign"}).error,
            EEXIST);
  EXPECT_EQ(looks_for("foreign", there, 0), 1U);
}

TEST_F(NewNames, ThatIsBelievedForTheNegativeTtl) {
  start_writable({.negative_ttl = std::chrono::seconds(2)});
  const NodeId made = make_directory("made");
  tree_.add_file("made/foreign", "of somebody else");
  EXPECT_EQ(looks_for("foreign", made, ENOENT), 0U);
  clock_.advance(std::chrono::seconds(3));
  EXPECT_EQ(looks_for("foreign", made, 0), 1U);
}

TEST_F(NewNames, WhatBringsANameThatIsNotKnownHereEndsIt) {
  write("there/file", "x");
  start_writable();
  const NodeId there(look_up("there").nodeid);
  const NodeId made = make_directory("made");
  // Nobody looked at it before: it is moved by its name alone.
  EXPECT_EQ(rename(there, "file", made, "moved"), 0);
  EXPECT_EQ(looks_for("moved", made, 0), 1U);
}

TEST_F(NewNames, ARenameLeavesTheOldNameUnknownUnlessTheNewOneWasFree) {
  start_writable();
  const NodeId made = make_directory("made");
  for (const char* name : {"a", "b"}) make_file(name, made);
  EXPECT_EQ(rename(made, "a", made, "c"), 0);
  EXPECT_EQ(looks_for("a", made, ENOENT), 0U);
  // Had they been two names of one file, both would still be there.
  EXPECT_EQ(rename(made, "b", made, "c"), 0);
  EXPECT_EQ(looks_for("b", made, ENOENT), 1U);
}

TEST_F(NewNames, AChangeThatMayHaveBeenMadeEndsIt) {
  start_writable();
  // Not reached; and made, and then not given to whom it was to belong.
  for (const int error : {ENOTCONN, EACCES}) {
    const NodeId made = make_directory("made" + std::to_string(error));
    clock_.advance(std::chrono::milliseconds(1));
    tree_.set_metadata_error(error);
    EXPECT_EQ(create("a", made).error, error);
    tree_.set_metadata_error(0);
    EXPECT_EQ(looks_for("a", made, ENOENT), 1U) << error;
  }
}

TEST_F(NewNames, ADroppedDirectoryOrNameIsAskedAgain) {
  start_writable();
  for (const std::string what : {"", "/a"}) {
    const NodeId made = make_directory("made" + std::to_string(what.size()));
    fs_->drop("made" + std::to_string(what.size()) + what);
    EXPECT_EQ(looks_for("a", made, ENOENT), 1U) << what;
  }
}

// Some origins do not tell upper case from lower, and programs find that out by asking.
TEST_F(NewNames, ANameInTheOtherCaseIsLookedFor) {
  start_writable();
  const NodeId made = make_directory("made");
  make_file("config", made);
  EXPECT_EQ(looks_for("CoNfIg", made, ENOENT), 1U);
  EXPECT_EQ(looks_for("configs", made, ENOENT), 0U);
}

TEST_F(NewNames, TheKernelBelievesForWhatIsLeft) {
  start_writable({.negative_ttl = std::chrono::seconds(3)});
  const NodeId made = make_directory("made");
  clock_.advance(std::chrono::seconds(2));
  const Answer answer = call_name(Opcode::kLookup, made, "a");
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(answer.as<proto::EntryOut>().nodeid, 0U);
  EXPECT_EQ(answer.as<proto::EntryOut>().entry_valid, 1U);
}

TEST_F(NewNames, ARewoundDirectoryShowsWhatWasMadeOfItHere) {
  start_writable();
  const NodeId made = make_directory("made");
  using Names = std::vector<std::string>;
  const auto names = [&](uint64_t handle) {
    Names all = names_of(list(made, handle));
    std::sort(all.begin(), all.end());
    return all;
  };
  const uint64_t handle = open_directory(made).as<proto::OpenOut>().fh;
  make_file("a", made);
  EXPECT_EQ(names(handle), Names{"a"}) << "nothing of it was read before";
  make_file("b", made);
  EXPECT_EQ(names(handle), (Names{"a", "b"}));
  // While another reads on, both read what they have.
  const uint64_t other = open_directory(made).as<proto::OpenOut>().fh;
  make_file("c", made);
  EXPECT_EQ(names(handle), (Names{"a", "b"}));
  EXPECT_EQ(call(Opcode::kReleasedir, made, proto::ReleaseIn{.fh = other}).error, 0);
  EXPECT_EQ(names(handle), (Names{"a", "b", "c"}));
}

// The listing that somebody else waits for began before the name was made.
TEST_F(NewNames, WhoListsAfterMakingANameSeesItThoughAListingWasUnderWay) {
  for (const size_t names : {kShownFrom / 2, 3 * kShownFrom}) {
    const std::string in = "with-" + std::to_string(names);
    for (size_t i = 0; i < names; ++i) tree_.add_file(in + "/name-" + std::to_string(i), "x");
  }
  start_writable();
  for (const size_t names : {kShownFrom / 2, 3 * kShownFrom}) {
    const NodeId directory(look_up("with-" + std::to_string(names)).nodeid);
    origin_.hold_listings_at(names - 10);
    const uint64_t other = kernel_->send(Opcode::kOpendir, directory, proto::OpenIn{});
    ASSERT_TRUE(origin_.wait_held(1));
    make_file("own", directory);
    const uint64_t opens = kernel_->send(Opcode::kOpendir, directory, proto::OpenIn{});
    (void)wait_for([&] { return fs_->counters().coalesced.get() > 0; });
    origin_.release();
    EXPECT_EQ(await(other).error, 0);
    const Answer opened = await(opens);
    ASSERT_EQ(opened.error, 0);
    const auto listed = names_of(list(directory, opened.as<proto::OpenOut>().fh));
    EXPECT_EQ(listed.size(), names + 1);
  }
}

// More of it than fits into the record that is made before the origin is asked.
TEST_F(NewNames, ANameOfWhichTheOriginSaysWhatNoFileCanBeIsNotKnownToBeFree) {
  tree_.add_file("odd", "bytes");
  origin_.set_change([](const std::string& path, NodeInfo& info) {
    if (path == "odd") info.identity.assign(3000, 'x');
  });
  start_writable();
  EXPECT_EQ(
      call_names(Opcode::kMkdir, fuse::kRootNode, proto::MkdirIn{.mode = 0755}, {"odd"}).error,
      EEXIST);
  EXPECT_EQ(fs_->counters().refused_infos.get(), 1U);
  EXPECT_EQ(call_name(Opcode::kUnlink, fuse::kRootNode, "odd").error, 0);
  EXPECT_TRUE(tree_.stat("odd", Deadline::never()).is_error(ENOENT));
}

}  // namespace
}  // namespace netfs::vfs
