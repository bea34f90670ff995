// Goal: what a worker says of a mount comes back to the next one as it was said, and nonsense does
// not.

#include "daemon/mount_state.h"

#include <gtest/gtest.h>

namespace netfs::daemon {
namespace {

MountState full_state() {
  KnownOrigin origin;
  origin.volume_key = "sftp://me@host:22/data uid=0 identity=";
  origin.root_identity = std::string("\x00\xff\x80 bytes", 9);
  origin.capabilities = {.parallel_reads = false,
                         .validator_strength = ValidatorStrength::kStrong,
                         .validator_granularity = std::chrono::nanoseconds(7),
                         .identity = true,
                         .handles_outlive_connections = true,
                         .read_bytes_max = uint64_t{1} << 40,
                         .reads_ahead = 3,
                         .listings_ahead = 0,
                         .files_ahead = true,
                         .opens_by_read = true,
                         .locks_end_with_process = true};
  origin.writes = WriteCapabilities{.write_bytes_max = 12345,
                                    .files_outlive_names = true,
                                    .validator_can_be_set = false,
                                    .posix_acls = true,
                                    .copies = true};
  origin.locks = true;
  origin.mount_id = "0123abcd";
  return {.url = "sftp://host/data",
          .mount_point = "/mnt/a b",
          .options = {{"timeout", "3s"}},
          .negotiated = {},
          .origin = origin};
}

TEST(MountState, WhatIsKnownOfTheOriginComesBack) {
  const MountState said = full_state();
  const Result<MountState> back = decode_mount_state(encode(said));
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(back.value().url, said.url);
  EXPECT_EQ(back.value().options, said.options);
  ASSERT_TRUE(back.value().origin.has_value());
  const KnownOrigin& origin = *back.value().origin;
  EXPECT_EQ(origin.volume_key, said.origin->volume_key);
  EXPECT_EQ(origin.root_identity, said.origin->root_identity);
  EXPECT_FALSE(origin.capabilities.parallel_reads);
  EXPECT_EQ(origin.capabilities.validator_strength, ValidatorStrength::kStrong);
  EXPECT_EQ(origin.capabilities.validator_granularity, std::chrono::nanoseconds(7));
  EXPECT_TRUE(origin.capabilities.identity);
  EXPECT_EQ(origin.capabilities.read_bytes_max, uint64_t{1} << 40);
  EXPECT_EQ(origin.capabilities.reads_ahead, 3U);
  EXPECT_EQ(origin.capabilities.listings_ahead, 0U);
  ASSERT_TRUE(origin.writes.has_value());
  EXPECT_EQ(origin.writes->write_bytes_max, 12345U);
  EXPECT_TRUE(origin.writes->files_outlive_names);
  EXPECT_FALSE(origin.writes->validator_can_be_set);
  EXPECT_TRUE(origin.writes->posix_acls);
  EXPECT_EQ(encode(back.value()), encode(said)) << "all of it";
}

TEST(MountState, ANetfsThatKnewNothingOfTheOriginIsUnderstood) {
  MountState said = full_state();
  said.origin.reset();
  const Result<MountState> back = decode_mount_state(encode(said));
  ASSERT_TRUE(back.ok());
  EXPECT_FALSE(back.value().origin.has_value());
  said = full_state();
  said.origin->writes.reset();
  EXPECT_FALSE(decode_mount_state(encode(said)).value().origin->writes.has_value());
}

// Of an origin that is not understood nothing is known, and the mount goes on.
TEST(MountState, AnOriginOfAnotherNetfsCostsNoMount) {
  std::string text = encode(full_state());
  const size_t at = text.find("\"granularity\"");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 13, "\"granularitz\"");
  const Result<MountState> back = decode_mount_state(text);
  ASSERT_TRUE(back.ok());
  EXPECT_FALSE(back.value().origin.has_value());
  EXPECT_EQ(back.value().url, "sftp://host/data");
}

TEST(MountState, AnAbilityThatWasNotKnownThenIsNone) {
  std::string text = encode(full_state());
  const size_t at = text.find("\"copies\"");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 8, "\"copiez\"");
  const Result<MountState> back = decode_mount_state(text);
  ASSERT_TRUE(back.ok() && back.value().origin && back.value().origin->writes);
  EXPECT_FALSE(back.value().origin->writes->copies);
  EXPECT_TRUE(back.value().origin->locks);
  EXPECT_TRUE(back.value().origin->writes->posix_acls);
}

TEST(MountState, ALongNameOfATreeComesBack) {
  MountState said = full_state();
  said.origin->volume_key = std::string(5000, 'k');
  const Result<MountState> back = decode_mount_state(encode(said));
  ASSERT_TRUE(back.ok() && back.value().origin);
  EXPECT_EQ(back.value().origin->volume_key, said.origin->volume_key);
}

}  // namespace
}  // namespace netfs::daemon
