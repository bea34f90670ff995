// Goal: names, attributes and files without a name, through a writable mount, are those of a local
// file system, as far as the origin can.

#include <linux/fs.h>
#include <sys/xattr.h>

#include "sync/thread.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

TEST_P(Write, NamesComeGoAndMoveAsOnALocalFileSystem) {
  mount_it();
  EXPECT_EQ(code(::mkdir(here("d").c_str(), 0750)), 0);
  EXPECT_EQ(code(::mkdir(here("d").c_str(), 0750)), EEXIST);
  EXPECT_EQ(stat_of(there("d")).st_mode, mode_t{S_IFDIR | 0750});
  EXPECT_EQ(put(here("d/a"), "one"), 0);
  EXPECT_EQ(code(::open(here("d/a").c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644)), EEXIST);
  EXPECT_EQ(code(::rmdir(here("d").c_str())), ENOTEMPTY);
  EXPECT_EQ(code(::unlink(here("d").c_str())), EISDIR);
  EXPECT_EQ(code(::rmdir(here("d/a").c_str())), ENOTDIR);
  EXPECT_EQ(code(::symlink("a", here("d/link").c_str())), 0);
  EXPECT_EQ(whole(here("d/link")), "one");
  if (makes_links()) {
    EXPECT_EQ(code(::link(here("d/a").c_str(), here("d/b").c_str())), 0);
    EXPECT_EQ(code(::link(here("d/a").c_str(), here("d/b").c_str())), EEXIST);
  } else {
    EXPECT_EQ(code(::link(here("d/a").c_str(), here("d/b").c_str())), EPERM);
    EXPECT_EQ(put(here("d/b"), "one"), 0);
  }
  EXPECT_EQ(put(here("d/b"), "two", O_TRUNC), 0);
  EXPECT_EQ(whole(there("d/a")), makes_links() ? "two" : "one");
  if (has_one_file_of_two_names()) {
    EXPECT_EQ(whole(here("d/a")), "two") << "one file by both names";
    EXPECT_EQ(stat_of(here("d/a")).st_nlink, 2U);
    EXPECT_EQ(stat_of(here("d/a")).st_ino, stat_of(here("d/b")).st_ino);
  }
  EXPECT_EQ(code(::unlink(here("d/a").c_str())), 0);
  EXPECT_EQ(whole(here("d/b")), "two");
  EXPECT_EQ(stat_of(here("d/b")).st_nlink, 1U);
  EXPECT_EQ(code(::rename(here("d/b").c_str(), here("c").c_str())), 0);
  EXPECT_EQ(code(::access(here("d/b").c_str(), F_OK)), ENOENT);
  EXPECT_EQ(whole(there("c")), "two");
  EXPECT_EQ(put(here("e"), "over"), 0);
  EXPECT_EQ(code(::rename(here("e").c_str(), here("c").c_str())), 0);
  EXPECT_EQ(whole(here("c")), "over");
  EXPECT_EQ(code(::rename(here("d").c_str(), here("moved").c_str())), 0);
  EXPECT_EQ(list_names(here("moved")).value(), std::vector<std::string>{"link"});
  EXPECT_EQ(code(::unlink(here("moved/link").c_str())), 0);
  EXPECT_EQ(code(::rmdir(here("moved").c_str())), 0);
  EXPECT_EQ(list_names(here("")).value(), list_names(there("")).value());
  EXPECT_EQ(code(::mkdir(here(std::string(256, 'n')).c_str(), 0755)), ENAMETOOLONG);
}

