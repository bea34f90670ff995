#include "origins/sftp/sftp_wire.h"

#include <gtest/gtest.h>
#include <string>

namespace netfs::origins::sftp {
namespace {

Packet bytes(std::initializer_list<int> values) {
  Packet packet;
  for (const int value : values) packet.push_back(static_cast<std::byte>(value));
  return packet;
}

TEST(SftpWire, RequestsAreWholePacketsWithTheirLengthInFront) {
  Packet out;
  append_read(out, 7, "h", {0x0102030405, 0x20000});
  EXPECT_EQ(out, bytes({0,   0, 0, 22, 5, 0, 0, 0, 7, 0, 0, 0, 1,
                        'h', 0, 0, 0,  1, 2, 3, 4, 5, 0, 2, 0, 0}));
  out.clear();
  append_init(out);
  EXPECT_EQ(out, bytes({0, 0, 0, 5, 1, 0, 0, 0, 3}));
  out.clear();
  append_open(out, 1, "/f");
  append_path_request(out, PacketType::kLstat, 2, "/f");
  EXPECT_EQ(out.size(), 4U + 1 + 4 + 6 + 4 + 4 + 4 + 1 + 4 + 6);
}

TEST(SftpWire, AttributesHoldWhatTheirFlagsSay) {
  const Packet all = bytes({0, 0, 0, 15,  0, 0, 0,    0,    0, 1, 0, 0,  0, 0, 3, 232,
                            0, 0, 3, 233, 0, 0, 0x81, 0xa4, 0, 0, 0, 10, 0, 0, 0, 20});
  const Result<NodeInfo> info = Reader(all).attributes();
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info.value().attributes.type, FileType::kRegular);
  EXPECT_EQ(info.value().attributes.permissions, 0644U);
  EXPECT_EQ(info.value().attributes.size_bytes, 65536U);
  EXPECT_EQ(info.value().attributes.uid, 1000U);
  EXPECT_EQ(info.value().attributes.gid, 1001U);
  EXPECT_EQ(info.value().attributes.mtime.seconds, 20);
  EXPECT_EQ(info.value().validator.strength, ValidatorStrength::kWeak);
  // None at all: nothing is known, and nothing validates.
  const Result<NodeInfo> none = Reader(bytes({0, 0, 0, 0})).attributes();
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none.value().attributes.type, FileType::kUnknown);
  EXPECT_EQ(none.value().validator.strength, ValidatorStrength::kNone);
}

TEST(SftpWire, LengthsThatLieAreEio) {
  const struct {
    const char* what;
    Packet packet;
  } handles[] = {{"longer than the packet", bytes({0, 0, 0, 9, 'h'})},
                 {"longer than any", bytes({0xff, 0xff, 0xff, 0xff, 'h'})},
                 {"cut", bytes({0, 0, 0})},
                 {"empty", bytes({0, 0, 0, 0})}};
  for (const auto& handle : handles) {
    EXPECT_TRUE(decode_handle(Reader(handle.packet)).is_error(EIO)) << handle.what;
  }
  Packet long_handle = bytes({0, 0, 1, 1});
  long_handle.resize(4 + 257);
  EXPECT_TRUE(decode_handle(Reader(long_handle)).is_error(EIO));
  EXPECT_TRUE(decode_names(Reader(bytes({0x7f, 0xff, 0xff, 0xff}))).is_error(EIO));
  EXPECT_TRUE(decode_names(Reader(bytes({0, 0, 0, 1, 0, 0, 0, 1, 'a'}))).is_error(EIO));
  EXPECT_TRUE(decode_statvfs(Reader(bytes({1, 2, 3}))).is_error(EIO));
  // A size that no file system has.
  EXPECT_TRUE(Reader(bytes({0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0})).attributes().is_error(EIO));
}

TEST(SftpWire, EachStatusHasItsErrno) {
  EXPECT_EQ(errno_of(Status::kOk), 0);
  EXPECT_EQ(errno_of(Status::kNoSuchFile), ENOENT);
  EXPECT_EQ(errno_of(Status::kPermissionDenied), EACCES);
  EXPECT_EQ(errno_of(Status::kFailure), EIO);
  EXPECT_EQ(errno_of(Status::kBadMessage), EINVAL);
  EXPECT_EQ(errno_of(Status::kUnsupported), EOPNOTSUPP);
  EXPECT_EQ(errno_of(static_cast<Status>(77)), EIO);
}

TEST(SftpWire, ExtensionsAreFoundByName) {
  Packet version = bytes({0, 0, 0, 3});
  const std::string text(
      "\0\0\0\x13statvfs@openssh.com\0\0\0\1"
      "2\0\0\0\1x\0\0\0\0",
      37);
  for (const char c : text) version.push_back(static_cast<std::byte>(c));
  const Result<ServerVersion> decoded = decode_version(Reader(version));
  ASSERT_TRUE(decoded.ok()) << decoded.error().message();
  EXPECT_EQ(decoded.value().version, 3U);
  EXPECT_TRUE(decoded.value().statvfs);
  EXPECT_FALSE(decoded.value().limits);
}

}  // namespace
}  // namespace netfs::origins::sftp
