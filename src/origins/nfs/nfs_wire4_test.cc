#include <cerrno>
#include <gtest/gtest.h>
#include <pwd.h>
#include <string>
#include <vector>

#include "origins/nfs/owners.h"
#include "origins/nfs/wire4.h"

namespace netfs::origins::nfs {
namespace {

// Attributes as a server sends them.
class Sent {
 public:
  Sent& has(std::initializer_list<unsigned> attributes) {
    for (const unsigned each : attributes) {
      if (each / 32 >= mask_.size()) mask_.resize(each / 32 + 1);
      mask_[each / 32] |= 1U << each % 32;
    }
    return *this;
  }
  Sent& u32(uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes_ += static_cast<char>(value >> shift & 0xff);
    return *this;
  }
  Sent& u64(uint64_t value) {
    return u32(static_cast<uint32_t>(value >> 32)).u32(static_cast<uint32_t>(value));
  }
  Sent& text(const std::string& text) {
    u32(static_cast<uint32_t>(text.size()));
    bytes_ += text;
    bytes_.append((4 - text.size() % 4) % 4, '\0');
    return *this;
  }
  Sent& cut(size_t length) {
    bytes_.resize(length);
    return *this;
  }
  [[nodiscard]] size_t size() const { return bytes_.size(); }
  [[nodiscard]] fattr4 wire() {
    return {
        .attrmask = {.bitmap4_len = static_cast<u_int>(mask_.size()), .bitmap4_val = mask_.data()},
        .attr_vals = {.attrlist4_len = static_cast<u_int>(bytes_.size()),
                      .attrlist4_val = bytes_.data()}};
  }

