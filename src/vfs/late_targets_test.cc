// Targets of links that are read once their directory was stored, as in every first walk.

#include <algorithm>
#include <atomic>
#include <iterator>
#include <optional>
#include <string>

#include "netfs/names_record.h"
#include "sync/thread.h"
#include "vfs/limits.h"
#include "vfs/testing/stored_names_fixture.h"

namespace netfs::vfs {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

class LateTargets : public StoredNames {
 protected:
  ~LateTargets() override { cache_.unblock_stores(); }
  std::string target(NodeId link) {
    return std::string(
        await(kernel_->send(Opcode::kReadlink, link, std::span<const std::byte>())).text());
  }
  std::string target_of(const std::string& name, NodeId parent = fuse::kRootNode) {
    return target(NodeId(look_up(name, parent).nodeid));
  }
  std::vector<Listed> list_all(NodeId directory = fuse::kRootNode) {
    return options_.immutable ? list(directory, 0) : list(directory);
  }
  [[nodiscard]] uint64_t links() { return origin_.counts().links; }
  // What the cache has of one name; nothing: no record, or not that name.
  std::optional<StoredName> stored(const std::string& path, const std::string& name) {
    const Result<std::string> bytes = names_->load(path);
    if (!bytes.ok()) return {};
    std::optional<NamesDecoder> decoder = NamesDecoder::open(bytes.value(), path);
    while (std::optional<StoredName> one = decoder ? decoder->next() : std::nullopt) {
      if (one->entry.name == name) return one;
    }
    return {};
  }
  std::string stored_target(const std::string& path, const std::string& name) {
    const std::optional<StoredName> one = stored(path, name);
    return one && one->target ? *one->target : std::string();
  }
  // The directory's record, as of when it was listed.
  std::optional<NamesHead> stored_head(const std::string& path) {
    const Result<std::string> bytes = names_->load(path);
    const auto decoder = bytes.ok() ? NamesDecoder::open(bytes.value(), path) : std::nullopt;
    return decoder ? decoder->head() : std::optional<NamesHead>();
  }
};

TEST_F(LateTargets, WhatAFirstWalkHasReadTheNextProcessDoesNotAskFor) {
  // What one leaves is too old for the next, or from who would have asked again.
  const Options kinds[] = {{.metadata_ttl = seconds(30), .revalidate_behind = true},
                           {.metadata_ttl = minutes(10)},
                           {.immutable = true}};
  for (const Options& options : kinds) {
    tree_.add_symlink("top", "dir/inner");
    tree_.add_symlink("dir/inner", "../top");
    start(options);
    const auto walk = [&] {
      (void)list_all();
      EXPECT_EQ(target_of("top"), "dir/inner");
      const NodeId dir(look_up("dir").nodeid);
      (void)list_all(dir);
      EXPECT_EQ(target_of("inner", dir), "../top");
    };
    const uint64_t links_before = links();
    walk();
    EXPECT_EQ(links(), links_before + 2);
    restart(seconds(5));
    const uint64_t lists_before = lists();
    walk();
    EXPECT_EQ(links(), links_before + 2);
    EXPECT_EQ(lists(), lists_before);
    end();
    ASSERT_TRUE(offload_.drain(patience()));
    time_.time.advance(hours(1));
  }
}

// The process may be killed at any moment.
TEST_F(LateTargets, TheyAreStoredWhileTheProcessLives) {
  tree_.add_symlink("one", "a");
  tree_.add_symlink("two", "b");
  tree_.add_symlink("dir/three", "c");
  start({.metadata_ttl = minutes(10)});
  (void)list();
  EXPECT_EQ(target_of("one"), "a");
  time_.time.advance(kHeldRecordsFor);
  EXPECT_TRUE(wait_for([&] { return stored_target("", "one") == "a"; }));
  // The next one waits longer, or each would cost a record of the whole directory.
  EXPECT_EQ(target_of("two"), "b");
  time_.time.advance(kNamesResave);
  EXPECT_TRUE(wait_for([&] { return stored_target("", "two") == "b"; }));
  EXPECT_EQ(stored_target("", "one"), "a");
  // What was just read is stored where the mount ends.
  const NodeId dir(look_up("dir").nodeid);
  (void)list(dir);
  EXPECT_EQ(target_of("three", dir), "c");
  end();
  ASSERT_TRUE(offload_.drain(patience()));
  EXPECT_EQ(stored_target("dir", "three"), "c");
}

// A record that another process has left, too, and only what it lacks.
TEST_F(LateTargets, WhatALaterProcessReadsJoinsWhatAnEarlierOneHas) {
  tree_.add_symlink("one", "a");
  tree_.add_symlink("two", "b");
  start({.immutable = true});
  (void)list_all();
  EXPECT_EQ(target_of("one"), "a");
  restart();
  (void)list_all();
  EXPECT_EQ(target_of("two"), "b");
  restart();
  EXPECT_EQ(target_of("one"), "a");
  EXPECT_EQ(target_of("two"), "b") << "of a directory of which single names were taken";
  EXPECT_EQ(links(), 2U);
  EXPECT_EQ(lists(), 1U);
  const uint64_t stores = cache_.counts().stores;
  restart();
  EXPECT_EQ(target_of("two"), "b");
  restart();
  EXPECT_EQ(cache_.counts().stores, stores) << "nothing new";
}

TEST_F(LateTargets, NothingElseOfARecordIsYoungerForIt) {
  write("file", "12345");
  tree_.add_symlink("link", "a");
  start({.metadata_ttl = minutes(10)});
  (void)list();
  ASSERT_TRUE(wait_for([&] { return stored_head("").has_value(); }));
  const std::optional<NamesHead> before = stored_head("");
  time_.time.advance(minutes(6));
  // Also of a directory that has changed since.
  rewrite("file", "another version");
  origin_.set_change([](const std::string& path, NodeInfo& info) {
    if (path.empty()) ++info.attributes.mtime.seconds;
  });
  EXPECT_EQ(target_of("link"), "a");
  end();
  ASSERT_TRUE(offload_.drain(patience()));
  EXPECT_EQ(stored_target("", "link"), "a");
  const std::optional<NamesHead> after = stored_head("");
  ASSERT_TRUE(after);
  EXPECT_EQ(after->listed_at, before->listed_at);
  EXPECT_EQ(after->uptime_ns, before->uptime_ns);
  EXPECT_EQ(after->mtime, before->mtime);
  EXPECT_EQ(after->took, before->took);
  EXPECT_EQ(stored("", "file")->entry.info.attributes.size_bytes, 5U);
  time_.time.advance(minutes(5));
  start(options_);
  EXPECT_EQ(look_up("file").attr.size, 15U) << "11 minutes after it was listed";
  (void)list();
  EXPECT_EQ(lists(), 2U);
}

// A target is its version's.
TEST_F(LateTargets, ThatOfAnotherVersionIsNotStoredWithTheOneThatWasListed) {
  std::atomic<int> version{1};
  origin_.set_change([&](const std::string& path, NodeInfo& info) {
    if (path != "link") return;
    info.validator = {.strength = ValidatorStrength::kStrong, .bytes = std::to_string(version)};
  });
  tree_.add_symlink("link", "aaa");
  tree_.add_symlink("other", "bbb");
  start({.metadata_ttl = minutes(1), .on_error = OnError::kStale});
  (void)list();
  tree_.remove("link");
  tree_.add_symlink("link", "ccc");
  ++version;
  time_.time.advance(minutes(2));
  EXPECT_EQ(target_of("link"), "ccc");
  EXPECT_EQ(target_of("other"), "bbb");
  end();
  ASSERT_TRUE(offload_.drain(patience()));
  EXPECT_EQ(stored_target("", "other"), "bbb") << "and that it is stored anew";
  EXPECT_EQ(stored_target("", "link"), "");
}

TEST_F(LateTargets, WhatIsDroppedMeanwhileDoesNotComeBack) {
  for (const std::string path : {"", "link"}) {
    tree_.add_symlink("link", "a");
    volume_->at_room = {};
    const std::string before = stored_version("");
    start({.metadata_ttl = minutes(10)});
    (void)list();
    ASSERT_TRUE(wait_for([&] { return stored_version("") != before; }));
    std::atomic<bool> dropped{false};
    volume_->asked = false;
    volume_->at_room = [&, looked_for = volume_->looked_for.load()] {
      volume_->asked = volume_->looked_for > looked_for;  // between its load and its save
      if (!volume_->asked) return;
      fs_->drop(path);
      dropped = true;
    };
    EXPECT_EQ(target_of("link"), "a");
    time_.time.advance(kHeldRecordsFor);
    EXPECT_TRUE(wait_for([&] { return dropped.load(); }));
    end();
    ASSERT_TRUE(offload_.drain(patience()));
    EXPECT_EQ(stored_target("", "link"), "") << path;
    time_.time.advance(hours(1));
  }
}

// As another mount of the same tree does whose reader meets their end.
TEST_F(LateTargets, WhatAnotherMountHasForgottenDoesNotComeBack) {
  tree_.add_symlink("link", "a");
  start({.metadata_ttl = minutes(10)});
  (void)list();
  ASSERT_TRUE(wait_for([&] { return !stored_version("").empty(); }));
  EXPECT_EQ(target_of("link"), "a");
  names_->forget("");
  time_.time.advance(kHeldRecordsFor);
  ASSERT_TRUE(wait_for([&] { return stored_version("").empty(); }));
  // More than one look at what waits.
  const uint64_t looked_for = volume_->looked_for;
  EXPECT_TRUE(wait_for([&] {
    time_.time.advance(seconds(1));
    return volume_->looked_for > looked_for;
  }));
  EXPECT_EQ(stored_version(""), "");
  end();
  ASSERT_TRUE(offload_.drain(patience()));
  EXPECT_EQ(stored_version(""), "");
}

TEST_F(LateTargets, InAFullCacheNothingIsReadForThem) {
  tree_.add_symlink("link", "a");
  start({.metadata_ttl = minutes(10)});
  (void)list();
  ASSERT_TRUE(wait_for([&] { return !stored_version("").empty(); }));
  cache_.set_room(false);
  EXPECT_EQ(target_of("link"), "a");
  time_.time.advance(kHeldRecordsFor);
  const uint64_t looked_for = volume_->looked_for;
  const uint64_t asks = volume_->asks;
  ASSERT_TRUE(wait_for([&] { return volume_->asks > asks; }));
  EXPECT_EQ(volume_->looked_for, looked_for);
  cache_.set_room(true);
  end();
  ASSERT_TRUE(offload_.drain(patience()));
  EXPECT_EQ(stored_target("", "link"), "a");
}

// Of a disk that answers slowly.
TEST_F(LateTargets, TheEndTakesNoLongerForThemThanTheTimeout) {
  const std::string names[] = {"one", "two"};
  for (const std::string& name : names) tree_.add_symlink(name + "/link", "a");
  start({.timeout = seconds(1), .metadata_ttl = minutes(10)});
  (void)list();
  for (const std::string& name : names) {
    const NodeId directory(look_up(name).nodeid);
    (void)list(directory);
    ASSERT_TRUE(wait_for([&] { return !stored_version(name).empty(); }));
    EXPECT_EQ(target_of("link", directory), "a");
  }
  cache_.block_reads();
  {
    const sync::Thread ender("end", [this] { end(); });
    EXPECT_TRUE(cache_.wait_for_blocked_read(patience()));
    const MonoTime over = Clock::system().now() + options_.timeout;
    EXPECT_TRUE(wait_for([&] { return Clock::system().now() > over; }));
    cache_.unblock_reads();
  }
  ASSERT_TRUE(offload_.drain(patience()));
  const auto is_stored = [&](const std::string& name) {
    return stored_target(name, "link") == "a";
  };
  EXPECT_EQ(std::count_if(std::begin(names), std::end(names), is_stored), 1);
}

TEST_F(LateTargets, AStoreThatStandsStillDelaysNoReaderAndNoEnd) {
  tree_.add_symlink("link", "a");
  cache_.block_stores();
  start({.metadata_ttl = minutes(10)});
  (void)list();
  ASSERT_TRUE(cache_.wait_for_blocked_store(patience()));
  EXPECT_EQ(target_of("link"), "a");
  end();
  cache_.unblock_stores();
  // Both records were on their way; the later one counts.
  ASSERT_TRUE(offload_.drain(patience()));
  EXPECT_EQ(stored_target("", "link"), "a");
}

}  // namespace
}  // namespace netfs::vfs
