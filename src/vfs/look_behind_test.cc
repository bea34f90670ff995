// `--revalidate=behind`: what is shown although it is old, and when that ends.

#include <atomic>
#include <cerrno>
#include <malloc.h>

#include "base/sanitizer.h"
#include "vfs/testing/stored_names_fixture.h"

namespace netfs::vfs {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

class LookBehind : public StoredNames {
 protected:
  void start_behind() { start({.metadata_ttl = minutes(10), .revalidate_behind = true}); }
  // Waits until what is shown is what it is at the origin.
  template <class Seen>
  bool becomes(Seen seen) {
    return wait_for([&] {
      time_.time.advance(seconds(2));
      return seen();
    });
  }
};

TEST_F(LookBehind, AnOldListingIsShownWithoutWaitingAndMadeAnewBehindIt) {
  write("a", "12345");
  start_behind();
  (void)list();
  std::vector<std::string> known{"a"};
  for (const bool again : {false, true}) {
    if (again) {
      restart(hours(5));
    } else {
      time_.time.advance(hours(5));
    }
    tree_.add_file(again ? "c" : "b", "new");
    origin_.hold();
    EXPECT_EQ(names_of(list()), known) << "the origin has not answered";
    EXPECT_EQ(look_up("a").attr_valid, 1U) << "for the moment only";
    origin_.release();
    known.emplace_back(again ? "c" : "b");
    EXPECT_TRUE(becomes([&] { return names_of(list()) == known; }));
    EXPECT_TRUE(wait_for([&] { return fs_->sizes().looks_behind == 0; }));
  }
  EXPECT_GE(fs_->counters().shown_first.get(), 1U);
}

TEST_F(LookBehind, AWalkAfterARestartWaitsForNothing) {
  for (int i = 0; i < 20; ++i) tree_.add_file("d" + std::to_string(100 + i) + "/file", "x");
  origin_.set_change([this](const std::string&, NodeInfo&) {
    time_.time.advance(std::chrono::milliseconds(2));  // so that listing ahead is worth it
  });
  start_behind();
  const auto walk = [&] {
    std::vector<std::string> names;
    for (const Listed& one : list()) {
      if (one.name == "." || one.name == "..") continue;
      for (const std::string& name : names_of(list(NodeId(one.entry.nodeid)))) {
        names.push_back(one.name + "/" + name);
      }
    }
    return names;
  };
  const std::vector<std::string> before = walk();
  EXPECT_EQ(before.size(), 20U);
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(wait_for([&] { return !stored_version("d" + std::to_string(100 + i)).empty(); }))
        << i;
  }
  restart(hours(5));
  origin_.hold();
  EXPECT_EQ(walk(), before);
  origin_.release();
  EXPECT_TRUE(wait_for([&] { return fs_->counters().listings.get() >= 21; }))
      << "all are made anew";
}

