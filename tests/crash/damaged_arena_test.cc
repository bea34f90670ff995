// Goal: what a killed worker has left of what the kernel knows is damaged before the next one
// comes: cut short, of another version, single records, any bit.  Who has something open reads the
// right bytes or hears ESTALE or EIO; by its path everything is read; what was kept of writes comes
// to the origin as it was written, or not at all, and who wrote it is told; the mount ends as any
// other.
//
// Method: the supervisor keeps the arena in a memfd, which is written to while it is stopped and
// its worker is dead.

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <random>
#include <span>
#include <sys/mman.h>

#include "tests/crash/without_worker.h"
#include "tests/mount/write_fixture.h"
#include "vfs/arena_kinds.h"
#include "vfs/inode_table.h"

namespace netfs::test {
namespace {

constexpr unsigned kFiles = 8;
constexpr uint64_t kFileBytes = 60'000;
constexpr std::chrono::seconds kSoonTime{30};

// How many rounds the test of any bit makes; many: by scripts/test --all.
unsigned damaged_rounds() {
  const char* given = std::getenv("NETFS_TEST_ROUNDS");
  return given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : 8;
}

// The arena that a supervisor keeps, as it lies in memory.
class LeftArena {
 public:
  explicit LeftArena(pid_t supervisor) {
    std::error_code gone;
    const std::string fds = "/proc/" + std::to_string(supervisor) + "/fd";
    for (const auto& one : std::filesystem::directory_iterator(fds, gone)) {
      const std::string target = std::filesystem::read_symlink(one.path(), gone);
      if (target.starts_with("/memfd:netfs-arena")) fd_ = open_file(one.path(), O_RDWR);
    }
    struct stat st {};
    if (!fd_ || ::fstat(fd_.get(), &st) != 0) return;
    const auto size = static_cast<size_t>(st.st_size);
    void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    if (at != MAP_FAILED) bytes_ = {static_cast<char*>(at), size};
  }
  ~LeftArena() {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
  }
  LeftArena(const LeftArena&) = delete;
  LeftArena& operator=(const LeftArena&) = delete;

  [[nodiscard]] std::span<char> bytes() { return bytes_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  // All chunks of a kind, as records.
  template <class Record>
  std::vector<Record*> records(uint8_t kind) {
    if (!memory_) {
      memory_ =
          vfs::ArenaMemory::adopt(UniqueFd(::dup(fd_.get())), vfs::InodeTable::kLayout).value();
    }
    std::vector<Record*> found;
    for (void* chunk : memory_->chunks(kind)) {
      auto* first = static_cast<Record*>(chunk);
      for (size_t i = 0; i < vfs::ArenaMemory::kChunkBytes / sizeof(Record); ++i) {
        found.push_back(&first[i]);
      }
    }
    return found;
  }

 private:
  UniqueFd fd_;
  std::span<char> bytes_;
  Ref<vfs::ArenaMemory> memory_;
};

class DamagedArena : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    random_.seed(test_seed());
    source_ = temp_.make_dir("source");
  }

  void TearDown() override {
    if (!mount_) return;
    files_.clear();
    EXPECT_TRUE(mount_->unmount(kSoonTime)) << mount_->log();
  }

