// Names that the cache has, and several who want them at one time.

#include <atomic>
#include <cerrno>
#include <set>

#include "vfs/limits.h"
#include "vfs/testing/stored_names_fixture.h"

namespace netfs::vfs {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

class SharedNames : public StoredNames {
 protected:
  ~SharedNames() override { cache_.unblock_reads(); }
  // A directory with so many names, which the cache has.
  void keep(int names, Options options) {
    for (int i = 0; i < names; ++i) tree_.add_file("dir/" + std::to_string(i), "x");
    start(std::move(options));
    (void)list();
    (void)list(NodeId(look_up("dir").nodeid));
  }
  // Until all calls that were sent before are under way.
  void catch_up() { EXPECT_EQ(get_attributes(fuse::kRootNode).error, 0); }
};

TEST_F(SharedNames, WithTheOriginAwayEachIsShownWhatTheCacheHas) {
  keep(4, {.on_error = OnError::kStale});
  restart(hours(20));
  origin_.set_error(ETIMEDOUT);
  const NodeId dir(look_up("dir").nodeid);
  time_.time.advance(kUnreachableFor);
  const uint64_t failed = fs_->counters().origin_errors.get();
  cache_.block_reads();
  origin_.hold();
  std::vector<uint64_t> asked;
  for (int i = 0; i < 4; ++i) {
    asked.push_back(kernel_->send_name(Opcode::kLookup, dir, std::to_string(i)));
  }
  ASSERT_TRUE(origin_.wait_held(4));
  origin_.release();
  ASSERT_TRUE(wait_for([&] { return fs_->counters().origin_errors.get() == failed + 4; }));
  ASSERT_TRUE(cache_.wait_for_blocked_read(patience()));
  cache_.unblock_reads();
  for (const uint64_t one : asked) EXPECT_EQ(await(one).error, 0);
  EXPECT_EQ(fs_->counters().stored_names.get(), 5U);
  EXPECT_EQ(fs_->counters().stored_listings.get(), 0U);
}

TEST_F(SharedNames, ADirectoryOfWhichANameIsBeingTakenIsNotListedAtTheOrigin) {
  keep(4, {.metadata_ttl = minutes(10)});
  restart();
  const NodeId dir(look_up("dir").nodeid);
  const uint64_t lists_before = lists();
  cache_.block_reads();
  const uint64_t named = kernel_->send_name(Opcode::kLookup, dir, "3");
  ASSERT_TRUE(cache_.wait_for_blocked_read(patience()));
  const uint64_t opened = kernel_->send(Opcode::kOpendir, dir, proto::OpenIn{});
  catch_up();
  cache_.unblock_reads();
  EXPECT_EQ(await(named).error, 0);
  EXPECT_EQ(await(opened).error, 0);
  EXPECT_EQ(names_of(list(dir)).size(), 4U);
  EXPECT_EQ(lists(), lists_before);
}

// Of those that come in one is taken from the cache meanwhile.
TEST_F(SharedNames, AListingAndANameFromTheCacheShowEachNameOnce) {
  constexpr int kNames = 20 * kListingBatch;
  keep(kNames, {.metadata_ttl = seconds(2), .on_error = OnError::kStale});
  restart(hours(20));
  const NodeId dir(look_up("dir").nodeid);
  std::atomic<int> told{0};
  std::atomic<bool> is_taken{false};
  origin_.set_change([&](const std::string& path, NodeInfo&) {
    if (!path.starts_with("dir/")) return;
    const int number = ++told;
    if (number == 1) {
      EXPECT_TRUE(cache_.wait_for_blocked_read(patience()));
      cache_.unblock_reads();
      EXPECT_TRUE(wait_for([&] { return fs_->counters().stored_names.get() > 0; }));
    }
    if (number == kNames) {
      EXPECT_TRUE(wait_for([&] { return is_taken.load(); }));
    }
  });
  cache_.block_reads();
  const uint64_t opened = kernel_->send(Opcode::kOpendir, dir, proto::OpenIn{});
  ASSERT_TRUE(wait_for([&] { return told > 0; }));
  origin_.set_error(ETIMEDOUT);
  const std::string last = std::to_string(kNames - 1);
  EXPECT_EQ(look_up(last, dir).attr.size, 1U);
  EXPECT_EQ(look_up("7", dir).attr.size, 1U);
  EXPECT_GE(fs_->counters().stored_names.get(), 1U);
  is_taken = true;
  const std::vector<std::string> shown = names_of(list(dir));
  EXPECT_EQ(shown.size(), static_cast<size_t>(kNames));
  EXPECT_EQ(std::set<std::string>(shown.begin(), shown.end()).size(), shown.size());
  EXPECT_EQ(await(opened).error, 0);
}

// `netfs cache drop` comes while a listing is on its way to the store: of the directory, or of a
// name in it, which the listing tells of.
TEST_F(SharedNames, WhatIsDroppedWhileItIsStoredIsNotKept) {
  write("a", "12345");
  for (const std::string path : {"", "a"}) {
    volume_->asked = false;
    volume_->at_room = [this, path] { fs_->drop(path); };
    start({.metadata_ttl = minutes(10)});
    EXPECT_EQ(open_directory(fuse::kRootNode).error, 0);  // lists once
    EXPECT_TRUE(wait_for([this] { return volume_->asked.load(); }));
    end();
    ASSERT_TRUE(offload_.drain(patience()));
    EXPECT_EQ(names_->load("").code(), ENOENT) << path;
  }
}

// One that is swept is known to the store as it was listed last.
TEST_F(SharedNames, ADirectoryThatIsNotStoredYetIsNotSwept) {
  keep(2, {.metadata_ttl = seconds(2), .on_error = OnError::kStale, .unreferenced_nodes_max = 2});
  ASSERT_TRUE(is_kept("") && is_kept("dir"));
  kernel_->forget(NodeId(look_up("0", NodeId(look_up("dir").nodeid)).nodeid), 10);
  time_.time.advance(minutes(1));
  tree_.write("dir/0", "longer");
  std::atomic<bool> go{false};
  volume_->asked = false;
  volume_->at_room = [&] { EXPECT_TRUE(wait_for([&] { return go.load(); })); };
  const NodeId dir(look_up("dir").nodeid);
  const std::vector<Listed> listed = list(dir);
  ASSERT_TRUE(wait_for([this] { return volume_->asked.load(); }));
  for (const Listed& one : listed) {
    if (one.entry.nodeid != 0) kernel_->forget(NodeId(one.entry.nodeid), 10);
  }
  kernel_->forget(dir, 10);
  for (int i = 0; i < 100; ++i) {
    tree_.add_file("other" + std::to_string(i), "x");
    kernel_->forget(NodeId(look_up("other" + std::to_string(i)).nodeid), 1);
  }
  catch_up();
  go = true;
  restart(hours(20));
  const NodeId again(look_up("dir").nodeid);
  origin_.set_error(ETIMEDOUT);
  EXPECT_EQ(look_up("0", again).attr.size, 6U);
}

// What a reader has seen to have ended does not come back with the next process.
TEST_F(SharedNames, AVersionThatHasEndedDoesNotComeBack) {
  const Options kinds[] = {
      {.metadata_ttl = minutes(10)},
      {.metadata_ttl = minutes(10), .immutable = true},
      {.metadata_ttl = minutes(10), .on_error = OnError::kStale},
  };
  for (size_t i = 0; i < std::size(kinds); ++i) {
    write("file", "one");
    start(kinds[i]);
    const bool immutable = options_.immutable;
    const bool stale = options_.on_error == OnError::kStale;
    std::string kept = stored_version("");
    (void)list(fuse::kRootNode, 0);
    if (stale) {
      EXPECT_TRUE(is_kept("", kept));
      kept = stored_version("");
    }
    const NodeId old(look_up("file").nodeid);
    rewrite("file", "and two");
    const uint64_t lists_before = lists();
    library_.fail_reads(ESTALE);
    EXPECT_EQ(read(old, immutable ? 0 : opened(old).fh), "errno " + std::to_string(ESTALE));
    library_.fail_reads(0);
    // The listing from before stays, for an origin that is away, until there is another.
    if (stale) {
      EXPECT_TRUE(wait_for([&] {
        catch_up();
        return lists() > lists_before && look_up("file").attr.size == 7;
      }));
      EXPECT_TRUE(is_kept("", kept));
    }
    restart(minutes(1));
    EXPECT_EQ(look_up("file").attr.size, 7U) << i;
    end();
    ASSERT_TRUE(offload_.drain(patience()));
    time_.time.advance(hours(1));
  }
}

// Another one of the same moment looks as this one does.
TEST_F(SharedNames, TheTargetOfALinkThatWasJustMadeIsNotKept) {
  const Timestamp made = time_.wall();
  origin_.set_change([&](const std::string& path, NodeInfo& info) {
    if (path != "link") return;
    info.validator = {.strength = ValidatorStrength::kWeak, .bytes = "v1", .changed_at = made};
  });
  const auto target = [&] {
    const NodeId link(look_up("link").nodeid);
    return std::string(
        await(kernel_->send(Opcode::kReadlink, link, std::span<const std::byte>())).text());
  };
  tree_.add_symlink("link", "aaa");
  start({.metadata_ttl = minutes(10)});
  EXPECT_EQ(target(), "aaa");
  (void)list();
  tree_.remove("link");
  tree_.add_symlink("link", "bbb");
  restart(seconds(10));
  EXPECT_EQ(names_of(list()), std::vector<std::string>{"link"});
  EXPECT_EQ(target(), "bbb");
  EXPECT_EQ(lists(), 1U) << "from the cache";
  // This one will not change unseen.
  (void)list();
  EXPECT_EQ(target(), "bbb");
  EXPECT_EQ(origin_.counts().links, 2U);
}

}  // namespace
}  // namespace netfs::vfs