// A large directory is not decoded for nobody, and is there for who asks.
TEST_F(LookBehind, WhatIsTooLargeIsNotTakenFromTheCacheAhead) {
  for (int i = 0; i < 8; ++i) tree_.add_file("d" + std::to_string(i) + "/file", "x");
  for (int i = 0; i < 10'100; ++i) tree_.add_file("d5/" + std::to_string(i), "x");
  origin_.set_change([this](const std::string& path, NodeInfo&) {
    if (path.find('/') == std::string::npos) time_.time.advance(std::chrono::milliseconds(2));
  });
  start({.immutable = true});
  const auto open_all = [&](const std::string& from, const std::string& to) {
    for (const Listed& one : list(fuse::kRootNode, 0)) {
      if (one.name >= from && one.name <= to) (void)list(NodeId(one.entry.nodeid), 0);
    }
  };
  open_all("d0", "d7");
  restart();
  const auto stored = [this] { return fs_->counters().stored_listings.get(); };
  open_all("d0", "d1");
  EXPECT_TRUE(wait_for([&] { return fs_->counters().ahead_wasted.get() > 0; }));
  EXPECT_TRUE(wait_for([&] { return stored() >= 8; })) << stored();
  EXPECT_EQ(stored(), 8U) << "the root and 7 of 8";
  EXPECT_EQ(fs_->counters().listings.get(), 0U);
  open_all("d5", "d5");
  EXPECT_EQ(stored(), 9U);
  EXPECT_EQ(fs_->counters().listings.get(), 0U) << "nor was it asked of the origin";
}

TEST_F(LookBehind, AnOldNameIsShownWithoutWaitingAndLookedAtBehindIt) {
  write("a", "12345");
  start_behind();
  EXPECT_EQ(look_up("a").attr.size, 5U);
  time_.time.advance(hours(1));
  tree_.write("a", "longer than before");
  origin_.hold();
  EXPECT_EQ(look_up("a").attr.size, 5U);
  origin_.release();
  EXPECT_TRUE(becomes([&] { return look_up("a").attr.size == 18; }));
}

// However often: each second one asks, and the look takes longer.
TEST_F(LookBehind, WhatIsAskedForAgainIsShownUntilTheLookIsBack) {
  write("a", "12345");
  start({.metadata_ttl = seconds(2), .revalidate_behind = true});
  (void)list();
  time_.time.advance(hours(1));
  rewrite("a", "longer than before");
  origin_.hold();
  for (int i = 0; i < 5; ++i) {
    const std::vector<Listed> shown = list();
    ASSERT_EQ(names_of(shown), std::vector<std::string>{"a"});
    EXPECT_EQ(shown[2].entry.attr.size, 5U);
    EXPECT_TRUE(origin_.wait_held(1));
    time_.time.advance(seconds(2));
  }
  EXPECT_EQ(fs_->counters().listings.get(), 2U) << "one behind all of them";
  origin_.release();
  // Although its name was shown meanwhile, which is no look at it.
  EXPECT_TRUE(wait_for([&] { return fs_->counters().versions_changed.get() == 1; }));
  EXPECT_EQ(list()[2].entry.attr.size, 18U);
}

TEST_F(LookBehind, AnOpenLooksFirst) {
  write("a", "12345");
  start_behind();
  const NodeId node(look_up("a").nodeid);
  time_.time.advance(hours(1));
  rewrite("a", "longer than before");
  EXPECT_EQ(open(node).error, ESTALE) << "another version: the kernel looks the name up again";
  EXPECT_EQ(look_up("a").attr.size, 18U);
}

// As open(2) asks: for the name, and then for the file.  What was shown is no look at it, whether
// it comes from the memory or from the cache, by its name or with its directory.
TEST_F(LookBehind, AnOpenLooksFirstAlsoIfItsNameWasJustShown) {
  write("a", "12345");
  start_behind();
  (void)list();
  std::string bytes = "12345";
  for (const bool is_restarted : {false, true}) {
    for (const bool is_listed : {false, true}) {
      if (is_restarted) {
        restart(hours(1));
      } else {
        time_.time.advance(hours(1));
      }
      const size_t shown = bytes.size();
      rewrite("a", bytes += " and more");
      origin_.hold();
      const bool with_others = is_listed || is_restarted;
      if (with_others) {
        EXPECT_EQ(list().at(2).entry.attr.size, shown);
      }
      const proto::EntryOut found = look_up("a");
      EXPECT_EQ(found.attr.size, shown) << "the origin has not answered";
      const uint64_t opening = kernel_->send(Opcode::kOpen, NodeId(found.nodeid), proto::OpenIn{});
      // The look behind what was shown, and that of the open, which joins one at the name.
      EXPECT_TRUE(origin_.wait_held(with_others ? 2 : 1));
      origin_.release();
      EXPECT_EQ(await(opening).error, ESTALE) << "another version: the kernel looks again";
      EXPECT_EQ(look_up("a").attr.size, bytes.size());
      end();
      ASSERT_TRUE(offload_.drain(patience()));
      start(options_);
      (void)list();
      EXPECT_TRUE(becomes([&] { return list()[2].entry.attr.size == bytes.size(); }));
      EXPECT_TRUE(wait_for([&] { return fs_->sizes().looks_behind == 0; }));
    }
  }
}

TEST_F(LookBehind, AnOriginThatIsAwayIsNotCoveredUp) {
  write("a", "12345");
  start_behind();
  (void)look_up("a");
  time_.time.advance(hours(1));
  origin_.set_error(ETIMEDOUT);
  (void)look_up("a");  // shown, and looked at in vain
  EXPECT_TRUE(becomes([&] { return look_up_error("a") == ETIMEDOUT; }));
}

// By whichever name or directory the questions begin.
TEST_F(LookBehind, AfterARestartANameIsShownWithoutWaiting) {
  write("dir/a", "12345");
  write("dir/b", "123");
  for (const Duration ttl : {Duration(minutes(10)), Duration(seconds(5))}) {
    start({.metadata_ttl = ttl, .revalidate_behind = true});
    (void)list();
    (void)list(NodeId(look_up("dir").nodeid));
    restart(hours(1));
    origin_.hold();
    const NodeId dir(look_up("dir").nodeid);
    EXPECT_EQ(look_up("a", dir).attr.size, 5U) << "the origin has not answered";
    EXPECT_EQ(look_up("b", dir).attr.size, 3U);
    EXPECT_EQ(names_of(list(dir)), (std::vector<std::string>{"a", "b"}));
    EXPECT_TRUE(origin_.wait_held(3)) << "but is asked";
    end();
    ASSERT_TRUE(offload_.drain(patience()));
    time_.time.advance(hours(1));
  }
}

// What nobody waits for is tried once; and who joins it waits as who asks does.
TEST_F(LookBehind, LooksBehindDoNotWaitForTheOrigin) {
  write("a", "12345");
  start({.metadata_ttl = seconds(5), .revalidate_behind = true, .on_error = OnError::kWait});
  (void)list();
  const NodeId node(look_up("a").nodeid);
  for (const bool is_listing : {false, true}) {
    time_.time.advance(hours(1));
    origin_.hold();
    if (is_listing) {
      EXPECT_EQ(names_of(list()), std::vector<std::string>{"a"});
    } else {
      EXPECT_EQ(look_up("a").attr.size, 5U);
    }
    ASSERT_TRUE(origin_.wait_held(1));
    // An open joins it; and who lists, if he is shown nothing.
    if (is_listing) fs_->drop("");
    const uint64_t before = fs_->counters().coalesced.get();
    const uint64_t joined = kernel_->send(is_listing ? Opcode::kOpendir : Opcode::kOpen,
                                          is_listing ? fuse::kRootNode : node, proto::OpenIn{});
    EXPECT_TRUE(wait_for([&] { return fs_->counters().coalesced.get() == before + 1; }));
    const uint64_t failed = fs_->counters().origin_errors.get();
    origin_.set_error(ETIMEDOUT);
    origin_.release();
    EXPECT_TRUE(wait_for([&] { return fs_->counters().origin_errors.get() > failed; }));
    origin_.set_error(0);
    EXPECT_EQ(await(joined).error, 0);
  }
  // Without anybody.
  time_.time.advance(hours(1));
  origin_.set_error(ETIMEDOUT);
  const uint64_t before = stats();
  EXPECT_EQ(look_up("a").attr.size, 5U);
  EXPECT_TRUE(wait_for([&] { return stats() == before + 1; }));
  const MonoTime until = Clock::system().now() + std::chrono::milliseconds(100);
  (void)wait_for([&] { return stats() > before + 1 || Clock::system().now() > until; });
  EXPECT_EQ(stats(), before + 1) << "nobody asks";
}

// The first who asks after that is shown what was known, and the next is told.
TEST_F(LookBehind, WhatTheOriginRefusesIsShownNoMore) {
  write("dir/a", "12345");
  start({.metadata_ttl = seconds(2), .revalidate_behind = true});
  const NodeId dir(look_up("dir").nodeid);
  (void)list(dir);
  for (const int refusal : {EACCES, EIO}) {
    time_.time.advance(hours(1));
    origin_.set_error(refusal);
    EXPECT_EQ(names_of(list(dir)), (std::vector<std::string>{"a"}));
    EXPECT_TRUE(becomes([&] { return open_directory(dir).error == refusal; }));
    EXPECT_TRUE(becomes([&] { return look_up_error("a", dir) == refusal; }));
    EXPECT_TRUE(becomes([&] { return get_attributes(fuse::kRootNode).error == refusal; }));
    origin_.set_error(0);
    EXPECT_EQ(get_attributes(fuse::kRootNode).error, 0);
    EXPECT_EQ(names_of(list(dir)), (std::vector<std::string>{"a"}));
    EXPECT_EQ(look_up("a", dir).attr.size, 5U);
  }
}

// It was taken from there by itself before.
TEST_F(LookBehind, WhatTheOriginRefusedIsNotShownAgainByAListingFromTheCache) {
  write("dir/a", "12345");
  write("dir/b", "12345");
  start({.metadata_ttl = seconds(2), .revalidate_behind = true});
  (void)list(NodeId(look_up("dir").nodeid));
  restart(hours(1));
  const uint64_t stats_before = stats();
  const NodeId dir(look_up("dir").nodeid);
  EXPECT_TRUE(wait_for([&] { return stats() > stats_before; }));
  EXPECT_EQ(get_attributes(dir).error, 0);
  origin_.set_error(EACCES);
  EXPECT_EQ(look_up("a", dir).attr.size, 5U);
  EXPECT_TRUE(becomes([&] { return look_up_error("a", dir) == EACCES; }));
  origin_.hold();
  for (const Listed& one : list(dir)) {
    EXPECT_EQ(one.entry.nodeid != 0, one.name == "b") << one.name;
  }
  EXPECT_EQ(fs_->counters().stored_listings.get(), 1U);
}

// After some that were looked at one by one, or faster than that goes.
TEST_F(LookBehind, ManyNamesOfADirectoryAreLookedAtByOneListing) {
  constexpr int kNames = 100;
  for (int i = 0; i < kNames; ++i) tree_.add_file(std::to_string(i), "x");
  start_behind();
  (void)list();
  for (const bool at_once : {false, true}) {
    time_.time.advance(hours(1));
    const std::string bytes = at_once ? "longest" : "longer";
    tree_.write("99", bytes);
    const uint64_t stats_before = stats();
    const uint64_t lists_before = lists();
    if (at_once) origin_.hold();
    for (int i = 0; i < kNames; ++i) {
      (void)look_up(std::to_string(i));
      if (!at_once && i < 8) {
        EXPECT_TRUE(wait_for([&] { return stats() > stats_before + static_cast<uint64_t>(i); }));
      }
    }
    origin_.release();
    EXPECT_TRUE(wait_for([&] { return lists() == lists_before + 1; }));
    EXPECT_TRUE(wait_for([&] { return look_up("99").attr.size == bytes.size(); }));
    EXPECT_LE(stats(), stats_before + 20);
    EXPECT_EQ(lists(), lists_before + 1);
    // It is over: how long it takes counts the next time, and time goes on.
    EXPECT_TRUE(wait_for([&] { return fs_->sizes().looks_behind == 0; }));
  }
}

TEST_F(LookBehind, WhoWalksDoesNotWaitForLooksThatNobodyWaitsFor) {
  constexpr int kOld = 40;
  for (int i = 0; i < kOld; ++i) tree_.add_file("old/" + std::to_string(i), "x");
  for (int i = 0; i < 20; ++i) tree_.add_file("d" + std::to_string(100 + i) + "/file", "x");
  std::atomic<bool> go{false};
  std::atomic<bool> hanging{false};
  origin_.set_change([&](const std::string& path, NodeInfo&) {
    if (path.starts_with("old/") && hanging) {
      EXPECT_TRUE(wait_for([&] { return go.load(); }));
    }
    if (path.find('/') == std::string::npos) time_.time.advance(std::chrono::milliseconds(2));
  });
  start_behind();
  const NodeId old(look_up("old").nodeid);
  for (int i = 0; i < kOld; ++i) (void)look_up(std::to_string(i), old);
  const std::vector<Listed> top = list();
  time_.time.advance(minutes(11));
  hanging = true;
  for (int i = 0; i < kOld; ++i) (void)look_up(std::to_string(i), old);
  for (const Listed& one : top) {
    if (!one.name.starts_with("d")) continue;
    EXPECT_EQ(names_of(list(NodeId(one.entry.nodeid))).size(), 1U) << one.name;
  }
  EXPECT_GT(fs_->counters().ahead_used.get(), 0U);
  go = true;
  end();
}

// In a directory that nobody has listed each is shown by itself.
TEST_F(LookBehind, ANameThatWasShownByItselfTakesNoMemoryOfItsOwn) {
#if NETFS_ADDRESS_SANITIZER || NETFS_THREAD_SANITIZER
  GTEST_SKIP() << "SKIPPED: a sanitizer's allocator does not count as the C library's does";
#endif
  constexpr int kNames = 4000;
  for (int i = 0; i < kNames; ++i) tree_.add_file(std::to_string(i), "x");
  start_behind();
  const auto look_at_all = [&] {
    time_.time.advance(hours(5));
    const uint64_t looks = fs_->counters().revalidations.get();
    for (int i = 0; i < kNames; ++i) EXPECT_EQ(look_up(std::to_string(i)).attr.size, 1U);
    EXPECT_TRUE(wait_for([&] { return fs_->counters().revalidations.get() >= looks + kNames; }));
  };
  look_at_all();
  const size_t before = mallinfo2().uordblks;
  look_at_all();
  EXPECT_EQ(fs_->counters().shown_first.get(), static_cast<uint64_t>(kNames));
  EXPECT_LT(mallinfo2().uordblks, before + kNames * size_t{32});
}

}  // namespace
}  // namespace netfs::vfs