  void mount_it(std::vector<std::string> more) {
    mount_ = std::make_unique<NetfsMount>(
        NetfsMount::Options{
            .url = "file://" + source_, .cache_dir = temp_ / "cache", .more = std::move(more)},
        temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
    watchdog_ = std::make_unique<Watchdog>(kBound, [this] { mount_->abort(); });
  }
  // Files that are too new for the kernel to read them by itself: each read comes to the worker.
  void mount_and_open() {
    for (unsigned i = 0; i < kFiles; ++i) {
      write_file(source_ + name(i), pattern(i, 0, kFileBytes + i));
    }
    ASSERT_NO_FATAL_FAILURE(mount_it({"--hot", "3600s", "--metadata-ttl", "1s"}));
    open_all();
  }

  static std::string name(unsigned i) { return "/file" + std::to_string(i); }

  void open_all() {
    files_.clear();
    for (unsigned i = 0; i < kFiles; ++i) {
      // What is left of a nodeid that is known no more goes with the first look.
      EXPECT_TRUE(wait_until(
          [&] {
            UniqueFd file = open_file(mount_->path() + name(i), O_RDONLY);
            if (file) files_.push_back(std::move(file));
            return files_.size() == i + 1;
          },
          kSoonTime))
          << name(i) << ": " << mount_->log();
    }
    ASSERT_EQ(files_.size(), kFiles);
  }

  template <class Damage>
  void damage(const Damage& how) {
    without_worker(*mount_, [&] {
      LeftArena arena(mount_->supervisor());
      ASSERT_FALSE(arena.bytes().empty()) << "the supervisor keeps no arena";
      how(arena);
    });
  }

  // How many of the open files are not to be read any more.
  unsigned look_at_open_files() {
    unsigned lost = 0;
    for (unsigned i = 0; i < kFiles; ++i) {
      ::posix_fadvise(files_[i].get(), 0, 0, POSIX_FADV_DONTNEED);
      std::string bytes;
      const int error = read_on(files_[i].get(), 0, kFileBytes + i, bytes);
      if (error == 0) {
        EXPECT_TRUE(bytes == pattern(i, 0, kFileBytes + i)) << name(i) << " has others' bytes";
        continue;
      }
      EXPECT_TRUE(error == ESTALE || error == EIO) << name(i) << ": " << std::strerror(error);
      ++lost;
    }
    return lost;
  }

  void look_at_all_by_path() {
    for (unsigned i = 0; i < kFiles; ++i) {
      EXPECT_TRUE(wait_until(
          [&] { return bool(same_bytes(mount_->path() + name(i), source_ + name(i))); }, kSoonTime))
          << name(i) << ": " << mount_->log();
    }
  }

  [[nodiscard]] bool log_says(const std::string& words) const {
    return wait_until([&] { return mount_->log().find(words) != std::string::npos; }, kSoonTime);
  }

  TempDir temp_;
  std::mt19937_64 random_;
  std::string source_;
  std::unique_ptr<NetfsMount> mount_;
  std::vector<UniqueFd> files_;
  std::unique_ptr<Watchdog> watchdog_;
};

TEST_F(DamagedArena, OneThatIsWholeIsTakenOver) {
  ASSERT_NO_FATAL_FAILURE(mount_and_open());
  damage([](LeftArena&) {});
  EXPECT_EQ(look_at_open_files(), 0U) << mount_->log();
  look_at_all_by_path();
}

TEST_F(DamagedArena, OneOfAnotherVersionIsLeftAndWhatIsOpenIsStale) {
  ASSERT_NO_FATAL_FAILURE(mount_and_open());
  constexpr size_t kVersionAt = 8;  // behind the number that says what it is
  damage([](LeftArena& arena) { arena.bytes()[kVersionAt] ^= 0x40; });
  EXPECT_EQ(look_at_open_files(), kFiles);
  EXPECT_TRUE(log_says("what is open in it is lost: it is of another version")) << mount_->log();
  look_at_all_by_path();
}

TEST_F(DamagedArena, OneThatIsCutShortIsLeftAndWhatIsOpenIsStale) {
  ASSERT_NO_FATAL_FAILURE(mount_and_open());
  damage([](LeftArena& arena) {
    ASSERT_EQ(::ftruncate(arena.fd(), static_cast<off_t>(arena.bytes().size() - 4096)), 0);
  });
  EXPECT_EQ(look_at_open_files(), kFiles);
  EXPECT_TRUE(log_says("what is open in it is lost: it is cut short")) << mount_->log();
  look_at_all_by_path();
}

TEST_F(DamagedArena, OneWithAChunkOfAnotherKindIsLeftAndWhatIsOpenIsStale) {
  ASSERT_NO_FATAL_FAILURE(mount_and_open());
  constexpr size_t kKindsAt = 64;
  damage([](LeftArena& arena) { arena.bytes()[kKindsAt] ^= 0x01; });
  EXPECT_EQ(look_at_open_files(), kFiles);
  EXPECT_TRUE(log_says("what is open in it is lost: it is damaged")) << mount_->log();
  look_at_all_by_path();
}

TEST_F(DamagedArena, ANodeWhoseBytesAreDamagedIsLeftOutAndTheOthersAreRead) {
  ASSERT_NO_FATAL_FAILURE(mount_and_open());
  damage([](LeftArena& arena) {
    const std::string wanted = name(3).substr(1);
    const std::span<char> bytes = arena.bytes();
    unsigned found = 0;
    for (auto at = bytes.begin(); at != bytes.end(); ++at) {
      at = std::search(at, bytes.end(), wanted.begin(), wanted.end());
      if (at == bytes.end()) break;
      *at ^= 0x20;
      ++found;
    }
    ASSERT_GT(found, 0U);
  });
  EXPECT_EQ(look_at_open_files(), 1U);
  EXPECT_TRUE(log_says("are damaged: who has them open is told ESTALE")) << mount_->log();
  look_at_all_by_path();
}

// Its checksum says that it is whole: only who asks by it knows which file he has opened.
TEST_F(DamagedArena, AHandleThatNamesAnotherFileGivesNoByteOfIt) {
  ASSERT_NO_FATAL_FAILURE(mount_and_open());
  damage([](LeftArena& arena) {
    auto handles = arena.records<vfs::HandleRecord>(vfs::arena_kind::kHandles);
    std::erase_if(handles, [](const vfs::HandleRecord* one) { return one->handle_id == 0; });
    ASSERT_GE(handles.size(), kFiles);
    std::swap(handles[1]->node_id, handles[2]->node_id);
    for (const size_t i : {1, 2}) handles[i]->crc = handles[i]->checksum();
  });
  EXPECT_EQ(look_at_open_files(), 2U);
  look_at_all_by_path();
}

TEST_F(DamagedArena, AnyBitOfItMayBeAnother) {
  ASSERT_NO_FATAL_FAILURE(mount_and_open());
  for (unsigned round = 0; round < damaged_rounds() && !HasFailure(); ++round) {
    size_t at = 0;
    damage([&](LeftArena& arena) {
      const std::span<char> bytes = arena.bytes();
      // Most of it is unused, and three of four bits are to be of something.
      at = random_() % bytes.size();
      while (round % 4 != 0 && bytes[at] == 0) at = random_() % bytes.size();
      bytes[at] = static_cast<char>(bytes[at] ^ 1 << random_() % 8);
    });
    look_at_open_files();
    look_at_all_by_path();
    EXPECT_FALSE(HasFailure()) << "round " << round << ", byte " << at << ": " << mount_->log();
    open_all();
  }
}

// What is kept of writes: of one file, with another one that is open for writing, too.  No program
// is run before who wrote has asked: a child of this process closes the files, too, and hears of
// it.
class DamagedWrites : public DamagedArena {
 protected:
  static constexpr size_t kPieceBytes = 64 << 10;
  static constexpr size_t kPieces = 6;

