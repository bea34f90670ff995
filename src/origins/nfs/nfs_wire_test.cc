#include <cerrno>
#include <gtest/gtest.h>
#include <sys/sysmacros.h>

#include "origins/nfs/wire.h"

namespace netfs::origins::nfs {
namespace {

TEST(NfsWire, EveryStatusIsAnErrnoOfALocalFileSystem) {
  EXPECT_EQ(errno_of(NFS3_OK), 0);
  EXPECT_EQ(errno_of(NFS3ERR_NAMETOOLONG), ENAMETOOLONG);
  EXPECT_EQ(errno_of(NFS3ERR_NOTEMPTY), ENOTEMPTY);
  EXPECT_EQ(errno_of(NFS3ERR_DQUOT), EDQUOT);
  EXPECT_EQ(errno_of(NFS3ERR_STALE), ESTALE);
  EXPECT_EQ(errno_of(NFS3ERR_BADHANDLE), ESTALE);
  EXPECT_EQ(errno_of(NFS3ERR_JUKEBOX), EAGAIN);
  EXPECT_EQ(errno_of(NFS3ERR_NOTSUPP), EOPNOTSUPP);
  EXPECT_EQ(errno_of(static_cast<nfsstat3>(4711)), EIO) << "nonsense";
  EXPECT_EQ(errno_of(MNT3ERR_ACCES), EACCES);
  EXPECT_EQ(errno_of(MNT3ERR_NOENT), ENOENT);
  EXPECT_EQ(errno_of(static_cast<mountstat3>(4711)), EIO);
}

TEST(NfsWire, OnlyALostConnectionMayHaveCarriedOutWhatHasNoAnswer) {
  EXPECT_EQ(errno_of_refusal(""), ENOTCONN);
  EXPECT_EQ(errno_of_refusal("RPC ERROR: Failed to reconnect async"), ENOTCONN);
  EXPECT_EQ(errno_of_refusal("RPC Packet not accepted by the server"), EACCES);
  EXPECT_EQ(errno_of_refusal("Server responded: Procedure not available"), EOPNOTSUPP);
  EXPECT_EQ(errno_of_refusal("Server responded: Garbage arguments"), EIO);
  EXPECT_EQ(errno_of_refusal("Server responded: System Error"), EAGAIN);
  EXPECT_EQ(errno_of_refusal("Message rejected by server"), EIO) << "it cannot be decoded";
}

fattr3 sample() {
  fattr3 from{};
  from.type = NF3REG;
  from.mode = 0100640;
  from.nlink = 2;
  from.uid = 3;
  from.gid = 4;
  from.size = 5;
  from.used = 4096;
  from.fsid = 6;
  from.fileid = 7;
  from.mtime = {.seconds = 100, .nseconds = 1};
  from.ctime = {.seconds = 200, .nseconds = 2};
  return from;
}

TEST(NfsWire, TheValidatorHoldsTimesSizeAndFileAndChangesWithEach) {
  const NodeInfo info = info_of(sample());
  EXPECT_EQ(info.attributes.type, FileType::kRegular);
  EXPECT_EQ(info.attributes.permissions, 0640U);
  EXPECT_EQ(info.validator.strength, ValidatorStrength::kWeak);
  EXPECT_EQ(info.validator.changed_at, (Timestamp{200, 2}));
  EXPECT_LE(info.validator.bytes.size(), 64U);
  EXPECT_EQ(fileid_of(info), 7U);
  const auto differs = [&](auto change) {
    fattr3 other = sample();
    change(other);
    return !(info_of(other).validator == info.validator);
  };
  EXPECT_TRUE(differs([](fattr3& f) { f.mtime.nseconds = 9; }));
  EXPECT_TRUE(differs([](fattr3& f) { f.ctime.nseconds = 9; }));
  EXPECT_TRUE(differs([](fattr3& f) { f.size = 9; }));
  EXPECT_TRUE(differs([](fattr3& f) { f.fileid = 9; }));
  EXPECT_FALSE(differs([](fattr3& f) { f.atime.seconds = 9; }));
}

// A time that was set, into the future perhaps, does not make it one that has just changed.
TEST(NfsWire, WhenItChangedIsNotSaidByATimeThatUsersSet) {
  fattr3 from = sample();
  from.mtime = {.seconds = 4'000'000'000, .nseconds = 0};
  EXPECT_EQ(info_of(from).validator.changed_at, (Timestamp{200, 2}));
  from.ctime = {};
  EXPECT_EQ(info_of(from).validator.changed_at, (Timestamp{4'000'000'000, 0}));
}

TEST(NfsWire, WhatAFileWasBeforeAChangeIsTheValidatorThatItHad) {
  const fattr3 was = sample();
  pre_op_attr before{};
  EXPECT_FALSE(validator_of(before, 7).has_value());
  before.attributes_follow = 1;
  before.pre_op_attr_u.attributes = {.size = was.size, .mtime = was.mtime, .ctime = was.ctime};
  EXPECT_EQ(validator_of(before, 7), info_of(was).validator);
}

TEST(NfsWire, DevicesHaveTheirNumbers) {
  fattr3 from = sample();
  from.type = NF3BLK;
  from.rdev = {.specdata1 = 259, .specdata2 = 70'000};
  EXPECT_EQ(info_of(from).attributes.device, makedev(259, 70'000));
}

TEST(NfsWire, OnlyWhatIsAskedForIsSet) {
  AttributeChange change;
  change.mtime = NewTime{.time = {5, 6}};
  change.atime = NewTime{.now = true};
  const sattr3 wire = to_wire(change);
  EXPECT_EQ(wire.mode.set_it, 0U);
  EXPECT_EQ(wire.size.set_it, 0U);
  EXPECT_EQ(wire.atime.set_it, SET_TO_SERVER_TIME);
  EXPECT_EQ(wire.mtime.set_it, SET_TO_CLIENT_TIME);
  EXPECT_EQ(wire.mtime.set_mtime_u.mtime.nseconds, 6U);
  change.mtime = NewTime{.time = {-5, 0}};
  EXPECT_EQ(to_wire(change).mtime.set_mtime_u.mtime.seconds, 0U) << "before 1970 is 1970";
}

}  // namespace
}  // namespace netfs::origins::nfs
