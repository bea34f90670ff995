#include "cachefiles/sqlite_index.h"

#include <atomic>
#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <random>
#include <sched.h>

#include "cachefiles/sim_disk.h"
#include "sync/thread.h"

namespace netfs::cachefiles {
namespace {

std::string key_of(int i) {
  return "k" + std::to_string(1000000 + i);
}
std::string value_of(int i) {
  return std::string(50, static_cast<char>('a' + i % 26)) + std::to_string(i);
}

void fill(Index& index, int count) {
  IndexBatch batch;
  for (int i = 0; i < count; ++i) batch.put(key_of(i), value_of(i));
  ASSERT_TRUE(index.apply(batch).ok());
}

TEST(SqliteIndex, AgreesWithAMapUnderRandomBatches) {
  SimDisk disk;
  std::map<std::string, std::string> expected;
  std::mt19937_64 random(1);
  for (int round = 0; round < 4; ++round) {
    const std::unique_ptr<SqliteIndex> index = SqliteIndex::create(disk).value();
    for (int step = 0; step < 50; ++step) {
      IndexBatch batch;
      for (int change = 0; change < 20; ++change) {
        const std::string key = "k" + std::to_string(random() % 300);
        const uint64_t kind = random() % 10;
        if (kind < 7) {
          const std::string value(random() % 6000, static_cast<char>(random()));
          batch.put(key, value);
          expected[key] = value;
        } else if (kind < 9) {
          batch.remove(key);
          expected.erase(key);
        } else {
          batch.remove_prefix(key);
          std::erase_if(expected, [&](const auto& pair) { return pair.first.starts_with(key); });
        }
      }
      ASSERT_TRUE(index->apply(batch).ok());
      const std::string key = "k" + std::to_string(random() % 300);
      const auto found = expected.find(key);
      const std::optional<std::string> got = index->get(key).value();
      ASSERT_EQ(got, found == expected.end() ? std::nullopt : std::optional(found->second));
    }
    std::map<std::string, std::string> scanned;
    ASSERT_TRUE(index
                    ->scan("k1", "k1",
                           [&](std::string_view key, std::string_view value) {
                             scanned.emplace(key, value);
                             return true;
                           })
                    .ok());
    auto under = expected;
    std::erase_if(under, [](const auto& pair) { return !pair.first.starts_with("k1"); });
    ASSERT_EQ(scanned, under);
    if (round == 2) {
      ASSERT_TRUE(index->checkpoint(0).ok());
    }
  }
}

TEST(SqliteIndex, FailedBatchLeavesNothing) {
  SimDisk disk;
  const std::unique_ptr<SqliteIndex> index = SqliteIndex::create(disk).value();
  fill(*index, 100);
  for (const int code : {EIO, ENOSPC}) {
    disk.set_fault([&](SimDisk::Call call, const std::string&) {
      return call == SimDisk::Call::kWrite ? code : 0;
    });
    IndexBatch batch;
    for (int i = 0; i < 200; ++i) batch.put(key_of(i), "changed");
    EXPECT_EQ(index->apply(batch).code(), code);
    disk.set_fault({});
    EXPECT_EQ(index->get(key_of(5)).value(), value_of(5));
    EXPECT_EQ(index->get(key_of(150)).value(), std::nullopt);
  }
}

TEST(SqliteIndex, ReadersNeverOpenAFileForWriting) {
  SimDisk disk;
  { fill(*SqliteIndex::create(disk).value(), 1000); }
  std::vector<std::string> expected = disk.opened_for_writing();
  const uint64_t open_files = disk.open_files();
  const std::unique_ptr<SqliteIndex> index = SqliteIndex::create(disk).value();
  fill(*index, 2000);
  const uint64_t changes = disk.changes();
  for (int i = 0; i < 2000; ++i) EXPECT_EQ(index->get(key_of(i)).value(), value_of(i));
  EXPECT_EQ(disk.changes(), changes);
  // The writer's connection alone has the tables and their log; each reader has both open as well.
  expected.insert(expected.end(), {"index", "index-wal"});
  EXPECT_EQ(disk.opened_for_writing(), expected);
  EXPECT_GE(disk.open_files(), open_files + 4);
}

TEST(SqliteIndex, ReadersGoOnWhileTheWriterWaitsForTheDisk) {
  SimDisk disk;
  const std::unique_ptr<SqliteIndex> index = SqliteIndex::create(disk).value();
  fill(*index, 1000);
  // The writer stands still in each of its calls of the disk in turn until the reader has read.
  for (const SimDisk::Call where : {SimDisk::Call::kWrite, SimDisk::Call::kSync}) {
    for (const bool checkpoint : {false, true}) {
      std::atomic<bool> stuck{false};
      std::atomic<bool> go{false};
      disk.set_fault([&](SimDisk::Call call, const std::string&) {
        if (call != where || go) return 0;
        stuck = true;
        while (!go) sched_yield();
        return 0;
      });
      sync::Thread writer("writer", [&] {
        if (checkpoint) {
          EXPECT_TRUE(index->checkpoint(0).ok());
        } else {
          fill(*index, 1000);
        }
      });
      while (!stuck) sched_yield();
      for (int i = 0; i < 1000; ++i) EXPECT_EQ(index->get(key_of(i)).value(), value_of(i));
      go = true;
      writer.join();
      disk.set_fault({});
      fill(*index, 1000);  // something for the checkpoint
    }
  }
}

TEST(SqliteIndex, DamagedPageIsAnErrorAndNeverAnotherValue) {
  SimDisk disk;
  { fill(*SqliteIndex::create(disk).value(), 3000); }
  const uint64_t bits = disk.stat("index").value().size_bytes * 8;
  std::mt19937_64 random(3);
  int noticed = 0;
  for (int round = 0; round < 150; ++round) {
    const uint64_t bit = random() % bits;
    disk.flip("index", bit);
    Result<std::unique_ptr<SqliteIndex>> index = SqliteIndex::create(disk);
    bool error = !index.ok();
    for (int i = 0; !error && i < 3000; ++i) {
      const Result<std::optional<std::string>> got = index.value()->get(key_of(i));
      if (!got.ok()) {
        EXPECT_EQ(got.code(), EUCLEAN);
        error = true;
      } else {
        ASSERT_EQ(got.value(), value_of(i)) << "bit " << bit;
      }
    }
    noticed += error ? 1 : 0;
    if (index.ok()) index.value().reset();
    disk.flip("index", bit);  // back again
  }
  EXPECT_GT(noticed, 100);
}

TEST(SqliteIndex, RebuildStartsEmptyAndKeepsTheOldOneAside) {
  SimDisk disk;
  const std::unique_ptr<SqliteIndex> index = SqliteIndex::create(disk).value();
  fill(*index, 100);
  ASSERT_TRUE(index->rebuild().ok());
  EXPECT_EQ(index->get(key_of(1)).value(), std::nullopt);
  fill(*index, 10);
  EXPECT_EQ(index->get(key_of(1)).value(), value_of(1));
  EXPECT_TRUE(disk.stat("index.damaged").ok());
}

}  // namespace
}  // namespace netfs::cachefiles