  void TearDown() override {
    close_all();
    DamagedArena::TearDown();
  }
  // Some of it is kept when this returns: the way to the origin is slow.
  void mount_and_write() {
    ASSERT_NO_FATAL_FAILURE(mount_it({"--write=close", "--bwlimit", "32K"}));
    written_ = open_file(mount_->path() + "/written", O_RDWR | O_CREAT);
    other_ = open_file(mount_->path() + "/other", O_RDWR | O_CREAT);
    ASSERT_TRUE(written_ && other_);
    ASSERT_EQ(::pwrite(other_.get(), "text", 4, 0), 4);
    ASSERT_EQ(code(::fsync(other_.get())), 0);
    for (size_t i = 0; i < kPieces; ++i) {
      const auto at = static_cast<off_t>(i * kPieceBytes);
      const std::string piece = bytes_.substr(i * kPieceBytes, kPieceBytes);
      ASSERT_EQ(::pwrite(written_.get(), piece.data(), piece.size(), at),
                static_cast<ssize_t>(kPieceBytes));
    }
    ASSERT_FALSE(whole(source_ + "/written") == bytes_) << "nothing was kept";
  }

  // Each byte is what was written there or was never written; how many pieces are not there.
  unsigned missing_at_origin() {
    std::string there = whole(source_ + "/written");
    EXPECT_LE(there.size(), bytes_.size());
    there.resize(bytes_.size());
    unsigned missing = 0;
    for (size_t at = 0; at < bytes_.size(); at += kPieceBytes) {
      if (there.compare(at, kPieceBytes, bytes_, at, kPieceBytes) == 0) continue;
      ++missing;
      for (size_t i = at; i < at + kPieceBytes; ++i) {
        if (there[i] == bytes_[i] || there[i] == '\0') continue;
        ADD_FAILURE() << "byte " << i << " at the origin was never written";
        break;
      }
    }
    return missing;
  }

