// Who may own a cache directory and which directories are refused, with the words a user reads; and
// the store after a kill -9 on the machine's disk.

#include <csignal>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/kill_process.h"
#include "cachefiles/sim_disk.h"
#include "cachefiles/test_store.h"

namespace netfs::cachefiles {
namespace {

int create_error(const std::string& directory, std::string* message) {
  Result<std::unique_ptr<CacheFiles>> cache = CacheFiles::create({.directory = directory});
  if (cache.ok()) return 0;
  *message = cache.error().message();
  return cache.error().code();
}

TEST(CacheDirectory, SecondOwnerIsToldWhoTheFirstIs) {
  TestDirectory directory;
  TestStore first(directory.path());
  ASSERT_TRUE(first.ok());
  std::string message;
  EXPECT_EQ(create_error(directory.path(), &message), EBUSY);
  EXPECT_NE(message.find(std::to_string(::getpid())), std::string::npos) << message;
}

TEST(CacheDirectory, IsFreeAgainWhenItsOwnerHasClosedIt) {
  TestDirectory directory;
  for (int i = 0; i < 2; ++i) {
    TestStore store(directory.path());
    EXPECT_TRUE(store.ok());
  }
}

TEST(CacheDirectory, IsMadePrivateToItsOwner) {
  TestDirectory directory;
  const std::string path = directory.path() + "/cache";
  ASSERT_EQ(::mkdir(path.c_str(), 0755), 0);
  TestStore store(path);
  struct ::stat st {};
  ASSERT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700u);
}

TEST(CacheDirectory, AnotherFormatIsRefusedAndLeftAlone) {
  TestDirectory directory;
  std::ofstream(directory.path() + "/format") << "netfs cache, format 2\n";
  std::string message;
  EXPECT_EQ(create_error(directory.path(), &message), ENOTSUP);
  EXPECT_NE(message.find("format"), std::string::npos) << message;
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/index"));
}

// What a store of one form leaves, read by one of another, there and back.
class CacheForms : public testing::Test {
 protected:
  static CacheForm with(std::vector<std::string> incompatible,
                        std::vector<std::string> compatible) {
    CacheForm form = our_cache_form();
    form.incompatible = std::move(incompatible);
    form.compatible = std::move(compatible);
    return form;
  }
  // Opens it, reads what others have left, and leaves a file of its own; an error, or "".
  std::string use(const CacheForm& form) {
    TestStore store(directory_.path(), {.form = form});
    if (!store.ok()) return store.error().message();
    const std::string bytes = test_bytes(1, 100000);
    for (int i = 0; i < files_; ++i) {
      const Ref<Cookie> cookie = store.lookup("f" + std::to_string(i), bytes.size());
      EXPECT_EQ(store.read_all(*cookie), bytes) << i;
    }
    const Ref<Cookie> cookie = store.lookup("f" + std::to_string(files_++), bytes.size());
    store.seal(*cookie, bytes);
    return {};
  }
  std::string text() {
    std::ifstream file(directory_.path() + "/format");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  TestDirectory directory_;
  int files_ = 0;
};

TEST_F(CacheForms, TwoThatDifferInWhatMayBeIgnoredGoOnWithWhatTheOtherLeaves) {
  const CacheForm newer = with({}, {"pins", "names-2"});
  const std::string plain = "netfs cache, format 1\n";
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(use(our_cache_form()), "");
    EXPECT_EQ(text(), plain) << "its words are gone: what belongs to them is old";
    EXPECT_EQ(use(newer), "");
    EXPECT_EQ(text(), plain + "compatible pins\ncompatible names-2\n");
  }
}

TEST_F(CacheForms, WhatMustNotBeIgnoredIsRefusedInALineAndLeftAlone) {
  const CacheForm newer = with({"packs"}, {"pins"});
  EXPECT_EQ(use(our_cache_form()), "");
  EXPECT_EQ(use(newer), "") << "it knows all that the older one writes";
  const std::string after = text();
  EXPECT_EQ(after, "netfs cache, format 1\nincompatible packs\ncompatible pins\n");
  const std::string why = use(our_cache_form());
  EXPECT_NE(why.find("packs"), std::string::npos) << why;
  EXPECT_NE(why.find("--cache-dir"), std::string::npos) << why;
  EXPECT_EQ(why.find('\n'), std::string::npos) << why;
  EXPECT_EQ(text(), after);
  EXPECT_EQ(use(newer), "") << "it has lost nothing";
  EXPECT_EQ(use(with({"packs", "keys"}, {})), "");
  EXPECT_NE(use(newer).find("keys"), std::string::npos);
}

TEST_F(CacheForms, ATextThatIsNoneIsRefused) {
  for (const char* text :
       {"", "netfs cache, format 1", "netfs cache, format 1\nlater pins\n", "incompatible x\n",
        "netfs cache, format 1\ncompatible \n", "netfs cache, format 1x\n", "other\n"}) {
    EXPECT_FALSE(CacheForm::decode(text).has_value()) << text;
  }
  const CacheForm all = with({"a", "b-2"}, {"c"});
  EXPECT_EQ(CacheForm::decode(all.text()), all);
}

TEST(CacheDirectory, FilesThatAreNoCachesAreRefusedAndLeftAlone) {
  TestDirectory directory;
  std::ofstream(directory.path() + "/thesis.txt") << "years of work";
  std::string message;
  EXPECT_EQ(create_error(directory.path(), &message), ENOTEMPTY);
  EXPECT_NE(message.find("--cache-dir"), std::string::npos) << message;
  size_t files = 0;
  for (const auto& file : std::filesystem::directory_iterator(directory.path())) {
    files += file.exists() ? 1 : 0;
  }
  EXPECT_EQ(files, 1u);
}

TEST(CacheDirectory, MissingParentIsNamedInTheError) {
  std::string message;
  EXPECT_EQ(create_error("/nowhere/at/all", &message), ENOENT);
  EXPECT_NE(message.find("/nowhere/at/all"), std::string::npos) << message;
}

TEST(CacheDirectory, FullDiskIsSaidInOneLine) {
  SimDisk disk;
  disk.set_capacity(0);
  TestStore store("the-directory", {.disk = &disk});
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().code(), ENOSPC);
  EXPECT_NE(store.error().message().find("full"), std::string::npos) << store.error().message();
  EXPECT_NE(store.error().message().find("the-directory"), std::string::npos);
}