 private:
  std::vector<uint32_t> mask_;
  std::string bytes_;
};

struct Said {
  uint64_t change = 9;
  uint64_t size = 5;
  uint64_t fileid = 7;
  uint64_t fsid = 6;
  int64_t changed = 200;
  int64_t modified = 100;
  std::string owner = "3";
};

Sent sent(const Said& said) {
  Sent file;
  file.has({FATTR4_TYPE, FATTR4_CHANGE, FATTR4_SIZE, FATTR4_FSID, FATTR4_FILEID, FATTR4_MODE,
            FATTR4_NUMLINKS, FATTR4_OWNER, FATTR4_OWNER_GROUP, FATTR4_RAWDEV, FATTR4_SPACE_USED,
            FATTR4_TIME_ACCESS, FATTR4_TIME_METADATA, FATTR4_TIME_MODIFY});
  file.u32(NF4REG).u64(said.change).u64(said.size).u64(said.fsid).u64(1).u64(said.fileid);
  file.u32(0640).u32(2).text(said.owner).text("no-such-group@domain").u32(0).u32(0).u64(4096);
  file.u64(static_cast<uint64_t>(-1)).u32(2'000'000'000);
  file.u64(static_cast<uint64_t>(said.changed)).u32(2);
  file.u64(static_cast<uint64_t>(said.modified)).u32(1);
  return file;
}

Shown shown(const Said& said) {
  return MUST(shown_of(sent(said).wire()));
}

TEST(NfsWire4, EveryStatusIsAnErrnoOfALocalFileSystem) {
  EXPECT_EQ(errno_of(NFS4_OK), 0);
  EXPECT_EQ(errno_of(NFS4ERR_NOENT), ENOENT);
  EXPECT_EQ(errno_of(NFS4ERR_ACCESS), EACCES);
  EXPECT_EQ(errno_of(NFS4ERR_NOTDIR), ENOTDIR);
  EXPECT_EQ(errno_of(NFS4ERR_SYMLINK), ENOTDIR);
  EXPECT_EQ(errno_of(NFS4ERR_NAMETOOLONG), ENAMETOOLONG);
  EXPECT_EQ(errno_of(NFS4ERR_FHEXPIRED), ESTALE);
  EXPECT_EQ(errno_of(NFS4ERR_STALE), ESTALE);
  for (const nfsstat4 later : {NFS4ERR_DELAY, NFS4ERR_GRACE, NFS4ERR_RESOURCE}) {
    EXPECT_EQ(errno_of(later), EAGAIN);
  }
  EXPECT_EQ(errno_of(static_cast<nfsstat4>(4711)), EIO) << "nonsense";
}

TEST(NfsWire4, AFileIsWhatItsAttributesSay) {
  const Shown file = shown({});
  const Attributes& says = file.info.attributes;
  EXPECT_EQ(says.type, FileType::kRegular);
  EXPECT_EQ(says.permissions, 0640U);
  EXPECT_EQ(says.link_count, 2U);
  EXPECT_EQ(says.size_bytes, 5U);
  EXPECT_EQ(says.allocated_bytes, 4096U);
  EXPECT_EQ(says.atime, (Timestamp{-1, 999'999'999})) << "before 1970, and cut to what there is";
  EXPECT_EQ(says.mtime, (Timestamp{100, 1}));
  EXPECT_EQ(says.ctime, (Timestamp{200, 2}));
  EXPECT_EQ(file.owner, "3");
  EXPECT_EQ(file.group, "no-such-group@domain");
}

TEST(NfsWire4, TimesFurtherThanAnyClockAreCut) {
  EXPECT_EQ(shown({.modified = INT64_MAX}).info.attributes.mtime.seconds, int64_t{1} << 33);
  EXPECT_EQ(shown({.modified = INT64_MIN}).info.attributes.mtime.seconds, -(int64_t{1} << 33));
}

TEST(NfsWire4, TheValidatorIsWeakAndChangesWithEachThatTellsVersionsApart) {
  const Validator validator = shown({}).info.validator;
  EXPECT_EQ(validator.strength, ValidatorStrength::kWeak);
  EXPECT_EQ(validator.changed_at, (Timestamp{200, 2}));
  EXPECT_LE(validator.bytes.size(), 64U);
  for (const Said& other : {Said{.change = 8}, Said{.size = 8}, Said{.fileid = 8},
                            Said{.changed = 8}, Said{.modified = 8}}) {
    EXPECT_FALSE(shown(other).info.validator == validator);
  }
  EXPECT_EQ(shown({.owner = "4"}).info.validator, validator);
}

TEST(NfsWire4, AFileOfAnotherExportIsAnotherFile) {
  const std::string identity = shown({}).info.identity;
  EXPECT_EQ(shown({.change = 8, .size = 8}).info.identity, identity);
  EXPECT_NE(shown({.fileid = 8}).info.identity, identity);
  EXPECT_NE(shown({.fsid = 8}).info.identity, identity);
}

// Nobody could tell whether it is old enough to be believed.
TEST(NfsWire4, WithoutAnyTimeThereIsNoValidator) {
  Sent bare;
  bare.has({FATTR4_TYPE, FATTR4_CHANGE, FATTR4_SIZE, FATTR4_FSID, FATTR4_FILEID});
  bare.u32(NF4DIR).u64(1).u64(2).u64(3).u64(4).u64(5);
  const Shown directory = MUST(shown_of(bare.wire()));
  EXPECT_EQ(directory.info.validator.strength, ValidatorStrength::kNone);
  EXPECT_EQ(directory.info.attributes.type, FileType::kDirectory);
}

TEST(NfsWire4, WhatIsCutShortAnywhereIsAnError) {
  const size_t whole = sent({}).size();
  for (size_t length = 0; length < whole; ++length) {
    EXPECT_TRUE(shown_of(sent({}).cut(length).wire()).is_error(EIO)) << length;
  }
}

TEST(NfsWire4, NonsenseIsAnError) {
  EXPECT_TRUE(shown_of(sent({.size = UINT64_MAX}).wire()).is_error(EIO));
  EXPECT_TRUE(shown_of(Sent().wire()).is_error(EIO)) << "nothing at all";
  EXPECT_TRUE(told_of(Sent().has({FATTR4_ACL}).u32(0).wire()).is_error(EIO)) << "not asked for";
  EXPECT_TRUE(told_of(Sent().has({200}).u32(0).wire()).is_error(EIO)) << "unknown";
  Sent error;
  error.has({FATTR4_RDATTR_ERROR}).u32(NFS4ERR_ACCESS);
  EXPECT_TRUE(shown_of(error.wire()).is_error(EIO)) << "no attributes, but why there are none";
  // A length that goes round.
  EXPECT_TRUE(told_of(Sent().has({FATTR4_OWNER}).u32(0xffffffff).wire()).is_error(EIO));
}

TEST(NfsOwners, ANumberIsThatAndANameThisMachinesWhateverItsDomainElseNobody) {
  Owners owners;
  EXPECT_EQ(owners.uid_of("123"), 123U);
  EXPECT_EQ(owners.gid_of("0"), 0U);
  EXPECT_EQ(owners.uid_of("root@localdomain"), 0U);
  EXPECT_EQ(owners.gid_of("root"), 0U);
  const passwd* daemon = ::getpwnam("daemon");
  ASSERT_NE(daemon, nullptr);
  EXPECT_EQ(owners.uid_of("daemon@example.org"), daemon->pw_uid);
  EXPECT_EQ(owners.uid_of("daemon@example.org"), daemon->pw_uid) << "remembered";
  const std::string nobodies[] = {
      "no-such-user@x", "no-such-user@x",          "", "@x", "-1", "123x", "99999999999",
      "4294967295",     std::string("root\0@x", 7)};
  for (const std::string& nobody : nobodies) {
    EXPECT_EQ(owners.uid_of(nobody), Owners::kNobody) << nobody;
  }
}

}  // namespace
}  // namespace netfs::origins::nfs
