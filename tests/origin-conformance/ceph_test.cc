// Goal: what CephFS has of its own: versions of files, other clients, daemons that are silent or
// die, clients that are thrown out, quotas, ACLs, snapshots, errors at the mount.

#include <cerrno>
#include <filesystem>
#include <set>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/origin-conformance/ceph_fixture.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

TEST_F(CephOrigin, WhatIsWrongAtTheMountIsNamed) {
  const std::string url = server()->url(tree_);
  const auto options = server()->options();
  auto other = options;
  other["conf"] = "/absent.conf";
  EXPECT_NE(refusal(request(url, other), ENOENT).find("conf=/absent.conf"), std::string::npos);
  other = options;
  other["keyring"] = "/absent.keyring";
  EXPECT_NE(refusal(request(url, other), EACCES).find("/absent.keyring"), std::string::npos);
  other = options;
  other["id"] = "stranger";
  EXPECT_NE(refusal(request(url, other), EACCES).find("client.stranger"), std::string::npos);
  EXPECT_NE(refusal(request("ceph://other/", options), ENOENT).find("no file system 'other'"),
            std::string::npos);
  EXPECT_NE(refusal(request(url + "/absent", options), ENOENT).find("No such file"),
            std::string::npos);
  EXPECT_NE(refusal(request("ceph://host:1234/", options), EINVAL).find("no port"),
            std::string::npos);
  // Nobody listens at the first port of all.
  write_file(temp()->path() + "/far.conf", "[global]\nmon host = v2:127.0.0.1:1\n");
  other = options;
  other["conf"] = temp()->path() + "/far.conf";
  EXPECT_NE(refusal(request(url, other, std::chrono::seconds(1)), ETIMEDOUT).find("no monitor"),
            std::string::npos);
}

TEST_F(CephOrigin, AKeyThatMaySeeOnePathMountsThatAndNoOther) {
  auto options = server()->options();
  options["id"] = "narrow";
  options["keyring"] = server()->make_key("narrow", "allow r path=" + tree_);
  write_file(at("file"), "bytes");
  origin_ = open(request(server()->url(tree_), options));
  ASSERT_NE(origin_, nullptr);
  EXPECT_EQ(read_all("file"), "bytes");
  EXPECT_TRUE(writer().create("new", {.permissions = 0644}, soon()).is_error(EACCES));
  EXPECT_NE(refusal(request(server()->url("/"), options), EACCES).find("mds caps"),
            std::string::npos);
}

TEST_F(CephOrigin, EachChangeOfAFileMovesItsVersion) {
  const OpenedFile made = MUST(writer().create("f", {.permissions = 0644}, soon()));
  std::set<std::string> seen = {made.info.validator.bytes};
  const auto is_new = [&] { return seen.insert(look("f").validator.bytes).second; };
  EXPECT_EQ(look("f").validator, made.info.validator);
  EXPECT_TRUE(write(*made.file, 0, "one").transferred_bytes.ok());
  EXPECT_TRUE(is_new());
  const Timestamp mtime = look("f").attributes.mtime;
  EXPECT_TRUE(write(*made.file, 0, "two").transferred_bytes.ok());
  EXPECT_TRUE(is_new()) << "of the same length, perhaps within one tick";
  AttributeChange change;
  change.mtime = NewTime{.time = mtime};
  EXPECT_TRUE(writer().set_attributes({.path = "f"}, change, soon()).ok());
  EXPECT_TRUE(is_new()) << "with the times of before";
  change = {};
  change.size_bytes = 2;
  EXPECT_TRUE(writer().set_attributes({.path = "f"}, change, soon()).ok());
  EXPECT_TRUE(is_new());
  change = {};
  change.permissions = 0600;
  EXPECT_TRUE(writer().set_attributes({.path = "f"}, change, soon()).ok());
  EXPECT_TRUE(is_new());
  EXPECT_TRUE(writer().set_xattr({.path = "f"}, "user.a", "b", 0, soon()).ok());
  EXPECT_TRUE(is_new());
  write_file(at("f"), "beside");
  EXPECT_TRUE(is_new());
  EXPECT_TRUE(writer().sync({"f", made.file.get()}, SyncKind::kAll, soon()).ok());
  EXPECT_FALSE(is_new()) << "nothing was changed";

  server()->crash("mds");
  ASSERT_TRUE(server()->start_again()) << server()->log();
  EXPECT_FALSE(is_new()) << "nothing was changed by a restart";
  EXPECT_TRUE(write(*made.file, 0, "three").transferred_bytes.ok());
  EXPECT_TRUE(is_new());
}

