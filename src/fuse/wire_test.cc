#include "fuse/wire.h"

#include <cstring>
#include <deque>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "fuse/encode.h"

namespace netfs::fuse {
namespace {

using std::string_literals::operator""s;
using Bytes = std::vector<std::byte>;

void append(Bytes& to, const void* data, size_t size) {
  const auto* bytes = static_cast<const std::byte*>(data);
  to.insert(to.end(), bytes, bytes + size);
}

Bytes message(Opcode opcode, const Bytes& body) {
  proto::InHeader header{};
  header.len = static_cast<uint32_t>(sizeof header + body.size());
  header.opcode = static_cast<uint32_t>(opcode);
  header.unique = 42;
  header.nodeid = 7;
  header.uid = 1000;
  header.gid = 1001;
  header.pid = 1002;
  Bytes out;
  append(out, &header, sizeof header);
  append(out, body.data(), body.size());
  return out;
}

template <class T>
Bytes raw(const T& in, const std::string& text = {}) {
  Bytes out;
  append(out, &in, sizeof in);
  append(out, text.data(), text.size());
  return out;
}

Bytes text(const std::string& value) {
  Bytes out;
  append(out, value.data(), value.size());
  return out;
}

// What it points to lives as long as the program.
template <class T>
T decoded(Opcode opcode, const Bytes& body) {
  static std::deque<Bytes> kept;
  const Bytes& bytes = kept.emplace_back(message(opcode, body));
  Result<Request> request = decode_request(bytes);
  EXPECT_TRUE(request.ok());
  if (!request.ok()) return T{};
  EXPECT_TRUE(std::holds_alternative<T>(request.value().body)) << opcode_name(opcode);
  const T* out = std::get_if<T>(&request.value().body);
  return out != nullptr ? *out : T{};
}

// As decoded(), for bodies that point into the message.
Result<Request> refused(Opcode opcode, const Bytes& body) {
  return decode_request(message(opcode, body));
}

TEST(WireDecode, HeaderFieldsArriveWhereTheyBelong) {
  const Bytes bytes = message(Opcode::kReadlink, {});
  const Request request = MUST(decode_request(bytes));
  EXPECT_EQ(request.header.unique, 42U);
  EXPECT_EQ(request.header.node, NodeId(7));
  EXPECT_EQ(request.header.uid, 1000U);
  EXPECT_EQ(request.header.gid, 1001U);
  EXPECT_EQ(request.header.pid, 1002U);
  EXPECT_FALSE(request.header.resent());
  EXPECT_TRUE(std::holds_alternative<ReadlinkRequest>(request.body));
}

TEST(WireDecode, ALengthThatLiesIsEproto) {
  Bytes bytes = message(Opcode::kStatfs, text("12345678"));
  bytes.pop_back();
  EXPECT_TRUE(decode_request(bytes).is_error(EPROTO));
  EXPECT_TRUE(decode_header(bytes).is_error(EPROTO));
  bytes.resize(39);
  EXPECT_TRUE(decode_request(bytes).is_error(EPROTO));
  EXPECT_TRUE(decode_request({}).is_error(EPROTO));
}

TEST(WireDecode, ExtensionsBeyondTheMessageAreEprotoAndOthersNoPartOfTheBody) {
  proto::LkIn lock{};
  Bytes bytes = message(Opcode::kGetlk, raw(lock));
  proto::InHeader header{};
  std::memcpy(&header, bytes.data(), sizeof header);
  header.total_extlen = 1;  // 8 of the body's 48 bytes
  std::memcpy(bytes.data(), &header, sizeof header);
  EXPECT_TRUE(decode_request(bytes).is_error(EINVAL));
  header.total_extlen = 7;
  std::memcpy(bytes.data(), &header, sizeof header);
  EXPECT_TRUE(decode_request(bytes).is_error(EPROTO));
}

TEST(WireDecode, LookupTakesANameUpToItsNul) {
  const Bytes bytes = message(Opcode::kLookup, text(std::string("na me\xff\0rest", 12)));
  const Request request = MUST(decode_request(bytes));
  EXPECT_EQ(std::get<LookupRequest>(request.body).name, "na me\xff");
}

TEST(WireDecode, NamesWithoutNulEmptyTooLongOrWithASlashAreEinval) {
  EXPECT_TRUE(refused(Opcode::kLookup, {}).is_error(EINVAL));
  EXPECT_TRUE(refused(Opcode::kLookup, text("name")).is_error(EINVAL));
  EXPECT_TRUE(refused(Opcode::kLookup, text(std::string(1, '\0'))).is_error(EINVAL));
  EXPECT_TRUE(refused(Opcode::kLookup, text(std::string("a/b\0", 4))).is_error(EINVAL));
  const std::string longest = std::string(kNameMax, 'x') + '\0';
  EXPECT_TRUE(refused(Opcode::kLookup, text(longest)).ok());
  EXPECT_TRUE(refused(Opcode::kLookup, text("x" + longest)).is_error(EINVAL));
}

TEST(WireDecode, ReadCarriesHandleAndRange) {
  const proto::ReadIn in{.fh = 9, .offset = 1 << 20, .size = 4096, .flags = 2};
  const auto read = decoded<ReadRequest>(Opcode::kRead, raw(in));
  EXPECT_EQ(read.handle, HandleId(9));
  EXPECT_EQ(read.range, (ByteRange{1 << 20, 4096}));
  EXPECT_EQ(read.flags, 2U);
}

TEST(WireDecode, AReadThatEndsBeyondTwoToThe63IsEinval) {
  const proto::ReadIn in{.fh = 9, .offset = INT64_MAX - 4095, .size = 4096};
  EXPECT_TRUE(refused(Opcode::kRead, raw(in)).is_error(EINVAL));
}

TEST(WireDecode, EveryFixedBodyIsRefusedWhenOneByteIsMissing) {
  const std::vector<std::pair<Opcode, size_t>> bodies = {
      {Opcode::kInit, proto::kInitInOldBytes},
      {Opcode::kForget, sizeof(proto::ForgetIn)},
      {Opcode::kBatchForget, sizeof(proto::BatchForgetIn)},
      {Opcode::kGetattr, sizeof(proto::GetattrIn)},
      {Opcode::kSetattr, sizeof(proto::SetattrIn)},
      {Opcode::kStatx, sizeof(proto::StatxIn)},
      {Opcode::kOpen, sizeof(proto::OpenIn)},
      {Opcode::kOpendir, sizeof(proto::OpenIn)},
      {Opcode::kRead, sizeof(proto::ReadIn)},
      {Opcode::kReaddir, sizeof(proto::ReadIn)},
      {Opcode::kReaddirplus, sizeof(proto::ReadIn)},
      {Opcode::kRelease, sizeof(proto::ReleaseIn)},
      {Opcode::kReleasedir, sizeof(proto::ReleaseIn)},
      {Opcode::kFlush, sizeof(proto::FlushIn)},
      {Opcode::kFsync, sizeof(proto::FsyncIn)},
      {Opcode::kFsyncdir, sizeof(proto::FsyncIn)},
      {Opcode::kAccess, sizeof(proto::AccessIn)},
      {Opcode::kInterrupt, sizeof(proto::InterruptIn)},
      {Opcode::kListxattr, sizeof(proto::GetxattrIn)},
      {Opcode::kBmap, sizeof(proto::BmapIn)},
      {Opcode::kLseek, sizeof(proto::LseekIn)},
      {Opcode::kIoctl, sizeof(proto::IoctlIn)},
      {Opcode::kPoll, sizeof(proto::PollIn)},
      {Opcode::kGetlk, sizeof(proto::LkIn)},
      {Opcode::kSetlk, sizeof(proto::LkIn)},
      {Opcode::kSetlkw, sizeof(proto::LkIn)}};
  for (const auto& [opcode, size] : bodies) {
    EXPECT_TRUE(refused(opcode, Bytes(size)).ok()) << opcode_name(opcode);
    EXPECT_TRUE(refused(opcode, Bytes(size - 1)).is_error(EINVAL)) << opcode_name(opcode);
  }
}

TEST(WireDecode, BatchForgetListsItsNodesAndRefusesACountThatLies) {
  Bytes body = raw(proto::BatchForgetIn{.count = 2, .dummy = 0});
  const proto::ForgetOne ones[2] = {{5, 1}, {6, 20}};
  append(body, ones, sizeof ones);
  const Bytes bytes = message(Opcode::kBatchForget, body);
  const Request request = MUST(decode_request(bytes));
  const auto& batch = std::get<BatchForgetRequest>(request.body);
  ASSERT_EQ(batch.count, 2U);
  EXPECT_EQ(batch.at(1).node, NodeId(6));
  EXPECT_EQ(batch.at(1).lookups, 20U);
  body.pop_back();
  EXPECT_TRUE(refused(Opcode::kBatchForget, body).is_error(EINVAL));
  const proto::BatchForgetIn huge{.count = UINT32_MAX, .dummy = 0};
  EXPECT_TRUE(refused(Opcode::kBatchForget, raw(huge)).is_error(EINVAL));
}

TEST(WireDecode, InitOfAnOldKernelHasNoUpperFlags) {
  proto::InitIn in{};
  in.major = 7;
  in.minor = 31;
  in.max_readahead = 131072;
  in.flags = 0x3;
  in.flags2 = 0xffffffff;  // behind what is sent
  Bytes body = raw(in);
  body.resize(proto::kInitInOldBytes);
  const auto old = decoded<InitRequest>(Opcode::kInit, body);
  EXPECT_EQ(old.minor, 31U);
  EXPECT_EQ(old.flags, 0x3U);
  // Sent, but without INIT_EXT it means nothing.
  EXPECT_EQ(decoded<InitRequest>(Opcode::kInit, raw(in)).flags, 0x3U);
  in.flags |= static_cast<uint32_t>(proto::kInitExt);
  EXPECT_EQ(decoded<InitRequest>(Opcode::kInit, raw(in)).flags >> 32, 0xffffffffU);
}

TEST(WireDecode, GetxattrTakesItsNameWhichMayHoldASlash) {
  const Bytes body = raw(proto::GetxattrIn{.size = 100}, std::string("user.a/b\0", 9));
  const Bytes bytes = message(Opcode::kGetxattr, body);
  const Request request = MUST(decode_request(bytes));
  EXPECT_EQ(std::get<GetxattrRequest>(request.body).name, "user.a/b");
  EXPECT_EQ(std::get<GetxattrRequest>(request.body).size_bytes, 100U);
}

TEST(WireDecode, IoctlInputIsBoundedByTheMessage) {
  proto::IoctlIn in{};
  in.in_size = 4;
  EXPECT_TRUE(refused(Opcode::kIoctl, raw(in, "1234")).ok());
  in.in_size = 5;
  EXPECT_TRUE(refused(Opcode::kIoctl, raw(in, "1234")).is_error(EINVAL));
}

TEST(WireDecode, NamesOfTheWriteFamilyAreWholeAndOneComponent) {
  const auto mkdir =
      decoded<MkdirRequest>(Opcode::kMkdir, raw(proto::MkdirIn{.mode = 0750}, "ab"s + '\0'));
  EXPECT_EQ(mkdir.name, "ab");
  EXPECT_EQ(mkdir.mode, 0750U);
  const auto mknod = decoded<MknodRequest>(
      Opcode::kMknod, raw(proto::MknodIn{.mode = 0100600, .rdev = 5}, "n"s + '\0'));
  EXPECT_EQ(mknod.mode, 0100600U);
  EXPECT_EQ(mknod.rdev, 5U);
  EXPECT_TRUE(decoded<RemoveRequest>(Opcode::kRmdir, text("d"s + '\0')).directory);
  EXPECT_FALSE(decoded<RemoveRequest>(Opcode::kUnlink, text("d"s + '\0')).directory);
  const auto create = decoded<CreateRequest>(
      Opcode::kCreate,
      raw(proto::CreateIn{.flags = 2, .mode = 0644, .open_flags = proto::kOpenKillSuidgid},
          "f"s + '\0'));
  EXPECT_EQ(create.name, "f");
  EXPECT_TRUE(create.kill_suidgid);
  for (const std::string& bad : {""s, "\0"s, "a/b\0"s, "noend"s}) {
    EXPECT_TRUE(refused(Opcode::kMkdir, raw(proto::MkdirIn{}, bad)).is_error(EINVAL)) << bad;
    EXPECT_TRUE(refused(Opcode::kUnlink, text(bad)).is_error(EINVAL)) << bad;
    EXPECT_TRUE(refused(Opcode::kLink, raw(proto::LinkIn{}, bad)).is_error(EINVAL)) << bad;
  }
}

TEST(WireDecode, RenamesHaveTwoNamesAndMaybeFlags) {
  const auto old =
      decoded<RenameRequest>(Opcode::kRename, raw(proto::RenameIn{.newdir = 7}, "a\0bc\0"s));
  EXPECT_EQ(old.name, "a");
  EXPECT_EQ(old.new_name, "bc");
  EXPECT_EQ(old.new_parent, NodeId(7));
  EXPECT_EQ(old.flags, 0U);
  const auto flagged = decoded<RenameRequest>(
      Opcode::kRename2, raw(proto::Rename2In{.newdir = 7, .flags = 1}, "a\0bc\0"s));
  EXPECT_EQ(flagged.flags, 1U);
  EXPECT_TRUE(refused(Opcode::kRename, raw(proto::RenameIn{}, "a\0"s)).is_error(EINVAL));
}

TEST(WireDecode, TargetsOfLinksMayBePathsAndEndWithinPathMax) {
  const auto link = decoded<SymlinkRequest>(Opcode::kSymlink, text("l\0../a/b\0"s));
  EXPECT_EQ(link.name, "l");
  EXPECT_EQ(link.target, "../a/b");
  const std::string longest(kTargetMax, 't');
  EXPECT_EQ(decoded<SymlinkRequest>(Opcode::kSymlink, text("l\0"s + longest + '\0')).target,
            longest);
  EXPECT_TRUE(refused(Opcode::kSymlink, text("l\0"s + longest + "t\0"s)).is_error(EINVAL));
}

TEST(WireDecode, WritesAndValuesAreAsLongAsTheySay) {
  proto::WriteIn in{.fh = 3, .offset = 9, .size = 4, .write_flags = proto::kWriteKillSuidgid};
  const auto write = decoded<WriteRequest>(Opcode::kWrite, raw(in, "1234"));
  EXPECT_EQ(write.data.size(), 4U);
  EXPECT_EQ(write.offset, 9U);
  EXPECT_TRUE(write.kill_suidgid);
  EXPECT_FALSE(write.from_cache);
  EXPECT_TRUE(refused(Opcode::kWrite, raw(in, "12345")).is_error(EINVAL));
  EXPECT_TRUE(refused(Opcode::kWrite, raw(in, "123")).is_error(EINVAL));
  in.offset = static_cast<uint64_t>(INT64_MAX) - 3;
  EXPECT_TRUE(refused(Opcode::kWrite, raw(in, "1234")).is_error(EINVAL));
  const auto set = decoded<SetxattrRequest>(
      Opcode::kSetxattr, raw(proto::SetxattrIn{.size = 2, .flags = 1}, "user.a\0xy"s));
  EXPECT_EQ(set.name, "user.a");
  EXPECT_EQ(set.value.size(), 2U);
  for (const uint32_t kill : {0U, 1U}) {
    const auto longer = decoded<SetxattrRequest>(
        Opcode::kSetxattr,
        raw(proto::SetxattrExtIn{.size = 2, .flags = 1, .setxattr_flags = kill}, "user.a\0xy"s));
    EXPECT_EQ(longer.name, "user.a");
    EXPECT_EQ(longer.value.size(), 2U);
    EXPECT_EQ(longer.flags, 1U);
    EXPECT_EQ(longer.kill_sgid, kill == 1);
  }
  EXPECT_TRUE(refused(Opcode::kSetxattr, raw(proto::SetxattrIn{.size = 3}, "user.a\0xy"s))
                  .is_error(EINVAL));
}

TEST(WireDecode, RangesOfAllocationsDoNotOverflow) {
  const auto allocate = decoded<FallocateRequest>(
      Opcode::kFallocate, raw(proto::FallocateIn{.fh = 1, .offset = 2, .length = 3, .mode = 1}));
  EXPECT_EQ(allocate.range, (ByteRange{2, 3}));
  EXPECT_EQ(allocate.mode, 1U);
  proto::FallocateIn wild{.offset = 1, .length = static_cast<uint64_t>(INT64_MAX)};
  EXPECT_TRUE(refused(Opcode::kFallocate, raw(wild)).is_error(EINVAL));
}

TEST(WireDecode, OpcodesBeyondOursAreUnknownNotErrors) {
  for (const uint32_t opcode : {0U, 7U, 19U, 48U, 54U, 4096U, UINT32_MAX}) {
    decoded<UnknownRequest>(static_cast<Opcode>(opcode), text("whatever"));
  }
  EXPECT_EQ(opcode_name(static_cast<Opcode>(4096)), "UNKNOWN");
  EXPECT_EQ(opcode_name(Opcode::kReaddirplus), "READDIRPLUS");
  EXPECT_EQ(opcode_name(Opcode::kStatx), "STATX");
}

TEST(WireDecode, SetattrTimesMayLieBefore1970) {
  proto::SetattrIn in{};
  in.valid = proto::kSetMtime;
  in.mtime = static_cast<uint64_t>(-5);
  in.mtimensec = 9;
  const auto setattr = decoded<SetattrRequest>(Opcode::kSetattr, raw(in));
  EXPECT_EQ(setattr.mtime, (Timestamp{-5, 9}));
  EXPECT_EQ(setattr.valid, proto::kSetMtime);
}

}  // namespace
}  // namespace netfs::fuse
