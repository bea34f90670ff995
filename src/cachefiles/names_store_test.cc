// The names of directories as objects of the real store.

#include "netfs/names_store.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "cachefiles/test_store.h"

namespace netfs::cachefiles {
namespace {

Deadline patience() {
  return Deadline::after(Clock::system(), std::chrono::minutes(1));
}

// One process with its store, on a directory that outlives it.
class Life {
 public:
  explicit Life(const std::string& directory, uint64_t limit_bytes = 1ull << 30)
      : cache_(MUST(CacheFiles::create({.directory = directory, .size_limit_bytes = limit_bytes}))),
        volume_(MUST(cache_->open_volume("test://volume"))),
        offload_(cache_->open_writer(), {.commit_interval = std::chrono::milliseconds(1)}),
        names({.volume = volume_, .offload = offload_, .pool = pool_, .boot = "boot"}) {}
  ~Life() { EXPECT_TRUE(offload_.close(patience())); }

  void save(const std::string& path, const std::string& bytes) {
    names.save(path, bytes);
    EXPECT_TRUE(offload_.drain(patience()));
  }
  bool drain() { return offload_.drain(patience()); }
  void forget(const std::string& path) {
    names.forget(path);
    EXPECT_TRUE(offload_.drain(patience()));
  }
  void discard(const Ref<Cookie>& saved) {
    names.discard(saved);
    EXPECT_TRUE(offload_.drain(patience()));
  }
  [[nodiscard]] bool has_room() const { return volume_->has_room(); }
  // A file of so many bytes, held as long as its cookie is.
  Ref<Cookie> fill(const std::string& path, uint64_t size) {
    const Ref<Cookie> cookie = MUST(volume_->lookup(test_key(path, size, "v1")));
    const Ref<Buffer> buffer = pool_.try_allocate(size);
    offload_.store({.cookie = cookie, .data = {.buffer = buffer, .length_bytes = size}});
    EXPECT_TRUE(offload_.drain(patience()));
    return cookie;
  }
  CacheFiles& cache() { return *cache_; }

 private:
  BufferPool pool_{64 << 20, 1 << 20};
  std::unique_ptr<CacheFiles> cache_;
  Ref<Volume> volume_;
  Offload offload_;

