#include "netfs/names_record.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <vector>

#include "base/sanitizer.h"

namespace netfs {
namespace {

OriginEntry file(const std::string& name) {
  OriginEntry entry;
  entry.name = name;
  entry.info.attributes = {.type = FileType::kRegular,
                           .permissions = 0644,
                           .uid = 1000,
                           .gid = 1000,
                           .size_bytes = 123456,
                           .atime = {1'600'000'000, 0},
                           .mtime = {1'600'000'000, 0},
                           .ctime = {1'600'000'000, 0}};
  entry.info.validator = {.strength = ValidatorStrength::kWeak,
                          .bytes = "1600000000.123456",
                          .changed_at = {1'600'000'000, 0}};
  return entry;
}

NamesHead head() {
  return {.listed_at = {1'700'000'000, 5},
          .uptime_ns = 77,
          .boot = "boot",
          .for_ever = true,
          .identity = std::string("d\0", 2),
          .validator = {.strength = ValidatorStrength::kWeak, .bytes = "v1", .changed_at = {}},
          .mtime = {1'600'000'000, 7},
          .ctime = {-1, 8}};
}

std::string sample() {
  NamesEncoder encoder("a/b", head());
  encoder.add(file("one"), nullptr);
  OriginEntry odd = file("\xff\n");
  odd.info.attributes.type = FileType::kSymlink;
  odd.info.attributes.atime = {-5, 999'999'999};
  odd.info.attributes.ctime = {INT64_MIN, 0};
  odd.info.attributes.size_bytes = UINT64_MAX;
  odd.info.attributes.allocated_bytes = 4096;
  odd.info.attributes.device = 7;
  odd.info.validator = {.strength = ValidatorStrength::kStrong, .bytes = std::string(64, 'v')};
  odd.info.identity = std::string("i\0d", 3);
  const std::string target = "../elsewhere";
  encoder.add(odd, &target);
  encoder.add({.name = "unknown", .info = {}}, nullptr);
  return encoder.finish(Duration(9));
}

TEST(NamesRecord, WhatIsEncodedComesBack) {
  const std::string bytes = sample();
  std::optional<NamesDecoder> decoder = NamesDecoder::open(bytes, "a/b");
  ASSERT_TRUE(decoder);
  EXPECT_EQ(decoder->head().listed_at, head().listed_at);
  EXPECT_EQ(decoder->head().uptime_ns, 77);
  EXPECT_EQ(decoder->head().boot, "boot");
  EXPECT_TRUE(decoder->head().for_ever);
  EXPECT_EQ(decoder->head().identity, head().identity);
  EXPECT_EQ(decoder->head().validator, head().validator);
  EXPECT_EQ(decoder->head().mtime, head().mtime);
  EXPECT_EQ(decoder->head().ctime, head().ctime);
  EXPECT_EQ(decoder->head().took, Duration(9));
  EXPECT_EQ(decoder->count(), 3U);
  const std::optional<StoredName> one = decoder->next();
  ASSERT_TRUE(one);
  EXPECT_EQ(one->entry.name, "one");
  EXPECT_EQ(one->entry.info.attributes, file("one").info.attributes);
  EXPECT_EQ(one->entry.info.validator, file("one").info.validator);
  EXPECT_EQ(one->entry.info.validator.changed_at, (Timestamp{1'600'000'000, 0}));
  EXPECT_FALSE(one->target);
  const std::optional<StoredName> odd = decoder->next();
  ASSERT_TRUE(odd);
  EXPECT_EQ(odd->entry.name, "\xff\n");
  EXPECT_EQ(odd->entry.info.attributes.atime, (Timestamp{-5, 999'999'999}));
  EXPECT_EQ(odd->entry.info.attributes.ctime, (Timestamp{INT64_MIN, 0}));
  EXPECT_EQ(odd->entry.info.attributes.size_bytes, UINT64_MAX);
  EXPECT_EQ(odd->entry.info.attributes.allocated_bytes, 4096U);
  EXPECT_EQ(odd->entry.info.attributes.device, 7U);
  EXPECT_EQ(odd->entry.info.validator.bytes, std::string(64, 'v'));
  EXPECT_EQ(odd->entry.info.identity, std::string("i\0d", 3));
  EXPECT_EQ(odd->target, "../elsewhere");
  const std::optional<StoredName> unknown = decoder->next();
  ASSERT_TRUE(unknown);
  EXPECT_EQ(unknown->entry.info.attributes.type, FileType::kUnknown);
  EXPECT_FALSE(decoder->next());
}

TEST(NamesRecord, AnyFlippedBitAndAnyMissingByteMakesItNone) {
  const std::string bytes = sample();
  for (size_t i = 0; i < bytes.size() * 8; ++i) {
    std::string bad = bytes;
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
    EXPECT_FALSE(NamesDecoder::open(bad, "a/b")) << i;
  }
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(NamesDecoder::open(bytes.substr(0, length), "a/b")) << length;
  }
}

TEST(NamesRecord, ThatOfAnotherDirectoryIsNone) {
  EXPECT_FALSE(NamesDecoder::open(sample(), "a"));
  EXPECT_FALSE(NamesDecoder::open(sample(), ""));
}

TEST(NamesRecord, TheSameEntriesHaveTheSameSumWhenTheyWereListed) {
  NamesHead later = head();
  later.listed_at.seconds += 100;
  NamesEncoder one("d", head()), other("d", later), changed("d", head());
  one.add(file("f"), nullptr);
  other.add(file("f"), nullptr);
  changed.add(file("g"), nullptr);
  EXPECT_EQ(one.entries_crc(), other.entries_crc());
  EXPECT_NE(one.entries_crc(), changed.entries_crc());
  const std::string bytes = one.finish(Duration(9));
  EXPECT_EQ(NamesDecoder::open(bytes, "d")->entries_crc(), other.entries_crc());
}

OriginEntry link(const std::string& name) {
  OriginEntry entry = file(name);
  entry.info.attributes.type = FileType::kSymlink;
  return entry;
}

std::string links(const std::string* first, const std::string* second) {
  NamesEncoder encoder("d", head());
  encoder.add(file("f"), nullptr);
  encoder.add(link("first"), first);
  encoder.add({.name = "unknown", .info = {}}, nullptr);
  encoder.add(link("second"), second);
  encoder.add(file("g"), nullptr);
  const uint32_t crc = encoder.entries_crc();
  std::string bytes = encoder.finish(Duration(9));
  EXPECT_EQ(NamesDecoder::open(bytes, "d").value().entries_crc(), crc);
  return bytes;
}

// As if it had been known when the directory was listed.
TEST(NamesRecord, ATargetThatIsLearntLaterChangesNothingElse) {
  const std::string first = "there", second(4095, 'x');
  const std::string none = links(nullptr, nullptr);
  std::vector<std::string> asked;
  const auto add = [&](const std::string& bytes, const std::string* one, const std::string* other) {
    asked.clear();
    return add_targets(bytes, "d", [&](const OriginEntry& link) {
      asked.push_back(link.name);
      const std::string* target = link.name == "first" ? one : other;
      return target != nullptr ? std::optional<std::string>(*target) : std::nullopt;
    });
  };
  EXPECT_EQ(add(none, &first, &second), links(&first, &second));
  EXPECT_EQ(add(none, &first, nullptr), links(&first, nullptr));
  EXPECT_EQ(asked, (std::vector<std::string>{"first", "second"}));
  EXPECT_EQ(add(links(&first, nullptr), &second, &second), links(&first, &second));
  EXPECT_EQ(asked, std::vector<std::string>{"second"}) << "what it has it keeps";
  EXPECT_EQ(NamesDecoder::open(links(&first, &second), "d").value().entries_crc(),
            NamesDecoder::open(none, "d").value().entries_crc());
}

TEST(NamesRecord, WhereThereIsNoTargetToAddThereIsNoOtherRecord) {
  const std::string target = "there", too_long(4096, 'x');
  const auto give = [](const std::string& what) {
    return [&what](const OriginEntry&) { return what; };
  };
  const std::string bytes = links(nullptr, nullptr);
  EXPECT_NE(add_targets(bytes, "d", give(target)), "");
  EXPECT_EQ(add_targets(bytes, "d", give(too_long)), "");
  EXPECT_EQ(add_targets(bytes, "another", give(target)), "");
  EXPECT_EQ(add_targets(bytes.substr(1), "d", give(target)), "");
  EXPECT_EQ(add_targets(links(&target, &target), "d", give(target)), "");
}

// A directory of a million names is listed again and again.
TEST(NamesRecord, WhatIsTooLargeToBeKeptIsLetGoOf) {
#if NETFS_ADDRESS_SANITIZER || NETFS_THREAD_SANITIZER
  GTEST_SKIP() << "SKIPPED: a sanitizer's allocator does not count as the C library's does";
#endif
  const auto held = [] {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
  };
  const OriginEntry entry = file(std::string(200, 'n'));
  const size_t before = held();
  NamesEncoder encoder("d", head());
  uint64_t added = 0;
  for (; encoder.fits(); ++added) encoder.add(entry, nullptr);
  EXPECT_GT(added * 200, kNamesBytesMax / 2);
  EXPECT_LT(held(), before + kNamesBytesMax / 64);
  encoder.add(entry, nullptr);
  EXPECT_FALSE(encoder.fits());
  EXPECT_EQ(encoder.entries_crc(), 0U);
}

// With a sound sum: differences of such times would overflow.
TEST(NamesRecord, TimesOfNoClockMakeItNone) {
  const auto opens = [](const NamesHead& head, Duration took) {
    NamesEncoder encoder("d", head);
    return NamesDecoder::open(encoder.finish(took), "d").has_value();
  };
  EXPECT_TRUE(opens(head(), Duration(0)));
  EXPECT_FALSE(opens(head(), Duration(-1)));
  EXPECT_FALSE(opens(head(), Duration(int64_t{1} << 61)));
  EXPECT_FALSE(opens(head(), Duration::max()));
  for (const int64_t bad : {INT64_MIN, int64_t{-1}, int64_t{1} << 33, INT64_MAX}) {
    NamesHead by_wall = head();
    by_wall.listed_at.seconds = bad;
    EXPECT_FALSE(opens(by_wall, Duration(0))) << bad;
    NamesHead up = head();
    up.uptime_ns = bad == int64_t{1} << 33 ? int64_t{1} << 62 : bad;
    EXPECT_FALSE(opens(up, Duration(0))) << bad;
  }
}

TEST(NamesRecord, WhatIsTooLongIsNotKept) {
  NamesEncoder encoder("d", head());
  encoder.add(file(std::string(256, 'x')), nullptr);
  EXPECT_FALSE(encoder.fits());
}

// The aim is 300 bytes a name on disk.
TEST(NamesRecord, ANameTakesFewBytes) {
  NamesEncoder encoder("d", head());
  for (int i = 0; i < 1000; ++i) encoder.add(file("name-" + std::to_string(100'000 + i)), nullptr);
  EXPECT_LT(encoder.finish(Duration(9)).size(), 1000U * 70);
}

}  // namespace
}  // namespace netfs