  void close_all() {
    written_.reset();
    other_.reset();
  }

  const std::string bytes_ = pattern(77, 0, kPieces* kPieceBytes);
  UniqueFd written_, other_;
};

TEST_F(DamagedWrites, BytesThatAreDamagedNeverComeToTheOriginAndWhoWroteThemIsTold) {
  ASSERT_NO_FATAL_FAILURE(mount_and_write());
  damage([](LeftArena& arena) {
    // One of each piece, used or not.
    const auto pieces = arena.records<char[64 << 10]>(vfs::arena_kind::kLargePieces);
    ASSERT_FALSE(pieces.empty());
    for (auto* piece : pieces) (*piece)[999] ^= 0x04;
  });
  EXPECT_EQ(code(::fsync(written_.get())), EIO) << mount_->log();
  EXPECT_EQ(code(::fsync(written_.get())), 0) << "once";
  EXPECT_EQ(code(::fsync(other_.get())), 0) << "nothing of it was lost";
  EXPECT_GT(missing_at_origin(), 0U) << mount_->log();
  EXPECT_TRUE(log_says("bytes of written that were written before a restart are lost"))
      << mount_->log();
  EXPECT_GT(mount_->status_number("lost_bytes"), 0) << mount_->status() << mount_->log();
  EXPECT_EQ(whole(source_ + "/other"), "text");
}

TEST_F(DamagedWrites, OfARecordThatIsDamagedAllWhoWriteAreTold) {
  ASSERT_NO_FATAL_FAILURE(mount_and_write());
  damage([](LeftArena& arena) {
    // Of each that is in use: the words are the node's, its number, and where it goes.
    unsigned used = 0;
    for (auto* record : arena.records<uint64_t[5]>(vfs::arena_kind::kWrites)) {
      if ((*record)[0] == 0) continue;
      (*record)[2] ^= 0x1000;
      ++used;
    }
    ASSERT_GT(used, 0U) << "nothing was kept";
  });
  EXPECT_EQ(code(::fsync(written_.get())), EIO) << mount_->log();
  EXPECT_EQ(code(::fsync(other_.get())), EIO) << "it may have been of this one";
  EXPECT_EQ(code(::fsync(written_.get())), 0) << "once";
  EXPECT_GT(missing_at_origin(), 0U);
  EXPECT_TRUE(log_says("their record is damaged")) << mount_->log();
}

TEST_F(DamagedWrites, WhereNothingCanBeTakenOverWhoWroteIsTold) {
  ASSERT_NO_FATAL_FAILURE(mount_and_write());
  damage([](LeftArena& arena) { arena.bytes()[8] ^= 0x40; });
  EXPECT_EQ(code(::fsync(written_.get())), ESTALE);
  EXPECT_EQ(code(::close(written_.release())), ESTALE);
  (void)missing_at_origin();
  EXPECT_TRUE(log_says("what is open in it is lost")) << mount_->log();
}

}  // namespace
}  // namespace netfs::test