TEST_F(CephOrigin, WhatAnotherClientDoesIsSeenAtOnce) {
  for (int i = 0; i < 20; ++i) {
    const std::string bytes = "from beside " + std::to_string(i);
    write_file(at("f"), bytes);
    EXPECT_EQ(look("f").attributes.size_bytes, bytes.size());
    EXPECT_EQ(read_all("f"), bytes);
    const OpenedFile file = MUST(writer().open_for_writing("f", soon()));
    EXPECT_TRUE(write(*file.file, 0, "from here").transferred_bytes.ok());
    EXPECT_EQ(read_whole(at("f")).value(), "from here" + bytes.substr(9));
    std::filesystem::rename(at("f"), at("g"));
    EXPECT_TRUE(origin_->stat("f", soon()).is_error(ENOENT));
    EXPECT_TRUE(writer().rename("g", "f", RenameHow::kReplace, soon()).ok());
    EXPECT_FALSE(std::filesystem::exists(at("g")));
  }
}

TEST_F(CephOrigin, ASilentMetadataServerCostsTheDeadlineAndNothingComesOutOfOrder) {
  write_file(at("f"), "bytes");
  server()->pause("mds");
  EXPECT_TRUE(origin_->stat("absent", in_a_second()).is_error(ETIMEDOUT));
  const NewNode directory{.type = FileType::kDirectory, .permissions = 0755};
  EXPECT_TRUE(writer().make("late", directory, in_a_second()).is_error(ETIMEDOUT));
  // It is under way: what comes after it does not begin.
  EXPECT_TRUE(writer().remove("f", RemoveKind::kFile, in_a_second()).is_error(ETIMEDOUT));
  server()->resume("mds");
  EXPECT_TRUE(writer().remove("late", RemoveKind::kDirectory, soon()).ok())
      << "the late one was carried out before it";
  EXPECT_EQ(read_all("f"), "bytes");
}

TEST_F(CephOrigin, ASilentStoreCostsTheDeadline) {
  const OpenedFile made = MUST(writer().create("f", {.permissions = 0644}, soon()));
  ASSERT_TRUE(write(*made.file, 0, "first").transferred_bytes.ok());
  server()->pause("osd");
  const std::string late = "late!";
  const WriteOutcome written =
      WaitedWrite(*made.file, 0, late, std::chrono::seconds(1)).run(writer());
  EXPECT_TRUE(written.transferred_bytes.is_error(ETIMEDOUT));
  TestRead read(*made.file, {0, 5}, in_a_second());
  origin_->issue_read(read);
  const std::optional<ReadOutcome> outcome = read.wait(kPatience);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_TRUE(outcome->transferred_bytes.is_error(ETIMEDOUT));
  server()->resume("osd");
  EXPECT_TRUE(write(*made.file, 0, "again").transferred_bytes.ok());
  EXPECT_EQ(read_whole(at("f")).value(), "again");
  EXPECT_TRUE(read.guards_intact());
}

TEST_F(CephOrigin, AnOriginWhoseClusterIsSilentIsClosedAllTheSame) {
  origin_ = open(request(server()->url(tree_), server()->options(), std::chrono::seconds(3)));
  ASSERT_NE(origin_, nullptr);
  server()->pause("mds");
  const NewNode directory{.type = FileType::kDirectory, .permissions = 0755};
  EXPECT_TRUE(writer().make("late", directory, in_a_second()).is_error(ETIMEDOUT));
  origin_ = nullptr;
  server()->resume("mds");
  EXPECT_TRUE(wait_until([&] { return ::access(at("late").c_str(), F_OK) == 0; }, kPatience));
}

// It goes on when the cluster answers, and would take the name of the one that serves by then.
TEST_F(CephOrigin, AnAttemptThatStillHangsIsNotJoinedByAnother) {
  origins::OriginRequest again =
      request(server()->url(tree_), server()->options(), std::chrono::seconds(1));
  again.follows = true;
  server()->pause("mds");
  (void)refusal(again, ETIMEDOUT);
  EXPECT_NE(refusal(again, ETIMEDOUT).find("before this one"), std::string::npos);
  server()->resume("mds");
  std::unique_ptr<Origin> opened;
  const auto opens = [&] {
    Result<std::unique_ptr<Origin>> origin = origins::open_origin(again);
    if (origin.ok()) opened = std::move(origin).value();
    return opened != nullptr;
  };
  ASSERT_TRUE(wait_until(opens, kPatience));
  write_file(at("f"), "bytes");
  EXPECT_TRUE(opened->stat("f", soon()).ok());
}