TEST_P(Write, RenameKnowsTheFlagsThatTheOriginKnows) {
  mount_it();
  ASSERT_EQ(put(here("a"), "a"), 0);
  ASSERT_EQ(put(here("b"), "bb"), 0);
  const auto rename2 = [&](const char* from, const char* to, unsigned flags) {
    return code(::renameat2(AT_FDCWD, here(from).c_str(), AT_FDCWD, here(to).c_str(), flags));
  };
  EXPECT_EQ(rename2("a", "b", RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(rename2("a", "c", RENAME_NOREPLACE), 0);
  EXPECT_EQ(whole(here("c")), "a");
  EXPECT_EQ(rename2("b", "c", RENAME_EXCHANGE), exchanges() ? 0 : EINVAL);
  EXPECT_EQ(whole(here("c")), exchanges() ? "bb" : "a");
  EXPECT_EQ(whole(there("c")), exchanges() ? "bb" : "a");
  EXPECT_EQ(rename2("b", "c", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
}

TEST_P(Write, AttributesAreSetAtTheOrigin) {
  mount_it();
  ASSERT_EQ(put(here("a"), "0123456789"), 0);
  EXPECT_EQ(code(::chmod(here("a").c_str(), 0604)), 0);
  EXPECT_EQ(code(::chown(here("a").c_str(), 12, 34)), 0);
  const timespec times[2] = {{1'500'000'000, 123'456'789}, {1'400'000'000, 987'654'321}};
  EXPECT_EQ(code(::utimensat(AT_FDCWD, here("a").c_str(), times, 0)), 0);
  EXPECT_EQ(code(::truncate(here("a").c_str(), 4)), 0);
  EXPECT_EQ(code(::utimensat(AT_FDCWD, here("a").c_str(), times, 0)), 0);
  for (const std::string& path : {here("a"), there("a")}) {
    const struct stat st = stat_of(path);
    EXPECT_EQ(st.st_mode, mode_t{S_IFREG | 0604}) << path;
    EXPECT_EQ(st.st_uid, 12U) << path;
    EXPECT_EQ(st.st_gid, 34U) << path;
    EXPECT_EQ(st.st_size, 4) << path;
    EXPECT_EQ(st.st_mtim.tv_sec, 1'400'000'000) << path;
    EXPECT_EQ(st.st_atim.tv_sec, 1'500'000'000) << path;
    // Version 3 of SFTP knows seconds; by back that shows when it was uploaded and is asked again.
    if (is_refused_at_once() || path == there("a")) {
      EXPECT_EQ(st.st_mtim.tv_nsec, is_sftp() ? 0 : 987'654'321) << path;
    }
  }
}

TEST_P(Write, AnOpenFileIsReadAndWrittenOnWhenItsNameIsGone) {
  write_file(there("a"), pattern(9, 0, 100'000));
  mount_it();
  const UniqueFd reader = open_file(here("a"), O_RDONLY);
  const UniqueFd writer = open_file(here("a"), O_RDWR);
  ASSERT_TRUE(reader && writer);
  ASSERT_EQ(::unlink(here("a").c_str()), 0) << strerror(errno);
  EXPECT_EQ(code(::access(here("a").c_str(), F_OK)), ENOENT);
  EXPECT_EQ(code(::access(there("a").c_str(), F_OK)), ENOENT);
  ASSERT_EQ(::pwrite(writer.get(), "after", 5, 50'000), 5) << strerror(errno);
  std::string want = pattern(9, 0, 100'000);
  want.replace(50'000, 5, "after");
  EXPECT_TRUE(bytes_at(reader.get(), 0, 200'000) == want);
  struct stat st {};
  ASSERT_EQ(::fstat(reader.get(), &st), 0);
  EXPECT_EQ(st.st_size, 100'000);
  if (!hides_open_files()) {
    EXPECT_EQ(st.st_nlink, 0U);
  }
  EXPECT_EQ(code(::fchmod(writer.get(), 0600)), 0);
  EXPECT_EQ(code(::ftruncate(writer.get(), 10)), 0);
  EXPECT_TRUE(bytes_at(reader.get(), 0, 100) == want.substr(0, 10));
  // A new file takes the name, and the two have nothing to do with each other.
  ASSERT_EQ(put(here("a"), "new"), 0);
  EXPECT_TRUE(bytes_at(reader.get(), 0, 100) == want.substr(0, 10));
  EXPECT_EQ(whole(here("a")), "new");
}

TEST_P(Write, WhatWasHiddenGoesWithItsLastClose) {
  write_file(there("a"), pattern(10, 0, 100'000));
  write_file(there("b"), "over");
  mount_it();
  UniqueFd fd = open_file(here("a"), O_RDONLY);
  ASSERT_TRUE(fd);
  EXPECT_EQ(bytes_at(fd.get(), 0, 10), pattern(10, 0, 10));
  ASSERT_EQ(::rename(here("b").c_str(), here("a").c_str()), 0) << strerror(errno);
  EXPECT_EQ(whole(here("a")), "over");
  drop_pages(here("a"));
  EXPECT_TRUE(bytes_at(fd.get(), 0, 200'000) == pattern(10, 0, 100'000));
  fd = UniqueFd();
  EXPECT_TRUE(wait_until([&] { return list_names(there("")).value().size() == 1; },
                         std::chrono::seconds(30)))
      << testing::PrintToString(list_names(there("")).value());
}

TEST_P(Write, NewFilesBelongToTheirCaller) {
  ASSERT_EQ(::mkdir(there("open").c_str(), 0777), 0);
  ASSERT_EQ(::chmod(there("open").c_str(), 0777), 0);
  ASSERT_EQ(::mkdir(there("group").c_str(), 0777), 0);
  ASSERT_EQ(::chown(there("group").c_str(), 0, 77), 0);
  ASSERT_EQ(::chmod(there("group").c_str(), 02777), 0);
  mount_it({"--allow-other"});
  const std::string root = mount_->path();
  EXPECT_EQ(as_nobody([&] {
              if (put(root + "/open/a", "x") != 0) return 1;
              if (::mkdir((root + "/open/d").c_str(), 0755) != 0) return 2;
              if (::symlink("a", (root + "/open/l").c_str()) != 0) return 3;
              if (put(root + "/group/a", "x") != 0) return 4;
              if (::mkdir((root + "/group/d").c_str(), 0755) != 0) return 5;
              if (put(root + "/group/d/a", "x") != 0) return 6;
              return put(root + "/not-mine", "x") == EACCES ? 0 : 7;
            }),
            0);
  for (const char* name : {"open/a", "open/d", "open/l"}) {
    EXPECT_EQ(stat_of(there(name)).st_uid, kNobody) << name;
    EXPECT_EQ(stat_of(there(name)).st_gid, kNobody) << name;
    EXPECT_EQ(stat_of(here(name)).st_uid, kNobody) << name;
  }
  for (const char* name : {"group/a", "group/d", "group/d/a"}) {
    EXPECT_EQ(stat_of(here(name)).st_gid, 77U) << name;
    EXPECT_EQ(stat_of(there(name)).st_uid, kNobody) << name;
    EXPECT_EQ(stat_of(there(name)).st_gid, 77U) << name;
  }
  EXPECT_EQ(stat_of(there("group/d")).st_mode & 07777, 02755U);
}

TEST_P(Write, WritingByAnOrdinaryUserTakesSetIdBits) {
  for (const char* name : {"written", "cut", "given"}) {
    write_file(there(name), "0123456789");
    ASSERT_EQ(::chown(there(name).c_str(), kNobody, kNobody), 0);
    ASSERT_EQ(::chmod(there(name).c_str(), 06777), 0);
  }
  mount_it({"--allow-other", "--suid"});
  const std::string root = mount_->path();
  EXPECT_EQ(as_nobody([&] {
              if (put(root + "/written", "x", 0) != 0) return 1;
              return ::truncate((root + "/cut").c_str(), 3) == 0 ? 0 : 2;
            }),
            0);
  ASSERT_EQ(::chown(here("given").c_str(), 1, 1), 0);
  for (const char* name : {"written", "cut", "given"}) {
    EXPECT_EQ(stat_of(there(name)).st_mode & 07777, 0777U) << name;
    EXPECT_EQ(stat_of(here(name)).st_mode & 07777, 0777U) << name;
  }
}

// The kernel sees a direct write, or fallocate, through and does not ask what became of the mode:
// it is told.
TEST_P(Write, ADirectWriteThatTakesSetIdBitsShowsIt) {
  write_file(there("a"), "0123456789");
  ASSERT_EQ(::chown(there("a").c_str(), kNobody, kNobody), 0);
  ASSERT_EQ(::chmod(there("a").c_str(), 06777), 0);
  mount_it({"--allow-other", "--suid", "--metadata-ttl=1h"});
  EXPECT_EQ(stat_of(here("a")).st_mode & 07777, 06777U);
  const std::string path = here("a");
  EXPECT_EQ(as_nobody([&] { return put(path, "x", O_DIRECT); }), 0);
  EXPECT_EQ(stat_of(there("a")).st_mode & 07777, 0777U);
  const auto shows = [&](mode_t mode) {
    return wait_until([&] { return (stat_of(path).st_mode & 07777) == mode; },
                      std::chrono::seconds(30));
  };
  EXPECT_TRUE(shows(0777));
  if (!allocates()) return;
  // Of a group that is not his: that bit goes as well where nobody of the group may run the file.
  ASSERT_EQ(code(::chown(path.c_str(), kNobody, 1)), 0);
  ASSERT_EQ(code(::chmod(path.c_str(), 06666)), 0);
  EXPECT_EQ(as_nobody([&] { return code(::fallocate(open_file(path, O_RDWR).get(), 0, 0, 4096)); }),
            0);
  EXPECT_EQ(stat_of(there("a")).st_mode & 07777, 0666U);
  EXPECT_TRUE(shows(0666));
}

TEST_P(Write, AnAllocationThatFailsLeavesSetIdBits) {
  write_file(there("a"), "0123456789");
  ASSERT_EQ(::chown(there("a").c_str(), kNobody, kNobody), 0);
  ASSERT_EQ(::chmod(there("a").c_str(), 06777), 0);
  mount_it({"--allow-other", "--suid"});
  const std::string path = here("a");
  // More than any file may have, or not known at all.
  constexpr off_t kTooFar = INT64_MAX - 4096;
  if (is_refused_at_once()) {
    EXPECT_NE(as_nobody([&] {
                return code(::fallocate(open_file(path, O_RDWR).get(), 0, kTooFar, 4096));
              }),
              0);
    EXPECT_EQ(stat_of(there("a")).st_mode & 07777, 06777U);
    EXPECT_EQ(stat_of(path).st_mode & 07777, 06777U);
  }
  if (!allocates()) return;
  EXPECT_EQ(as_nobody([&] { return code(::fallocate(open_file(path, O_RDWR).get(), 0, 0, 4096)); }),
            0);
  EXPECT_EQ(stat_of(there("a")).st_mode & 07777, 0777U);
}

TEST_P(Write, ExtendedAttributesAndAllocationAreTheOrigins) {
  mount_it();
  ASSERT_EQ(put(here("a"), pattern(14, 0, 100'000)), 0);
  const UniqueFd fd = open_file(here("a"), O_RDWR);
  ASSERT_TRUE(fd);
  const int set = code(::setxattr(here("a").c_str(), "user.netfs", "value", 5, 0));
  const int punched =
      code(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10'000, 50'000));
  const int grown = code(::fallocate(fd.get(), 0, 0, 150'000));
  EXPECT_EQ(set, has_xattrs() ? 0 : EOPNOTSUPP);
  EXPECT_EQ(punched, allocates() ? 0 : EOPNOTSUPP);
  EXPECT_EQ(grown, allocates() ? 0 : EOPNOTSUPP);
  if (allocates()) {
    std::string want = pattern(14, 0, 100'000);
    std::fill(want.begin() + 10'000, want.begin() + 60'000, '\0');
    want.resize(150'000, '\0');
    EXPECT_TRUE(whole(here("a")) == want);
    EXPECT_TRUE(whole(there("a")) == want);
  }
  if (!has_xattrs()) return;
  char value[16];
  EXPECT_EQ(::getxattr(there("a").c_str(), "user.netfs", value, sizeof value), 5);
  EXPECT_EQ(::getxattr(here("a").c_str(), "user.netfs", value, sizeof value), 5);
  EXPECT_EQ(std::string(value, 5), "value");
  EXPECT_EQ(code(::setxattr(here("a").c_str(), "user.netfs", "x", 1, XATTR_CREATE)), EEXIST);
  EXPECT_EQ(code(::removexattr(here("a").c_str(), "user.netfs")), 0);
  EXPECT_EQ(code(::removexattr(here("a").c_str(), "user.netfs")), ENODATA);
  // Version 2; owner, group and others, each with rw: the least that an ACL is.  On a mount of one
  // user's own nobody checks permissions by it.
  const uint32_t acl[] = {2, 0x60001, UINT32_MAX, 0x60004, UINT32_MAX, 0x60020, UINT32_MAX};
  EXPECT_EQ(code(::setxattr(here("a").c_str(), "system.posix_acl_access", acl, sizeof acl, 0)),
            EOPNOTSUPP);
}

// A name that was not there when the caller looked, and that another client has made since: the
// kernel asks for a new file, and has not asked whether the caller may open this one.
TEST_P(Write, CreatingWhatOthersHaveMadeMeanwhileAsksForTheirPermission) {
  ASSERT_EQ(::chmod(source_.c_str(), 0777), 0);
  mount_it({"--allow-other", "--metadata-ttl", "60s"});
  int asked[2];
  int made[2];
  const auto try_it = [&](const std::string& name, int flags) {
    return as_nobody([&] {
      struct stat st {};
      if (::lstat(here(name).c_str(), &st) == 0 || errno != ENOENT) return 102;
      // Only root may put it there like this: its parent does, and says so.
      char byte = 0;
      if (::write(asked[1], "?", 1) != 1 || ::read(made[0], &byte, 1) != 1) return 103;
      return open_file(here(name), flags) ? 0 : errno;
    });
  };
  ASSERT_EQ(::pipe2(asked, O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(made, O_CLOEXEC), 0);
  sync::Thread root("root", [&] {
    for (const char* name : {"secret", "shared"}) {
      char byte = 0;
      ASSERT_EQ(::read(asked[0], &byte, 1), 1);
      write_file(there(name), "theirs");
      ASSERT_EQ(::chmod(there(name).c_str(), name == std::string("secret") ? 0600 : 0666), 0);
      ASSERT_EQ(::write(made[1], "!", 1), 1);
    }
  });
  EXPECT_EQ(try_it("secret", O_RDWR | O_CREAT | O_TRUNC), EACCES);
  EXPECT_EQ(whole(there("secret")), "theirs");
  EXPECT_EQ(try_it("shared", O_RDWR | O_CREAT), 0) << "what he may open is opened as it is";
  EXPECT_EQ(whole(there("shared")), "theirs");
  root.join();
  for (int fd : {asked[0], asked[1], made[0], made[1]}) ::close(fd);
}

TEST_P(Write, AFileIsOpenedByItsHandleWhenTheKernelHasForgottenIt) {
  mount_it();
  ASSERT_EQ(code(::mkdir(here("dir").c_str(), 0755)), 0);
  ASSERT_EQ(put(here("dir/file"), "bytes"), 0);
  struct {
    file_handle handle;
    unsigned char rest[MAX_HANDLE_SZ];
  } named{};
  named.handle.handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  ASSERT_EQ(
      code(::name_to_handle_at(AT_FDCWD, here("dir/file").c_str(), &named.handle, &mount_id, 0)),
      0);
  const UniqueFd root = open_file(mount_->path(), O_RDONLY | O_DIRECTORY);
  drop_dentries();
  {
    const UniqueFd file(::open_by_handle_at(root.get(), &named.handle, O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(file) << strerror(errno);
    EXPECT_EQ(bytes_at(file.get(), 0, 9), "bytes");
    EXPECT_EQ(::pwrite(file.get(), "B", 1, 0), 1);
  }
  EXPECT_EQ(whole(there("dir/file")), "Bytes");
  ASSERT_EQ(code(::unlink(here("dir/file").c_str())), 0);
  drop_dentries();
  EXPECT_EQ(code(::open_by_handle_at(root.get(), &named.handle, O_RDONLY | O_CLOEXEC)), ESTALE);
}

// The kernel walks a mount name by name, so paths there may be longer than one call takes at the
// origin.
TEST_P(Write, APathLongerThanOneCallTakesIsReachedNameByName) {
  mount_it();
  UniqueFd here = open_file(mount_->path(), O_RDONLY | O_DIRECTORY);
  UniqueFd there = open_file(source_, O_RDONLY | O_DIRECTORY);
  for (char letter = 'a'; letter < 'u'; ++letter) {
    const std::string name(250, letter);
    if (::mkdirat(here.get(), name.c_str(), 0755) != 0) {
      // An SFTP server takes the whole path in one call.
      ASSERT_TRUE(is_sftp() && is_refused_at_once() && letter > 'n') << letter;
      ASSERT_EQ(errno, ENAMETOOLONG);
      return;
    }
    here = UniqueFd(::openat(here.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (is_sftp() && is_back() && sync_it() != 0) {
      EXPECT_NE(last_output_.find("File name too long"), std::string::npos) << last_output_;
      return;
    }
    settle();
    there = UniqueFd(::openat(there.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(here && there) << letter << " " << strerror(errno);
  }
  ASSERT_FALSE(is_sftp());
  {
    const UniqueFd file(::openat(here.get(), "file", O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_TRUE(file) << strerror(errno);
    ASSERT_EQ(::write(file.get(), "deep", 4), 4);
    EXPECT_EQ(code(::fchmod(file.get(), 0600)), 0);
  }
  EXPECT_EQ(code(::renameat(here.get(), "file", here.get(), "moved")), 0);
  settle();
  const UniqueFd file(::openat(there.get(), "moved", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(file) << strerror(errno);
  EXPECT_EQ(bytes_at(file.get(), 0, 9), "deep");
  struct stat st {};
  EXPECT_EQ(code(::fstatat(here.get(), "moved", &st, 0)), 0);
  EXPECT_EQ(st.st_mode & 07777U, 0600U);
  EXPECT_EQ(code(::unlinkat(here.get(), "moved", 0)), 0);
  settle();
  EXPECT_EQ(code(::faccessat(there.get(), "moved", F_OK, 0)), ENOENT);
}

}  // namespace
}  // namespace netfs::test
