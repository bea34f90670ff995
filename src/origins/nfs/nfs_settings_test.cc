#include <cerrno>
#include <gtest/gtest.h>
#include <unistd.h>

#include "origins/nfs/settings.h"

namespace netfs::origins::nfs {
namespace {

Result<Settings> parse(const std::string& url, const OriginOptions& options = {}) {
  return Settings::parse({.url = MUST(Url::parse(url)), .options = options});
}

TEST(NfsSettings, AUrlSaysWhereAndItsQueryHow) {
  const Settings settings =
      MUST(parse("nfs://host/export/a%20b/?version=3&nfsport=12049&mountport=12048&uid=7&gid=8"));
  EXPECT_EQ(settings.host, "host");
  EXPECT_EQ(settings.path, "/export/a b");
  EXPECT_EQ(settings.nfs_port, 12049);
  EXPECT_EQ(settings.mount_port, 12048);
  EXPECT_EQ(settings.uid, 7U);
  EXPECT_EQ(settings.gid, 8U);
  EXPECT_TRUE(settings.groups.empty());
  EXPECT_EQ(settings.connections, 4U);
}

TEST(NfsSettings, WithoutAnyItIsThePortOfNfsAndWhoRunsThis) {
  const Settings settings = MUST(parse("nfs://host/"));
  EXPECT_EQ(settings.path, "/");
  EXPECT_EQ(settings.nfs_port, 2049);
  EXPECT_EQ(settings.mount_port, 0);
  EXPECT_EQ(settings.uid, ::geteuid());
  EXPECT_EQ(settings.gid, ::getegid());
  EXPECT_EQ(MUST(parse("nfs://host:99/")).nfs_port, 99);
}

// Groups are those of a login: root has some by hand and none at boot.
TEST(NfsSettings, ATreeIsTheSameWithWhateverGroupsAndByWhateverMountService) {
  Settings settings = MUST(parse("nfs://host/e"));
  const std::string key = settings.volume_key();
  settings.groups = {1, 2};
  EXPECT_EQ(settings.volume_key(), key);
  settings.groups.clear();
  EXPECT_EQ(settings.volume_key(), key);
  settings.gid += 1;
  EXPECT_EQ(settings.volume_key(), key) << "newgrp";
  EXPECT_EQ(MUST(parse("nfs://host/e?mountport=12048")).volume_key(), key);
  EXPECT_EQ(MUST(parse("nfs://host/e?connections=2")).volume_key(), key);
  for (const char* other : {"nfs://host/f", "nfs://other/e", "nfs://host:99/e",
                            "nfs://host/e?uid=77", "nfs://host/e?gid=77"}) {
    EXPECT_NE(MUST(parse(other)).volume_key(), key) << other;
  }
}

TEST(NfsSettings, AnOptionWinsOverTheQuery) {
  EXPECT_EQ(MUST(parse("nfs://host/e?nfsport=1", {{"nfsport", "2"}})).nfs_port, 2);
}

TEST(NfsSettings, VersionFourIsAnotherTreeByWhicheverNameItIsAskedFor) {
  EXPECT_EQ(MUST(parse("nfs://host/e")).version, 3U);
  const Settings four = MUST(parse("nfs://host/e?version=4"));
  EXPECT_EQ(four.version, 4U);
  EXPECT_EQ(MUST(parse("nfs://host/e?version=4.0")).volume_key(), four.volume_key());
  EXPECT_EQ(MUST(parse("nfs://host/e", {{"version", "4"}})).volume_key(), four.volume_key());
  EXPECT_NE(MUST(parse("nfs://host/e?version=3")).volume_key(), four.volume_key());
  EXPECT_EQ(MUST(parse("nfs://host/e?version=4", {{"version", "3"}})).version, 3U);
}

TEST(NfsSettings, WhatIsWrongIsNamed) {
  const struct {
    const char* url;
    int code;
    const char* words;
  } cases[] = {
      {"nfs://host/e?version=4.1", EOPNOTSUPP, "version=4.1: give 3, or 4"},
      {"nfs://host/e?version=2", EINVAL, "version=2: give 3 or 4"},
      {"nfs://host/e?version=40", EINVAL, "version=40"},
      {"nfs://host/e?version=", EINVAL, "give 3 or 4"},
      {"nfs://host/e?nfsport=0", EINVAL, "nfsport=0"},
      {"nfs://host/e?mountport=65536", EINVAL, "mountport=65536"},
      {"nfs://host/e?connections=17", EINVAL, "1 to 16"},
      {"nfs://host/e?uid=-1", EINVAL, "uid=-1"},
      {"nfs://host/e?sec=krb5", EINVAL, "sec=krb5"},
      {"nfs://host/e?nfsport", EINVAL, "NAME=VALUE"},
      {"nfs://ann@host/e", EINVAL, "uid="},
  };
  for (const auto& c : cases) {
    const Result<Settings> settings = parse(c.url);
    ASSERT_TRUE(settings.is_error(c.code)) << c.url << " " << settings.code();
    EXPECT_NE(settings.error().message().find(c.words), std::string::npos)
        << settings.error().message();
  }
}

}  // namespace
}  // namespace netfs::origins::nfs
