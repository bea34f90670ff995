// Readers, storers, discards, commits and culling at once: every byte that is read is right.

#include <algorithm>
#include <array>
#include <atomic>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <random>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cachefiles/sim_disk.h"
#include "cachefiles/test_store.h"
#include "sync/context.h"
#include "sync/lock_reports.h"
#include "sync/thread.h"

namespace netfs::cachefiles {
namespace {

constexpr int kFiles = 12;
constexpr uint64_t kSize = 5 * kBlockBytes + 100;

TEST(StoreRace, ReadersSeeRightBytesWhateverTheWritersDo) {
  SimDisk disk;
  TestStore store("sim", {.size_limit_bytes = 3 << 20, .descriptor_budget = 16, .disk = &disk});
  ASSERT_TRUE(store.ok());
  std::vector<std::string> contents;
  for (int i = 0; i < kFiles; ++i) contents.push_back(test_bytes(static_cast<uint64_t>(i), kSize));
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> hits{0};
  std::atomic<uint64_t> wrong{0};
  const auto read = [&](uint64_t seed) {
    const sync::Context fault(sync::kFuseFault);
    const sync::ContextScope scope(fault);  // a reader: entering the write side would assert
    std::mt19937_64 random(seed);
    while (!stop) {
      const size_t file = random() % kFiles;
      const Ref<Cookie> cookie = store.lookup(std::to_string(file), kSize);
      const uint64_t offset = random() % kSize;
      const uint64_t length = std::min<uint64_t>(1 + random() % 100000, kSize - offset);
      const Result<std::string> got =
          store.read(*cookie, offset, length, random() % 2 == 0 ? Waiting::kDisk : Waiting::kNever);
      if (!got.ok()) continue;
      ++hits;
      if (got.value() != contents[file].substr(offset, length)) ++wrong;
      if (cookie->state() == ObjectState::kSealed && random() % 20 == 0) {
        const Result<UniqueFd> fd = cookie->hand_out();
        if (fd.ok() && read_descriptor(fd.value().get()) != contents[file]) ++wrong;
      }
    }
  };
  const auto write = [&](uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int step = 0; step < 1500; ++step) {
      const size_t file = random() % kFiles;
      const Ref<Cookie> cookie = store.lookup(std::to_string(file), kSize);
      const uint64_t first = random() % 6;
      const uint64_t count = std::min<uint64_t>(1 + random() % 6, 6 - first);
      (void)store
          .put(*cookie, first, contents[file].substr(first * kBlockBytes, count * kBlockBytes))
          .ok();
      const uint64_t what = random() % 40;
      if (what < 8) store.writer().may_seal(*cookie);
      if (what >= 8 && what < 16) (void)store.writer().commit().ok();
      if (what == 16) store.writer().discard(*cookie);
      if (what == 17) store.writer().maintain();
      if (what == 18) (void)store.cache().drop("", std::to_string(file)).ok();
      if (what == 19) (void)store.cache().usage();
    }
  };
  sync::Thread reader_a("reader-a", [&] { read(1); });
  sync::Thread reader_b("reader-b", [&] { read(2); });
  {
    sync::Thread writer_a("writer-a", [&] { write(3); });
    sync::Thread writer_b("writer-b", [&] { write(4); });
  }
  stop = true;
  reader_a.join();
  reader_b.join();
  EXPECT_GT(hits, 0u);
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(store.cache().usage().damaged_blocks, 0u);
  ASSERT_TRUE(store.writer().commit().ok());
  store.writer().maintain();
  EXPECT_LE(store.cache().usage().used_bytes, 3u << 20);
}

TEST(StoreRaceDeathTest, StoringForAReaderThatWaitsStopsTheProcess) {
  SimDisk disk;
  TestStore store("sim", {.disk = &disk});
  const Ref<Cookie> cookie = store.lookup("a", 10);
  const sync::Context fault(sync::kFuseFault);
  const sync::ContextScope scope(fault);
  EXPECT_DEATH(
      {
        sync::set_lock_report_folder("");  // the validator's is expected
        (void)store.put(*cookie, 0, "0123456789");
      },
      "kFuseFault");
}

// Whether a thread of this process sleeps.
bool sleeps(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  const std::string stat((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t name_end = stat.rfind(')');
  return name_end != std::string::npos && stat.compare(name_end, 3, ") S") == 0;
}

// The first commit stands still in its one sync of the index until all others wait for it.
TEST(StoreRace, CommitsThatWaitAreServedTogether) {
  constexpr size_t kWaiting = 8;
  std::atomic<int> index_syncs{0};
  std::atomic<bool> go{false};
  SimDisk disk;
  TestStore store("sim", {.disk = &disk});
  disk.set_fault([&](SimDisk::Call call, const std::string& path) {
    if (call != SimDisk::Call::kSync || path != "index-wal") return 0;
    ++index_syncs;
    while (!go) sched_yield();
    return 0;
  });
  const std::string bytes = test_bytes(1, 1000);
  std::array<std::atomic<pid_t>, 1 + kWaiting> committing{};
  const auto commit_new = [&](size_t number) {
    const Ref<Cookie> cookie = store.lookup(std::to_string(number), bytes.size());
    ASSERT_TRUE(store.put(*cookie, 0, bytes).ok());
    committing[number] = static_cast<pid_t>(::syscall(SYS_gettid));
    ASSERT_TRUE(store.writer().commit().ok());
    EXPECT_GE(cookie->state(), ObjectState::kComplete);
  };
  const Deadline patience = Deadline::after(Clock::system(), std::chrono::seconds(60));
  const auto wait_for = [&](auto condition) {
    while (!condition() && !patience.passed(Clock::system().now())) sched_yield();
    return condition();
  };
  {
    std::vector<sync::Thread> threads;
    threads.emplace_back("commit-0", [&] { commit_new(0); });
    EXPECT_TRUE(wait_for([&] { return index_syncs == 1; }));
    for (size_t i = 1; i <= kWaiting; ++i) {
      threads.emplace_back("commit-" + std::to_string(i), [&, i] { commit_new(i); });
    }
    EXPECT_TRUE(wait_for([&] {
      return std::all_of(committing.begin() + 1, committing.end(),
                         [](const auto& thread) { return thread != 0 && sleeps(thread); });
    }));
    go = true;
  }
  EXPECT_EQ(index_syncs, 2);
  EXPECT_EQ(store.cache().usage().object_count, 1 + kWaiting);
  disk.set_fault({});
}

}  // namespace
}  // namespace netfs::cachefiles