 public:
  NamesStore names;
};

TEST(NamesStore, WhatIsSavedIsThereForTheNextProcess) {
  const TestDirectory directory;
  const std::string small = test_bytes(1, 777);
  const std::string large = test_bytes(2, (3 << 20) + 11);
  {
    Life life(directory.path());
    EXPECT_EQ(life.names.load("dir").code(), ENOENT);
    life.save("dir", small);
    life.save("", large);
    EXPECT_TRUE(life.names.load("dir").value() == small);
  }
  Life life(directory.path());
  EXPECT_TRUE(life.names.load("dir").value() == small);
  EXPECT_TRUE(life.names.load("").value() == large);
  EXPECT_EQ(life.names.load("di").code(), ENOENT);
}

TEST(NamesStore, ALaterOneTakesThePlaceOfAnEarlierOne) {
  const TestDirectory directory;
  const std::string last = test_bytes(9, 5000);
  {
    Life life(directory.path());
    for (int i = 0; i < 9; ++i) life.save("dir", test_bytes(static_cast<uint64_t>(i), 5000));
    life.save("dir", last);
    EXPECT_TRUE(life.names.load("dir").value() == last);
  }
  Life life(directory.path());
  EXPECT_TRUE(life.names.load("dir").value() == last);
}

// As they are made: each ends in a checksum of itself, and these are of one length.
TEST(NamesStore, RecordsOfOneLengthAreVersionsOfTheirOwn) {
  const TestDirectory directory;
  const auto record = [](int64_t second) {
    NamesEncoder encoder("dir", {.listed_at = {.seconds = second, .nanoseconds = 0}});
    OriginEntry entry{.name = "name", .info = {}};
    entry.info.attributes.type = FileType::kRegular;
    encoder.add(entry, nullptr);
    return encoder.finish(Duration(1));
  };
  const std::string before = record(1000);
  const std::string after = record(2000);
  ASSERT_EQ(before.size(), after.size());
  {
    Life life(directory.path());
    const Ref<Cookie> first = life.names.save("dir", before);
    ASSERT_TRUE(first);
    life.save("dir", after);
    EXPECT_TRUE(life.names.load("dir").value() == after);
    life.discard(first);
    EXPECT_TRUE(life.names.load("dir").value() == after) << "the other one was given up";
  }
  Life life(directory.path());
  EXPECT_TRUE(life.names.load("dir").value() == after);
}

// Which the disk does not have yet, nor the index.
TEST(NamesStore, WhatIsForgottenOnItsWayToTheStoreIsNotThere) {
  const TestDirectory directory;
  {
    Life life(directory.path());
    life.names.save("dir", std::string(300'000, 'a'));
    life.names.forget("dir");
    life.names.save("other", "bytes");
    EXPECT_TRUE(life.drain());
    EXPECT_EQ(life.names.load("dir").code(), ENOENT);
    EXPECT_EQ(MUST(life.names.load("other")), "bytes");
  }
  EXPECT_EQ(Life(directory.path()).names.load("dir").code(), ENOENT);
}

TEST(NamesStore, NamesGoWithTheirPathAndWithWhatTheyTellOf) {
  const TestDirectory directory;
  Life life(directory.path());
  const auto save_all = [&] {
    for (const char* path : {"", "a", "a/b", "ab"}) life.save(path, test_bytes(1, 100));
  };
  save_all();
  uint64_t listed = 0;
  MUST(life.cache().list([&](const ObjectInfo&) { ++listed; }));
  EXPECT_EQ(listed, 0U) << "no files";
  EXPECT_EQ(MUST(life.cache().drop("", "a/b/file")), 0U);
  EXPECT_EQ(life.names.load("a/b").code(), ENOENT);
  EXPECT_TRUE(life.names.load("a").ok());
  save_all();
  EXPECT_EQ(MUST(life.cache().drop("", "a")), 0U);
  EXPECT_EQ(life.names.load("a").code(), ENOENT);
  EXPECT_EQ(life.names.load("a/b").code(), ENOENT);
  EXPECT_EQ(life.names.load("").code(), ENOENT) << "it tells what a is like";
  EXPECT_TRUE(life.names.load("ab").ok());
  EXPECT_EQ(MUST(life.cache().drop("", "")), 0U);
  EXPECT_EQ(life.names.load("ab").code(), ENOENT);
}

TEST(NamesStore, TheNamesOfAVolumeGoAndNothingElse) {
  const TestDirectory directory;
  const std::string text = test_bytes(1, 100);
  {
    Life life(directory.path());
    for (const char* path : {"", "a", "a/b"}) life.save(path, text);
    const Ref<Cookie> file = life.fill("a/file", 1000);
    MUST(life.cache().drop_names("test://another"));
    EXPECT_TRUE(life.names.load("a").ok());
    MUST(life.cache().drop_names("test://volume"));
    for (const char* path : {"", "a", "a/b"}) EXPECT_EQ(life.names.load(path).code(), ENOENT);
    EXPECT_TRUE(file->present(BlockIndex(0)));
    life.save("a", text);
    EXPECT_TRUE(life.names.load("a").value() == text) << "a later one is kept";
  }
  Life life(directory.path());
  EXPECT_EQ(life.names.load("a/b").code(), ENOENT);
  EXPECT_TRUE(life.names.load("a").ok());
}

TEST(NamesStore, NamesCountInTheLimitAndAreCulledAsFilesAre) {
  const TestDirectory directory;
  Life life(directory.path(), 16 << 20);
  const uint64_t before = life.cache().usage().used_bytes;
  life.save("dir", test_bytes(1, 1 << 20));
  EXPECT_GE(life.cache().usage().used_bytes, before + (1 << 20));
  for (int i = 0; i < 40; ++i) life.fill("file-" + std::to_string(i), 1 << 20);
  EXPECT_EQ(life.names.load("dir").code(), ENOENT);
  EXPECT_LE(life.cache().usage().used_bytes, 16U << 20);
}

// A full cache: names take nobody's room, however often they change, and leave no file.
TEST(NamesStore, InAFullCacheNamesAreNotStoredAndTheOlderOnesGo) {
  const TestDirectory directory;
  Life life(directory.path(), 16 << 20);
  life.save("dir", test_bytes(1, 5000));
  const auto files = [&] {
    size_t count = 0;
    const std::string objects = directory.path() + "/objects";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(objects)) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  };
  std::vector<Ref<Cookie>> held;
  for (int i = 0; life.has_room() && i < 40; ++i) {
    held.push_back(life.fill("file-" + std::to_string(i), 1 << 19));
  }
  EXPECT_FALSE(life.has_room());
  const size_t before = files();
  for (int i = 0; i < 100; ++i) life.save("dir", test_bytes(static_cast<uint64_t>(i), 5000));
  EXPECT_EQ(files(), before);
  life.forget("dir");
  EXPECT_EQ(life.names.load("dir").code(), ENOENT);
  EXPECT_EQ(files(), before - 1);
}

TEST(NamesStore, WhatTheDiskLostIsNotThere) {
  const TestDirectory directory;
  {
    Life life(directory.path());
    life.save("dir", test_bytes(1, 100'000));
  }
  size_t damaged = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(directory.path() + "/objects")) {
    if (!entry.is_regular_file() || entry.file_size() < 100'000) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(70'000);
    file.put('!');
    file.put('?');
    ++damaged;
  }
  ASSERT_EQ(damaged, 1U);
  Life life(directory.path());
  EXPECT_EQ(life.names.load("dir").code(), EBADMSG);
  life.save("dir", test_bytes(2, 100'000));
  EXPECT_TRUE(life.names.load("dir").value() == test_bytes(2, 100'000));
}

}  // namespace
}  // namespace netfs::cachefiles
