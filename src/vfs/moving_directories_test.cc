// Goal: a change is made to what its caller named, although a directory above it gets another name
// meanwhile, and another directory its old one: the kernel does not hold those.

#include <fcntl.h>

#include "fuse/protocol_changes.h"
#include "vfs/path_holds.h"
#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {
namespace {

// So long nothing has happened that is not to happen.
constexpr Duration kMeanwhile = std::chrono::milliseconds(200);

// The first change of one path waits at the origin.
class Gate {
 public:
  void close(const std::string& path) {
    sync::MutexLock lock(mutex_);
    path_ = path;
    waits_ = false;
  }
  void open() {
    sync::MutexLock lock(mutex_);
    path_.clear();
    changed_.notify_all();
  }
  void pass(const std::string& path) {
    const Deadline patience = Deadline::after(Clock::system(), fuse::FakeKernel::kPatience);
    sync::MutexLock lock(mutex_);
    if (path != path_ || waits_) return;
    waits_ = true;
    while (path == path_) {
      if (!changed_.wait_until(mutex_, patience.at)) return;
    }
  }
  bool waits() {
    sync::MutexLock lock(mutex_);
    return waits_;
  }

 private:
  sync::Mutex mutex_{kTestGateLock};
  sync::CondVar changed_;
  std::string path_ GUARDED_BY(mutex_);
  bool waits_ GUARDED_BY(mutex_) = false;
};

class MovingDirectories : public MountFixture {
 protected:
  MovingDirectories()
      : MountFixture({.capabilities = {.identity = true}, .write = WriteCapabilities{}}) {
    real_ = MUST(Library::create({.origin = origin_, .pool = pool_}));
    tree_.set_before_change([this](const std::string& path) { gate_.pass(path); });
  }
  ~MovingDirectories() override {
    gate_.open();
    end();
  }
  Library& library() override { return *real_; }
  void close_library() override { real_->close(); }

  template <class In>
  uint64_t send(Opcode opcode, NodeId node, const In& in, const std::string& names) {
    const std::string body = std::string(reinterpret_cast<const char*>(&in), sizeof in) + names;
    return kernel_->send(opcode, node, std::as_bytes(std::span(body.data(), body.size())));
  }
  uint64_t send_text(Opcode opcode, NodeId node, const std::string& text) {
    return kernel_->send(opcode, node, std::as_bytes(std::span(text.data(), text.size())));
  }
  uint64_t send_rename(NodeId from, const std::string& name, NodeId to, const std::string& as) {
    return send(Opcode::kRename, from, proto::RenameIn{.newdir = to.value},
                name + '\0' + as + '\0');
  }
  uint64_t send_create(NodeId directory, const std::string& name) {
    return send(Opcode::kCreate, directory,
                proto::CreateIn{.flags = O_WRONLY | O_CREAT, .mode = 0644}, name + '\0');
  }
  // The file that has a hidden name.
  std::string hidden() {
    std::string found;
    EXPECT_TRUE(tree_
                    .list("", Deadline::never(),
                          [&](OriginEntry entry) {
                            if (entry.name.starts_with(".netfs-")) found = entry.name;
                            return Result<void>();
                          })
                    .ok());
    return found;
  }
  bool is_there(const std::string& path) { return tree_.stat(path, Deadline::never()).ok(); }

