// Failing disks, damaged bytes, and invalidation in the middle of reads and stores.

#include <atomic>
#include <gtest/gtest.h>
#include <optional>
#include <set>

#include "cachefiles/sim_disk.h"
#include "cachefiles/test_store.h"
#include "sync/thread.h"

namespace netfs::cachefiles {
namespace {

class StoreFaultTest : public ::testing::Test {
 protected:
  StoreFaultTest() { reopen(); }
  void reopen() {
    store_.reset();
    store_.emplace("sim", TestStoreOptions{.disk = &disk_});
    ASSERT_TRUE(store_->ok()) << store_->error().message();
  }
  // The data file that the next object gets.
  std::string only_file() {
    std::string found;
    for (const std::string& file : disk_.files()) {
      if (file.starts_with("objects/")) found = file;
    }
    return found;
  }

  SimDisk disk_;
  std::optional<TestStore> store_;
  const std::string bytes_ = test_bytes(1, 3 * kBlockBytes);
};

TEST_F(StoreFaultTest, ReadThatStraddlesADiscardIsStale) {
  const Ref<Cookie> cookie = store_->lookup("a", bytes_.size());
  ASSERT_TRUE(store_->put(*cookie, 0, bytes_).ok());
  bool done = false;
  disk_.set_fault([&](SimDisk::Call call, const std::string& path) {
    if (call == SimDisk::Call::kRead && path.starts_with("objects/") &&
        !std::exchange(done, true)) {
      store_->writer().discard(*cookie);
    }
    return 0;
  });
  EXPECT_EQ(store_->read(*cookie, 0, 100).code(), ESTALE);
  EXPECT_TRUE(done);
}

TEST_F(StoreFaultTest, StoreThatStraddlesADiscardChangesNothingAfterwards) {
  const Ref<Cookie> cookie = store_->lookup("a", bytes_.size());
  // Another thread's, for one thread is on the write side once at a time.
  std::atomic<bool> writing{false};
  std::atomic<bool> discarded{false};
  sync::Thread other("discards", [&] {
    writing.wait(false);
    store_->writer().discard(*cookie);
    discarded = true;
    discarded.notify_all();
  });
  disk_.set_fault([&](SimDisk::Call call, const std::string& path) {
    if (call == SimDisk::Call::kWrite && path.starts_with("objects/") && !writing.exchange(true)) {
      writing.notify_all();
      discarded.wait(false);
    }
    return 0;
  });
  EXPECT_EQ(store_->put(*cookie, 0, bytes_).code(), ESTALE);
  EXPECT_TRUE(writing);
  writing = true;  // the other ends in any case
  writing.notify_all();
  other.join();
  ASSERT_TRUE(discarded);
  disk_.set_fault({});
  EXPECT_FALSE(cookie->present(BlockIndex(0)));
  ASSERT_TRUE(store_->writer().commit().ok());
  EXPECT_EQ(store_->lookup("a", bytes_.size())->state(), ObjectState::kAbsent);
  store_->writer().maintain();
  EXPECT_EQ(only_file(), "");
  EXPECT_EQ(store_->cache().usage().used_bytes,
            disk_.stat("index").value().allocated_bytes +
                disk_.stat("index-wal").value().allocated_bytes);
  reopen();
  EXPECT_EQ(store_->lookup("a", bytes_.size())->state(), ObjectState::kAbsent);
}

TEST_F(StoreFaultTest, EioOfOneFileDisablesThatObjectOnly) {
  const Ref<Cookie> bad = store_->lookup("bad", bytes_.size());
  ASSERT_TRUE(store_->put(*bad, 0, bytes_).ok());
  const std::string file = only_file();
  const Ref<Cookie> good = store_->lookup("good", bytes_.size());
  ASSERT_TRUE(store_->put(*good, 0, bytes_).ok());
  ASSERT_TRUE(store_->writer().commit().ok());
  disk_.set_fault([&](SimDisk::Call call, const std::string& path) {
    return call == SimDisk::Call::kRead && path == file ? EIO : 0;
  });
  EXPECT_EQ(store_->read(*bad, 0, 10).code(), EIO);
  EXPECT_EQ(bad->state(), ObjectState::kDead);
  EXPECT_EQ(store_->read(*bad, 0, 10).code(), ESTALE);
  EXPECT_EQ(store_->read_all(*good), bytes_);
  EXPECT_EQ(store_->cache().usage().disabled_objects, 1u);
  // A new object of the same file lies elsewhere.
  const Ref<Cookie> again = store_->lookup("bad", bytes_.size());
  ASSERT_TRUE(store_->put(*again, 0, bytes_).ok());
  EXPECT_EQ(store_->read_all(*again), bytes_);
  disk_.set_fault({});  // it looks at `file`, and the store still reads when it closes
}

TEST_F(StoreFaultTest, FlippedBitInDataIsNeverServedAndItsBlockIsStoredAgain) {
  const Ref<Cookie> cookie = store_->lookup("a", bytes_.size());
  store_->seal(*cookie, bytes_);
  ASSERT_EQ(cookie->state(), ObjectState::kSealed);
  disk_.flip(only_file(), (kBlockBytes + 5000) * 8 + 3);
  EXPECT_EQ(store_->read(*cookie, kBlockBytes, kBlockBytes).code(), EBADMSG);
  EXPECT_EQ(cookie->state(), ObjectState::kPartial);
  EXPECT_TRUE(cookie->present(BlockIndex(0)));
  EXPECT_FALSE(cookie->present(BlockIndex(1)));
  EXPECT_EQ(store_->cache().usage().damaged_blocks, 1u);
  ASSERT_TRUE(store_->writer().commit().ok());
  reopen();  // what was dropped stays dropped
  const Ref<Cookie> loaded = store_->lookup("a", bytes_.size());
  EXPECT_FALSE(loaded->present(BlockIndex(1)));
  EXPECT_TRUE(loaded->present(BlockIndex(2)));
  store_->seal(*loaded, bytes_);
  EXPECT_EQ(loaded->state(), ObjectState::kSealed);
  EXPECT_EQ(store_->read_all(*loaded), bytes_);
}

TEST_F(StoreFaultTest, DamageInAHandedOutFileEndsItsObject) {
  const Ref<Cookie> cookie = store_->lookup("a", bytes_.size());
  store_->seal(*cookie, bytes_);
  ASSERT_TRUE(cookie->hand_out().ok());
  const std::string file = only_file();
  disk_.flip(file, 8);
  EXPECT_EQ(store_->read(*cookie, 0, 10).code(), EBADMSG);
  EXPECT_EQ(cookie->state(), ObjectState::kDead);
  ASSERT_TRUE(store_->writer().commit().ok());
  const Ref<Cookie> fresh = store_->lookup("a", bytes_.size());
  EXPECT_EQ(fresh->state(), ObjectState::kAbsent);
}

TEST_F(StoreFaultTest, ScrubberFindsWhatTheDiskLostThoughNobodyReadsIt) {
  const std::string small = test_bytes(2, 100);
  const Ref<Cookie> handed_out = store_->lookup("handed out", bytes_.size());
  store_->seal(*handed_out, bytes_);
  ASSERT_TRUE(handed_out->hand_out().ok());
  disk_.flip(only_file(), (2 * kBlockBytes + 9) * 8);
  std::set<std::string> known;
  for (const std::string& file : disk_.files()) known.insert(file);
  Ref<Cookie> sealed = store_->lookup("sealed", small.size());
  store_->seal(*sealed, small);
  for (const std::string& file : disk_.files()) {
    if (file.starts_with("objects/") && !known.contains(file)) disk_.flip(file, 8);
  }
  sealed = nullptr;  // it need not be in use
  // Twice: the first round begins somewhere in the middle.
  for (int i = 0; i < 2; ++i) store_->writer().maintain();
  EXPECT_EQ(handed_out->state(), ObjectState::kDead);
  EXPECT_EQ(store_->lookup("sealed", small.size())->state(), ObjectState::kPartial);
  EXPECT_EQ(store_->cache().usage().damaged_blocks, 2u);
}

TEST_F(StoreFaultTest, ScrubberReadsASoundObjectOnceADay) {
  const Ref<Cookie> cookie = store_->lookup("a", bytes_.size());
  store_->seal(*cookie, bytes_);
  for (int i = 0; i < 5; ++i) store_->writer().maintain();
  const uint64_t first = store_->cache().usage().scrubbed_bytes;
  EXPECT_GE(first, bytes_.size());
  EXPECT_LE(first, 2 * bytes_.size()) << "the round that began in the middle, and a whole one";
  store_->clock().advance(std::chrono::hours(23));
  store_->writer().maintain();
  EXPECT_EQ(store_->cache().usage().scrubbed_bytes, first);
  store_->clock().advance(std::chrono::hours(2));
  store_->writer().maintain();
  EXPECT_EQ(store_->cache().usage().scrubbed_bytes, first + bytes_.size());
  EXPECT_EQ(cookie->state(), ObjectState::kSealed);
}

TEST_F(StoreFaultTest, ScrubberTakesALargeObjectInParts) {
  const std::string large = test_bytes(3, kScrubBytes + 5 * kBlockBytes + 7);
  const Ref<Cookie> cookie = store_->lookup("a", large.size());
  store_->seal(*cookie, large);
  disk_.flip(only_file(), (large.size() - 1) * 8);
  store_->clock().advance(std::chrono::hours(1));
  int turns = 0;
  while (cookie->state() == ObjectState::kSealed && turns < 6) {
    store_->writer().maintain();
    ++turns;
    EXPECT_LE(store_->cache().usage().scrubbed_bytes, turns * kScrubBytes);
  }
  EXPECT_EQ(cookie->state(), ObjectState::kPartial);
}

TEST_F(StoreFaultTest, ObjectThatDoesNotReadBackIsNotSealed) {
  const Ref<Cookie> cookie = store_->lookup("a", bytes_.size());
  ASSERT_TRUE(store_->put(*cookie, 0, bytes_).ok());
  disk_.flip(only_file(), 100);
  store_->writer().may_seal(*cookie);
  ASSERT_TRUE(store_->writer().commit().ok());
  EXPECT_EQ(cookie->state(), ObjectState::kPartial);
  EXPECT_EQ(cookie->hand_out().code(), EBUSY);
  ASSERT_TRUE(store_->put(*cookie, 0, bytes_).ok());
  ASSERT_TRUE(store_->writer().commit().ok());
  EXPECT_EQ(cookie->state(), ObjectState::kSealed);
}

TEST_F(StoreFaultTest, FileCutShortIsFoundBeforeItIsHandedOut) {
  const Ref<Cookie> cookie = store_->lookup("a", bytes_.size());
  store_->seal(*cookie, bytes_);
  ASSERT_TRUE(disk_.open(only_file(), OpenMode::kReadWrite).value()->truncate(5000).ok());
  EXPECT_FALSE(cookie->hand_out().ok());
  EXPECT_EQ(cookie->state(), ObjectState::kDead);
}

TEST_F(StoreFaultTest, SealedObjectIsVerifiedAgainAfterAnUncleanEnd) {
  const Ref<Cookie> first = store_->lookup("a", bytes_.size());
  store_->seal(*first, bytes_);
  disk_.crash_at(0);
  store_.reset();
  disk_.restart(SimDisk::Lost::kPower, 1);
  disk_.flip(only_file(), 77);  // what a power cut may do to a disk
  reopen();
  const Ref<Cookie> cookie = store_->lookup("a", bytes_.size());
  EXPECT_EQ(cookie->state(), ObjectState::kComplete);
  EXPECT_EQ(cookie->hand_out().code(), EBUSY);
  ASSERT_TRUE(store_->writer().commit().ok());
  EXPECT_EQ(cookie->state(), ObjectState::kPartial);
  EXPECT_EQ(store_->cache().usage().damaged_blocks, 1u);
}

TEST_F(StoreFaultTest, MaintainVerifiesAndSealsAgainWithoutAnyStore) {
  const Ref<Cookie> first = store_->lookup("a", bytes_.size());
  store_->seal(*first, bytes_);
  disk_.crash_at(0);
  store_.reset();
  disk_.restart(SimDisk::Lost::kNothing, 1);
  reopen();
  const Ref<Cookie> cookie = store_->lookup("a", bytes_.size());
  ASSERT_EQ(cookie->state(), ObjectState::kComplete);
  store_->writer().maintain();
  EXPECT_EQ(cookie->state(), ObjectState::kSealed);
  EXPECT_EQ(store_->cache().usage().sealed_count, 1u);
}

TEST_F(StoreFaultTest, AnyFlippedBitOfTheIndexNeverMakesAWrongByteOrACrash) {
  for (int i = 0; i < 20; ++i) {
    const Ref<Cookie> cookie = store_->lookup("f" + std::to_string(i), bytes_.size());
    store_->seal(*cookie, bytes_);
  }
  store_.reset();
  const uint64_t bits = disk_.stat("index").value().size_bytes * 8;
  int rebuilt = 0;
  for (uint64_t bit = 0; bit < bits; bit += bits / 400 + 1) {
    disk_.flip("index", bit);
    reopen();
    for (int i = 0; i < 20; ++i) {
      const Ref<Cookie> cookie = store_->lookup("f" + std::to_string(i), bytes_.size());
      if (!cookie->present(BlockIndex(0))) {
        store_->writer().maintain();
        const Ref<Cookie> again = store_->lookup("f" + std::to_string(i), bytes_.size());
        if (again->state() == ObjectState::kAbsent) store_->seal(*again, bytes_);
        ++rebuilt;
        continue;
      }
      const Result<std::string> got = store_->read(*cookie, 0, bytes_.size());
      if (got.ok()) {
        ASSERT_EQ(got.value(), bytes_) << "bit " << bit;
      }
    }
  }
  EXPECT_GT(rebuilt, 0);
}

TEST_F(StoreFaultTest, IndexDamagedWhileInUseIsSetAsideAndTheStoreGoesOn) {
  const Ref<Cookie> held = store_->lookup("held", bytes_.size());
  store_->seal(*held, bytes_);
  reopen();
  const Ref<Cookie> before = store_->lookup("held", bytes_.size());
  const uint64_t pages = disk_.stat("index").value().size_bytes / 4096;
  for (uint64_t page = 0; page < pages; ++page) disk_.flip("index", page * 32768 + 4000);
  // A commit makes readers look at the disk again; then names are looked up in the damage.
  const Ref<Cookie> small = store_->lookup("small", 10);
  (void)store_->put(*small, 0, "0123456789").ok();
  (void)store_->writer().commit().ok();
  for (int i = 0; i < 50; ++i) (void)store_->lookup("other" + std::to_string(i), 10);
  store_->writer().maintain();
  EXPECT_EQ(before->state(), ObjectState::kDead);
  const Ref<Cookie> after = store_->lookup("held", bytes_.size());
  EXPECT_EQ(after->state(), ObjectState::kAbsent);
  store_->seal(*after, bytes_);
  EXPECT_EQ(store_->read_all(*after), bytes_);
  EXPECT_TRUE(disk_.stat("index.damaged").ok());
  reopen();
  EXPECT_EQ(store_->lookup("held", bytes_.size())->state(), ObjectState::kSealed);
}

// Each call of the disk fails once, in turn; whatever comes of it, no byte is wrong, and the store
// works on when the disk does.
void fail_each_call(int code) {
  const std::string bytes = test_bytes(1, 3 * kBlockBytes);
  for (int failing = 0; failing < 400; ++failing) {
    SimDisk disk;
    TestStore store("sim", {.disk = &disk});
    ASSERT_TRUE(store.ok());
    int call_number = 0;
    disk.set_fault(
        [&](SimDisk::Call, const std::string&) { return call_number++ == failing ? code : 0; });
    for (int i = 0; i < 3; ++i) {
      const std::string path = "f" + std::to_string(i);
      const Ref<Cookie> cookie = store.lookup(path, bytes.size());
      (void)store.put(*cookie, 0, bytes).ok();
      store.writer().may_seal(*cookie);
      (void)store.writer().commit().ok();
      const Result<std::string> got = store.read(*cookie, 0, bytes.size());
      if (got.ok()) {
        ASSERT_EQ(got.value(), bytes) << "call " << failing;
      }
      if (i == 1) store.writer().discard(*cookie);
      store.writer().maintain();
    }
    const int calls = call_number;
    disk.set_fault({});
    for (int i = 0; i < 3; ++i) {
      const Ref<Cookie> cookie = store.lookup("f" + std::to_string(i), bytes.size());
      if (cookie->state() < ObjectState::kSealed) store.seal(*cookie, bytes);
      ASSERT_EQ(store.read_all(*cookie), bytes) << "call " << failing << " file " << i;
      ASSERT_EQ(cookie->state(), ObjectState::kSealed) << "call " << failing << " file " << i;
    }
    if (failing > calls) return;  // every call has had its turn
  }
  FAIL() << "more calls than expected";
}

TEST(StoreFault, EioAtAnyCallGivesNoWrongByteAndTheStoreGoesOn) {
  fail_each_call(EIO);
}

TEST(StoreFault, NoSpaceAtAnyCallGivesNoWrongByteAndTheStoreGoesOn) {
  fail_each_call(ENOSPC);
}

}  // namespace
}  // namespace netfs::cachefiles