TEST_F(CephOrigin, AClientThatWasThrownOutIsMadeAnew) {
  write_file(at("f"), "bytes");
  std::unique_ptr<OriginFile> file = MUST(origin_->open("f", soon()));
  ASSERT_EQ(MUST(read_range(*origin_, *file, {0, 5})).bytes, "bytes");
  ASSERT_TRUE(server()->evict());
  // The file tells that it has to be opened again, and that can be.
  const Result<ReadBytes> read = read_range(*origin_, *file, {0, 5});
  EXPECT_TRUE(read.is_error(ENOTCONN)) << read.code();
  EXPECT_TRUE(origin_->stat("f", soon()).ok());
  ASSERT_TRUE(server()->evict());
  EXPECT_TRUE(origin_->stat("f", soon()).ok()) << "also where that is the first to notice";
  file = MUST(origin_->open("f", soon()));
  EXPECT_EQ(MUST(read_range(*origin_, *file, {0, 5})).bytes, "bytes");
  const OpenedFile made = MUST(writer().create("new", {.permissions = 0644}, soon()));
  EXPECT_TRUE(write(*made.file, 0, "new").transferred_bytes.ok());
}

TEST_F(CephOrigin, AQuotaIsEdquotAndWhatThereIsOfSpace) {
  const std::string limit = "8388608";
  ASSERT_EQ(::setxattr(tree_.c_str(), "ceph.quota.max_bytes", limit.data(), limit.size(), 0), 0)
      << strerror(errno);
  origin_ = open(request());
  ASSERT_NE(origin_, nullptr);
  const FileSystemStats stats = MUST(origin_->stat_file_system(soon()));
  EXPECT_EQ(stats.blocks * stats.block_bytes, 8'388'608U);
  const OpenedFile made = MUST(writer().create("f", {.permissions = 0644}, soon()));
  EXPECT_TRUE(write(*made.file, 0, std::string(1'000'000, 'x')).transferred_bytes.ok());
  const WriteOutcome beyond = write(*made.file, 30'000'000, "x");
  EXPECT_TRUE(beyond.transferred_bytes.is_error(EDQUOT)) << beyond.transferred_bytes.code();
}

TEST_F(CephOrigin, WhatLosesItsNameWhileOpenIsReadAndWrittenOn) {
  const OpenedFile made = MUST(writer().create("f", {.permissions = 0644}, soon()));
  EXPECT_TRUE(write(*made.file, 0, "before").transferred_bytes.ok());
  std::filesystem::remove(at("f"));
  EXPECT_TRUE(write(*made.file, 6, " after").transferred_bytes.ok());
  EXPECT_EQ(MUST(read_range(*origin_, *made.file, {0, 12})).bytes, "before after");
  const Seen seen =
      MUST(writer().set_attributes({"f", made.file.get()}, {.size_bytes = 3}, soon()));
  EXPECT_EQ(seen.after->attributes.size_bytes, 3U);
}

