// The store through its doors, on the machine's disk.

#include "cachefiles/cache_files.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "cachefiles/sim_disk.h"
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

// The founding rule: what a reader does changes nothing on the disk, and no file is opened for it
// in a way that could.
TEST(CacheFiles, LookUpsReadsAndHandOutsOpenNothingForWriting) {
  SimDisk disk;
  const std::string bytes = test_bytes(4, 3 * kBlockBytes);
  {
    TestStore store("sim", {.disk = &disk});
    for (const char* name : {"a", "b", "c"}) store.seal(*store.lookup(name, bytes.size()), bytes);
    ASSERT_TRUE(store.put(*store.lookup("partial", bytes.size()), 0, bytes.substr(0, 65536)).ok());
  }
  TestStore store("sim", {.disk = &disk});
  ASSERT_TRUE(store.ok());
  const std::vector<std::string> before = disk.opened_for_writing();
  const uint64_t changes = disk.changes();
  for (const char* name : {"a", "b", "c"}) {
    const Ref<Cookie> cookie = store.lookup(name, bytes.size());
    EXPECT_EQ(store.read_all(*cookie), bytes);
    EXPECT_TRUE(cookie->hand_out().ok());
    cookie->touch();
  }
  EXPECT_EQ(store.read(*store.lookup("partial", bytes.size()), 0, 65536).value(),
            bytes.substr(0, 65536));
  EXPECT_EQ(store.lookup("new", 10)->state(), ObjectState::kAbsent);
  EXPECT_EQ(disk.opened_for_writing(), before);
  EXPECT_EQ(disk.changes(), changes);
}

// Method: the kernel opens a handed-out file anew, on the same mount; so does /proc/self/fd.
TEST(CacheFiles, ReadsOfAHandedOutFileWriteNoAccessTime) {
  if (::geteuid() != 0) {
    std::printf("SKIPPED: ReadsOfAHandedOutFileWriteNoAccessTime: needs root to make a mount\n");
    GTEST_SKIP() << "needs root";
  }
  TestDirectory directory;
  TestStore store(directory.path());
  const std::string bytes = test_bytes(3, kBlockBytes);
  const Ref<Cookie> cookie = store.lookup("a", bytes.size());
  store.seal(*cookie, bytes);
  const Result<UniqueFd> fd = cookie->hand_out();
  ASSERT_TRUE(fd.ok());
  const std::string itself = "/proc/self/fd/" + std::to_string(fd.value().get());
  const timespec long_ago[2] = {{1000, 0}, {0, UTIME_OMIT}};
  ASSERT_EQ(::utimensat(AT_FDCWD, itself.c_str(), long_ago, 0), 0);
  const UniqueFd again(::open(itself.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(again);
  EXPECT_EQ(read_descriptor(again.get()), bytes);
  struct ::stat st {};
  ASSERT_EQ(::fstat(again.get(), &st), 0);
  EXPECT_EQ(st.st_atim.tv_sec, 1000);
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

size_t files_in(const std::string& directory) {
  size_t count = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(directory)) {
    count += file.is_regular_file() ? 1 : 0;
  }
  return count;
}

TEST(CacheFiles, DiscardedObjectThatNobodyMapsIsGoneAtOnce) {
  TestDirectory directory;
  TestStore store(directory.path());
  const std::string bytes = test_bytes(6, 1 << 20);
  const Ref<Cookie> cookie = store.lookup("a", bytes.size());
  store.seal(*cookie, bytes);
  EXPECT_EQ(store.read_all(*cookie), bytes);
  ASSERT_TRUE(cookie->hand_out().ok());  // and closed again
  EXPECT_GE(store.cache().usage().used_bytes, bytes.size());
  store.writer().discard(*cookie);
  EXPECT_EQ(files_in(directory.path() + "/objects"), 0u);
  EXPECT_EQ(files_in(directory.path() + "/dead"), 0u);
  EXPECT_LT(store.cache().usage().used_bytes, bytes.size());
}

TEST(CacheFiles, MappedFileOfADiscardedObjectKeepsItsBytesAndCountsUntilItIsUnmapped) {
  TestDirectory directory;
  const std::string bytes = test_bytes(7, 1 << 20);
  void* map = nullptr;
  {
    TestStore store(directory.path());
    const Ref<Cookie> cookie = store.lookup("a", bytes.size());
    store.seal(*cookie, bytes);
    UniqueFd fd = cookie->hand_out().value();
    map = ::mmap(nullptr, bytes.size(), PROT_READ, MAP_SHARED, fd.get(), 0);
    ASSERT_NE(map, MAP_FAILED);
    fd.reset();  // the last close is not the last use
    store.writer().discard(*cookie);
    ASSERT_TRUE(store.writer().commit().ok());
    store.writer().maintain();
    EXPECT_EQ(std::string_view(static_cast<char*>(map), bytes.size()), bytes);
    EXPECT_EQ(files_in(directory.path() + "/objects"), 0u);
    EXPECT_EQ(files_in(directory.path() + "/dead"), 1u);
    EXPECT_GE(store.cache().usage().used_bytes, bytes.size());
  }
  TestStore store(directory.path());
  EXPECT_GE(store.cache().usage().used_bytes, bytes.size());
  EXPECT_EQ(store.lookup("a", bytes.size())->state(), ObjectState::kAbsent);
  ASSERT_EQ(::munmap(map, bytes.size()), 0);
  store.writer().maintain();
  EXPECT_EQ(files_in(directory.path() + "/dead"), 0u);
  EXPECT_LT(store.cache().usage().used_bytes, bytes.size());
}

TEST(CacheFiles, HolesAndZeroesAreReadBackWhateverTheFileSystemSaysOfThem) {
  // Blocks of zeroes are stored, then punched out of the file behind our back: presence is what the
  // index says, and zeroes are what a hole reads as.
  TestDirectory directory;
  std::string bytes = test_bytes(8, 6 * kBlockBytes);
  bytes.replace(kBlockBytes, 2 * kBlockBytes, 2 * kBlockBytes, '\0');
  {
    TestStore store(directory.path());
    store.seal(*store.lookup("a", bytes.size()), bytes);
  }
  for (const auto& file :
       std::filesystem::recursive_directory_iterator(directory.path() + "/objects")) {
    if (!file.is_regular_file()) continue;
    const UniqueFd fd(::open(file.path().c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kBlockBytes,
                          2 * kBlockBytes),
              0);
  }
  TestStore store(directory.path());
  const Ref<Cookie> cookie = store.lookup("a", bytes.size());
  EXPECT_EQ(cookie->run_length(BlockIndex(0), 100), 6u);
  EXPECT_EQ(store.read_all(*cookie), bytes);
  const Ref<Cookie> other = store.lookup("b", bytes.size());
  ASSERT_TRUE(store.put(*other, 5, bytes.substr(5 * kBlockBytes)).ok());
  EXPECT_EQ(store.read(*other, 0, 10).code(), ENODATA);  // a hole that was never stored
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