  Gate gate_;
  std::unique_ptr<Library> real_;
};

// Each change is on its way, by its path, when its directory `d` becomes `e`, and `x` becomes `d`.
TEST_F(MovingDirectories, AChangeIsMadeToWhatItsCallerNamed) {
  struct Case {
    std::string what;
    std::string path;  // by which it goes out
    std::function<uint64_t(NodeId directory, NodeId file)> send;
    std::string left;  // in the directory then, of "f", "g" and "n"
  };
  const std::vector<Case> cases = {
      {"unlink", "d/f",
       [&](NodeId d, NodeId) { return kernel_->send_name(Opcode::kUnlink, d, "f"); }, ""},
      {"rename", "d/f", [&](NodeId d, NodeId) { return send_rename(d, "f", d, "g"); }, "g"},
      {"create", "d/n", [&](NodeId d, NodeId) { return send_create(d, "n"); }, "fn"},
      {"mkdir", "d/n",
       [&](NodeId d, NodeId) {
         return send(Opcode::kMkdir, d, proto::MkdirIn{.mode = 0755, .umask = 0},
                     std::string("n") + '\0');
       },
       "fn"},
      {"symlink", "d/n",
       [&](NodeId d, NodeId) {
         return send_text(Opcode::kSymlink, d, std::string("n") + '\0' + "target" + '\0');
       },
       "fn"},
      {"truncate", "d/f",
       [&](NodeId, NodeId f) {
         return kernel_->send(Opcode::kSetattr, f, proto::SetattrIn{.valid = proto::kSetSize});
       },
       "f"},
  };
  start({.write = Options::Write::kThrough});
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    for (const char* old : {"d", "d/f", "d/g", "d/n", "e", "e/f", "e/g", "e/n"}) tree_.remove(old);
    tree_.add_file("d/f", "named");
    tree_.add_file("x/f", "another");
    clock_.advance(std::chrono::seconds(3600));
    const NodeId d(look_up("d").nodeid);
    const NodeId f(look_up("f", d).nodeid);
    look_up("x");
    gate_.close(one.path);
    const uint64_t change = one.send(d, f);
    ASSERT_TRUE(wait_for([&] { return gate_.waits(); }));
    const uint64_t moved = send_rename(fuse::kRootNode, "d", fuse::kRootNode, "e");
    const MonoTime until = Clock::system().now() + kMeanwhile;
    (void)wait_for([&] { return kernel_->answered(moved) || Clock::system().now() > until; });
    // The kernel sends the second when the first is answered.
    const bool waited = !kernel_->answered(moved);
    if (waited) gate_.open();
    EXPECT_EQ(await(moved).error, 0);
    EXPECT_EQ(await(send_rename(fuse::kRootNode, "x", fuse::kRootNode, "d")).error, 0);
    gate_.open();
    EXPECT_EQ(await(change).error, 0);
    EXPECT_TRUE(is_there("d/f"));
    EXPECT_EQ(is_there("d/f") ? tree_.content("d/f") : "", "another");
    EXPECT_FALSE(is_there("d/g") || is_there("d/n"));
    for (const std::string name : {"f", "g", "n"}) {
      EXPECT_EQ(is_there("e/" + name), one.left.find(name) != std::string::npos) << name;
    }
    if (one.what == "truncate") {
      EXPECT_EQ(tree_.content("e/f"), "");
    }
  }
}

// Else its file would be hidden instead of removed, and its directory not empty.
TEST_F(MovingDirectories, WhoHasHisAnswerFindsNothingOfItInHisWay) {
  start({.write = Options::Write::kThrough});
  for (int round = 0; round < 300; ++round) {
    tree_.add_file("f", "bytes");
    clock_.advance(std::chrono::seconds(3600));
    const NodeId f(look_up("f").nodeid);
    const proto::SetattrIn mode{.valid = proto::kSetMode, .mode = 0600};
    EXPECT_EQ(call(Opcode::kSetattr, f, mode).error, 0);
    EXPECT_EQ(call_name(Opcode::kUnlink, fuse::kRootNode, "f").error, 0);
    ASSERT_EQ(hidden(), "") << "round " << round;
  }
}

TEST_F(MovingDirectories, WhoWaitsForOthersHasNoMoreTimeThanTheyHave) {
  tree_.add_file("d/f", "bytes");
  start({.write = Options::Write::kThrough});
  const NodeId d(look_up("d").nodeid);
  gate_.close("d/n");
  const uint64_t made = send_create(d, "n");
  ASSERT_TRUE(wait_for([&] { return gate_.waits(); }));
  const uint64_t moved = send_rename(fuse::kRootNode, "d", fuse::kRootNode, "e");
  // Answered behind it on the same queue: its time has begun.
  EXPECT_EQ(get_attributes(fuse::kRootNode).error, 0);
  const MonoTime until = Clock::system().now() + kMeanwhile;
  (void)wait_for([&] { return Clock::system().now() > until; });
  clock_.advance(std::chrono::seconds(31));
  gate_.open();
  EXPECT_EQ(await(moved).error, ETIMEDOUT);
  EXPECT_TRUE(is_there("d/f"));
  (void)await(made);
}

// The origin has it by its new name, and the table does not know yet.
TEST_F(MovingDirectories, AChangeThatMeetsAMoveIsMadeWhereTheDirectoryIsThen) {
  tree_.add_file("d/f", "named");
  start({.write = Options::Write::kThrough});
  const NodeId d(look_up("d").nodeid);
  origin_.hold();
  const uint64_t moved = send_rename(fuse::kRootNode, "d", fuse::kRootNode, "e");
  ASSERT_TRUE(origin_.wait_held(1));
  const uint64_t made = send_create(d, "n");
  const MonoTime until = Clock::system().now() + kMeanwhile;
  (void)wait_for([&] { return kernel_->answered(made) || Clock::system().now() > until; });
  origin_.release();
  EXPECT_EQ(await(moved).error, 0);
  EXPECT_EQ(await(made).error, 0);
  EXPECT_TRUE(is_there("e/n"));
  EXPECT_FALSE(is_there("d"));
}