// In a child that gives its rights away: 0 when the error was the one expected.
int as_another_user(const std::string& directory, int expected) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::string message;
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(2);
    ::_exit(create_error(directory, &message) == expected && !message.empty() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(CacheDirectory, AnotherUsersDirectoryAndAnUnwritableOneAreRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: only root can play two users";
  TestDirectory directory;
  ASSERT_EQ(::chmod(directory.path().c_str(), 0755), 0);
  EXPECT_EQ(as_another_user(directory.path(), EPERM), 0);
  EXPECT_EQ(as_another_user(directory.path() + "/new", EACCES), 0);
}

TEST(CacheDirectory, DamagedIndexIsSetAsideAndTheCacheStartsEmpty) {
  TestDirectory directory;
  const std::string bytes = test_bytes(1, 100000);
  {
    TestStore store(directory.path());
    const Ref<Cookie> cookie = store.lookup("a", bytes.size());
    store.seal(*cookie, bytes);
  }
  std::ofstream(directory.path() + "/index") << std::string(50000, 'x');
  TestStore store(directory.path());
  ASSERT_TRUE(store.ok()) << store.error().message();
  const Ref<Cookie> cookie = store.lookup("a", bytes.size());
  EXPECT_EQ(cookie->state(), ObjectState::kAbsent);
  EXPECT_TRUE(std::filesystem::exists(directory.path() + "/index.damaged"));
  size_t data_files = 0;
  for (const auto& file :
       std::filesystem::recursive_directory_iterator(directory.path() + "/objects")) {
    data_files += file.is_regular_file() ? 1 : 0;
  }
  EXPECT_EQ(data_files, 0u);
  store.seal(*cookie, bytes);
  EXPECT_EQ(store.read_all(*cookie), bytes);
}

TEST(CacheDirectory, LocationUnderItsOwnMountIsRefused) {
  const std::string mounts[] = {"/mnt/remote/", "/srv/x"};
  EXPECT_EQ(check_cache_location("/mnt/remote", mounts).code(), ELOOP);
  EXPECT_EQ(check_cache_location("/mnt/remote/a/cache/", mounts).code(), ELOOP);
  EXPECT_TRUE(check_cache_location("/mnt/remotely", mounts).ok());
  EXPECT_TRUE(check_cache_location("/srv", mounts).ok());
  EXPECT_TRUE(check_cache_location("/var/cache/netfs", mounts).ok());
  TestDirectory directory;
  std::filesystem::create_directory(directory.path() + "/mount");
  std::filesystem::create_symlink(directory.path() + "/mount", directory.path() + "/link");
  const std::string mount[] = {directory.path() + "/mount"};
  EXPECT_EQ(check_cache_location(directory.path() + "/link/cache", mount).code(), ELOOP);
}

TEST(CacheDirectory, ListAndDropShowAndRemoveWhatIsUnderAPath) {
  TestDirectory directory;
  TestStore store(directory.path());
  const std::string bytes = test_bytes(1, 100000);
  for (const char* path : {"a/one", "a/two", "ab", "b"}) {
    const Ref<Cookie> cookie = store.lookup(path, bytes.size());
    store.seal(*cookie, bytes);
  }
  std::map<std::string, ObjectInfo> listed;
  const auto list = [&] {
    listed.clear();
    ASSERT_TRUE(store.cache().list([&](const ObjectInfo& info) { listed[info.path] = info; }).ok());
  };
  list();
  ASSERT_EQ(listed.size(), 4u);
  EXPECT_EQ(listed["a/one"].volume_key, "test://volume");
  EXPECT_EQ(listed["a/one"].size_bytes, bytes.size());
  EXPECT_EQ(listed["a/one"].stored_bytes, bytes.size());
  EXPECT_EQ(listed["a/one"].state, ObjectState::kSealed);
  const Ref<Cookie> open = store.lookup("a/two", bytes.size());
  EXPECT_EQ(store.cache().drop("", "a").value(), 2u);
  EXPECT_EQ(open->state(), ObjectState::kDead);
  list();
  EXPECT_EQ(listed.size(), 2u);
  EXPECT_EQ(store.lookup("a/one", bytes.size())->state(), ObjectState::kAbsent);
  EXPECT_EQ(store.cache().drop("test://other", "").value(), 0u);
  EXPECT_EQ(store.cache().drop("test://volume", "").value(), 2u);
  list();
  EXPECT_TRUE(listed.empty());
  EXPECT_EQ(store.cache().usage().object_count, 0u);
}

// A child stores and commits for ever and says which files are committed; it is killed at some
// moment, and everything it had said must be there.
TEST(CacheDirectory, KilledProcessLosesNothingThatItHadCommitted) {
  TestDirectory directory;
  int pipe_fds[2];
  for (int round = 0; round < 8; ++round) {
    ASSERT_EQ(::pipe2(pipe_fds, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      TestStore store(directory.path());
      for (uint32_t i = 0; store.ok(); ++i) {
        const std::string bytes = test_bytes(i, 70000 + i);
        const Ref<Cookie> cookie =
            store.lookup(std::to_string(round) + "/" + std::to_string(i), bytes.size());
        store.seal(*cookie, bytes);
        if (::write(pipe_fds[1], &i, sizeof i) != sizeof i) break;
      }
      ::_exit(1);
    }
    ::close(pipe_fds[1]);
    uint32_t last = 0;
    const uint32_t enough = 3 + static_cast<uint32_t>(round) * 5;
    while (::read(pipe_fds[0], &last, sizeof last) == sizeof last && last < enough) {
    }
    kill_process(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status));
    while (::read(pipe_fds[0], &last, sizeof last) == sizeof last) {
    }
    ::close(pipe_fds[0]);
    TestStore store(directory.path());
    ASSERT_TRUE(store.ok()) << store.error().message();
    for (uint32_t i = 0; i <= last; ++i) {
      const std::string bytes = test_bytes(i, 70000 + i);
      const Ref<Cookie> cookie =
          store.lookup(std::to_string(round) + "/" + std::to_string(i), bytes.size());
      ASSERT_EQ(store.read_all(*cookie), bytes) << "round " << round << " file " << i;
    }
    EXPECT_EQ(store.cache().usage().damaged_blocks, 0u);
  }
}

}  // namespace
}  // namespace netfs::cachefiles
