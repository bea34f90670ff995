// Goal: how many round trips each change takes over SFTP, and that it is what is asked: what grows
// unnoticed here is felt on every far link.  Method: OpenSSH's own server behind sftp_meter.

#include <cerrno>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "netfs/origin_writer.h"
#include "origins/module_loader.h"
#include "tests/origin-conformance/reads.h"
#include "tests/origin-conformance/waited_write.h"
#include "tests/support/needs.h"
#include "tests/support/sftp_meter.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree.h"

namespace netfs::test {
namespace {

constexpr int kAttempts = 20;  // one is enough where the processor is not lost

class RoundTrips : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(
        ::access(SftpMeter::kServer, X_OK) == 0 ? "" : std::string("needs ") + SftpMeter::kServer);
    tree_ = temp_.make_dir("tree");
    meter_.emplace(temp_);
    origins::OriginRequest request{.url = MUST(origins::Url::parse("sftp://meter" + tree_))};
    request.options["ssh"] = meter_->program();
    request.options["connections"] = "1";
    Result<std::unique_ptr<Origin>> origin = origins::open_origin(request);
    ASSERT_TRUE(origin.ok()) << origin.error().message();
    origin_ = std::move(origin).value();
  }

  OriginWriter& writer() { return *origin_->writer(); }
  static Deadline soon() { return Deadline::after(Clock::system(), std::chrono::seconds(60)); }
  [[nodiscard]] std::string at(const std::string& name) const { return tree_ + "/" + name; }

  // `work` gets another name each time.  The least of some attempts: see sftp_meter.h.
  void expect(const std::string& requests, const std::function<void(const std::string&)>& prepare,
              const std::function<void(const std::string&)>& work) {
    std::string seen;
    for (int attempt = 0; attempt < kAttempts && seen != requests; ++attempt) {
      const std::string name = "n" + std::to_string(next_++);
      if (prepare) prepare(name);
      seen = meter_->measure([&] { work(name); }).requests;
    }
    EXPECT_EQ(seen, requests);
  }
  void expect(const std::string& requests, const std::function<void(const std::string&)>& work) {
    expect(requests, nullptr, work);
  }
  std::function<void(const std::string&)> make_file() {
    return [this](const std::string& name) { write_file(at(name), "0123456789"); };
  }
  std::function<void(const std::string&)> open_file() {
    return [this](const std::string& name) {
      write_file(at(name), "0123456789");
      opened_ = MUST(writer().open_for_writing(name, soon()));
    };
  }

  TempDir temp_;
  std::string tree_;
  std::optional<SftpMeter> meter_;
  std::unique_ptr<Origin> origin_;
  OpenedFile opened_;
  unsigned next_ = 0;
};

TEST_F(RoundTrips, ANewFileTakesOneAndOneMoreWhereItIsNotAsItWasAskedFor) {
  expect("OPEN LSTAT", [&](const std::string& name) {
    const OpenedFile file = MUST(writer().create(name, {.permissions = 0640}, soon()));
    EXPECT_EQ(file.info.attributes.permissions, 0640U);
    EXPECT_EQ(file.info.attributes.type, FileType::kRegular);
    EXPECT_FALSE(file.directory);
  });
  // The server's umask takes the group's bit.
  expect("OPEN LSTAT | FSETSTAT FSTAT", [&](const std::string& name) {
    EXPECT_EQ(
        MUST(writer().create(name, {.permissions = 0664}, soon())).info.attributes.permissions,
        0664U);
  });
  expect("OPEN LSTAT", [&](const std::string& name) {
    const NodeInfo made = MUST(writer().make(name, {.permissions = 0600}, soon()));
    EXPECT_EQ(made.attributes.permissions, 0600U);
  });
  // Then a look of the test's own.
  expect("OPEN LSTAT STAT | STAT", [&](const std::string& name) {
    const OpenedFile file =
        MUST(writer().create(name, {.permissions = 0600, .with_directory = true}, soon()));
    ASSERT_TRUE(file.directory);
    EXPECT_EQ(file.directory->attributes.type, FileType::kDirectory);
    EXPECT_EQ(file.directory->attributes, MUST(origin_->stat("", soon())).attributes);
  });
}

TEST_F(RoundTrips, ANewNameThatIsTakenIsKnownAtOnce) {
  expect("OPEN LSTAT", make_file(), [&](const std::string& name) {
    EXPECT_TRUE(writer().create(name, {.permissions = 0640}, soon()).is_error(EEXIST));
    EXPECT_EQ(read_whole(at(name)).value(), "0123456789");
  });
  expect("MKDIR LSTAT", make_file(), [&](const std::string& name) {
    EXPECT_TRUE(writer().make(name, {.type = FileType::kDirectory}, soon()).is_error(EEXIST));
  });
  expect("OPEN LSTAT", [&](const std::string& name) {
    EXPECT_TRUE(writer().create("no/" + name, {}, soon()).is_error(ENOENT));
  });
}

