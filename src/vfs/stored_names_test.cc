// Names that outlive the process, or their TTL: what is shown of them by which policy.

#include <atomic>
#include <cerrno>
#include <cstring>

#include "vfs/testing/stored_names_fixture.h"

namespace netfs::vfs {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

TEST_F(StoredNames, AListingWithinItsTtlIsShownByTheNextProcess) {
  write("a", "12345");
  write("dir/b", "22");
  tree_.add_symlink("link", "a");
  start({.metadata_ttl = minutes(10), .negative_ttl = minutes(10)});
  const std::vector<Listed> before = list();
  restart(minutes(4));
  const uint64_t stats_before = stats();
  const std::vector<Listed> after = list();
  ASSERT_EQ(names_of(after), names_of(before));
  for (size_t i = 2; i < after.size(); ++i) {
    EXPECT_EQ(std::memcmp(&after[i].entry.attr, &before[i].entry.attr, sizeof after[i].entry.attr),
              0)
        << after[i].name;
    EXPECT_EQ(after[i].entry.attr_valid, 360U) << "what is left of the TTL";
  }
  EXPECT_EQ(lists(), 1U);
  EXPECT_EQ(look_up("a").attr.size, 5U);
  EXPECT_EQ(look_up_error("none"), ENOENT);
  EXPECT_EQ(stats(), stats_before);
  EXPECT_EQ(fs_->counters().stored_listings.get(), 1U);
  // Then it is over, as it would have been in one process.
  time_.time.advance(minutes(7));
  tree_.add_file("c", "new");
  EXPECT_EQ(names_of(list()).size(), 4U);
  EXPECT_EQ(lists(), 2U);
}

TEST_F(StoredNames, AnOlderOneIsNotShown) {
  write("a", "12345");
  start({.metadata_ttl = minutes(10)});
  (void)list();
  tree_.add_file("b", "new");
  tree_.write("a", "longer than before");
  restart(minutes(11));
  EXPECT_EQ(names_of(list()), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(look_up("a").attr.size, 18U);
  EXPECT_EQ(lists(), 2U);
  EXPECT_EQ(fs_->counters().stored_listings.get(), 0U);
}

TEST_F(StoredNames, AnImmutableTreeIsNotAskedAgain) {
  write("dir/a", "12345");
  write("dir/deep/b", "1");
  start({.immutable = true});
  const NodeId dir(look_up("dir").nodeid);
  (void)list(fuse::kRootNode, 0);
  (void)list(dir, 0);
  restart(hours(10'000));
  const uint64_t stats_before = stats();
  const proto::EntryOut found = look_up("dir");
  EXPECT_EQ(look_up("a", NodeId(found.nodeid)).attr.size, 5U);
  EXPECT_EQ(look_up_error("none", NodeId(found.nodeid)), ENOENT);
  EXPECT_EQ(look_up_error("none"), ENOENT);
  EXPECT_EQ(names_of(list(NodeId(found.nodeid), 0)), (std::vector<std::string>{"a", "deep"}));
  EXPECT_EQ(stats(), stats_before);
  EXPECT_EQ(lists(), 2U);
}

TEST_F(StoredNames, ADroppedPathIsAskedAgainAlsoIfTheCacheStillHasIt) {
  write("a", "12345");
  start({.immutable = true});
  (void)list(fuse::kRootNode, 0);
  fs_->drop("");
  tree_.add_file("b", "new");
  EXPECT_EQ(names_of(list(fuse::kRootNode, 0)), (std::vector<std::string>{"a", "b"}));
}

// A clock that was set back makes nothing younger.
TEST_F(StoredNames, AClockThatWasSetBackIsNotBelieved) {
  write("a", "12345");
  start({.metadata_ttl = minutes(60)});
  (void)list();
  time_.set_by = -minutes(30);
  restart(minutes(70));
  (void)list();
  EXPECT_EQ(lists(), 2U) << "40 minutes by the one clock, 70 by the other";
  time_.set_by = -hours(5);
  restart(seconds(1), "second start");
  (void)list();
  EXPECT_EQ(lists(), 3U) << "listed in the future";
  restart(minutes(20), "third start");
  (void)list();
  EXPECT_EQ(lists(), 4U) << "20 minutes by a clock that nobody watched meanwhile";
}

TEST_F(StoredNames, ALinkIsNotReadAgain) {
  tree_.add_symlink("link", "a");
  start({.immutable = true});
  const NodeId link(look_up("link").nodeid);
  EXPECT_EQ(
      kernel_->await(kernel_->send(Opcode::kReadlink, link, std::span<const std::byte>()))->text(),
      "a");
  (void)list(fuse::kRootNode, 0);  // brings the target to the store
  restart();
  (void)list(fuse::kRootNode, 0);
  const NodeId again(look_up("link").nodeid);
  EXPECT_EQ(
      kernel_->await(kernel_->send(Opcode::kReadlink, again, std::span<const std::byte>()))->text(),
      "a");
  EXPECT_EQ(origin_.counts().links, 1U);
}

TEST_F(StoredNames, WhatIsDamagedIsAsIfItWereNotThere) {
  for (int i = 0; i < 3000; ++i) tree_.add_file("name-" + std::to_string(i), "x");
  start({.immutable = true});
  const std::vector<std::string> names = names_of(list(fuse::kRootNode, 0));
  end();
  ASSERT_TRUE(offload_.drain(patience()));
  cache_.corrupt("/");
  start(options_);
  EXPECT_EQ(names_of(list(fuse::kRootNode, 0)), names);
  EXPECT_EQ(lists(), 2U);
  EXPECT_EQ(fs_->counters().stored_listings.get(), 0U);
}

TEST_F(StoredNames, AStoreThatStandsStillDelaysNobody) {
  write("a", "12345");
  write("dir/b", "12345");
  cache_.block_stores();
  start({.metadata_ttl = minutes(10)});
  EXPECT_EQ(names_of(list()).size(), 2U);
  ASSERT_TRUE(cache_.wait_for_blocked_store(patience()));
  EXPECT_EQ(names_of(list(NodeId(look_up("dir").nodeid))).size(), 1U);
  time_.time.advance(minutes(11));
  EXPECT_EQ(names_of(list()).size(), 2U);
  cache_.unblock_stores();
}

TEST_F(StoredNames, StaleShowsThemHoweverOldWhileTheOriginIsAway) {
  write("dir/b", "22");
  start({.on_error = OnError::kStale});
  (void)list();
  (void)list(NodeId(look_up("dir").nodeid));
  restart(hours(20));
  origin_.set_error(ETIMEDOUT);
  EXPECT_EQ(names_of(list()), std::vector<std::string>{"dir"});
  const NodeId dir(look_up("dir").nodeid);
  EXPECT_EQ(look_up("b", dir).attr.size, 2U);
  EXPECT_EQ(names_of(list(dir)), std::vector<std::string>{"b"});
  origin_.set_error(0);
  tree_.add_file("dir/c", "new");
  time_.time.advance(minutes(1));
  EXPECT_EQ(names_of(list(dir)), (std::vector<std::string>{"b", "c"}));
}

// Who looks at a directory every few seconds does not write to the disk each time.
TEST_F(StoredNames, WhatIsAsItWasIsNotStoredEachTime) {
  write("a", "12345");
  start({.metadata_ttl = seconds(5), .on_error = OnError::kStale});
  const auto look = [&] {
    time_.time.advance(seconds(6));
    (void)list();
  };
  for (int i = 0; i < 4; ++i) look();
  tree_.add_file("b", "new");
  look();
  end();
  ASSERT_TRUE(offload_.drain(patience()));
  EXPECT_GE(cache_.counts().stores, 1U) << "an earlier one that still waits gives way to a later";
  EXPECT_LE(cache_.counts().stores, 2U);
}

// As an immutable mount believes: also after the machine was started again.  And what is shown for
// want of better ends before the TTL does, whatever times come of that.
TEST_F(StoredNames, ForEverIsForEverAfterARebootToo) {
  write("a", "12345");
  start({.metadata_ttl = Duration::max(), .on_error = OnError::kStale});
  (void)list();
  restart(minutes(20), "second start");
  (void)list();
  EXPECT_EQ(lists(), 1U);
  fs_->drop("");
  origin_.set_error(ETIMEDOUT);
  EXPECT_EQ(look_up("a").attr.size, 5U);
  time_.time.advance(hours(1));
  EXPECT_EQ(look_up("a").attr.size, 5U);
}

// What names are of use for nobody are not written, and not looked for.
TEST_F(StoredNames, NamesThatCanBeOfNoUseAreNotKept) {
  write("a", "12345");
  const Options kinds[] = {{.metadata_ttl = seconds(5)},
                           {.revalidate_behind = true},
                           {.metadata_ttl = seconds(30)},
                           {.immutable = true},
                           {.on_error = OnError::kStale}};
  uint64_t stores = 0;
  for (size_t i = 0; i < std::size(kinds); ++i) {
    tree_.add_file("new-" + std::to_string(i), "x");
    time_.time.advance(hours(1));
    start(kinds[i]);
    (void)list(fuse::kRootNode, 0);
    end();
    ASSERT_TRUE(offload_.drain(patience()));
    EXPECT_EQ(cache_.counts().stores > stores, i > 0) << i;
    stores = cache_.counts().stores;
  }
  start({.metadata_ttl = seconds(29)});
  (void)list();
  EXPECT_EQ(fs_->counters().stored_listings.get(), 0U);
}

TEST_F(StoredNames, ADirectoryIsNotShownTheNamesOfOneThatWasThereBefore) {
  write("dir/old", "1");
  write("dir/sub/old", "1");
  std::atomic<int> generation{0};
  origin_.set_change([&](const std::string& path, NodeInfo& info) {
    info.identity = path == "dir" ? "dir " + std::to_string(generation) : "";
  });
  for (const bool is_restarted : {false, true}) {
    const std::string dir_before = stored_version("dir");
    const std::string sub_before = stored_version("dir/sub");
    start({.metadata_ttl = minutes(10)});
    (void)list();
    time_.time.advance(minutes(6));
    const NodeId dir(look_up("dir").nodeid);
    (void)list(dir);
    (void)list(NodeId(look_up("sub", dir).nodeid));
    ASSERT_TRUE(is_kept("dir", dir_before) && is_kept("dir/sub", sub_before));
    if (is_restarted) end();
    // The old names are kept and young enough; the root's are not.
    ++generation;
    const std::string name = "new-" + std::to_string(generation);
    tree_.remove(generation == 1 ? "dir/old" : "dir/new-1");
    tree_.remove(generation == 1 ? "dir/sub/old" : "dir/sub/new-1");
    tree_.add_file("dir/" + name, "2");
    tree_.add_file("dir/sub/" + name, "2");
    time_.time.advance(minutes(5));
    if (is_restarted) start(options_);
    (void)list();
    const NodeId other(look_up("dir").nodeid);
    EXPECT_EQ(names_of(list(other)), (std::vector<std::string>{name, "sub"}));
    // That one has no identity, and its time is what it was.
    if (!is_restarted) {
      EXPECT_EQ(names_of(list(NodeId(look_up("sub", other).nodeid))),
                std::vector<std::string>{name});
    }
    end();
    time_.time.advance(hours(1));
  }
}

TEST_F(StoredNames, ADirectoryThatChangedSinceIsListedAnew) {
  write("dir/old", "1");
  start({.metadata_ttl = minutes(10)});
  (void)list();
  time_.time.advance(minutes(6));
  (void)list(NodeId(look_up("dir").nodeid));
  tree_.add_file("dir/new", "2");
  origin_.set_change([](const std::string& path, NodeInfo& info) {
    if (path == "dir") ++info.attributes.mtime.seconds;
  });
  restart(minutes(5));
  (void)list();
  EXPECT_EQ(names_of(list(NodeId(look_up("dir").nodeid))),
            (std::vector<std::string>{"new", "old"}));
}

TEST_F(StoredNames, ADirectoryThatWentAndCameAgainIsListedAnew) {
  write("dir/old", "1");
  start({.metadata_ttl = minutes(10), .negative_ttl = seconds(1)});
  (void)list();
  time_.time.advance(minutes(6));
  (void)list(NodeId(look_up("dir").nodeid));
  ASSERT_TRUE(is_kept("dir"));
  tree_.remove("dir/old");
  tree_.remove("dir");
  time_.time.advance(minutes(5));
  EXPECT_EQ(names_of(list()).size(), 0U);
  tree_.add_directory("dir");  // with the same times, and no identity
  time_.time.advance(seconds(2));
  EXPECT_EQ(names_of(list(NodeId(look_up("dir").nodeid))).size(), 0U);
}

TEST_F(StoredNames, StaleNeverShowsAnOlderVersionThanItDidBefore) {
  write("dir/f", "old");
  write("dir/gone", "old");
  write("dir/other", "old");
  start({.metadata_ttl = seconds(2), .negative_ttl = seconds(2), .on_error = OnError::kStale});
  (void)list();
  (void)list(NodeId(look_up("dir").nodeid));
  restart(seconds(10));
  rewrite("dir/f", "another version");
  tree_.add_file("dir/new", "newer");
  tree_.remove("dir/gone");
  const NodeId dir(look_up("dir").nodeid);
  EXPECT_EQ(look_up("f", dir).attr.size, 15U);
  EXPECT_EQ(look_up("new", dir).attr.size, 5U);
  EXPECT_EQ(look_up_error("gone", dir), ENOENT);
  origin_.set_error(ETIMEDOUT);
  time_.time.advance(seconds(3));
  EXPECT_EQ(names_of(list(dir)), (std::vector<std::string>{"f", "other", "new"}));
  EXPECT_EQ(look_up("f", dir).attr.size, 15U);
  EXPECT_EQ(look_up("new", dir).attr.size, 5U);
  EXPECT_EQ(look_up("other", dir).attr.size, 3U) << "of which nobody knows better";
  EXPECT_NE(look_up_error("gone", dir), 0);
  time_.time.advance(minutes(1));
  EXPECT_EQ(look_up("f", dir).attr.size, 15U);
}

TEST_F(StoredNames, AnImmutableMountBelievesOnlyWhatOneHasListed) {
  write("a", "old");
  for (const bool is_ttl : {false, true}) {
    start({.metadata_ttl = minutes(1), .on_error = OnError::kStale});
    (void)list();
    rewrite("a", is_ttl ? "another version" : "a version");
    if (is_ttl) {
      end();
      ASSERT_TRUE(offload_.drain(patience()));
      start({.metadata_ttl = Duration::max()});
      time_.time.advance(seconds(1));
    } else {
      end();
      ASSERT_TRUE(offload_.drain(patience()));
      start({.immutable = true});
    }
    (void)list(fuse::kRootNode, 0);
    EXPECT_EQ(look_up("a").attr.size, is_ttl ? 15U : 9U);
    EXPECT_EQ(fs_->counters().stored_listings.get(), 0U);
    restart();
    (void)list(fuse::kRootNode, 0);
    EXPECT_EQ(fs_->counters().stored_listings.get(), 1U) << "and that it does";
    end();
    ASSERT_TRUE(offload_.drain(patience()));
    time_.time.advance(hours(1));
  }
}

TEST_F(StoredNames, WithoutRoomToSpareNothingIsStoredAndWhatIsOlderGoes) {
  write("a", "12345");
  start({.immutable = true});
  (void)list(fuse::kRootNode, 0);
  end();
  ASSERT_TRUE(offload_.drain(patience()));
  const uint64_t stores = cache_.counts().stores;
  EXPECT_GT(stores, 0U);
  cache_.set_room(false);
  tree_.add_file("b", "new");
  start({.metadata_ttl = minutes(1), .on_error = OnError::kStale});
  time_.time.advance(minutes(2));
  (void)list();
  end();
  ASSERT_TRUE(offload_.drain(patience()));
  EXPECT_EQ(cache_.counts().stores, stores);
  EXPECT_EQ(names_->load("").code(), ENOENT);
}

// Its own listing is the later look at it.
TEST_F(StoredNames, WithTheOriginAwayADirectoryIsShownThatChangedAfterItsParentWasListed) {
  write("dir/a", "12345");
  start({.on_error = OnError::kStale});
  const NodeId dir(look_up("dir").nodeid);
  (void)list();
  time_.time.advance(minutes(1));
  tree_.add_file("dir/b", "new");
  origin_.set_change([](const std::string& path, NodeInfo& info) {
    if (path == "dir") ++info.attributes.mtime.seconds;
  });
  EXPECT_EQ(look_up("dir").nodeid, dir.value);
  (void)list(dir);
  restart(hours(20));
  origin_.set_error(ETIMEDOUT);
  EXPECT_EQ(names_of(list()), (std::vector<std::string>{"dir"}));
  EXPECT_EQ(names_of(list(NodeId(look_up("dir").nodeid))), (std::vector<std::string>{"a", "b"}));
}

}  // namespace
}  // namespace netfs::vfs