TEST_F(CephOrigin, WhatRootMakesBelongsToWhomItIsForAndOthersMakeTheirOwn) {
  const NewNode what{.permissions = 0640, .owner = Owner{.uid = 1234, .gid = 2345}};
  EXPECT_EQ(MUST(writer().create("f", what, soon())).info.attributes.uid, 1234U);
  struct stat st {};
  ASSERT_EQ(::stat(at("f").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 1234U);
  EXPECT_EQ(st.st_gid, 2345U);
  EXPECT_EQ(st.st_mode & 07777, 0640U);
  ASSERT_EQ(::chmod(tree_.c_str(), 0777), 0);
  origin_ = open(request(server()->url(tree_) + "?uid=65534&gid=65534", server()->options()));
  ASSERT_NE(origin_, nullptr);
  EXPECT_EQ(MUST(writer().create("g", what, soon())).info.attributes.uid, 65534U);
  EXPECT_TRUE(writer().open_for_writing("f", soon()).is_error(EACCES));
}

TEST_F(CephOrigin, WhatGetsAnotherGroupLosesItsSetIdBits) {
  for (const FileType type : {FileType::kRegular, FileType::kFifo, FileType::kSocket}) {
    const std::string name = std::to_string(static_cast<int>(type));
    ASSERT_TRUE(writer().make(name, {.type = type, .permissions = 06555}, soon()).ok());
    const Seen seen = MUST(writer().set_attributes({.path = name}, {.gid = 2345}, soon()));
    EXPECT_EQ(seen.after->attributes.permissions, 0555U) << name;
    EXPECT_EQ(seen.after->attributes.gid, 2345U);
  }
}

// They are 32 bits without a sign there.
TEST_F(CephOrigin, TimesThatItHasNoRoomForAreCut) {
  write_file(at("f"), "bytes");
  for (const auto& [asked, got] : {std::pair<int64_t, int64_t>{int64_t{1} << 32, UINT32_MAX},
                                   {-1, 0},
                                   {1'600'000'000, 1'600'000'000}}) {
    AttributeChange change;
    change.mtime = NewTime{.time = {.seconds = asked, .nanoseconds = 7}};
    const Seen seen = MUST(writer().set_attributes({.path = "f"}, change, soon()));
    EXPECT_EQ(seen.after->attributes.mtime.seconds, got);
  }
}

// Of version 2, each entry with its tag, permissions and id: the owner, a user, the group, the mask
// and all others.
std::string acl_of(uint32_t user, uint16_t allowed) {
  std::string acl("\2\0\0\0", 4);
  const auto entry = [&acl](uint16_t tag, uint16_t permissions, uint32_t id) {
    acl.append(reinterpret_cast<const char*>(&tag), 2);
    acl.append(reinterpret_cast<const char*>(&permissions), 2);
    acl.append(reinterpret_cast<const char*>(&id), 4);
  };
  entry(0x01, 7, UINT32_MAX);
  entry(0x02, allowed, user);
  entry(0x04, 5, UINT32_MAX);
  entry(0x10, 7, UINT32_MAX);
  entry(0x20, 0, UINT32_MAX);
  return acl;
}

TEST_F(CephOrigin, AclsAreInheritedAndInStepWithTheMode) {
  const NewNode directory{.type = FileType::kDirectory, .permissions = 0755};
  ASSERT_TRUE(writer().make("d", directory, soon()).ok());
  const Result<Seen> set =
      writer().set_xattr({.path = "d"}, "system.posix_acl_default", acl_of(4321, 6), 0, soon());
  ASSERT_TRUE(set.ok()) << set.error().message();
  // What the umask took away the directory gives.
  const NewNode what{.permissions = 0600, .unmasked = 0660};
  const OpenedFile made = MUST(writer().create("d/f", what, soon()));
  EXPECT_EQ(made.info.attributes.permissions, 0660U);
  const std::string acl =
      MUST(writer().get_xattr({.path = "d/f"}, "system.posix_acl_access", soon()));
  EXPECT_EQ(acl.size(), 4U + 5 * 8);
  EXPECT_TRUE(writer().set_attributes({.path = "d/f"}, {.permissions = 0640}, soon()).ok());
  const std::string less =
      MUST(writer().get_xattr({.path = "d/f"}, "system.posix_acl_access", soon()));
  EXPECT_NE(less, acl) << "the mask is the group's part of the mode";
  EXPECT_TRUE(writer().get_xattr({.path = "d/f"}, "user.absent", soon()).is_error(ENODATA));
  ASSERT_TRUE(writer().set_xattr({.path = "d/f"}, "user.there", "", 0, soon()).ok());
  const std::vector<std::string> names = MUST(writer().list_xattrs({.path = "d/f"}, soon()));
  EXPECT_NE(std::find(names.begin(), names.end(), "user.there"), names.end());
  EXPECT_TRUE(writer().remove_xattr({.path = "d/f"}, "user.there", soon()).ok());
}

TEST_F(CephOrigin, SnapshotsAreReadAndNotWritten) {
  ASSERT_TRUE(server()->allow_snapshots()) << server()->log();
  write_file(at("f"), "of then");
  ASSERT_EQ(::mkdir(at(".snap/one").c_str(), 0755), 0) << strerror(errno);
  write_file(at("f"), "of now");
  EXPECT_EQ(read_all(".snap/one/f"), "of then");
  EXPECT_EQ(read_all("f"), "of now");
  EXPECT_NE(look(".snap/one/f").identity, look("f").identity);
  const Result<OpenedFile> opened = writer().open_for_writing(".snap/one/f", soon());
  EXPECT_TRUE(opened.is_error(EROFS)) << opened.code();
  ASSERT_EQ(::rmdir(at(".snap/one").c_str()), 0);
}

TEST_F(CephOrigin, ANameIsUsedOnAfterARenameToItThatFailed) {
  EXPECT_TRUE(writer().rename("absent", "b", RenameHow::kReplace, soon()).is_error(ENOENT));
  write_file(at("b"), "bytes");
  EXPECT_EQ(read_all("b"), "bytes");
  std::filesystem::create_directories(at("full/below"));
  std::filesystem::create_directory(at("d"));
  EXPECT_TRUE(writer().rename("d", "full", RenameHow::kReplace, soon()).is_error(ENOTEMPTY));
  EXPECT_TRUE(writer().rename("b", "d", RenameHow::kReplace, soon()).is_error(EISDIR));
  EXPECT_TRUE(
      writer().rename("full", "full/below/in", RenameHow::kReplace, soon()).is_error(EINVAL));
  EXPECT_EQ(look("full").attributes.type, FileType::kDirectory);
  EXPECT_EQ(look("d").attributes.type, FileType::kDirectory);
  EXPECT_TRUE(origin_->stat("full/below/in", soon()).is_error(ENOENT));
}

}  // namespace
}  // namespace netfs::test
