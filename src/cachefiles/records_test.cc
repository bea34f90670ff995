#include "cachefiles/records.h"

#include <gtest/gtest.h>
#include <random>

#include "cachefiles/limits.h"

namespace netfs::cachefiles {
namespace {

ObjectRecord some_object() {
  ObjectRecord record;
  record.state = StoredState::kSealed;
  record.may_seal = true;
  record.quota_class = 3;
  record.pin_count = 2;
  record.local_base = 77;
  record.verified_epoch = 9;
  record.size_bytes = 123456789;
  record.stored_bytes = 65536;
  record.allocated_bytes = 69632;
  record.last_use = {1700000000, 5};
  record.validator = {ValidatorStrength::kWeak, std::string("\0\xffmtime", 7), {-5, 999999999}};
  record.path = "dir/\xc3\xa4 file";
  return record;
}

TEST(Records, EveryRecordComesBackAsItWas) {
  const std::string object = object_key(VolumeId(7), "identity", ObjectId(42));
  EXPECT_EQ(decode_object(object, encode_object(object, some_object())), some_object());
  const std::optional<ObjectKeyParts> parts = parse_object_key(object);
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->volume, VolumeId(7));
  EXPECT_EQ(parts->identity, "identity");
  EXPECT_EQ(parts->object, ObjectId(42));

  MetaRecord meta{3, 2, false, 5, 1ull << 60, 17, 4, 2};
  EXPECT_EQ(decode_meta(meta_key(), encode_meta(meta_key(), meta)), meta);

  const std::string volume = volume_key_of("sftp://u@h/");
  EXPECT_EQ(decode_volume(volume, encode_volume(volume, VolumeId(9))), VolumeId(9));

  const std::string recency = recency_key(1700000000, ObjectId(42));
  EXPECT_EQ(decode_recency(recency, encode_recency(recency, object)), object);
  EXPECT_EQ(parse_recency_key(recency)->last_use_seconds, 1700000000);

  const std::string checksums = checksums_key(ObjectId(42), 3);
  const ChecksumsRecord sums{5, std::vector<uint32_t>(2 * kPagesPerBlock, 0xdeadbeef)};
  EXPECT_EQ(decode_checksums(checksums, encode_checksums(checksums, sums)), sums);
  EXPECT_EQ(parse_part_number(checksums), 3u);
}

TEST(Records, PresenceIsShortWhenWholeAndRightWhateverItIs) {
  const std::string key = presence_key(ObjectId(1), 0);
  const PresenceWords whole(kChunksPerSegment, ~uint64_t{0});
  EXPECT_LT(encode_presence(key, whole).size(), 32u);
  EXPECT_EQ(decode_presence(key, encode_presence(key, whole)), whole);
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    PresenceWords words(1 + random() % kChunksPerSegment);
    for (uint64_t& word : words) {
      const uint64_t kind = random() % 4;
      word = kind == 0   ? 0
             : kind == 1 ? ~uint64_t{0}
             : kind == 2 ? random()
                         : 1ull << random() % 64;
    }
    EXPECT_EQ(decode_presence(key, encode_presence(key, words)), words);
  }
}

TEST(Records, AnyFlippedBitIsFound) {
  const std::string key = object_key(VolumeId(7), "identity", ObjectId(42));
  const std::string value = encode_object(key, some_object());
  for (size_t bit = 0; bit < value.size() * 8; ++bit) {
    std::string flipped = value;
    flipped[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_FALSE(decode_object(key, flipped)) << bit;
  }
  for (size_t length = 0; length < value.size(); ++length) {
    EXPECT_FALSE(decode_object(key, value.substr(0, length))) << length;
  }
}

TEST(Records, RecordUnderAnotherKeyIsFound) {
  const std::string key = object_key(VolumeId(7), "identity", ObjectId(42));
  const std::string other = object_key(VolumeId(7), "identity", ObjectId(43));
  EXPECT_FALSE(decode_object(other, encode_object(key, some_object())));
}

TEST(Records, KeysSortAsTheirNumbersDo) {
  EXPECT_LT(recency_key(255, ObjectId(1)), recency_key(256, ObjectId(0)));
  EXPECT_LT(checksums_key(ObjectId(255), 9), checksums_key(ObjectId(256), 1));
  const std::string prefix = object_prefix(VolumeId(1), "a");
  EXPECT_TRUE(object_key(VolumeId(1), "a", ObjectId(5)).starts_with(prefix));
  EXPECT_FALSE(object_key(VolumeId(1), "ab", ObjectId(5)).starts_with(prefix));
}

}  // namespace
}  // namespace netfs::cachefiles
