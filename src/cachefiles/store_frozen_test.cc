// The founding rule on a real disk: with the cache's file system frozen and the writer's side stuck
// in it, look-ups and reads of the store go on.  The store runs in a child; this process freezes
// and, from outside, thaws, as nothing stuck in a frozen file system can be killed.

#include <atomic>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "cachefiles/test_store.h"
#include "sync/context.h"
#include "sync/thread.h"

namespace netfs::cachefiles {
namespace {

constexpr int kKnown = 2000;
constexpr uint64_t kSize = 20000;

struct Shared {
  std::atomic<uint64_t> reads;
  std::atomic<uint64_t> writes;
  std::atomic<uint64_t> failures;
  std::atomic<bool> ready;
  std::atomic<bool> stop;
};

std::string name_of(uint64_t i) {
  return "known/" + std::to_string(i);
}

void fill(const std::string& directory) {
  TestStore store(directory);
  for (int i = 0; i < kKnown; ++i) {
    const Ref<Cookie> cookie = store.lookup(name_of(static_cast<uint64_t>(i)), kSize);
    NETFS_ASSERT(store.put(*cookie, 0, test_bytes(static_cast<uint64_t>(i), kSize)).ok());
    store.writer().may_seal(*cookie);
  }
  NETFS_ASSERT(store.writer().commit().ok());
}

void write_for_ever(TestStore& store, Shared& shared) {
  const std::string bytes = test_bytes(1, kSize);
  for (uint64_t i = 0; !shared.stop; ++i) {
    const Ref<Cookie> cookie = store.lookup("new/" + std::to_string(i), kSize);
    (void)store.put(*cookie, 0, bytes).ok();
    (void)store.writer().commit().ok();
    if (i % 3 == 0) store.writer().discard(*cookie);
    if (i % 5 == 0) store.writer().maintain();
    ++shared.writes;
  }
}

// Names that only the index knows, their files opened and read for the first time, and names that
// nothing knows.
void read_for_ever(TestStore& store, Shared& shared) {
  const sync::Context fault(sync::kFuseFault);
  const sync::ContextScope scope(fault);
  for (uint64_t i = 0; !shared.stop; ++i) {
    const uint64_t known = i % kKnown;
    const Ref<Cookie> cookie = store.lookup(name_of(known), kSize);
    const Result<std::string> got = store.read(*cookie, 0, kSize);
    if (!got.ok() || got.value() != test_bytes(known, kSize)) ++shared.failures;
    if (cookie->state() == ObjectState::kSealed && !cookie->hand_out().ok()) ++shared.failures;
    (void)store.lookup("unknown/" + std::to_string(i), kSize);
    ++shared.reads;
  }
}

[[noreturn]] void run_child(const std::string& directory, Shared& shared) {
  fill(directory);
  {
    TestStore store(directory, {.descriptor_budget = 32});
    sync::Thread writer("writer", [&] { write_for_ever(store, shared); });
    sync::Thread reader("reader", [&] {
      while (!shared.ready) sched_yield();
      read_for_ever(store, shared);
    });
    while (!shared.ready) sched_yield();
  }
  ::_exit(0);
}

// Waits, boundedly, for a condition.
template <class Condition>
bool wait_for(Condition condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    ::poll(nullptr, 0, 10);
  }
  return false;
}

class FrozenStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: only root can freeze a file system";
    const std::string image = directory_.path() + "/image";
    mount_ = directory_.path() + "/mount";
    std::filesystem::create_directory(mount_);
    const std::string make = "truncate -s 300M " + image + " && mkfs.ext4 -q " + image +
                             " && mount -o loop " + image + " " + mount_ + " 2>&1";
    if (std::system(make.c_str()) != 0) GTEST_SKIP() << "SKIPPED: no loop mount here";
    mounted_ = true;
  }
  void TearDown() override {
    if (!mounted_) return;
    EXPECT_EQ(std::system(("umount " + mount_).c_str()), 0);
  }
  TestDirectory directory_;
  std::string mount_;
  bool mounted_ = false;
};

TEST_F(FrozenStoreTest, LookupsAndReadsGoOnWhileTheWritersSideIsStuck) {
  auto* shared = static_cast<Shared*>(
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(shared, MAP_FAILED);
  const pid_t child = ::fork();
  if (child == 0) run_child(mount_ + "/cache", *shared);
  ASSERT_TRUE(wait_for([&] { return shared->writes > 5; }));
  const UniqueFd fd(::open(mount_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::ioctl(fd.get(), FIFREEZE, 0), 0);
  // From here to the thaw the writer ends one step at most: that whose last write was done before.
  const uint64_t writes = shared->writes;
  shared->ready = true;  // the first look-up of each name happens on the frozen disk
  const bool went_on = wait_for([&] { return shared->reads > 2u * kKnown; });
  const uint64_t writes_at_end = shared->writes;
  EXPECT_EQ(::ioctl(fd.get(), FITHAW, 0), 0);
  shared->stop = true;
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(went_on) << shared->reads << " reads on the frozen disk";
  EXPECT_LE(writes_at_end, writes + 1);
  EXPECT_EQ(shared->failures, 0u);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  ::munmap(shared, sizeof(Shared));
}

}  // namespace
}  // namespace netfs::cachefiles
