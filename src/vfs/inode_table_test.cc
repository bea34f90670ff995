#include "vfs/inode_table.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <set>

#include "base/sanitizer.h"
#include "vfs/limits.h"

namespace netfs::vfs {
namespace {

NodeInfo info_of(FileType type, const std::string& version, const std::string& identity = {}) {
  NodeInfo info;
  info.attributes.type = type;
  info.attributes.permissions = 0644;
  info.validator = {.strength = ValidatorStrength::kWeak, .bytes = version, .changed_at = {}};
  info.identity = identity;
  return info;
}
NodeInfo file_of(const std::string& version, const std::string& identity = {}) {
  return info_of(FileType::kRegular, version, identity);
}
NodeInfo directory_of(const std::string& identity = {}) {
  return info_of(FileType::kDirectory, "d", identity);
}

Ref<ArenaMemory> memory() {
  return ArenaMemory::create(InodeTable::kLayout).value();
}

struct TableTest : testing::Test {
  Counters counters;
  Graveyard graveyard;
  InodeTable table{memory(), "volume", directory_of(), 9, MonoTime{}, counters};

  Node& add(Node& parent, std::string_view name, NodeInfo info) REQUIRES(table.mutex) {
    return table.adopt(parent, name, std::move(info), MonoTime{}, graveyard);
  }
};

TEST_F(TableTest, ForgettingTheLastLookupOfAnUnlistedNodeFreesIt) {
  sync::MutexLock lock(table.mutex);
  Node& node = add(table.root(), "file", file_of("1"));
  const fuse::NodeId id = table.id(node);
  table.add_lookup(node);
  table.add_lookup(node);
  table.set_absent(table.root(), "file", MonoTime{}, graveyard);
  EXPECT_EQ(table.find(id), &node);
  table.forget(id, 1, graveyard);
  EXPECT_EQ(table.find(id), &node);
  table.forget(id, 1, graveyard);
  EXPECT_EQ(table.find(id), nullptr);
  EXPECT_EQ(table.node_count(), 1U);
}

TEST_F(TableTest, ForgettingMoreThanWasLookedUpHarmsNobody) {
  sync::MutexLock lock(table.mutex);
  Node& node = add(table.root(), "file", file_of("1"));
  const fuse::NodeId id = table.id(node);
  table.add_lookup(node);
  table.forget(id, 1000, graveyard);
  table.forget(id, 1, graveyard);
  table.forget(fuse::kRootNode, 1, graveyard);
  table.forget(fuse::NodeId(uint64_t{55} << 48), 1, graveyard);
  EXPECT_EQ(table.find(id), &node) << "its directory lists it";
  EXPECT_NE(table.find(fuse::kRootNode), nullptr);
  EXPECT_EQ(table.forgotten(), 1U);
}

TEST_F(TableTest, NodeidsAreNeverUsedAgain) {
  sync::MutexLock lock(table.mutex);
  std::set<uint64_t> ids;
  for (int i = 0; i < 1000; ++i) {
    Node& node = add(table.root(), "file", file_of(std::to_string(i)));
    EXPECT_TRUE(ids.insert(table.id(node).value).second);
  }
  EXPECT_EQ(table.node_count(), 2U) << "their records are";
}

TEST_F(TableTest, AnotherEpochKnowsNoneOfTheOldNodeids) {
  Counters other_counters;
  InodeTable other(memory(), "volume", directory_of(), 10, MonoTime{}, other_counters);
  fuse::NodeId id{};
  uint64_t ino = 0;
  {
    sync::MutexLock lock(table.mutex);
    const Node& node = add(table.root(), "file", file_of("1"));
    id = table.id(node);
    ino = table.record(node).ino;
  }
  fuse::NodeId same_id{};
  {
    sync::MutexLock lock(other.mutex);
    const Node& same = other.adopt(other.root(), "file", file_of("1"), MonoTime{}, graveyard);
    same_id = other.id(same);
    EXPECT_EQ(other.find(id), nullptr);
    EXPECT_EQ(ino, other.record(same).ino) << "st_ino is stable";
  }
  sync::MutexLock lock(table.mutex);
  EXPECT_EQ(table.find(same_id), nullptr);
  EXPECT_EQ(other_counters.stale_nodes.get(), 1U);
}

TEST_F(TableTest, VersionsShareTheInodeNumberAndNamesWithOneIdentityDo) {
  sync::MutexLock lock(table.mutex);
  Node& one = add(table.root(), "file", file_of("1", "id"));
  table.add_lookup(one);
  Node& two = add(table.root(), "file", file_of("2", "id"));
  Node& link = add(table.root(), "link", file_of("2", "id"));
  EXPECT_NE(table.id(one), table.id(two));
  EXPECT_EQ(table.record(one).ino, table.record(two).ino);
  EXPECT_EQ(table.record(one).ino, table.record(link).ino);
  EXPECT_FALSE(InodeTable::is_current(one));
  EXPECT_TRUE(InodeTable::is_current(two));
}

TEST_F(TableTest, WhatAReplacedDirectoryListedIsNotCurrent) {
  sync::MutexLock lock(table.mutex);
  Node& dir = add(table.root(), "dir", directory_of("1"));
  Node& sub = add(dir, "sub", directory_of("2"));
  Node& file = add(sub, "file", file_of("1", "3"));
  table.add_lookup(file);
  const fuse::NodeId id = table.id(file);
  Node& other = add(table.root(), "dir", directory_of("4"));
  EXPECT_FALSE(InodeTable::is_current(file));
  EXPECT_EQ(InodeTable::path_of(file), "dir/sub/file");
  EXPECT_EQ(table.child(other, "sub"), nullptr);
  table.forget(id, 1, graveyard);
  EXPECT_EQ(table.node_count(), 2U) << "all of the old tree has gone";
}

TEST_F(TableTest, AHandleKeepsItsNodeAndHandleIdsAreNotUsedAgain) {
  sync::MutexLock lock(table.mutex);
  Node& node = add(table.root(), "file", file_of("1"));
  const fuse::NodeId id = table.id(node);
  const fuse::HandleId handle = table.open_handle(node, OpenMode::kDaemon, graveyard);
  table.set_absent(table.root(), "file", MonoTime{}, graveyard);
  EXPECT_EQ(table.find(id), &node);
  table.close_handle(handle, graveyard);
  EXPECT_EQ(table.find(id), nullptr);
  EXPECT_EQ(table.handle(handle), nullptr);
  Node& next = add(table.root(), "file", file_of("1"));
  EXPECT_NE(table.open_handle(next, OpenMode::kDaemon, graveyard), handle);
}

// Then the cache's names of the directory, seen before that, may be older than what was shown.
TEST_F(TableTest, TheSweeperLeavesAMarkWhereANameWentThatWasLookedAtSinceTheListing) {
  sync::MutexLock lock(table.mutex);
  for (const bool is_newer : {false, true}) {
    Node& directory = add(table.root(), is_newer ? "d2" : "d1", directory_of());
    directory.directory->kept.listed_until = MonoTime(std::chrono::seconds(5));
    directory.directory->kept.ask = directory.directory->kept.ask_old = false;
    directory.directory->listing = make_ref<Listing>();
    const MonoTime seen(std::chrono::seconds(is_newer ? 6 : 5));
    table.adopt(directory, "file", file_of("1"), seen, graveyard);
    table.add_lookup(directory);
    for (int i = 0; i < 4; ++i) table.sweep(0, graveyard);
    ASSERT_EQ(table.child(directory, "file"), nullptr);
    EXPECT_EQ(directory.directory->kept.swept_newer, is_newer);
    EXPECT_TRUE(directory.directory->kept.ask && directory.directory->kept.ask_old);
  }
}

// A directory that is swept itself takes nothing of that with it.
TEST_F(TableTest, TheSweeperLeavesAMarkWhereADirectoryWentOfWhichTheCacheIsNotBelieved) {
  sync::MutexLock lock(table.mutex);
  const auto mark = [](KeptNames& kept, int how) {
    (how == 1 ? kept.of_another : how == 2 ? kept.others_went : kept.swept_newer) = how > 0;
  };
  for (int how = 0; how < 5; ++how) {
    Node& above = add(table.root(), "d" + std::to_string(how), directory_of());
    table.add_lookup(above);
    Node& sub = add(above, "sub", directory_of());
    if (how < 4) mark(sub.directory->kept, how);
    if (how == 4) add(sub, "file", file_of("1"));
    if (how == 4) table.set_absent(sub, "file", MonoTime{}, graveyard);
    for (int i = 0; i < 4; ++i) table.sweep(0, graveyard);
    ASSERT_EQ(table.child(above, "sub"), nullptr);
    EXPECT_EQ(add(above, "sub", directory_of()).directory->kept.of_another, how > 0) << how;
  }
}

TEST_F(TableTest, TheSweeperTakesWhatNobodyHolds) {
  sync::MutexLock lock(table.mutex);
  constexpr int kNodes = 1000;
  std::vector<fuse::NodeId> held;
  for (int i = 0; i < kNodes; ++i) {
    Node& node = add(table.root(), "f" + std::to_string(i), file_of("1"));
    if (i % 10 != 0) continue;
    table.add_lookup(node);
    held.push_back(table.id(node));
  }
  for (int i = 0; i < 10 && table.unreferenced_count() > 50; ++i) table.sweep(50, graveyard);
  EXPECT_EQ(table.unreferenced_count(), 50U);
  for (const fuse::NodeId id : held) EXPECT_NE(table.find(id), nullptr);
  // While the kernel holds more than the bound, there is nothing to do and nothing is looked at.
  table.sweep(50, graveyard);
  EXPECT_EQ(table.node_count(), held.size() + 1 + 50);
}

TEST_F(TableTest, AbsentNamesAreBounded) {
  sync::MutexLock lock(table.mutex);
  for (size_t i = 0; i < kAbsentNamesMax + 10; ++i) {
    table.set_absent(table.root(), "f" + std::to_string(i), MonoTime{}, graveyard);
  }
  EXPECT_LE(table.root().directory->absent.size(), kAbsentNamesMax);
  EXPECT_TRUE(table.root().directory->absent.contains("f" + std::to_string(kAbsentNamesMax + 9)));
}

// What a mount of SFTP or a local folder knows of each name: a validator and an identity of some 24
// bytes, and its place in a listing.
TEST_F(TableTest, AKnownNameTakesLessThanSixHundredBytes) {
#if NETFS_ADDRESS_SANITIZER || NETFS_THREAD_SANITIZER
  GTEST_SKIP() << "SKIPPED: a sanitizer's allocator does not count as the C library's does";
#endif
  constexpr size_t kNames = 100'000;
  const size_t before = mallinfo2().uordblks;
  sync::MutexLock lock(table.mutex);
  Ref<Listing> listing = make_ref<Listing>();
  for (size_t i = 0; i < kNames; ++i) {
    const std::string number = std::to_string(1'000'000 + i);
    Node& node = add(table.root(), "some-file-name-" + number,
                     file_of("1600000000.4096." + number, "8:1:" + number + ":1600000000"));
    listing->entries.push_back({.name_offset = static_cast<uint32_t>(listing->names.size()),
                                .name_bytes = 22,
                                .type = FileType::kRegular,
                                .ino = table.record(node).ino,
                                .node = table.id(node)});
    listing->names += node.name;
  }
  listing->entries.shrink_to_fit();
  listing->names.shrink_to_fit();
  // Records lie in mapped memory, which mallinfo does not count.
  const size_t bytes = mallinfo2().uordblks - before + kNames * sizeof(NodeRecord);
  RecordProperty("bytes_per_name", static_cast<int>(bytes / kNames));
  EXPECT_LT(bytes / kNames, 600U);
}

TEST(InodeNumbers, SipHashIsTheOneOfItsAuthors) {
  // Key 00..0f, data 00..0e: the example in the paper's appendix.
  std::string data;
  for (char c = 0; c < 15; ++c) data += c;
  EXPECT_EQ(sip_hash({0x0706050403020100, 0x0f0e0d0c0b0a0908}, data), 0xa129ca6149be45e5U);
}

TEST(InodeNumbers, TheSameVolumeAndIdentityGiveTheSameNumberEveryTime) {
  InodeNumbers one("sftp://host/tree");
  InodeNumbers again("sftp://host/tree");
  InodeNumbers other("sftp://host/other");
  EXPECT_EQ(one.acquire("ifile"), again.acquire("ifile"));
  EXPECT_NE(one.acquire("ifile"), other.acquire("ifile"));
  EXPECT_NE(one.acquire("ifile"), one.acquire("pfile"));
}

TEST(InodeNumbers, CollisionsAreToldApartWhileBothAreKnown) {
  // With 8 bits of hash there are plenty.
  InodeNumbers numbers("volume", 8);
  std::set<uint64_t> seen;
  for (int i = 0; i < 200; ++i) {
    EXPECT_TRUE(seen.insert(numbers.acquire(std::to_string(i))).second) << i;
  }
  EXPECT_GT(numbers.collisions(), 0U);
  EXPECT_EQ(seen.count(0), 0U);
  for (const uint64_t number : seen) numbers.release(number);
}

// On a mount that can be written to.
struct WritableTableTest : TableTest {
  InodeTable written{memory(),   "volume", directory_of(),          11,
                     MonoTime{}, counters, Options::Write::kThrough};

