// Goal: who has a file open reads and writes it on, whatever becomes of its names through this
// mount: as on a local file system.  None of the handles was read from before its name went, so
// that the origin's file is not open yet when it goes.

#include <atomic>
#include <linux/fs.h>
#include <sched.h>

#include "sync/thread.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr size_t kBytes = 100'000;

std::string bytes_of(unsigned number) {
  return pattern(number, 0, kBytes);
}

TEST_P(Write, AHeldFileIsReadOnWhateverBecomesOfItsNames) {
  for (const char* directory : {"d", "empty"}) {
    ASSERT_EQ(::mkdir(there(directory).c_str(), 0755), 0);
  }
  unsigned number = 0;
  for (const char* name : {"gone", "linked", "known", "other", "over", "left", "right", "d/in"}) {
    write_file(there(name), bytes_of(++number));
  }
  write_file(there("mover"), "mover");
  ASSERT_EQ(::link(there("linked").c_str(), there("unknown").c_str()), 0);
  mount_it();
  if (has_one_file_of_two_names()) {
    ASSERT_EQ(::link(here("known").c_str(), here("second").c_str()), 0);
    ASSERT_EQ(::link(here("other").c_str(), here("third").c_str()), 0);
  }
  std::vector<UniqueFd> held;
  for (const char* name : {"gone", "linked", "known", "other", "over", "left", "right", "d/in"}) {
    held.push_back(open_file(here(name), O_RDONLY));
    ASSERT_TRUE(held.back()) << name;
  }
  EXPECT_EQ(code(::unlink(here("gone").c_str())), 0);
  EXPECT_EQ(code(::unlink(here("linked").c_str())), 0) << "a name that this mount never saw stays";
  if (has_one_file_of_two_names()) {
    EXPECT_EQ(code(::unlink(here("known").c_str())), 0) << "the other name stays";
    EXPECT_EQ(code(::unlink(here("third").c_str())), 0) << "the name it was opened by stays";
  }
  EXPECT_EQ(code(::rename(here("mover").c_str(), here("over").c_str())), 0);
  const int exchanged = code(::renameat2(AT_FDCWD, here("left").c_str(), AT_FDCWD,
                                         here("right").c_str(), RENAME_EXCHANGE));
  EXPECT_EQ(exchanged, exchanges() ? 0 : EINVAL);
  EXPECT_EQ(code(::rename(here("d").c_str(), here("empty").c_str())), 0);
  for (unsigned i = 0; i < held.size(); ++i) {
    EXPECT_TRUE(bytes_at(held[i].get(), 0, 2 * kBytes) == bytes_of(i + 1)) << "handle " << i;
  }
  EXPECT_EQ(whole(here("over")), "mover");
  EXPECT_TRUE(whole(here("unknown")) == bytes_of(2));
  EXPECT_TRUE(whole(here("empty/in")) == bytes_of(8));
  EXPECT_EQ(whole(here("left")) == bytes_of(7), exchanges());
}

// SFTP tells times in seconds: bytes that change twice within one look alike.
TEST_P(Write, PagesReadWhileAChangeCouldHideAreNotKeptForALaterOpen) {
  ASSERT_EQ(put(there("file"), bytes_of(1)), 0);
  mount_it({"--metadata-ttl", "0"});
  for (unsigned i = 2; i < 30; ++i) {
    const std::string bytes = bytes_of(i).substr(0, 3000);
    ASSERT_EQ(put(there("file"), bytes), 0);
    EXPECT_TRUE(whole(here("file")) == bytes) << i;
  }
}

TEST_P(Write, WhatIsWrittenByOneNameIsReadByTheOtherEvenWithinAGranule) {
  mount_it({"--metadata-ttl", "0"});
  ASSERT_EQ(put(here("a"), bytes_of(1)), 0);
  const int linked = code(::link(here("a").c_str(), here("b").c_str()));
  ASSERT_EQ(linked, makes_links() ? 0 : EPERM);
  if (!makes_links()) return;
  for (unsigned i = 2; i < 30; ++i) {
    const std::string bytes = bytes_of(i).substr(0, 3000);
    ASSERT_EQ(put(here(i % 2 == 0 ? "a" : "b"), bytes), 0);
    settle();
    EXPECT_TRUE(whole(here(i % 2 == 0 ? "b" : "a")) == bytes) << i;
  }
}

