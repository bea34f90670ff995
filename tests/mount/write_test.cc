// Goal: every byte is at the origin when its call returns, by --write=close when close or fsync
// does, by --write=back when `netfs sync` does; readers here see it at once, and nothing stored of
// an older file is ever shown.  Method: real mounts of a folder and of a real sshd, compared with
// the folder itself.

#include <cstdlib>
#include <sys/mman.h>

#include "tests/mount/write_fixture.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

INSTANTIATE_TEST_SUITE_P(Origins, Write,
                         testing::Values("file", "sftp", "file_close", "sftp_close", "file_back",
                                         "sftp_back"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST_P(Write, AMountIsReadOnlyUnlessItIsSaidHowItIsWritten) {
  mount_ = mount_of(source_, {"-o", "rw"});
  EXPECT_EQ(put(here("a"), "x"), EROFS);
  EXPECT_EQ(code(::mkdir(here("d").c_str(), 0755)), EROFS);
}

TEST_P(Write, EveryWriteIsAtTheOriginWhenItReturns) {
  mount_it();
  const std::string bytes = pattern(1, 0, 3'000'000);
  const UniqueFd fd = open_file(here("a"), O_RDWR | O_CREAT | O_EXCL);
  ASSERT_TRUE(fd) << strerror(errno);
  size_t at = 0;
  for (const size_t length : {1UL, 4095UL, 4097UL, 1'000'000UL, 1'991'807UL}) {
    ASSERT_EQ(::write(fd.get(), bytes.data() + at, length), static_cast<ssize_t>(length));
    at += length;
    if (keeps_writes()) {
      EXPECT_EQ(::fsync(fd.get()), 0) << strerror(errno);
    }
    EXPECT_TRUE(whole(there("a")) == bytes.substr(0, at)) << "after " << at << " bytes";
  }
  struct stat st {};
  ASSERT_EQ(::fstat(fd.get(), &st), 0);
  EXPECT_EQ(st.st_size, 3'000'000);
  EXPECT_EQ(::fsync(fd.get()), 0) << strerror(errno);
  EXPECT_EQ(::fdatasync(fd.get()), 0) << strerror(errno);
  EXPECT_EQ(code(::syncfs(fd.get())), 0);
  EXPECT_EQ(mount_->status_number("written_bytes"), 3'000'000);
}

// Partial blocks exact to the byte, holes that read as zeroes, append, O_TRUNC, ftruncate.

TEST_P(Write, ReadsAfterOwnWritesSeeThemByAnyHandle) {
  std::string want = pattern(2, 0, 300'000);
  write_file(there("a"), want);
  mount_it();
  const UniqueFd reader = open_file(here("a"), O_RDONLY);
  ASSERT_TRUE(reader);
  EXPECT_TRUE(bytes_at(reader.get(), 0, want.size() + 1) == want);
  const UniqueFd writer = open_file(here("a"), O_RDWR);
  ASSERT_TRUE(writer) << strerror(errno);
  for (const off_t at : {0, 65'535, 65'536, 131'000, 299'990}) {
    const std::string piece = pattern(3, static_cast<uint64_t>(at), 37);
    ASSERT_EQ(::pwrite(writer.get(), piece.data(), piece.size(), at), 37);
    if (want.size() < static_cast<size_t>(at) + 37) want.resize(static_cast<size_t>(at) + 37);
    want.replace(static_cast<size_t>(at), 37, piece);
    EXPECT_TRUE(bytes_at(reader.get(), 0, want.size() + 1) == want) << at;
    EXPECT_TRUE(bytes_at(writer.get(), 0, want.size() + 1) == want) << at;
    drop_pages(here("a"));
    EXPECT_TRUE(bytes_at(reader.get(), 0, want.size() + 1) == want) << at << " without pages";
  }
  ASSERT_EQ(::ftruncate(writer.get(), 70'000), 0) << strerror(errno);
  ASSERT_EQ(::ftruncate(writer.get(), 200'000), 0) << strerror(errno);
  want.resize(70'000);
  want.resize(200'000, '\0');
  EXPECT_TRUE(bytes_at(reader.get(), 0, 300'000) == want) << "the grown part is zeroes";
  EXPECT_EQ(put(here("a"), "tail", O_APPEND), 0);
  want += "tail";
  EXPECT_TRUE(bytes_at(reader.get(), 0, 300'000) == want);
  EXPECT_TRUE(whole(there("a")) == want);
  EXPECT_EQ(put(here("a"), "new", O_TRUNC), 0);
  EXPECT_EQ(bytes_at(reader.get(), 0, 100), "new");
  drop_pages(here("a"));
  EXPECT_EQ(whole(here("a")), "new");
}

TEST_P(Write, GapsAndRegrownPartsAreZeroesAlsoAfterARemount) {
  write_file(there("gap"), pattern(15, 0, 1000));
  write_file(there("regrown"), pattern(15, 0, 300'000));
  mount_it();
  std::string gap = pattern(15, 0, 1000);
  {
    const UniqueFd fd = open_file(here("gap"), O_RDWR);
    ASSERT_EQ(::pwrite(fd.get(), "end", 3, 200'000), 3) << strerror(errno);
    ASSERT_EQ(::pwrite(fd.get(), "within", 6, 501), 6) << strerror(errno);
  }
  EXPECT_EQ(mount_->status_number("downloaded_bytes"), 0) << "nothing is read to be written over";
  gap.replace(501, 6, "within");
  gap.resize(200'000, '\0');
  gap += "end";
  ASSERT_EQ(::truncate(here("regrown").c_str(), 100'001), 0);
  ASSERT_EQ(::truncate(here("regrown").c_str(), 300'000), 0);
  std::string regrown = pattern(15, 0, 100'001);
  regrown.resize(300'000, '\0');
  for (int pass = 0; pass < 2; ++pass) {
    EXPECT_TRUE(whole(here("gap")) == gap) << pass;
    EXPECT_TRUE(whole(here("regrown")) == regrown) << pass;
    drop_pages(here("gap"));
    drop_pages(here("regrown"));
    EXPECT_TRUE(whole(here("gap")) == gap) << pass;
    EXPECT_TRUE(whole(here("regrown")) == regrown) << pass;
    if (pass == 1) break;
    ASSERT_TRUE(mount_->unmount()) << mount_->log();
    mount_it();
  }
}

TEST_P(Write, StoresIntoASharedMappingAreAtTheOriginAfterMsync) {
  write_file(there("a"), pattern(4, 0, 100'000));
  mount_it();
  const UniqueFd fd = open_file(here("a"), O_RDWR);
  const UniqueFd other = open_file(here("a"), O_RDONLY);
  ASSERT_TRUE(fd && other);
  void* map = ::mmap(nullptr, 100'000, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(map, MAP_FAILED) << strerror(errno);
  std::string want = pattern(4, 0, 100'000);
  std::memcpy(static_cast<char*>(map) + 50'000, "stored", 6);
  want.replace(50'000, 6, "stored");
  EXPECT_EQ(bytes_at(other.get(), 50'000, 6), "stored") << "at once, by the kernel's pages";
  ASSERT_EQ(::msync(map, 100'000, MS_SYNC), 0) << strerror(errno);
  EXPECT_TRUE(whole(there("a")) == want);
  // And with the last close of what was stored after it.
  std::memcpy(static_cast<char*>(map) + 99'000, "closed", 6);
  want.replace(99'000, 6, "closed");
  ASSERT_EQ(::munmap(map, 100'000), 0);
  ASSERT_EQ(::fsync(fd.get()), 0);
  EXPECT_TRUE(whole(there("a")) == want);
}

TEST_P(Write, DirectWritesAreSeenByBufferedReaders) {
  write_file(there("a"), pattern(5, 0, 1 << 20));
  mount_it();
  const UniqueFd reader = open_file(here("a"), O_RDONLY);
  EXPECT_TRUE(bytes_at(reader.get(), 0, 1 << 20) == pattern(5, 0, 1 << 20));
  const UniqueFd direct = open_file(here("a"), O_RDWR | O_DIRECT);
  ASSERT_TRUE(direct) << strerror(errno);
  void* memory = nullptr;
  ASSERT_EQ(::posix_memalign(&memory, 4096, 512 << 10), 0);
  const std::string piece = pattern(6, 0, 512 << 10);
  std::memcpy(memory, piece.data(), piece.size());
  ASSERT_EQ(::pwrite(direct.get(), memory, piece.size(), 4096), 512 << 10) << strerror(errno);
  EXPECT_TRUE(bytes_at(reader.get(), 4096, 512 << 10) == piece);
  std::memset(memory, 0, piece.size());
  ASSERT_EQ(::pread(direct.get(), memory, piece.size(), 4096), 512 << 10) << strerror(errno);
  EXPECT_EQ(std::memcmp(memory, piece.data(), piece.size()), 0);
  std::free(memory);
}

// The cache has the whole old file, sealed.  The new one has its size and its time.

TEST_P(Write, WhatIsStoredOfAnOlderFileIsNeverShown) {
  for (const char* name : {"written", "renamed", "other", "made"}) {
    write_file(there(name), pattern(7, name[0], 200'000), std::chrono::hours(2));
  }
  const struct stat old = stat_of(there("written"));
  for (const char* name : {"renamed", "other", "made"}) {
    const timespec times[2] = {old.st_mtim, old.st_mtim};
    ASSERT_EQ(::utimensat(AT_FDCWD, there(name).c_str(), times, 0), 0);
  }
  mount_it();
  for (const char* name : {"written", "renamed", "other", "made"}) {
    EXPECT_TRUE(same_bytes(here(name), there(name)));
  }
  ASSERT_TRUE(wait_until([&] { return mount_->status_number("sealed_count") >= 4; },
                         std::chrono::seconds(60)))
      << mount_->status();
  const timespec times[2] = {old.st_mtim, old.st_mtim};
  const std::string fresh = pattern(8, 0, 200'000);
  ASSERT_EQ(put(here("written"), fresh, 0), 0);
  ASSERT_EQ(::utimensat(AT_FDCWD, here("written").c_str(), times, 0), 0) << strerror(errno);
  const std::string other = whole(there("other"));
  ASSERT_EQ(::rename(here("other").c_str(), here("renamed").c_str()), 0) << strerror(errno);
  ASSERT_EQ(::unlink(here("made").c_str()), 0);
  ASSERT_EQ(put(here("made"), fresh), 0);
  ASSERT_EQ(::utimensat(AT_FDCWD, here("made").c_str(), times, 0), 0);
  for (int pass = 0; pass < 3; ++pass) {
    if (pass == 1) drop_dentries();
    for (const char* name : {"written", "renamed", "made"}) drop_pages(here(name));
    if (pass == 2) {
      // A moment later, and in another life of the mount.
      ASSERT_TRUE(mount_->unmount()) << mount_->log();
      mount_it();
    }
    EXPECT_TRUE(whole(here("written")) == fresh) << pass;
    EXPECT_TRUE(whole(here("renamed")) == other) << pass;
    EXPECT_TRUE(whole(here("made")) == fresh) << pass;
    EXPECT_EQ(code(::access(here("other").c_str(), F_OK)), ENOENT) << pass;
  }
}

// A file that is open for writing here and changed there shows it: it is one file.

}  // namespace
}  // namespace netfs::test