  static NodeInfo linked(const std::string& version, uint32_t links) {
    NodeInfo info = file_of(version, "id");
    info.attributes.link_count = links;
    return info;
  }
};

TEST_F(WritableTableTest, NamesOfOneFileAreOneNodeUntilTheLastGoes) {
  sync::MutexLock lock(written.mutex);
  Node& directory = written.adopt(written.root(), "d", directory_of(), MonoTime{}, graveyard);
  Node& node = written.adopt(written.root(), "a", linked("1", 2), MonoTime{}, graveyard);
  Node& same = written.adopt(directory, "b", linked("1", 2), MonoTime{}, graveyard);
  EXPECT_EQ(&node, &same);
  EXPECT_EQ(written.child(directory, "b"), &node);
  EXPECT_NE(written.entry(directory, "b"), &node) << "its directory has an alias";
  // The name it stands under goes: the other one takes its place.
  written.remove_name(written.root(), "a", MonoTime{}, graveyard);
  EXPECT_EQ(InodeTable::path_of(node), "d/b");
  EXPECT_TRUE(InodeTable::is_current(node));
  EXPECT_EQ(node.attributes.link_count, 1U);
  EXPECT_EQ(written.child(written.root(), "a"), nullptr);
  EXPECT_EQ(node.seldom_part().aliases.size(), 0U);
}

// In either order of the set that holds them.
TEST_F(WritableTableTest, ADirectoryGoesWithAllNamesOfOneFileInIt) {
  sync::MutexLock lock(written.mutex);
  Node& directory = written.adopt(written.root(), "d", directory_of("1"), MonoTime{}, graveyard);
  for (unsigned i = 0; i < 40; ++i) {
    const std::string number = std::to_string(i);
    for (const char* name : {"a", "b", "c"}) {
      written.adopt(directory, name + number, file_of("1", "file " + number), MonoTime{},
                    graveyard);
    }
  }
  written.set_absent(written.root(), "d", MonoTime{}, graveyard);
  EXPECT_EQ(written.node_count(), 1U);
}

TEST_F(WritableTableTest, WhatWeChangedUnseenIsNoOtherVersionWhenItIsSeen) {
  sync::MutexLock lock(written.mutex);
  Node& root = written.root();
  Node& node = written.adopt(root, "a", linked("1", 2), MonoTime{}, graveyard);
  written.add_lookup(node);
  written.adopt(root, "b", linked("1", 2), MonoTime{}, graveyard);
  // A name goes, and with it the file's change time is another: a version, were it not ours.
  written.remove_name(root, "a", MonoTime{}, graveyard);
  EXPECT_EQ(&written.adopt(root, "b", linked("2", 1), MonoTime{}, graveyard), &node);
  // The next change is somebody else's.
  EXPECT_NE(&written.adopt(root, "b", linked("3", 1), MonoTime{}, graveyard), &node);
}

TEST_F(WritableTableTest, ARenamedNodeKeepsItsIdAndNumberAndNobodyGetsThem) {
  sync::MutexLock lock(written.mutex);
  Node& root = written.root();
  Node& moved = written.adopt(root, "a", file_of("1"), MonoTime{}, graveyard);
  written.add_lookup(moved);
  const fuse::NodeId id = written.id(moved);
  const uint64_t ino = written.record(moved).ino;
  written.rename(root, "a", root, "b", MonoTime{}, graveyard);
  EXPECT_EQ(written.child(root, "b"), &moved);
  EXPECT_EQ(written.child(root, "a"), nullptr);
  EXPECT_EQ(written.id(moved), id);
  const Node& fresh = written.adopt(root, "a", file_of("2"), MonoTime{}, graveyard);
  EXPECT_NE(written.record(fresh).ino, ino) << "two files that are known never share a number";
  EXPECT_EQ(written.record(moved).ino, ino);
}

TEST_F(WritableTableTest, WhatARenameReplacesIsNotCurrentAndTreesMoveWhole) {
  sync::MutexLock lock(written.mutex);
  Node& root = written.root();
  Node& from = written.adopt(root, "from", directory_of(), MonoTime{}, graveyard);
  Node& to = written.adopt(root, "to", directory_of(), MonoTime{}, graveyard);
  written.add_lookup(to);
  Node& file = written.adopt(from, "f", file_of("1"), MonoTime{}, graveyard);
  written.rename(root, "from", root, "to", MonoTime{}, graveyard);
  EXPECT_FALSE(InodeTable::is_current(to));
  EXPECT_TRUE(InodeTable::is_current(file));
  EXPECT_EQ(InodeTable::path_of(file), "to/f");
  EXPECT_TRUE(root.doubted) << "its attributes have changed";
}

TEST_F(WritableTableTest, ExchangedNamesLeadToEachOthersNodes) {
  sync::MutexLock lock(written.mutex);
  Node& root = written.root();
  Node& directory = written.adopt(root, "d", directory_of(), MonoTime{}, graveyard);
  Node& a = written.adopt(root, "a", file_of("1"), MonoTime{}, graveyard);
  Node& b = written.adopt(directory, "b", file_of("2"), MonoTime{}, graveyard);
  written.exchange(root, "a", directory, "b", graveyard);
  EXPECT_EQ(written.child(root, "a"), &b);
  EXPECT_EQ(written.child(directory, "b"), &a);
  EXPECT_EQ(InodeTable::path_of(a), "d/b");
}

TEST_F(WritableTableTest, AHiddenFileHasNoNameHereAndGetsItBack) {
  sync::MutexLock lock(written.mutex);
  Node& root = written.root();
  Node& node = written.adopt(root, "a", file_of("1"), MonoTime{}, graveyard);
  const fuse::HandleId handle = written.open_handle(node, OpenMode::kDaemon, graveyard);
  written.hide(node, ".netfs-1");
  EXPECT_EQ(written.child(root, "a"), nullptr);
  EXPECT_EQ(InodeTable::path_of(node), ".netfs-1");
  written.show_again(node, "a", graveyard);
  EXPECT_EQ(written.child(root, "a"), &node);
  written.hide(node, ".netfs-2");
  written.close_handle(handle, graveyard);
  EXPECT_EQ(graveyard.leaving, std::vector<fuse::NodeId>{written.id(node)});
  EXPECT_EQ(InodeTable::path_of(node), ".netfs-2");
}

TEST_F(WritableTableTest, AHiddenFileIsKeptUntilTheChangeThatHidItHasEnded) {
  sync::MutexLock lock(written.mutex);
  Node& node = written.adopt(written.root(), "file", file_of("1"), MonoTime{}, graveyard);
  const fuse::NodeId id = written.id(node);
  const fuse::HandleId handle = written.open_handle(node, OpenMode::kDaemon, graveyard);
  ++node.seldom_part().going;
  written.hide(node, ".hidden");
  written.close_handle(handle, graveyard);
  EXPECT_TRUE(graveyard.leaving.empty()) << "it may yet get its name back";
  ASSERT_EQ(written.find(id), &node);
  written.name_is_settled(node, graveyard);
  EXPECT_EQ(graveyard.leaving, std::vector<fuse::NodeId>{id});
  written.has_left(id, graveyard);
  EXPECT_EQ(written.find(id), nullptr);
}

}  // namespace
}  // namespace netfs::vfs
