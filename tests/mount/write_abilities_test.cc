// Goal: what programs find on a local file system besides reads and writes, they find on a writable
// mount, as far as the origin can: holes, copies, files without a name, ACLs.

#include <atomic>
#include <linux/fs.h>
#include <sys/inotify.h>
#include <sys/xattr.h>

#include "base/kill_process.h"
#include "sync/thread.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

TEST_P(Write, HolesAreWhereTheOriginHasThem) {
  mount_it();
  const UniqueFd fd = open_file(here("sparse"), O_RDWR | O_CREAT);
  ASSERT_TRUE(fd);
  const std::string bytes = pattern(1, 0, 64 << 10);
  ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), 1 << 20), 64 << 10);
  ASSERT_EQ(::ftruncate(fd.get(), 4 << 20), 0);
  const auto seek = [&](off_t from, int whence) { return ::lseek(fd.get(), from, whence); };
  // Version 3 of SFTP has no words for holes: all of a file is data there.
  EXPECT_EQ(seek(0, SEEK_DATA), tells_holes() ? 1 << 20 : 0);
  EXPECT_EQ(seek(1 << 20, SEEK_HOLE), tells_holes() ? (1 << 20) + (64 << 10) : 4 << 20);
  EXPECT_EQ(seek(2 << 20, SEEK_DATA), tells_holes() ? -1 : 2 << 20);
  EXPECT_EQ(seek(2 << 20, SEEK_HOLE), tells_holes() ? 2 << 20 : 4 << 20);
  EXPECT_EQ(seek(4 << 20, SEEK_DATA), -1);
  EXPECT_EQ(errno, ENXIO);
}

TEST_P(Write, CopiesAreMadeAtTheOriginAndNoByteComesHere) {
  constexpr size_t kBytes = 3 << 20;
  const std::string bytes = pattern(2, 0, kBytes);
  write_file(there("from"), bytes);
  write_file(there("to"), "old");
  mount_it();
  const UniqueFd from = open_file(here("from"), O_RDONLY);
  const UniqueFd to = open_file(here("to"), O_RDWR);
  ASSERT_TRUE(from && to);
  EXPECT_EQ(bytes_at(to.get(), 0, 10), "old");
  off_t at = 0;
  off_t target = 100;
  while (at < static_cast<off_t>(kBytes)) {
    const ssize_t n = ::copy_file_range(from.get(), &at, to.get(), &target, kBytes, 0);
    ASSERT_GT(n, 0) << strerror(errno);
  }
  EXPECT_EQ(::copy_file_range(from.get(), &at, to.get(), &target, kBytes, 0), 0) << "at the end";
  if (copies_there()) {
    EXPECT_EQ(mount_->status_number("uploaded_bytes"), 0);
    EXPECT_EQ(mount_->status_number("downloaded_bytes"), 3) << "the first read";
  }
  const std::string want = "old" + std::string(97, '\0') + bytes;
  EXPECT_TRUE(bytes_at(to.get(), 0, 2 * kBytes) == want);
  EXPECT_TRUE(whole(there("to")) == want);
  // Within one file.
  at = 200;
  target = 1'000'000;
  ASSERT_EQ(::copy_file_range(to.get(), &at, to.get(), &target, 5000, 0), 5000) << strerror(errno);
  EXPECT_TRUE(bytes_at(to.get(), 1'000'000, 5000) == want.substr(200, 5000));
  ASSERT_EQ(::fsync(to.get()), 0) << strerror(
      errno);  // where the server does not copy within a file
  EXPECT_TRUE(whole(there("to")).substr(1'000'000, 5000) == want.substr(200, 5000));
}