TEST_P(Write, OneFileIsShownByAllItsNamesWhenOneOfThemWasRemoved) {
  if (!has_one_file_of_two_names()) return;
  write_file(there("a"), bytes_of(1));
  ASSERT_EQ(::link(there("a").c_str(), there("unknown").c_str()), 0);
  mount_it();
  const UniqueFd held = open_file(here("a"), O_RDONLY);
  ASSERT_TRUE(held);
  EXPECT_EQ(bytes_at(held.get(), 0, 5), bytes_of(1).substr(0, 5));
  ASSERT_EQ(::unlink(here("a").c_str()), 0);
  ASSERT_EQ(put(here("unknown"), "after", 0), 0);
  EXPECT_EQ(bytes_at(held.get(), 0, 5), "after") << "by the handle whose name is gone";
  struct stat st {};
  ASSERT_EQ(::fstat(held.get(), &st), 0);
  EXPECT_EQ(st.st_ino, stat_of(here("unknown")).st_ino);
  EXPECT_EQ(st.st_nlink, 1U);
}

// Opens while names go: whoever got a handle reads the whole file, and who came too late is told.
TEST_P(Write, AFileThatIsOpenedWhileItsNameGoesIsWholeOrNotThere) {
  constexpr unsigned kRounds = 60;
  ASSERT_EQ(::mkdir(there("x").c_str(), 0755), 0);
  for (unsigned i = 0; i < kRounds; ++i) {
    write_file(there("x/" + std::to_string(i)), bytes_of(i));
    write_file(there("x/new" + std::to_string(i)), "new");
  }
  mount_it();
  (void)list_names(here("x"));
  std::atomic<unsigned> turn{0};
  sync::Thread remover("remover", [&] {
    for (unsigned i = 0; i < kRounds; ++i) {
      turn = i + 1;
      const std::string name = here("x/" + std::to_string(i));
      if (i % 2 == 0) {
        EXPECT_EQ(code(::unlink(name.c_str())), 0) << i;
      } else {
        const std::string over = here("x/new" + std::to_string(i));
        EXPECT_EQ(code(::rename(over.c_str(), name.c_str())), 0) << i;
      }
    }
    turn = kRounds + 1;
  });
  unsigned whole_files = 0;
  for (unsigned i = 0; i < kRounds; ++i) {
    while (turn.load() <= i) ::sched_yield();
    const UniqueFd fd = open_file(here("x/" + std::to_string(i)), O_RDONLY);
    if (!fd) {
      EXPECT_EQ(errno, ENOENT) << i;
      continue;
    }
    const std::string got = bytes_at(fd.get(), 0, 2 * kBytes);
    whole_files += got == bytes_of(i) ? 1 : 0;
    EXPECT_TRUE(got == bytes_of(i) || (i % 2 == 1 && got == "new")) << i << ": " << got.size();
  }
  remover.join();
  std::printf("%u of %u were opened before their name went\n", whole_files, kRounds);
}

// A directory moves to and fro while files beneath it are read for the first time.
TEST_P(Write, FilesAreReadWhileTheirDirectoryMoves) {
  constexpr unsigned kFiles = 80;
  ASSERT_EQ(::mkdir(there("here").c_str(), 0755), 0);
  for (unsigned i = 0; i < kFiles; ++i) {
    write_file(there("here/" + std::to_string(i)), bytes_of(i));
  }
  mount_it();
  std::vector<UniqueFd> held;
  for (unsigned i = 0; i < kFiles; ++i) {
    held.push_back(open_file(here("here/" + std::to_string(i)), O_RDONLY));
    ASSERT_TRUE(held.back()) << i;
  }
  std::atomic<bool> done{false};
  sync::Thread mover("mover", [&] {
    for (unsigned i = 0; !done; ++i) {
      const std::string from = here(i % 2 == 0 ? "here" : "away");
      const std::string to = here(i % 2 == 0 ? "away" : "here");
      EXPECT_EQ(code(::rename(from.c_str(), to.c_str())), 0);
    }
  });
  for (unsigned i = 0; i < kFiles; ++i) {
    const std::string got = bytes_at(held[i].get(), 0, 2 * kBytes);
    EXPECT_TRUE(got == bytes_of(i)) << i << ": " << got.size() << " bytes, " << got.substr(0, 10);
  }
  for (unsigned i = 0; i < 20; ++i) {
    const UniqueFd fd = open_file(here("here/" + std::to_string(i)), O_RDWR);
    // It is found while it is there, unless the way to it moves twice while it is opened.
    EXPECT_TRUE(fd || errno == ENOENT || errno == ESTALE) << i << ": " << strerror(errno);
  }
  done = true;
  mover.join();
}

