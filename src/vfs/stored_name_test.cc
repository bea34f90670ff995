// Single names from the cache: how many are taken, and which are believed.

#include <atomic>
#include <cerrno>
#include <random>

#include "vfs/limits.h"
#include "vfs/testing/stored_names_fixture.h"

namespace netfs::vfs {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

class SingleNames : public StoredNames {
 protected:
  // Directories d0, d1, ... with so many names each, which the cache has.
  void keep(int directories, int names, Options options) {
    for (int d = 0; d < directories; ++d) {
      for (int i = 0; i < names; ++i) {
        tree_.add_file("d" + std::to_string(d) + "/" + std::to_string(i), "x");
      }
    }
    start(std::move(options));
    for (const Listed& one : list_all(fuse::kRootNode)) {
      if (one.name[0] != 'd') continue;
      for (const Listed& name : list_all(NodeId(one.entry.nodeid))) {
        if (name.name[0] != '.' && name.entry.nodeid != 0) forget(name.entry.nodeid);
      }
    }
  }
  std::vector<Listed> list_all(NodeId directory) {
    return options_.immutable ? list(directory, 0) : list(directory);
  }
  [[nodiscard]] uint64_t taken() { return fs_->counters().stored_names.get(); }
  [[nodiscard]] uint64_t nodes() { return fs_->sizes().nodes; }
  void forget(uint64_t node) { kernel_->forget(NodeId(node), 1); }
};

TEST_F(SingleNames, OneOfALargeDirectoryIsTakenAlone) {
  const Options kinds[] = {{.metadata_ttl = hours(1)},
                           {.immutable = true},
                           {.metadata_ttl = seconds(2), .on_error = OnError::kStale}};
  for (const Options& options : kinds) {
    keep(1, 10'000, options);
    restart(minutes(1));
    const uint64_t stats_before = stats();
    const uint64_t lists_before = lists();
    const bool away = options.on_error == OnError::kStale;
    if (away) origin_.set_error(ETIMEDOUT);
    const NodeId dir(look_up("d0").nodeid);
    EXPECT_EQ(look_up("7777", dir).attr.size, 1U);
    EXPECT_LE(nodes(), 3U) << "the root, the directory and the one";
    EXPECT_EQ(taken(), 2U);
    EXPECT_EQ(fs_->counters().stored_listings.get(), 0U);
    if (!away) {
      EXPECT_EQ(stats(), stats_before);
    }
    if (options.immutable) {
      EXPECT_EQ(look_up_error("none", dir), ENOENT);
      EXPECT_EQ(stats(), stats_before);
    }
    // Who lists it takes all.
    EXPECT_EQ(names_of(list_all(dir)).size(), 10'000U);
    EXPECT_EQ(fs_->counters().stored_listings.get(), 1U);
    EXPECT_EQ(lists(), lists_before);
    origin_.set_error(0);
    end();
    ASSERT_TRUE(offload_.drain(patience()));
    time_.time.advance(hours(2));
  }
}

// More names than are kept in memory, asked for in no order.
TEST_F(SingleNames, WhatWasSweptIsTakenAnewOneByOne) {
  constexpr int kDirectories = 4;
  constexpr int kNames = 500;
  constexpr int kLooks = 1500;
  const Options kinds[] = {
      {.metadata_ttl = hours(5), .unreferenced_nodes_max = 100},
      {.immutable = true, .unreferenced_nodes_max = 100},
  };
  for (const Options& options : kinds) {
    keep(kDirectories, kNames, options);
    restart(minutes(1));
    const uint64_t stats_before = stats();
    const uint64_t lists_before = lists();
    std::mt19937 random(7);
    for (int i = 0; i < kLooks; ++i) {
      const std::string name = "d" + std::to_string(random() % kDirectories);
      const uint64_t dir = look_up(name).nodeid;
      const proto::EntryOut found = look_up(std::to_string(random() % kNames), NodeId(dir));
      ASSERT_EQ(found.attr.size, 1U);
      forget(found.nodeid);
      forget(dir);
    }
    EXPECT_LE(taken(), 2U * kLooks) << "what was asked for";
    EXPECT_GT(taken(), kLooks / 2U) << "and much of it more than once";
    EXPECT_EQ(fs_->counters().stored_listings.get(), 0U);
    EXPECT_LE(nodes(), 300U);
    EXPECT_EQ(stats(), stats_before);
    EXPECT_EQ(lists(), lists_before);
    end();
    ASSERT_TRUE(offload_.drain(patience()));
    time_.time.advance(hours(6));
  }
}

// Also in the process that listed them.
TEST_F(SingleNames, WhatWasListedHereAndSweptIsNotAskedOfTheOrigin) {
  keep(3, 500, {.metadata_ttl = hours(1), .unreferenced_nodes_max = 1000});
  for (int d = 0; d < 3; ++d) ASSERT_TRUE(is_kept("d" + std::to_string(d)));
  time_.time.advance(minutes(1));
  const uint64_t stats_before = stats();
  const uint64_t lists_before = lists();
  std::vector<uint64_t> directories;
  for (int d = 0; d < 3; ++d) directories.push_back(look_up("d" + std::to_string(d)).nodeid);
  for (int i = 0; i < 500; ++i) {
    for (const uint64_t dir : directories) {
      const proto::EntryOut found = look_up(std::to_string(i), NodeId(dir));
      ASSERT_EQ(found.attr.size, 1U) << i;
      forget(found.nodeid);
    }
  }
  EXPECT_GT(taken(), 200U);
  EXPECT_LE(taken(), 1500U);
  EXPECT_EQ(stats(), stats_before);
  EXPECT_EQ(lists(), lists_before);
}

// A record that is of no use is not read for each name.
TEST_F(SingleNames, TooOldOnesAreNotLookedForEachTime) {
  keep(2, 300, {.metadata_ttl = minutes(1), .unreferenced_nodes_max = 50});
  restart(hours(1));
  const NodeId dirs[] = {NodeId(look_up("d0").nodeid), NodeId(look_up("d1").nodeid)};
  const uint64_t before = volume_->looked_for;
  for (int i = 0; i < 300; ++i) {
    for (const NodeId dir : dirs) forget(look_up(std::to_string(i), dir).nodeid);
  }
  EXPECT_EQ(taken(), 0U);
  EXPECT_LE(volume_->looked_for, before + 2);
}

// What this process has seen of a name since stays, whatever the cache says.
TEST_F(SingleNames, OfWhatWasSeenSinceNothingOlderIsTaken) {
  keep(1, 10, {.metadata_ttl = seconds(40), .unreferenced_nodes_max = 2});
  restart(seconds(10));
  const NodeId dir(look_up("d0").nodeid);
  EXPECT_EQ(look_up("1", dir).attr.size, 1U);
  rewrite("d0/2", "another version");
  rewrite("d0/1", "another version");
  const NodeId old(look_up("2", dir).nodeid);
  library_.fail_reads(ESTALE);
  EXPECT_EQ(read(old, opened(old).fh), "errno " + std::to_string(ESTALE));
  library_.fail_reads(0);
  // Its names are not believed any more.
  const uint64_t taken_before = taken();
  EXPECT_EQ(look_up("2", dir).attr.size, 15U);
  EXPECT_EQ(look_up("3", dir).attr.size, 1U);
  EXPECT_EQ(taken(), taken_before);
  restart(seconds(10));
  EXPECT_EQ(look_up("1", NodeId(look_up("d0").nodeid)).attr.size, 15U);
  EXPECT_EQ(taken(), 1U) << "the directory";
}

TEST_F(SingleNames, WhatWasDroppedIsNotTaken) {
  keep(1, 10, {.immutable = true});
  restart();
  const NodeId dir(look_up("d0").nodeid);
  EXPECT_EQ(look_up("1", dir).attr.size, 1U);
  rewrite("d0/1", "another version");
  fs_->drop("d0/1");
  EXPECT_EQ(look_up("1", dir).attr.size, 15U);
  fs_->drop("d0");
  rewrite("d0/2", "another version");
  EXPECT_EQ(look_up("2", NodeId(look_up("d0").nodeid)).attr.size, 15U);
}

// Many old names of one directory: by one listing, as where it is in memory.
TEST_F(SingleNames, ManyLooksBehindNamesThatTheCacheHasAreOneListing) {
  constexpr int kNames = 200;
  keep(1, kNames, {.metadata_ttl = seconds(30), .revalidate_behind = true});
  restart(hours(1));
  const uint64_t stats_before = stats();
  const uint64_t lists_before = lists();
  const NodeId dir(look_up("d0").nodeid);
  origin_.hold();
  for (int i = 0; i < kNames; ++i) EXPECT_EQ(look_up(std::to_string(i), dir).attr.size, 1U);
  origin_.release();
  EXPECT_TRUE(wait_for([&] { return lists() == lists_before + 1; }));
  EXPECT_LE(stats(), stats_before + kLooksBeforeListing + 2);
}

// A directory with more names than are kept in memory: those that go while it is listed are there.
TEST_F(SingleNames, WhatIsSweptWhileItsDirectoryIsListedIsThere) {
  constexpr int kNames = 4 * kListingBatch;
  const Options kinds[] = {
      {.metadata_ttl = hours(5), .negative_ttl = hours(5), .unreferenced_nodes_max = 100},
      {.immutable = true, .unreferenced_nodes_max = 100},
  };
  for (int i = 0; i < kNames; ++i) tree_.add_file("d0/" + std::to_string(i), "x");
  for (const Options& options : kinds) {
    for (const bool stored : {false, true}) {
      const std::string before = stored_version("d0");
      stored ? restart(minutes(1)) : start(options);
      const NodeId dir(look_up("d0").nodeid);
      const std::vector<Listed> listed = list_all(dir);
      EXPECT_EQ(names_of(listed).size(), static_cast<size_t>(kNames));
      for (const Listed& one : listed) {
        if (one.name[0] != '.' && one.entry.nodeid != 0) forget(one.entry.nodeid);
      }
      ASSERT_TRUE(stored || is_kept("d0", before));
      const uint64_t lists_before = lists();
      const uint64_t stats_before = stats();
      for (int i = 0; i < kNames; ++i) {
        EXPECT_EQ(look_up_error(std::to_string(i), dir), 0) << i;
      }
      EXPECT_EQ(lists(), lists_before);
      EXPECT_EQ(stats(), stats_before) << "the cache has them";
    }
    end();
    ASSERT_TRUE(offload_.drain(patience()));
    time_.time.advance(hours(6));
  }
}

// Its bytes were fetched ahead, and the origin had others by then.
TEST_F(SingleNames, AnOpenOfWhatWasGivenUpHasTheOriginsWord) {
  for (const bool is_restarted : {false, true}) {
    write("file", "one");
    start({.metadata_ttl = hours(1)});
    (void)list();
    if (is_restarted) restart(minutes(1));
    const NodeId old(look_up("file").nodeid);
    (void)opened(old);
    rewrite("file", "another version");
    library_.give_up("file");
    EXPECT_EQ(look_up("file").attr.size, 3U) << "nobody has asked";
    (void)open(old);
    EXPECT_EQ(look_up("file").attr.size, 15U);
    end();
    ASSERT_TRUE(offload_.drain(patience()));
    time_.time.advance(hours(2));
  }
}

// Those that a reader has seen to have ended are still in the store when they are asked for.
TEST_F(SingleNames, WhatHasEndedIsNotTakenWhileItIsOnItsWayOut) {
  keep(2, 50, {.metadata_ttl = hours(1), .unreferenced_nodes_max = 2});
  restart(seconds(10));
  const NodeId dir(look_up("d0").nodeid);
  const uint64_t file = look_up("7", dir).nodeid;
  for (const Listed& one : list(dir)) {
    if (one.name[0] != '.' && one.entry.nodeid != 0) forget(one.entry.nodeid);
  }
  cache_.block_stores();
  rewrite("d0/7", "another version");
  const uint64_t handle = opened(NodeId(file)).fh;
  library_.fail_reads(ESTALE);
  EXPECT_EQ(read(NodeId(file), handle), "errno " + std::to_string(ESTALE));
  library_.fail_reads(0);
  close(NodeId(file), handle);
  forget(file);
  // Others sweep it.
  const NodeId other(look_up("d1").nodeid);
  for (int i = 0; i < 50; ++i) forget(look_up(std::to_string(i), other).nodeid);
  EXPECT_EQ(look_up("7", dir).attr.size, 15U);
  cache_.unblock_stores();
}

// Of what was seen while the rest was listed a process after this one is shown nothing older.
TEST_F(SingleNames, WhatALookOvertookWhileItWasListedIsNotStored) {
  for (const bool is_gone : {false, true}) {
    tree_.add_file("d/1", "x");
    tree_.add_file("d/2", "x");
    std::atomic<bool> is_listed{false}, go{false}, waits{true};
    origin_.set_change([&](const std::string& path, NodeInfo&) {
      if (path != "d/2" || !waits.exchange(false)) return;
      is_listed = true;
      EXPECT_TRUE(wait_for([&] { return go.load(); }));
    });
    start({.metadata_ttl = hours(1)});
    const NodeId dir(look_up("d").nodeid);
    const uint64_t opening = kernel_->send(Opcode::kOpendir, dir, proto::OpenIn{});
    EXPECT_TRUE(wait_for([&] { return is_listed.load(); }));
    time_.time.advance(seconds(1));
    if (is_gone) {
      tree_.remove("d/1");
      EXPECT_EQ(look_up_error("1", dir), ENOENT);
    } else {
      rewrite("d/1", "another version");
      EXPECT_EQ(look_up("1", dir).attr.size, 15U);
    }
    go = true;
    EXPECT_EQ(await(opening).error, 0);
    restart(seconds(10));
    const NodeId again(look_up("d").nodeid);
    if (is_gone) {
      EXPECT_EQ(look_up_error("1", again), ENOENT);
    } else {
      EXPECT_EQ(look_up("1", again).attr.size, 15U);
    }
    end();
    ASSERT_TRUE(offload_.drain(patience()));
    time_.time.advance(hours(2));
  }
}

}  // namespace
}  // namespace netfs::vfs
