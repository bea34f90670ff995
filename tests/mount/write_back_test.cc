// Goal: what --write=back promises: what was written is seen at once, durable here when fsync
// returns, and at the origin when `netfs sync` does; a kill in between loses nothing.

#include <atomic>
#include <csignal>
#include <filesystem>
#include <map>
#include <sched.h>

#include "base/kill_process.h"
#include "sync/thread.h"
#include "tests/mount/write_back_fixture.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

INSTANTIATE_TEST_SUITE_P(Origins, WriteBack, testing::Values("file_back", "sftp_back"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST_P(WriteBack, WhatIsWrittenIsSeenAtOnceAndThereAfterASync) {
  write_file(there("old"), pattern(1, 0, 200'000));
  mount_it();
  std::string want = pattern(1, 0, 200'000);
  for (const size_t length : {0UL, 1UL, 4096UL, 100'001UL, 9UL << 20}) {
    const std::string name = "new" + std::to_string(length);
    const std::string bytes = pattern(2, length, length);
    ASSERT_EQ(put(here(name), bytes), 0);
    drop_pages(here(name));
    EXPECT_TRUE(whole(here(name)) == bytes) << length;
    EXPECT_EQ(stat_of(here(name)).st_size, static_cast<off_t>(length));
  }
  {
    const UniqueFd fd = open_file(here("old"), O_RDWR);
    ASSERT_TRUE(fd);
    for (size_t i = 0; i < 100; ++i) {
      const std::string piece = pattern(3, i, 1 + i * 7);
      const size_t at = i * 7919 % 199'000;
      ASSERT_EQ(::pwrite(fd.get(), piece.data(), piece.size(), static_cast<off_t>(at)),
                static_cast<ssize_t>(piece.size()));
      want.replace(at, piece.size(), piece);
    }
    drop_pages(here("old"));
    EXPECT_TRUE(bytes_at(fd.get(), 0, want.size()) == want);
  }
  const struct stat before = stat_of(here("old"));
  ASSERT_EQ(sync_it(), 0) << last_output_;
  EXPECT_TRUE(whole(there("old")) == want);
  for (const size_t length : {0UL, 1UL, 4096UL, 100'001UL, 9UL << 20}) {
    EXPECT_TRUE(whole(there("new" + std::to_string(length))) == pattern(2, length, length));
  }
  const struct stat after = stat_of(here("old"));
  EXPECT_EQ(after.st_mtim.tv_sec, before.st_mtim.tv_sec) << "the upload is no change";
  EXPECT_EQ(after.st_ino, before.st_ino);
  drop_pages(here("old"));
  EXPECT_TRUE(whole(here("old")) == want);
}

TEST_P(WriteBack, ATreeThatIsMadeMovedAndPartlyRemovedIsTheSameThere) {
  mount_it();
  for (int i = 0; i < 20; ++i) {
    const std::string directory = "d" + std::to_string(i);
    ASSERT_EQ(code(::mkdir(here(directory).c_str(), 0755)), 0);
    for (int j = 0; j < 10; ++j) {
      const std::string path = directory + "/f" + std::to_string(j);
      ASSERT_EQ(put(here(path + ".tmp"), pattern(4, 0, 100 + 10 * j)), 0);
      ASSERT_EQ(code(::rename(here(path + ".tmp").c_str(), here(path).c_str())), 0);
    }
    ASSERT_EQ(code(::symlink("f0", here(directory + "/l").c_str())), 0);
    if (i % 3 == 0) {
      ASSERT_EQ(code(::rename(here(directory).c_str(), here("moved" + directory).c_str())), 0);
    }
    if (i % 4 == 0) {
      ASSERT_EQ(code(::mkdir(here("empty").c_str(), 0755)), 0);
      EXPECT_EQ(code(::rmdir(here(i % 3 == 0 ? "moved" + directory : directory).c_str())),
                ENOTEMPTY);
      ASSERT_EQ(code(::rmdir(here("empty").c_str())), 0);
    }
  }
  ASSERT_EQ(code(::unlink(here("d1/f3").c_str())), 0);
  ASSERT_EQ(code(::chmod(here("d1/f4").c_str(), 0600)), 0);
  const auto shown = tree_of(mount_->path());
  EXPECT_EQ(shown.size(), 20U * 12 - 1);
  ASSERT_EQ(sync_it(), 0) << last_output_;
  EXPECT_EQ(tree_of(source_), shown);
  EXPECT_EQ(tree_of(mount_->path()), shown);
  EXPECT_EQ(stat_of(there("d1/f4")).st_mode & 07777, 0600U);
}

TEST_P(WriteBack, WhatWasSyncedHereOutlivesAKillAndComesToTheOrigin) {
  mount_it({kSlowUploads});
  std::map<std::string, std::string> want;
  for (int i = 0; i < 12; ++i) {
    const std::string name = "f" + std::to_string(i);
    const std::string bytes = pattern(5, static_cast<uint64_t>(i), 50'000);
    const UniqueFd fd = open_file(here(name), O_RDWR | O_CREAT);
    ASSERT_TRUE(fd);
    ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    ASSERT_EQ(::fsync(fd.get()), 0);
    want[name] = bytes;
  }
  if (std::filesystem::exists(there("f11")))
    GTEST_SKIP() << "SKIPPED: the test was slower than the link";
  const pid_t worker = mount_->worker();
  ASSERT_GT(worker, 0);
  ASSERT_EQ(kill_process(worker, SIGKILL), 0);
  ASSERT_TRUE(wait_until([&] { return mount_->worker() > 0 && mount_->worker() != worker; },
                         std::chrono::seconds(30)));
  EXPECT_TRUE(tree_of(mount_->path()) == want) << "and is seen though it is not there";
  go_on_uploading();
  ASSERT_EQ(sync_it(), 0) << last_output_;
  EXPECT_TRUE(tree_of(source_) == want);
}

TEST_P(WriteBack, ASyncSaysWhatWentOtherwiseOnceAndWhoeverWroteItIsToldToo) {
  write_file(there("f"), "0123456789");
  mount_it();
  const UniqueFd fd = open_file(here("f"), O_RDWR);
  ASSERT_TRUE(fd);
  // A write looks at nothing there: it is of the version that was opened.
  write_file(there("f"), "theirs, and longer");
  ASSERT_EQ(::pwrite(fd.get(), "ours", 4, 0), 4);
  EXPECT_NE(sync_it(), 0);
  EXPECT_NE(last_output_.find("'f'"), std::string::npos) << last_output_;
  EXPECT_NE(last_output_.find("f.netfs-conflict-1"), std::string::npos) << last_output_;
  EXPECT_EQ(whole(there("f")), "theirs, and longer");
  EXPECT_EQ(whole(there("f.netfs-conflict-1")).substr(0, 4), "ours");
  EXPECT_EQ(code(::fsync(fd.get())), EIO);
  EXPECT_EQ(code(::fsync(fd.get())), 0);
  EXPECT_EQ(sync_it(), 0) << last_output_;
}

TEST_P(WriteBack, AHandleThatIsOpenOverAConflictDoesNotWriteIntoTheirs) {
  mount_it();
  const std::string theirs(300'000, 't');
  const UniqueFd fd = open_file(here("f"), O_RDWR | O_CREAT);
  ASSERT_TRUE(fd);
  const auto save = [&](char what) {
    const std::string bytes(300'000, what);
    return code(::pwrite(fd.get(), bytes.data(), bytes.size(), 0));
  };
  ASSERT_EQ(save('A'), 0);
  ASSERT_EQ(::fsync(fd.get()), 0);
  ASSERT_EQ(sync_it(), 0) << last_output_;
  write_file(there("t"), theirs);
  std::filesystem::rename(there("t"), there("f"));
  ASSERT_EQ(save('B'), 0);
  EXPECT_NE(sync_it(), 0);
  EXPECT_EQ(save('C'), EIO);
  EXPECT_EQ(code(::fsync(fd.get())), EIO);
  EXPECT_EQ(save('D'), EIO);
  EXPECT_EQ(sync_it(), 0) << last_output_;
  EXPECT_TRUE(whole(there("f")) == theirs);
  EXPECT_TRUE(whole(there("f.netfs-conflict-1")) == std::string(300'000, 'B'));
}

TEST_P(WriteBack, WhatWaitsIsToldUntilItIsThere) {
  mount_it({"--simulate=rtt=300ms"});
  const auto told = [&] {
    return run({NETFS_TEST_BINARY, "status", "--dirty", mount_->path()}, std::chrono::seconds(30))
        .output;
  };
  EXPECT_NE(told().find("nothing waits"), std::string::npos) << told();
  ASSERT_EQ(put(here("f"), pattern(6, 0, 50'000)), 0);
  const std::string waiting = told();
  if (std::filesystem::exists(there("f")))
    GTEST_SKIP() << "SKIPPED: the test was slower than the link";
  EXPECT_NE(waiting.find(" changes, 48.8 KiB, the oldest "), std::string::npos) << waiting;
  ASSERT_EQ(sync_it(), 0) << last_output_;
  EXPECT_NE(told().find("nothing waits"), std::string::npos) << told();
}

// Long before its attributes are asked for again.
// One descriptor is open over a conflict; others open what has its name now.
TEST_P(WriteBack, WhoOpensTheirsByNameReadsTheirsWhileOursIsOpenAndAfterThat) {
  for (const size_t length : {500'000UL, 200'000UL}) {
    const std::string name = "f" + std::to_string(length);
    if (mount_ == nullptr) mount_it({"--metadata-ttl=1h"});
    const std::string theirs(length, 't');
    const std::string ours(300'000, 'o');
    const UniqueFd fd = open_file(here(name), O_RDWR | O_CREAT);
    ASSERT_TRUE(fd);
    ASSERT_EQ(::pwrite(fd.get(), "first", 5, 0), 5);
    ASSERT_EQ(sync_it(), 0) << last_output_;
    write_file(there("new"), theirs);
    ASSERT_EQ(code(::rename(there("new").c_str(), there(name).c_str())), 0);
    ASSERT_EQ(::pwrite(fd.get(), ours.data(), ours.size(), 0), static_cast<ssize_t>(ours.size()));
    EXPECT_NE(sync_it(), 0) << "a conflict";
    EXPECT_TRUE(wait_until([&] { return whole(here(name)) == theirs; }, std::chrono::seconds(20)));
    EXPECT_TRUE(bytes_at(fd.get(), 0, 400'000) == ours) << "who has it open reads what went";
    struct stat own {};
    ASSERT_EQ(::fstat(fd.get(), &own), 0);
    EXPECT_NE(own.st_ino, stat_of(here(name)).st_ino);

    const struct stat before = stat_of(there(name));
    EXPECT_EQ(code(::fchmod(fd.get(), 0600)), EIO);
    const timespec times[2] = {{.tv_sec = 1'000'000'000}, {.tv_sec = 1'000'000'000}};
    EXPECT_EQ(code(::futimens(fd.get(), times)), EIO);
    EXPECT_EQ(code(::ftruncate(fd.get(), 7)), EIO);
    EXPECT_EQ(sync_it(), 0) << "told once, and there is nothing else";
    EXPECT_EQ(stat_of(there(name)).st_mode, before.st_mode);
    EXPECT_EQ(stat_of(there(name)).st_mtim.tv_sec, before.st_mtim.tv_sec);
    EXPECT_TRUE(whole(there(name)) == theirs);
    EXPECT_TRUE(whole(here(name)) == theirs);
  }
  for (const size_t length : {500'000UL, 200'000UL}) {
    const std::string name = "f" + std::to_string(length);
    EXPECT_TRUE(whole(here(name)) == std::string(length, 't')) << "closed";
    EXPECT_TRUE(whole(here(name + ".netfs-conflict-1")).starts_with(std::string(300'000, 'o')));
    // Theirs has been seen: who saves it over does that to theirs.
    ASSERT_EQ(put(here("saved"), whole(here(name)) + "more"), 0);
    ASSERT_EQ(code(::rename(here("saved").c_str(), here(name).c_str())), 0);
    ASSERT_EQ(sync_it(), 0) << last_output_;
    EXPECT_TRUE(whole(there(name)) == std::string(length, 't') + "more");
  }
}

TEST_P(WriteBack, ADirectoryThatWentBesideIsNotShownWhereItIsNot) {
  std::filesystem::create_directories(there("d/sub"));
  write_file(there("d/x"), "in it");
  write_file(there("d/sub/y"), "below");
  mount_it({kSlowUploads, "--metadata-ttl=1h"});
  EXPECT_EQ(tree_of(mount_->path()).size(), 4U);
  hold_uploads();
  ASSERT_EQ(code(::rename(here("d").c_str(), here("e").c_str())), 0);
  ASSERT_FALSE(std::filesystem::exists(there("e")));
  std::filesystem::create_directory(there("e"));
  write_file(there("e/theirs"), "theirs");
  const auto has = [&](const std::string& path) {
    struct stat seen {};
    return ::stat(here(path).c_str(), &seen) == 0;
  };
  EXPECT_TRUE(has("e/x") && has("e/sub/y"));
  go_on_uploading();
  EXPECT_NE(sync_it(), 0);
  EXPECT_TRUE(wait_until([&] { return !has("e/x") && !has("e/sub/y") && has("e/theirs"); },
                         std::chrono::seconds(20)));
  EXPECT_EQ(whole(here("e.netfs-conflict-1/x")), "in it");
}

TEST_P(WriteBack, AFileThatARenameReplacesIsWrittenOnByWhoHasItOpen) {
  mount_it();
  ASSERT_EQ(put(here("f"), "old"), 0);
  ASSERT_EQ(put(here("new"), "new"), 0);
  const UniqueFd fd = open_file(here("f"), O_RDWR);
  ASSERT_TRUE(fd);
  ASSERT_EQ(code(::rename(here("new").c_str(), here("f").c_str())), 0);
  EXPECT_EQ(code(::pwrite(fd.get(), "longer than before", 18, 0)), 0);
  EXPECT_EQ(code(::ftruncate(fd.get(), 6)), 0);
  EXPECT_EQ(code(::fsync(fd.get())), 0);
  EXPECT_EQ(bytes_at(fd.get(), 0, 100), "longer");
  EXPECT_EQ(whole(here("f")), "new");
  ASSERT_EQ(sync_it(), 0) << last_output_;
  EXPECT_EQ(whole(there("f")), "new");
}

// Opens for writing while names go: whoever got a handle writes and reads by it, and who came too
// late is told.
TEST_P(WriteBack, AFileThatIsOpenedForWritingWhileItsNameGoesIsWrittenOrNotThere) {
  constexpr unsigned kRounds = 24;
  const auto name = [&](unsigned i) { return here(std::to_string(i)); };
  for (unsigned i = 0; i < kRounds; ++i) {
    write_file(there(std::to_string(i)), "old");
    if (i % 2 == 1) write_file(there(std::to_string(i) + "new"), "new");
  }
  // An open asks the origin; names go here first.
  mount_it({"--simulate=rtt=20ms"});
  (void)list_names(mount_->path());
  std::atomic<unsigned> turn{0};
  sync::Thread remover("remover", [&] {
    for (unsigned i = 0; i < kRounds; ++i) {
      while (turn.load() <= i) ::sched_yield();
      // Each in another moment of the open.
      (void)wait_until([] { return false; }, std::chrono::milliseconds(2 * i));
      if (i % 2 == 0) {
        EXPECT_EQ(code(::unlink(name(i).c_str())), 0) << i;
      } else {
        EXPECT_EQ(code(::rename((name(i) + "new").c_str(), name(i).c_str())), 0) << i;
      }
    }
  });
  unsigned opened = 0;
  for (unsigned i = 0; i < kRounds; ++i) {
    turn = i + 1;
    const UniqueFd fd = open_file(name(i), O_RDWR);
    if (!fd) {
      EXPECT_EQ(errno, ENOENT) << i;
      continue;
    }
    ++opened;
    EXPECT_EQ(code(::pwrite(fd.get(), "mine", 4, 0)), 0) << i;
    EXPECT_EQ(bytes_at(fd.get(), 0, 10), "mine") << i;
  }
  remover.join();
  std::printf("%u of %u were opened\n", opened, kRounds);
  EXPECT_EQ(sync_it(), 0) << last_output_;
}

TEST_P(WriteBack, AWriteThatIsToBeDurableIsAnswered) {
  mount_it();
  for (const int flag : {O_SYNC, O_DSYNC}) {
    const UniqueFd fd = open_file(here("s" + std::to_string(flag)), O_RDWR | O_CREAT | flag);
    ASSERT_TRUE(fd);
    ASSERT_EQ(::pwrite(fd.get(), "bytes", 5, 0), 5);
  }
  ASSERT_EQ(sync_it(), 0) << last_output_;
  EXPECT_EQ(whole(there("s" + std::to_string(O_SYNC))), "bytes");
}

// Ours goes beside a file that takes minutes to copy.
TEST_P(WriteBack, AnUnmountDoesNotWaitForTheEndOfACopy) {
  if (is_sftp()) GTEST_SKIP() << "SKIPPED: the origin makes no difference";
  write_file(there("f"), "old");
  mount_it({"--simulate=rtt=5ms,bandwidth=8Mbit", "--timeout=20s"});
  {
    const UniqueFd fd = open_file(here("f"), O_RDWR);
    ASSERT_TRUE(fd);
    ASSERT_EQ(code(::truncate(there("f").c_str(), 160 << 20)), 0);
    ASSERT_EQ(::pwrite(fd.get(), "ours", 4, 0), 4);
    ASSERT_EQ(::fsync(fd.get()), 0);
  }
  ASSERT_TRUE(wait_until([&] { return std::filesystem::exists(there("f.netfs-conflict-1")); },
                         std::chrono::seconds(20)));
  EXPECT_TRUE(mount_->unmount(std::chrono::seconds(60)));
  EXPECT_LT(std::filesystem::file_size(there("f.netfs-conflict-1")), 160U << 20);
}

TEST_P(WriteBack, AnUnmountBringsWhatIsPendingAndLeavesNothing) {
  mount_it();
  ASSERT_EQ(put(here("a"), "bytes"), 0);
  ASSERT_TRUE(mount_->unmount());
  EXPECT_EQ(whole(there("a")), "bytes");
  mount_.reset();
  const auto other = mount_of(source_, {"--write=through"}, "mnt");
  ASSERT_TRUE(other->ready()) << "nothing is left that another way of writing would pass by";
  EXPECT_EQ(whole(other->path() + "/a"), "bytes");
}

}  // namespace
}  // namespace netfs::test