TEST_P(Write, AFileWithoutANameIsReadAndWrittenAndMayBeGivenOne) {
  mount_it();
  ASSERT_EQ(::mkdir(here("d").c_str(), 0755), 0);
  const UniqueFd fd = open_file(here("d"), O_TMPFILE | O_RDWR, 0640);
  if (!has_nameless_files()) {
    EXPECT_FALSE(fd);
    EXPECT_EQ(errno, EOPNOTSUPP);
    return;
  }
  ASSERT_TRUE(fd) << strerror(errno);
  EXPECT_TRUE(list_names(there("d")).value().empty());
  const std::string bytes = pattern(3, 0, 100'000);
  ASSERT_EQ(::write(fd.get(), bytes.data(), bytes.size()), 100'000);
  EXPECT_TRUE(bytes_at(fd.get(), 0, 200'000) == bytes);
  struct stat st {};
  ASSERT_EQ(::fstat(fd.get(), &st), 0);
  EXPECT_EQ(st.st_nlink, 0U);
  EXPECT_EQ(st.st_mode, mode_t{S_IFREG | 0640});
  EXPECT_EQ(code(::fsetxattr(fd.get(), "user.netfs", "v", 1, 0)), 0);
  const std::string itself = "/proc/self/fd/" + std::to_string(fd.get());
  ASSERT_EQ(code(::linkat(AT_FDCWD, itself.c_str(), AT_FDCWD, here("d/named").c_str(),
                          AT_SYMLINK_FOLLOW)),
            0);
  EXPECT_TRUE(whole(there("d/named")) == bytes);
  ASSERT_EQ(::pwrite(fd.get(), "after", 5, 0), 5) << strerror(errno);
  EXPECT_EQ(whole(here("d/named")).substr(0, 5), "after");
  EXPECT_EQ(stat_of(here("d/named")).st_nlink, 1U);
  ASSERT_EQ(::fstat(fd.get(), &st), 0);
  EXPECT_EQ(st.st_ino, stat_of(here("d/named")).st_ino);
  // One that gets no name goes with its close.
  { const UniqueFd other = open_file(here("d"), O_TMPFILE | O_WRONLY | O_EXCL, 0600); }
  EXPECT_EQ(list_names(there("d")).value(), std::vector<std::string>{"named"});
}

TEST_P(Write, AnOpenDirectoryWhoseNameGoesHasNoLinks) {
  mount_it();
  for (const char* name : {"removed", "replaced", "other"}) {
    ASSERT_EQ(::mkdir(here(name).c_str(), 0755), 0);
  }
  const UniqueFd removed = open_file(here("removed"), O_RDONLY | O_DIRECTORY);
  const UniqueFd replaced = open_file(here("replaced"), O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(removed && replaced);
  ASSERT_EQ(::rmdir(here("removed").c_str()), 0);
  ASSERT_EQ(::rename(here("other").c_str(), here("replaced").c_str()), 0);
  for (const int fd : {removed.get(), replaced.get()}) {
    struct stat st {};
    ASSERT_EQ(::fstat(fd, &st), 0) << strerror(errno);
    EXPECT_EQ(st.st_nlink, 0U);
  }
}

TEST_P(Write, AWhiteoutTakesTheOldNameWhereTheOriginCan) {
  mount_it();
  ASSERT_EQ(put(here("a"), "a"), 0);
  const int renamed =
      code(::renameat2(AT_FDCWD, here("a").c_str(), AT_FDCWD, here("b").c_str(), RENAME_WHITEOUT));
  EXPECT_EQ(renamed, exchanges() ? 0 : EINVAL);
  EXPECT_EQ(whole(here(exchanges() ? "b" : "a")), "a");
  if (!exchanges()) return;
  EXPECT_TRUE(S_ISCHR(stat_of(here("a")).st_mode));
  EXPECT_TRUE(S_ISCHR(stat_of(there("a")).st_mode));
  EXPECT_EQ(stat_of(here("a")).st_rdev, 0U);
  // In a directory of our own, whose names are all known here.
  ASSERT_EQ(code(::mkdir(here("made").c_str(), 0755)), 0);
  ASSERT_EQ(put(here("made/a"), "a"), 0);
  ASSERT_EQ(code(::renameat2(AT_FDCWD, here("made/a").c_str(), AT_FDCWD, here("made/b").c_str(),
                             RENAME_WHITEOUT)),
            0);
  EXPECT_TRUE(S_ISCHR(stat_of(here("made/a")).st_mode));
}

TEST_P(Write, FallocateDoesWhatTheOriginCan) {
  mount_it();
  ASSERT_EQ(put(here("a"), pattern(4, 0, 100'000)), 0);
  const UniqueFd fd = open_file(here("a"), O_RDWR);
  ASSERT_TRUE(fd);
  const auto allocate = [&](int mode, off_t from, off_t length) {
    return code(::fallocate(fd.get(), mode, from, length));
  };
  // The kernel's FUSE lets no other modes through.
  EXPECT_EQ(allocate(FALLOC_FL_COLLAPSE_RANGE, 0, 4096), EOPNOTSUPP);
  if (!allocates()) {
    EXPECT_EQ(allocate(FALLOC_FL_ZERO_RANGE, 0, 4096), EOPNOTSUPP);
    return;
  }
  EXPECT_EQ(allocate(FALLOC_FL_KEEP_SIZE, 0, 1 << 20), 0);
  EXPECT_EQ(stat_of(here("a")).st_size, 100'000);
  if (!is_sftp()) {
    EXPECT_GE(stat_of(there("a")).st_blocks, (1 << 20) / 512);
  }
  if (is_refused_at_once()) {
    EXPECT_GE(stat_of(here("a")).st_blocks, (1 << 20) / 512) << "by back when it is asked again";
  }
  EXPECT_EQ(allocate(FALLOC_FL_ZERO_RANGE, 10'000, 20'000), 0);
  EXPECT_EQ(allocate(FALLOC_FL_ZERO_RANGE, 100'000, 50'000), 0);
  std::string want = pattern(4, 0, 100'000);
  std::fill(want.begin() + 10'000, want.begin() + 30'000, '\0');
  want.resize(150'000, '\0');
  EXPECT_TRUE(whole(here("a")) == want);
  EXPECT_TRUE(whole(there("a")) == want);
}

// Whoever waits there for a reader must not get one for a moment.
TEST_P(Write, FifosAreMadeMovedChangedAndRemovedWhereTheOriginHasThemAndNotOpened) {
  mount_it();
  ASSERT_EQ(code(::mkdir(here("d").c_str(), 0755)), 0);
  EXPECT_EQ(code(::mkfifo(here("d/fifo").c_str(), 0600)), has_fifos() ? 0 : EPERM);
  if (!has_fifos()) return;
  EXPECT_EQ(code(::mkfifo(here("d/fifo").c_str(), 0600)), EEXIST);
  EXPECT_EQ(stat_of(here("d/fifo")).st_mode, mode_t{S_IFIFO | 0600});
  EXPECT_EQ(stat_of(there("d/fifo")).st_mode, mode_t{S_IFIFO | 0600});
  EXPECT_EQ(code(::rename(here("d/fifo").c_str(), here("moved").c_str())), 0);
  const timespec times[2] = {{1'500'000'000, 0}, {1'400'000'000, 0}};
  const UniqueFd opens(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ASSERT_GE(::inotify_add_watch(opens.get(), there("moved").c_str(), IN_OPEN), 0);
  EXPECT_EQ(code(::chmod(here("moved").c_str(), 0640)), 0);
  EXPECT_EQ(code(::utimensat(AT_FDCWD, here("moved").c_str(), times, 0)), 0);
  for (const std::string& path : {here("moved"), there("moved")}) {
    EXPECT_EQ(stat_of(path).st_mode, mode_t{S_IFIFO | 0640}) << path;
    EXPECT_EQ(stat_of(path).st_mtim.tv_sec, 1'400'000'000) << path;
  }
  inotify_event event{};
  EXPECT_EQ(code(::read(opens.get(), &event, sizeof event)), EAGAIN) << "it was opened there";
  EXPECT_EQ(code(::rmdir(here("d").c_str())), 0);
  // It is one for who opens it, too.
  const UniqueFd reader = open_file(here("moved"), O_RDONLY | O_NONBLOCK);
  const UniqueFd writer = open_file(here("moved"), O_WRONLY | O_NONBLOCK);
  ASSERT_TRUE(reader && writer);
  EXPECT_EQ(::write(writer.get(), "through", 7), 7);
  char bytes[8] = {};
  EXPECT_EQ(::read(reader.get(), bytes, sizeof bytes), 7);
  EXPECT_EQ(code(::unlink(here("moved").c_str())), 0);
  EXPECT_TRUE(list_names(there("")).value().empty());
}

// An ACL as it goes over the wire: tag and permissions, and whose.
struct AclEntry {
  uint16_t tag;
  uint16_t permissions;
  uint32_t id;
};
constexpr uint16_t kOwner = 1, kUser = 2, kGroup = 4, kMask = 16, kOther = 32;

constexpr const char* kAccessAcl = "system.posix_acl_access";
constexpr const char* kInheritedAcl = "system.posix_acl_default";
const std::vector<AclEntry> kForNobody = {{kOwner, 7, UINT32_MAX},
                                          {kUser, 6, kNobody},
                                          {kGroup, 5, UINT32_MAX},
                                          {kMask, 7, UINT32_MAX},
                                          {kOther, 0, UINT32_MAX}};

int set_acl(const std::string& path, const char* kind, const std::vector<AclEntry>& entries) {
  std::string value("\2\0\0\0", 4);
  value.append(reinterpret_cast<const char*>(entries.data()), entries.size() * sizeof(AclEntry));
  return code(::setxattr(path.c_str(), kind, value.data(), value.size(), 0));
}

// By back an ACL is the origin's at once; what a change of mode makes of it, and what a directory
// gives to what is made in it, when that is there.
TEST_P(Write, AclsAreObeyedAndInherited) {
  mount_it({"--allow-other", "--metadata-ttl=1s"});
  ASSERT_EQ(put(here("a"), "secret"), 0);
  ASSERT_EQ(::chmod(here("a").c_str(), 0600), 0);
  ASSERT_EQ(::mkdir(here("d").c_str(), 0755), 0);
  if (!has_xattrs()) {
    EXPECT_EQ(set_acl(here("a"), kAccessAcl, kForNobody), EOPNOTSUPP);
    return;
  }
  const std::string root = mount_->path();
  const auto reads = [&](const std::string& name) {
    return as_nobody([&] { return open_file(root + "/" + name, O_RDWR) ? 0 : errno; });
  };
  const auto is_there = [&] {
    settle();
    if (is_back()) drop_dentries();
  };
  EXPECT_EQ(reads("a"), EACCES);
  ASSERT_EQ(set_acl(here("a"), kAccessAcl, kForNobody), 0);
  EXPECT_EQ(reads("a"), 0);
  EXPECT_EQ(stat_of(here("a")).st_mode & 0777, 0770U) << "the mask shows as the group's";
  ASSERT_EQ(::chmod(here("a").c_str(), 0700), 0);
  is_there();
  EXPECT_EQ(reads("a"), EACCES) << "the mask went with the mode";
  // What a directory says of new files holds, and the umask does not.
  ASSERT_EQ(set_acl(here("d"), kInheritedAcl, kForNobody), 0);
  const mode_t before = ::umask(077);
  EXPECT_TRUE(open_file(here("d/f"), O_WRONLY | O_CREAT, 0664));
  EXPECT_TRUE(open_file(here("d/less"), O_WRONLY | O_CREAT, 0644));
  ASSERT_EQ(::mkdir(here("d/sub").c_str(), 0777), 0);
  ASSERT_EQ(put(here("plain"), "x"), 0);
  ::umask(before);
  is_there();
  // Its mode as well: what was shown before is believed for the TTL.
  EXPECT_TRUE(wait_until([&] { return reads("d/f") == 0; }, std::chrono::seconds(20)));
  EXPECT_EQ(reads("d/less"), EACCES) << "the mode that was asked for bounds the mask";
  EXPECT_EQ(stat_of(there("plain")).st_mode & 0777, 0600U);
  EXPECT_GT(::getxattr(there("d/sub").c_str(), kInheritedAcl, nullptr, 0), 0);
  char names[256];
  const ssize_t listed = ::listxattr(here("d").c_str(), names, sizeof names);
  EXPECT_NE(std::string(names, static_cast<size_t>(listed)).find(kInheritedAcl), std::string::npos);
  EXPECT_EQ(code(::removexattr(here("d").c_str(), kInheritedAcl)), 0);
  EXPECT_EQ(code(::getxattr(here("d").c_str(), kInheritedAcl, names, sizeof names)), ENODATA);
}

// A worker that is killed while a program writes: the program goes on, and all of it is there.
TEST_P(Write, AProgramWritesOnWhenTheWorkerIsKilledInMidWrite) {
  constexpr size_t kPiece = 64 << 10;
  mount_it();
  const UniqueFd fd = open_file(here("a"), O_RDWR | O_CREAT);
  ASSERT_TRUE(fd);
  std::atomic<unsigned> synced{0};
  std::atomic<int> error{0};
  std::atomic<bool> killed{false};
  std::atomic<unsigned> synced_when_killed{0};
  {
    const sync::Thread writer("writer", [&] {
      for (unsigned i = 0; i < 10'000 && !(killed && i > synced_when_killed + 20); ++i) {
        const std::string bytes = pattern(5, i * kPiece, kPiece);
        const ssize_t n = ::pwrite(fd.get(), bytes.data(), kPiece, static_cast<off_t>(i * kPiece));
        if (n != static_cast<ssize_t>(kPiece) || ::fsync(fd.get()) != 0) {
          error = errno;
          return;
        }
        synced = i + 1;
      }
    });
    ASSERT_TRUE(wait_until([&] { return synced > 5; }, std::chrono::seconds(60)));
    kill_process(mount_->worker(), SIGKILL);
    synced_when_killed = synced.load();
    killed = true;
  }
  EXPECT_EQ(error, 0) << strerror(error);
  EXPECT_GT(synced, synced_when_killed + 10);
  const std::string want = pattern(5, 0, synced * kPiece);
  EXPECT_TRUE(whole(there("a")).substr(0, want.size()) == want) << synced;
  EXPECT_TRUE(whole(here("a")).substr(0, want.size()) == want) << synced;
  EXPECT_EQ(put(here("a"), "again"), 0);
  EXPECT_EQ(whole(there("a")), "again");
}

// Where handles do not outlive names it has a hidden one, and the next worker knows it; else a copy
// of its descriptor is kept for that.
TEST_P(Write, AFileThatWasRemovedWhileOpenOutlivesTheWorkerAndGoesWithItsLastClose) {
  ASSERT_EQ(::mkdir(there("d").c_str(), 0755), 0);
  write_file(there("d/a"), "gone");
  mount_it();
  UniqueFd fd = open_file(here("d/a"), O_RDONLY);
  ASSERT_TRUE(fd);
  ASSERT_EQ(::unlink(here("d/a").c_str()), 0);
  const pid_t first = mount_->worker();
  kill_process(first, SIGKILL);
  ASSERT_TRUE(wait_until([&] { return mount_->worker() > 0 && mount_->worker() != first; },
                         std::chrono::seconds(60)));
  (void)list_names(here("d"));  // which removes what a dead daemon has left
  EXPECT_EQ(list_names(there("d")).value().size(), hides_open_files() ? 1U : 0U);
  EXPECT_EQ(bytes_at(fd.get(), 0, 4), "gone");
  fd.reset();
  EXPECT_TRUE(
      wait_until([&] { return list_names(there("d")).value().empty(); }, std::chrono::seconds(60)));
}

TEST_P(Write, WhatADeadDaemonHadHiddenIsRemovedWhenItsDirectoryIsListed) {
  ASSERT_EQ(::mkdir(there("d").c_str(), 0755), 0);
  write_file(there("d/a"), "gone");
  write_file(there("d/.netfs-0123abcd-00000001-00000002"), "of another client");
  mount_it();
  UniqueFd fd = open_file(here("d/a"), O_RDONLY);
  ASSERT_TRUE(fd);
  ASSERT_EQ(::unlink(here("d/a").c_str()), 0);
  EXPECT_EQ(list_names(there("d")).value().size(), hides_open_files() ? 2U : 1U);
  // The worker must not find out that it is alone: it would clean up.
  const pid_t worker = mount_->worker();
  ASSERT_EQ(kill_process(worker, SIGSTOP), 0);
  ASSERT_EQ(kill_process(mount_->supervisor(), SIGKILL), 0);
  ASSERT_EQ(kill_process(worker, SIGKILL), 0);
  fd.reset();
  ASSERT_EQ(run({netfs_binary(), "umount", mount_->path()}, std::chrono::seconds(60)).status, 0);
  mount_.reset();
  mount_it();
  const auto only_the_others = [&] {
    (void)list_names(here("d"));
    return list_names(there("d")).value().size() == 1;
  };
  EXPECT_TRUE(wait_until(only_the_others, std::chrono::seconds(60)))
      << testing::PrintToString(list_names(there("d")).value());
  EXPECT_EQ(list_names(here("d")).value(),
            std::vector<std::string>{".netfs-0123abcd-00000001-00000002"});
}

}  // namespace
}  // namespace netfs::test
