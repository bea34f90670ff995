#include "daemon/supervisor_message.h"

#include <gtest/gtest.h>
#include <vector>

#include "daemon/mount_state.h"
#include "daemon/owner_settings.h"

namespace netfs::daemon {

TEST(SupervisorMessage, EveryFieldOfAMountTravels) {
  const WorkerMessage sent{.verb = WorkerVerb::kMount,
                           .id = 77,
                           .mount = {.source = "sftp://h/a,b",
                                     .mount_point = "/m",
                                     .subtype = "netfs",
                                     .queues = 3,
                                     .max_read_bytes = 4096,
                                     .read_only = true,
                                     .allow_other = true,
                                     .default_permissions = false,
                                     .nosuid = false,
                                     .nodev = false,
                                     .noexec = true,
                                     .noatime = true},
                           .mode = fuse::UnmountMode::kForce,
                           .state = "s"};
  const WorkerMessage got = decode_worker_message(encode(sent)).value();
  EXPECT_EQ(got.verb, sent.verb);
  EXPECT_EQ(got.id, 77u);
  EXPECT_EQ(got.mode, sent.mode);
  EXPECT_EQ(got.state, "s");
  EXPECT_EQ(got.mount.source, sent.mount.source);
  EXPECT_EQ(got.mount.mount_point, "/m");
  EXPECT_EQ(got.mount.queues, 3u);
  EXPECT_EQ(got.mount.max_read_bytes, 4096u);
  EXPECT_TRUE(got.mount.read_only && got.mount.allow_other && got.mount.noexec &&
              got.mount.noatime);
  EXPECT_FALSE(got.mount.default_permissions || got.mount.nosuid || got.mount.nodev);
}

TEST(SupervisorMessage, KeysOfDescriptorsTravel) {
  const WorkerMessage sent{.verb = WorkerVerb::kKeepDescriptor, .id = 7, .key = uint64_t{1} << 56};
  const WorkerMessage got = decode_worker_message(encode(sent)).value();
  EXPECT_EQ(got.verb, sent.verb);
  EXPECT_EQ(got.key, sent.key);
  for (const std::vector<uint64_t>& keys : {std::vector<uint64_t>{}, {1}, {UINT64_MAX, 0, 5}}) {
    EXPECT_EQ(decode_keys(encode_keys(keys)).value(), keys);
  }
  for (const char* text : {"1", "x ", "1  2 ", "-1 ", "99999999999999999999 ", " "}) {
    EXPECT_TRUE(decode_keys(text).is_error(EPROTO)) << text;
  }
}

TEST(SupervisorMessage, NonsenseIsRefused) {
  for (const char* text : {"", "{}", "[]", "{\"verb\":9}", "{\"verb\":\"mount\"}"}) {
    EXPECT_TRUE(decode_worker_message(text).is_error(EPROTO)) << text;
    EXPECT_TRUE(decode_supervisor_message(text).is_error(EPROTO)) << text;
    EXPECT_TRUE(decode_mount_state(text).is_error(EPROTO)) << text;
    EXPECT_TRUE(decode_owner_settings(text).is_error(EPROTO)) << text;
  }
}

TEST(MountState, WhatWasNegotiatedComesBackWhole) {
  const fuse::Negotiated negotiated{.kernel_major = 7,
                                    .kernel_minor = 45,
                                    .offered_flags = 0xffff'ffff'ffff'ffff,
                                    .flags = 0x8000'0000'0000'0001,
                                    .max_write_bytes = 1 << 20,
                                    .max_readahead_bytes = 2 << 20,
                                    .max_pages = 256,
                                    .max_stack_depth = 2,
                                    .max_background = 64,
                                    .passthrough = true};
  const MountState got = decode_mount_state(encode(MountState{.url = "u",
                                                              .mount_point = "/m",
                                                              .options = {{"timeout", "5s"}},
                                                              .negotiated = negotiated}))
                             .value();
  EXPECT_EQ(got.url, "u");
  EXPECT_EQ(got.mount_point, "/m");
  EXPECT_EQ(got.options.at("timeout"), "5s");
  ASSERT_TRUE(got.negotiated.has_value());
  EXPECT_EQ(got.negotiated->offered_flags, negotiated.offered_flags);
  EXPECT_EQ(got.negotiated->flags, negotiated.flags);
  EXPECT_EQ(got.negotiated->kernel_minor, 45u);
  EXPECT_EQ(got.negotiated->max_pages, 256u);
  EXPECT_EQ(got.negotiated->max_stack_depth, 2u);
  EXPECT_EQ(got.negotiated->max_background, 64u);
  EXPECT_TRUE(got.negotiated->passthrough);
}

TEST(OwnerSettings, OptionsAreParsedAgain) {
  const OwnerSettings settings =
      decode_owner_settings(encode_owner_settings({{"cache-dir", "/c"}}, "/log")).value();
  EXPECT_EQ(settings.options.cache_dir, "/c");
  EXPECT_EQ(settings.log_file, "/log");
  EXPECT_TRUE(
      decode_owner_settings(encode_owner_settings({{"nonsense", "1"}}, "")).is_error(EINVAL));
}

}  // namespace netfs::daemon
