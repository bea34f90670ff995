#include "netfs/held_names.h"

#include <atomic>
#include <gtest/gtest.h>

#include "sync/thread.h"

namespace netfs {
namespace {

OriginEntry file(const std::string& name, uint64_t size) {
  OriginEntry entry;
  entry.name = name;
  entry.info.attributes = {.type = FileType::kRegular, .permissions = 0644, .size_bytes = size};
  return entry;
}

std::string record(int names, const std::string& path = "dir") {
  NamesEncoder encoder(path, {.listed_at = {1'700'000'000, 5}, .boot = "boot"});
  for (int i = 0; i < names; ++i) encoder.add(file("name-" + std::to_string(i), i), nullptr);
  return encoder.finish(Duration(9));
}

TEST(HeldNames, EachNameIsFoundByItself) {
  const Ref<HeldNames> held = HeldNames::open(record(5000), "dir");
  ASSERT_TRUE(held);
  EXPECT_EQ(held->count(), 5000U);
  EXPECT_FALSE(held->has_unknown());
  EXPECT_EQ(held->head().took, Duration(9));
  for (int i = 0; i < 5000; ++i) {
    const std::string name = "name-" + std::to_string(i);
    const std::optional<StoredName> one = held->find(name);
    ASSERT_TRUE(one) << name;
    EXPECT_EQ(one->entry.name, name);
    EXPECT_EQ(one->entry.info.attributes.size_bytes, static_cast<uint64_t>(i));
  }
  for (const std::string name : {"", "name-", "name-5000", "name-1 "}) {
    EXPECT_FALSE(held->find(name)) << name;
  }
}

TEST(HeldNames, WhatIsNoSoundRecordIsNotHeld) {
  std::string damaged = record(3);
  damaged[damaged.size() / 2] ^= 1;
  EXPECT_FALSE(HeldNames::open(damaged, "dir"));
  EXPECT_FALSE(HeldNames::open(record(3), "other"));
  EXPECT_FALSE(HeldNames::open("", ""));
  EXPECT_FALSE(HeldNames::open(record(0), "dir")->find("name-0"));
}

TEST(HeldNames, NamesOfWhichNothingIsKnownAreMarked) {
  NamesEncoder encoder("dir", {.listed_at = {1'700'000'000, 5}});
  const std::string target = "elsewhere";
  OriginEntry link = file("link", 9);
  link.info.attributes.type = FileType::kSymlink;
  encoder.add(link, &target);
  encoder.add({.name = "unknown", .info = {}}, nullptr);
  const Ref<HeldNames> held = HeldNames::open(encoder.finish(Duration(1)), "dir");
  ASSERT_TRUE(held);
  EXPECT_TRUE(held->has_unknown());
  EXPECT_EQ(held->find("link")->target, target);
  EXPECT_EQ(held->find("unknown")->entry.info.attributes.type, FileType::kUnknown);
}

TEST(HeldRecords, ThoseAskedLongestAgoGo) {
  const auto make = [](const std::string& path) {
    return [path] { return HeldNames::open(record(100, path), path); };
  };
  HeldRecords records(3 * make("a")()->memory_bytes());
  const auto is_held = [&](const std::string& path) {
    bool made = false;
    const auto mark = [&] {
      made = true;
      return Ref<HeldNames>();
    };
    return records.get(path, "v1", mark) && !made;
  };
  for (const std::string path : {"a", "b", "c"}) EXPECT_TRUE(records.get(path, "v1", make(path)));
  EXPECT_TRUE(is_held("a"));
  EXPECT_TRUE(records.get("d", "v1", make("d")));
  EXPECT_FALSE(is_held("b"));
  EXPECT_TRUE(is_held("a") && is_held("c") && is_held("d"));
  // Another version takes the place of the one before.
  const size_t bytes = records.bytes();
  EXPECT_TRUE(records.get("a", "v2", make("a")));
  EXPECT_FALSE(is_held("a"));
  EXPECT_EQ(records.bytes(), bytes);
  // One that is larger alone is held alone.
  EXPECT_TRUE(records.get("e", "v1", [] { return HeldNames::open(record(9000, "e"), "e"); }));
  EXPECT_TRUE(is_held("e"));
  EXPECT_FALSE(is_held("c") || is_held("d"));
}

// The second asks while the first makes it, and is given that one.
TEST(HeldRecords, OneIsMadeOnceForAllWhoAskMeanwhile) {
  HeldRecords records(1 << 20);
  std::atomic<int> made{0};
  std::atomic<int> given{0};
  sync::Thread other;
  const auto ask = [&](const std::function<void()>& meanwhile) {
    const Ref<HeldNames> held = records.get("dir", "v1", [&] {
      ++made;
      meanwhile();
      return HeldNames::open(record(10), "dir");
    });
    if (held && held->find("name-7")) ++given;
  };
  ask([&] { other = sync::Thread("other", [&] { ask([] {}); }); });
  other.join();
  EXPECT_EQ(made, 1);
  EXPECT_EQ(given, 2);
}

}  // namespace
}  // namespace netfs