// The kernel closes such files while it changes the program, and answers no question about the
// process until they are closed: whoever answers us must not ask any.
TEST_P(Write, AProgramThatReplacesAnotherClosesWhatThatHadOpen) {
  constexpr unsigned kFiles = 300;  // the threads take this program for their only caller
  for (unsigned i = 0; i < kFiles; ++i) write_file(there(std::to_string(i)), "before");
  mount_it();
  std::vector<UniqueFd> held;
  for (unsigned i = 0; i < kFiles; ++i) {
    held.push_back(open_file(here(std::to_string(i)), O_RDWR));
    ASSERT_TRUE(held.back()) << i;
  }
  for (unsigned i = 0; i < 4; ++i) {
    EXPECT_EQ(run({"true"}, std::chrono::seconds(60)).status, 0) << i;
  }
}

// Who replaces a file by a rename, as editors and databases do, counts on the name being there all
// the time: for others at the origin, too, and while somebody here has the old file open.
TEST_P(Write, ANameThatIsReplacedByARenameIsNeverGone) {
  constexpr unsigned kRounds = 60;
  write_file(there("name"), "first");
  mount_it();
  std::atomic<bool> done{false};
  std::atomic<unsigned> gone{0};
  const std::string watched = there("name");
  sync::Thread watcher("watcher", [&] {
    while (!done) gone += ::access(watched.c_str(), F_OK) == 0 ? 0 : 1;
  });
  for (unsigned i = 0; i < kRounds; ++i) {
    const UniqueFd held = open_file(here("name"), O_RDONLY);
    const std::string before = whole(there("name"));
    EXPECT_EQ(put(here("new"), std::to_string(i)), 0);
    EXPECT_EQ(code(::rename(here("new").c_str(), here("name").c_str())), 0) << i;
    EXPECT_EQ(whole(here("name")), std::to_string(i));
    EXPECT_EQ(bytes_at(held.get(), 0, 100), before) << "the old file is read on";
  }
  done = true;
  watcher.join();
  EXPECT_EQ(gone, 0U);
  EXPECT_TRUE(wait_until([&] { return list_names(there("")).value().size() == 1; },
                         std::chrono::seconds(30)))
      << "what was hidden goes with its last close";
}

TEST_P(Write, AFileThatARenameFailedToReplaceIsWhatItWas) {
  write_file(there("name"), "kept");
  write_file(there("goes"), "x");
  mount_it({"--metadata-ttl", "60s"});
  {
    const UniqueFd held = open_file(here("name"), O_RDONLY);
    ASSERT_TRUE(held);
    EXPECT_EQ(stat_of(here("goes")).st_size, 1);
    ASSERT_EQ(::unlink(there("goes").c_str()), 0);
    EXPECT_EQ(code(::rename(here("goes").c_str(), here("name").c_str())), ENOENT);
    EXPECT_EQ(bytes_at(held.get(), 0, 100), "kept");
  }
  EXPECT_TRUE(wait_until([&] { return list_names(there("")).value().size() == 1; },
                         std::chrono::seconds(30)));
  EXPECT_EQ(whole(there("name")), "kept");
  EXPECT_EQ(whole(here("name")), "kept");
}

}  // namespace
}  // namespace netfs::test
