// The store through its doors, on the machine's disk.

#include "cachefiles/cache_files.h"

#include <gtest/gtest.h>

#include "cachefiles/test_store.h"

namespace netfs::cachefiles {
namespace {

TEST(CacheFiles, StoredBlocksAreReadBackBeforeAndAfterReopen) {
  TestDirectory directory;
  const std::string bytes = test_bytes(1, 5 * kBlockBytes + 777);
  {
    TestStore store(directory.path());
    const Ref<Cookie> cookie = store.lookup("a", bytes.size());
    EXPECT_EQ(cookie->state(), ObjectState::kAbsent);
    EXPECT_EQ(store.read(*cookie, 0, 10).code(), ENODATA);
    ASSERT_TRUE(store.put(*cookie, 0, bytes).ok());
    EXPECT_EQ(cookie->state(), ObjectState::kPartial);
    EXPECT_EQ(store.read_all(*cookie), bytes);
    ASSERT_TRUE(store.writer().commit().ok());
    EXPECT_EQ(cookie->state(), ObjectState::kComplete);
  }
  TestStore store(directory.path());
  const Ref<Cookie> cookie = store.lookup("a", bytes.size());
  EXPECT_EQ(cookie->state(), ObjectState::kComplete);
  EXPECT_EQ(store.read_all(*cookie), bytes);
}

TEST(CacheFiles, UnalignedReadsReturnTheRightBytes) {
  TestDirectory directory;
  const std::string bytes = test_bytes(2, 2 * kChunkBytes + 12345);
  TestStore store(directory.path());
  const Ref<Cookie> cookie = store.lookup("a", bytes.size());
  ASSERT_TRUE(store.put(*cookie, 0, bytes).ok());
  const std::pair<uint64_t, uint64_t> ranges[] = {{0, 1},
                                                  {1, 1},
                                                  {4095, 2},
                                                  {4096, 4096},
                                                  {65535, 2},
                                                  {100, 300000},
                                                  {kChunkBytes - 1, 2},
                                                  {kChunkBytes - 5000, 10000},
                                                  {bytes.size() - 1, 1},
                                                  {bytes.size() - 5000, 5000},
                                                  {3, bytes.size() - 3}};
  for (const auto& [offset, length] : ranges) {
    const Result<std::string> got = store.read(*cookie, offset, length);
    ASSERT_TRUE(got.ok()) << offset << " " << length << " " << got.error().message();
    EXPECT_EQ(got.value(), bytes.substr(offset, length)) << offset << " " << length;
  }
  EXPECT_EQ(store.read(*cookie, bytes.size() - 1, 2).code(), EINVAL);
}

TEST(CacheFiles, SealedObjectIsHandedOutAndReadsEqualAfterReopen) {
  TestDirectory directory;
  const std::string bytes = test_bytes(3, 3 * kBlockBytes + 1);
  {
    TestStore store(directory.path());
    const Ref<Cookie> cookie = store.lookup("dir/a", bytes.size());
    EXPECT_EQ(cookie->hand_out().code(), EBUSY);
    store.seal(*cookie, bytes);
    ASSERT_EQ(cookie->state(), ObjectState::kSealed);
    const Result<UniqueFd> fd = cookie->hand_out();
    ASSERT_TRUE(fd.ok());
    EXPECT_EQ(cookie->state(), ObjectState::kHandedOut);
    EXPECT_EQ(read_descriptor(fd.value().get()), bytes);
    EXPECT_EQ(fcntl(fd.value().get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  }
  TestStore store(directory.path());
  const Ref<Cookie> cookie = store.lookup("dir/a", bytes.size());
  EXPECT_EQ(cookie->state(), ObjectState::kSealed);
  EXPECT_EQ(store.read_all(*cookie), bytes);
  EXPECT_EQ(read_descriptor(cookie->hand_out().value().get()), bytes);
}

TEST(CacheFiles, SameVersionIsTheSameCookieAndAnotherValidatorAnotherObject) {
  TestDirectory directory;
  TestStore store(directory.path());
  const std::string bytes = test_bytes(4, 1000);
  const Ref<Cookie> one = store.lookup("a", bytes.size(), "v1");
  EXPECT_EQ(one, store.lookup("a", bytes.size(), "v1"));
  ASSERT_TRUE(store.put(*one, 0, bytes).ok());
  const Ref<Cookie> two = store.lookup("a", bytes.size(), "v2");
  EXPECT_NE(one, two);
  EXPECT_FALSE(two->present(BlockIndex(0)));
}

TEST(CacheFiles, ReadOfADiscardedObjectIsStale) {
  TestDirectory directory;
  TestStore store(directory.path());
  const std::string bytes = test_bytes(5, 1000);
  const Ref<Cookie> cookie = store.lookup("a", bytes.size());
  ASSERT_TRUE(store.put(*cookie, 0, bytes).ok());
  store.writer().discard(*cookie);
  EXPECT_EQ(store.read(*cookie, 0, 1000).code(), ESTALE);
  EXPECT_EQ(store.put(*cookie, 0, bytes).code(), ESTALE);
  EXPECT_EQ(cookie->state(), ObjectState::kDead);
  const Ref<Cookie> fresh = store.lookup("a", bytes.size());
  EXPECT_NE(fresh, cookie);
  EXPECT_EQ(fresh->state(), ObjectState::kAbsent);
  ASSERT_TRUE(store.put(*fresh, 0, bytes).ok());
  EXPECT_EQ(store.read_all(*fresh), bytes);
}

TEST(CacheFiles, EmptyFileCanBeSealed) {
  TestDirectory directory;
  TestStore store(directory.path());
  const Ref<Cookie> cookie = store.lookup("empty", 0);
  store.writer().may_seal(*cookie);
  ASSERT_TRUE(store.writer().commit().ok());
  EXPECT_EQ(cookie->state(), ObjectState::kSealed);
  EXPECT_EQ(read_descriptor(cookie->hand_out().value().get()), "");
}

}  // namespace
}  // namespace netfs::cachefiles