// Nobody but root can give files away.
TEST_F(RoundTrips, AnotherOwnerIsGivenWithTheModeInOneMore) {
  NETFS_TEST_NEEDS(root());
  const NewNode what{.permissions = 04755, .owner = Owner{.uid = 12, .gid = 34}};
  const auto check = [&](const Attributes& attributes, uint32_t permissions) {
    EXPECT_EQ(attributes.uid, 12U);
    EXPECT_EQ(attributes.gid, 34U);
    EXPECT_EQ(attributes.permissions, permissions);
  };
  expect("OPEN LSTAT | FSETSTAT FSETSTAT FSTAT", [&](const std::string& name) {
    check(MUST(writer().create(name, what, soon())).info.attributes, 04755);
    struct stat st {};
    ASSERT_EQ(::lstat(at(name).c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 04755U);
    EXPECT_EQ(st.st_uid, 12U);
  });
  expect("MKDIR LSTAT | lsetstat lsetstat LSTAT", [&](const std::string& name) {
    NewNode directory = what;
    directory.type = FileType::kDirectory;
    directory.permissions = 0755;
    check(MUST(writer().make(name, directory, soon())).attributes, 0755);
  });
  expect("SYMLINK LSTAT | lsetstat LSTAT", [&](const std::string& name) {
    NewNode link = what;
    link.type = FileType::kSymlink;
    link.target = "elsewhere";
    check(MUST(writer().make(name, link, soon())).attributes, 0777);
  });
}

TEST_F(RoundTrips, NamesComeAndGoInOne) {
  expect("MKDIR LSTAT", [&](const std::string& name) {
    const NodeInfo made =
        MUST(writer().make(name, {.type = FileType::kDirectory, .permissions = 0755}, soon()));
    EXPECT_EQ(made.attributes.type, FileType::kDirectory);
    EXPECT_EQ(made.attributes.permissions, 0755U);
  });
  expect("SYMLINK LSTAT", [&](const std::string& name) {
    const NodeInfo made =
        MUST(writer().make(name, {.type = FileType::kSymlink, .target = "there"}, soon()));
    EXPECT_EQ(made.attributes.type, FileType::kSymlink);
  });
  expect("hardlink LSTAT", make_file(), [&](const std::string& name) {
    EXPECT_EQ(MUST(writer().link({.path = name}, name + "too", soon())).attributes.size_bytes, 10U);
  });
  expect("posix-rename", make_file(), [&](const std::string& name) {
    EXPECT_TRUE(writer().rename(name, name + "new", RenameHow::kReplace, soon()).ok());
  });
  expect("RENAME", make_file(), [&](const std::string& name) {
    EXPECT_TRUE(writer().rename(name, name + "new", RenameHow::kNoReplace, soon()).ok());
  });
  expect("REMOVE", make_file(), [&](const std::string& name) {
    EXPECT_TRUE(writer().remove(name, RemoveKind::kFile, soon()).ok());
  });
  const auto make_directory = [&](const std::string& name) {
    ASSERT_EQ(::mkdir(at(name).c_str(), 0755), 0);
  };
  expect("RMDIR", make_directory, [&](const std::string& name) {
    EXPECT_TRUE(writer().remove(name, RemoveKind::kDirectory, soon()).ok());
  });
}

TEST_F(RoundTrips, AFileIsWrittenAndSyncedInOneEachAndOpenedInTwo) {
  expect("OPEN LSTAT | FSTAT", make_file(), [&](const std::string& name) {
    EXPECT_EQ(MUST(writer().open_for_writing(name, soon())).info.attributes.size_bytes, 10U);
  });
  expect("FSTAT WRITE FSTAT", open_file(), [&](const std::string& name) {
    const std::string bytes = pattern(1, 0, 65536);
    const WriteOutcome outcome = WaitedWrite(*opened_.file, 0, bytes).run(writer());
    EXPECT_EQ(outcome.seen.before, opened_.info.validator);
    ASSERT_TRUE(outcome.seen.after);
    EXPECT_EQ(outcome.seen.after->attributes.size_bytes, bytes.size());
    EXPECT_TRUE(read_whole(at(name)).value() == bytes);
  });
  expect("fsync", open_file(), [&](const std::string& name) {
    EXPECT_TRUE(writer().sync({name, opened_.file.get()}, SyncKind::kAll, soon()).ok());
  });
  expect("OPEN LSTAT | fsync", make_file(), [&](const std::string& name) {
    EXPECT_TRUE(writer().sync({name}, SyncKind::kAll, soon()).ok());
  });
}

TEST_F(RoundTrips, AttributesAreSetInOne) {
  const NewTime then{.time = {1'400'000'000, 0}};
  const auto change = [&](const std::string& name, const AttributeChange& what) {
    const NodeInfo before = MUST(origin_->stat(name, soon()));
    const Seen seen = MUST(writer().set_attributes({name}, what, soon()));
    EXPECT_EQ(seen.before, before.validator);
    EXPECT_EQ(seen.after->validator, MUST(origin_->stat(name, soon())).validator);
    return *seen.after;
  };
  // With a look in front and behind, by the test itself.
  const std::string by_path = "LSTAT | LSTAT lsetstat LSTAT | LSTAT";
  expect(by_path, make_file(), [&](const std::string& name) {
    const NodeInfo after = change(name, {.atime = then, .mtime = then});
    EXPECT_EQ(after.attributes.mtime.seconds, 1'400'000'000);
  });
  expect(by_path, make_file(), [&](const std::string& name) {
    EXPECT_EQ(change(name, {.permissions = 0604}).attributes.permissions, 0604U);
  });
  expect(by_path, make_file(),
         [&](const std::string& name) { change(name, {.uid = ::geteuid(), .gid = ::getegid()}); });
  // One of two that go in pairs: the other is asked for.
  expect("LSTAT | LSTAT | lsetstat LSTAT | LSTAT", make_file(), [&](const std::string& name) {
    EXPECT_EQ(change(name, {.mtime = then}).attributes.mtime.seconds, 1'400'000'000);
  });
  // Behind an owner, and only once he has it.
  expect("LSTAT | LSTAT lsetstat | lsetstat LSTAT | LSTAT", make_file(),
         [&](const std::string& name) {
           const NodeInfo after =
               change(name, {.permissions = 0604, .uid = ::geteuid(), .gid = ::getegid()});
           EXPECT_EQ(after.attributes.permissions, 0604U);
         });
  // By path a size follows links: there must be none.
  expect("LSTAT | LSTAT | SETSTAT LSTAT | LSTAT", make_file(), [&](const std::string& name) {
    EXPECT_EQ(change(name, {.size_bytes = 4}).attributes.size_bytes, 4U);
  });
  expect("FSTAT FSETSTAT FSTAT", open_file(), [&](const std::string& name) {
    const Seen seen =
        MUST(writer().set_attributes({name, opened_.file.get()}, {.size_bytes = 4}, soon()));
    EXPECT_EQ(seen.before, opened_.info.validator);
    EXPECT_EQ(seen.after->attributes.size_bytes, 4U);
  });
}

TEST_F(RoundTrips, ADirectoryOfAHundredNamesIsListedInTwo) {
  const auto make = [&](const std::string& name) {
    ASSERT_EQ(::mkdir(at(name).c_str(), 0755), 0);
    for (unsigned i = 0; i < 90; ++i) write_file(at(name) + "/f" + std::to_string(i), "");
  };
  expect("OPENDIR | READDIR READDIR", make, [&](const std::string& name) {
    unsigned names = 0;
    const auto count = [&](const OriginEntry&) -> Result<void> {
      ++names;
      return {};
    };
    EXPECT_TRUE(origin_->list(name, soon(), count).ok());
    EXPECT_EQ(names, 90U);
  });
}

// What is behind a failure in the same round trip changes neither the error nor the file.
TEST_F(RoundTrips, AFailureAmongWhatLeftTogetherHasItsErrno) {
  EXPECT_TRUE(writer().set_attributes({"no"}, {.permissions = 0600}, soon()).is_error(ENOENT));
  ASSERT_EQ(::symlink("target", at("link").c_str()), 0);
  write_file(at("target"), "0123456789");
  EXPECT_TRUE(
      writer().set_attributes({"link"}, {.permissions = 0600}, soon()).is_error(EOPNOTSUPP));
  EXPECT_TRUE(writer().set_attributes({"link"}, {.size_bytes = 1}, soon()).is_error(EOPNOTSUPP));
  EXPECT_EQ(read_whole(at("target")).value(), "0123456789");
  struct stat st {};
  ASSERT_EQ(::stat(at("target").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0644U);
  EXPECT_TRUE(writer().open_for_writing("link", soon()).is_error(ELOOP));
  ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
  EXPECT_TRUE(writer().open_for_writing("fifo", soon()).is_error(EINVAL));
  EXPECT_TRUE(writer().open_for_writing("no", soon()).is_error(ENOENT));
}

}  // namespace
}  // namespace netfs::test
