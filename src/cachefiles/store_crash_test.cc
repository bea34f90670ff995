// Goal: whatever moment the power goes or the process dies, the store opens again by itself, blocks
// committed before are there, and no byte it gives is wrong.  Method: one random run of stores,
// commits, seals and discards on SimDisk, cut at every third change in turn (of the first 280,
// which make the store's directories, at every 23rd); data files and index alike lose what was not
// synced.

#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>

#include "base/sanitizer.h"
#include "cachefiles/sim_disk.h"
#include "cachefiles/test_store.h"

namespace netfs::cachefiles {
namespace {

constexpr int kFiles = 5;
constexpr int kVersions = 2;
constexpr int kSteps = 200;
// One thread does all this: a sanitizer that looks for races has seen it after a few cuts.
constexpr uint64_t kThinner = NETFS_THREAD_SANITIZER ? 10 : 1;

struct FileCase {
  std::string path;
  std::string version;
  std::string bytes;
};

std::vector<FileCase> make_cases() {
  std::vector<FileCase> cases;
  const uint64_t sizes[kFiles] = {1000, kBlockBytes, 3 * kBlockBytes + 5, 70 * kBlockBytes, 4096};
  for (int file = 0; file < kFiles; ++file) {
    for (int version = 0; version < kVersions; ++version) {
      cases.push_back({"dir/file" + std::to_string(file), "v" + std::to_string(version),
                       test_bytes(static_cast<uint64_t>(file * 10 + version), sizes[file])});
    }
  }
  return cases;
}

// What must be there after a crash: blocks whose commit returned, of cases not discarded since.
struct Model {
  std::map<size_t, std::set<uint64_t>> stored;
  std::map<size_t, std::set<uint64_t>> committed;
};

std::string block_of(const std::string& bytes, uint64_t block, uint64_t count) {
  return bytes.substr(block * kBlockBytes, count * kBlockBytes);
}

// One step of the run.
void step(TestStore& store, const std::vector<FileCase>& cases, std::vector<Ref<Cookie>>& held,
          Model& model, std::mt19937_64& random) {
  const size_t chosen = random() % cases.size();
  const FileCase& one = cases[chosen];
  const Ref<Cookie> cookie = held[chosen];
  const uint64_t blocks = (one.bytes.size() + kBlockBytes - 1) / kBlockBytes;
  const uint64_t what = random() % 10;
  if (what < 5) {
    const uint64_t first = random() % blocks;
    const uint64_t count = std::min<uint64_t>(1 + random() % 20, blocks - first);
    if (store.put(*cookie, first, block_of(one.bytes, first, count)).ok()) {
      for (uint64_t block = first; block < first + count; ++block) {
        model.stored[chosen].insert(block);
      }
    }
  } else if (what < 7) {
    const std::map<size_t, std::set<uint64_t>> before = model.stored;
    // A commit goes on without an object whose file the dying disk did not take.
    const uint64_t disabled = store.cache().usage().disabled_objects;
    const bool done = store.writer().commit().ok();
    if (done && store.cache().usage().disabled_objects == disabled) model.committed = before;
  } else if (what == 7) {
    store.writer().may_seal(*cookie);
  } else if (what == 8) {
    store.clock().advance(std::chrono::seconds(1));
    store.writer().maintain();
  } else if (random() % 3 == 0) {
    store.writer().discard(*cookie);
    model.stored.erase(chosen);
    model.committed.erase(chosen);
    held[chosen] = store.lookup(one.path, one.bytes.size(), one.version);
  }
}

// Looking one version up supersedes others that nobody holds: the run holds all of them.
std::vector<Ref<Cookie>> hold_all(TestStore& store, const std::vector<FileCase>& cases) {
  std::vector<Ref<Cookie>> held;
  for (const FileCase& one : cases) {
    held.push_back(store.lookup(one.path, one.bytes.size(), one.version));
  }
  return held;
}

void run_until_dead(SimDisk& disk, const std::vector<FileCase>& cases, Model& model,
                    uint64_t seed) {
  std::mt19937_64 random(seed);
  TestStore store("sim", {.disk = &disk});
  if (!store.ok()) return;
  std::vector<Ref<Cookie>> held = hold_all(store, cases);
  for (int i = 0; i < kSteps && !disk.dead(); ++i) step(store, cases, held, model, random);
}

void check_case(TestStore& store, const FileCase& one, const std::set<uint64_t>& committed,
                const Ref<Cookie>& cookie) {
  const uint64_t blocks = (one.bytes.size() + kBlockBytes - 1) / kBlockBytes;
  for (uint64_t block = 0; block < blocks; ++block) {
    const bool present = cookie->present(BlockIndex(block));
    if (committed.contains(block)) {
      EXPECT_TRUE(present) << one.path << " block " << block;
    }
    if (!present) continue;
    const std::string expected = block_of(one.bytes, block, 1);
    const Result<std::string> got = store.read(*cookie, block * kBlockBytes, expected.size());
    ASSERT_TRUE(got.ok()) << one.path << " block " << block << ": " << got.error().message();
    ASSERT_EQ(got.value(), expected) << one.path << " block " << block;
  }
  if (cookie->state() == ObjectState::kSealed) {
    const Result<UniqueFd> fd = cookie->hand_out();
    ASSERT_TRUE(fd.ok()) << fd.error().message();
    ASSERT_EQ(read_descriptor(fd.value().get()), one.bytes);
  }
}

// After a crash: right bytes, nothing lost, and the store works on.
void check_after(SimDisk& disk, const std::vector<FileCase>& cases, const Model& model) {
  TestStore store("sim", {.disk = &disk});
  ASSERT_TRUE(store.ok()) << store.error().message();
  std::vector<Ref<Cookie>> held = hold_all(store, cases);
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto committed = model.committed.find(i);
    check_case(store, cases[i],
               committed == model.committed.end() ? std::set<uint64_t>() : committed->second,
               held[i]);
  }
  ASSERT_TRUE(store.writer().commit().ok());  // verifies again what was sealed
  EXPECT_EQ(store.cache().usage().damaged_blocks, 0u);
  for (size_t i = 0; i < cases.size(); ++i) {
    if (held[i]->state() < ObjectState::kSealed) store.seal(*held[i], cases[i].bytes);
    ASSERT_EQ(store.read_all(*held[i]), cases[i].bytes);
  }
}

void cut_everywhere(SimDisk::Lost lost, uint64_t seed) {
  const std::vector<FileCase> cases = make_cases();
  uint64_t changes = 0;
  {
    SimDisk disk;
    Model model;
    run_until_dead(disk, cases, model, seed);
    changes = disk.changes();
  }
  ASSERT_GT(changes, 500u);
  // Making the directories of a new store is one long row of alike changes: cut thinner there.
  for (uint64_t cut = 0; cut < changes; cut += (cut < 280 ? 23 : 3) * kThinner) {
    SCOPED_TRACE("seed " + std::to_string(seed) + ", cut at change " + std::to_string(cut));
    SimDisk disk;
    Model model;
    disk.crash_at(cut);
    run_until_dead(disk, cases, model, seed);
    disk.restart(lost, cut * 7 + seed);
    check_after(disk, cases, model);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(StoreCrash, PowerCutAtAnyPointLosesNoCommittedBlockAndServesNoWrongByte) {
  for (const uint64_t seed : {1, 2}) cut_everywhere(SimDisk::Lost::kPower, seed);
}

TEST(StoreCrash, KillAtAnyPointLosesNoCommittedBlockAndServesNoWrongByte) {
  cut_everywhere(SimDisk::Lost::kNothing, 3);
}

// What was synced and then rots is found by its checksum, after a crash as well.
TEST(StoreCrash, FlippedBitInACommittedPageIsNoticed) {
  const std::string bytes = test_bytes(1, 3 * kBlockBytes);
  SimDisk disk;
  {
    TestStore store("sim", {.disk = &disk});
    const Ref<Cookie> cookie = store.lookup("a", bytes.size());
    ASSERT_TRUE(store.put(*cookie, 0, bytes).ok());
    ASSERT_TRUE(store.writer().commit().ok());
    for (const std::string& path : disk.files()) {
      if (path.starts_with("objects/")) disk.flip(path, 8 * kBlockBytes + 1);
    }
    disk.crash_at(0);
  }
  disk.restart(SimDisk::Lost::kPower, 1);
  TestStore store("sim", {.disk = &disk});
  const Ref<Cookie> cookie = store.lookup("a", bytes.size());
  EXPECT_EQ(store.read(*cookie, 0, kBlockBytes).value(), bytes.substr(0, kBlockBytes));
  EXPECT_EQ(store.read(*cookie, kBlockBytes, 1).code(), EBADMSG);
  EXPECT_EQ(store.cache().usage().damaged_blocks, 1u);
}

}  // namespace
}  // namespace netfs::cachefiles