// Another process looks at the file between its cut and the end of the open that cuts it.
TEST_F(MovingDirectories, AFileThatIsCutByItsOpenIsNoOtherFileToWhoLooksThen) {
  tree_.add_file("f", "bytes");
  start({.write = Options::Write::kThrough});
  const NodeId f(look_up("f").nodeid);
  NodeId seen;
  tree_.set_before_change([&](const std::string& path) {
    if (path != "f" || seen.value != 0) return;
    tree_.write("f", "");
    clock_.advance(std::chrono::seconds(3600));
    seen = NodeId(look_up("f").nodeid);
  });
  const Answer opened = call(Opcode::kOpen, f, proto::OpenIn{.flags = O_WRONLY | O_TRUNC});
  ASSERT_EQ(opened.error, 0);
  EXPECT_EQ(seen.value, f.value);
  clock_.advance(std::chrono::seconds(3600));
  EXPECT_EQ(look_up("f").nodeid, f.value);
  // Else nobody would hide it for the one who writes to it.
  EXPECT_EQ(call_name(Opcode::kUnlink, fuse::kRootNode, "f").error, 0);
  EXPECT_NE(hidden(), "");
  close(f, opened.as<proto::OpenOut>().fh);
  EXPECT_TRUE(wait_for([&] { return hidden().empty(); }));
}

TEST_F(MovingDirectories, WhatIsChangedByItsNodeIsThereUntilThatIsDone) {
  tree_.add_file("f", "bytes");
  start({.write = Options::Write::kThrough});
  const NodeId f(look_up("f").nodeid);
  const Answer opened = call(Opcode::kOpen, f, proto::OpenIn{.flags = O_WRONLY});
  ASSERT_EQ(opened.error, 0);
  EXPECT_EQ(call_name(Opcode::kUnlink, fuse::kRootNode, "f").error, 0);
  const std::string path = hidden();
  ASSERT_NE(path, "");
  gate_.close(path);
  const uint64_t cut =
      kernel_->send(Opcode::kSetattr, f, proto::SetattrIn{.valid = proto::kSetSize, .size = 2});
  ASSERT_TRUE(wait_for([&] { return gate_.waits(); }));
  close(f, opened.as<proto::OpenOut>().fh);
  const MonoTime until = Clock::system().now() + kMeanwhile;
  (void)wait_for([&] { return hidden().empty() || Clock::system().now() > until; });
  EXPECT_EQ(hidden(), path);
  gate_.open();
  EXPECT_EQ(await(cut).error, ESTALE) << "nobody has it any more";
  EXPECT_TRUE(wait_for([&] { return hidden().empty(); }));
}

// Of who waits for whom: what `holds` has let in.
class Holds : public testing::Test {
 protected:
  std::optional<PathHolds::Number> enter(const std::string& name, std::vector<std::string> names,
                                         std::vector<std::string> moving = {}) {
    PathHolds::Waiter waiter = [this, name](PathHolds::Number number) { in_[name] = number; };
    const auto number =
        holds_.enter({.names = std::move(names), .moving = std::move(moving)}, waiter);
    if (number) in_[name] = *number;
    return number;
  }
  void leave(const std::string& name) {
    const PathHolds::Number number = in_.at(name);
    in_.erase(name);
    for (PathHolds::Ready& next : holds_.leave(number)) next.waiter(next.number);
  }
  std::string in() {
    std::string all;
    for (const auto& [name, number] : in_) all += name;
    return all;
  }

  PathHolds holds_;
  std::map<std::string, PathHolds::Number> in_;
};

TEST_F(Holds, WhoMovesADirectoryWaitsForThoseBeneathAndTheyForHim) {
  enter("a", {"d/f"});
  enter("b", {"d/f"});
  enter("c", {"other/f"});
  EXPECT_EQ(in(), "abc") << "who moves nothing waits for nobody";
  enter("m", {"d", "e"}, {"d", "e"});
  EXPECT_EQ(in(), "abc");
  enter("x", {"d/g/h"});
  enter("y", {"de/f"});
  enter("z", {"e/f"});
  EXPECT_EQ(in(), "abcy") << "nobody comes before him who waits already";
  leave("a");
  EXPECT_EQ(in(), "bcy");
  leave("b");
  EXPECT_EQ(in(), "cmy");
  leave("m");
  EXPECT_EQ(in(), "cxyz");
  enter("n", {"e", "d"}, {"e", "d"});
  enter("o", {"d/a", "e"}, {"d/a", "e"});
  leave("x");
  leave("z");
  EXPECT_EQ(in(), "cny");
  leave("n");
  EXPECT_EQ(in(), "coy");
}

}  // namespace
}  // namespace netfs::vfs
