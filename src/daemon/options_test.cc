#include "daemon/options.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "daemon/mount_words.h"

namespace netfs::daemon {

using std::chrono_literals::operator""min;
using std::chrono_literals::operator""s;

TEST(Options, NothingSaidMeansTheDefaults) {
  const MountOptions options = parse_options({}).value();
  EXPECT_TRUE(options.read_only);
  EXPECT_FALSE(options.asked_read_write);
  EXPECT_FALSE(options.dev);
  EXPECT_FALSE(options.suid);
  EXPECT_TRUE(options.passthrough);
  EXPECT_EQ(options.metadata_ttl, 5s);
}

// A value of each option that is not its default.
OptionMap every_option() {
  return {{"cache-dir", "/c"},
          {"cache-size", "1G"},
          {"journal-size", "1G"},
          {"no-cache", "true"},
          {"memory", "32M"},
          {"metadata-ttl", "1m"},
          {"negative-ttl", "2s"},
          {"revalidate", "behind"},
          {"immutable", "true"},
          {"hot", "0"},
          {"timeout", "2s"},
          {"on-error", "stale"},
          {"verify", "always"},
          {"simulate", "rtt=1ms"},
          {"bwlimit", "1M:2M"},
          {"read-only", "false"},
          {"write", "no"},
          {"allow-other", "true"},
          {"uid", "7"},
          {"gid", "8"},
          {"umask", "027"},
          {"symlinks", "as-is"},
          {"dev", "true"},
          {"suid", "true"},
          {"exec", "false"},
          {"noatime", "true"},
          {"passthrough", "false"},
          {"transport", "ring"},
          {"foreground", "true"},
          {"log-file", "/l"},
          {"log-level", "debug"},
          {"origin.identity", "/k"}};
}

TEST(Options, EveryRowSetsItsField) {
  const MountOptions o = parse_options(every_option()).value();
  EXPECT_EQ(o.cache_dir, "/c");
  EXPECT_EQ(o.cache_size.bytes, uint64_t{1} << 30);
  EXPECT_TRUE(o.no_cache);
  EXPECT_EQ(o.memory_bytes, uint64_t{32} << 20);
  EXPECT_EQ(o.metadata_ttl, 1min);
  EXPECT_EQ(o.negative_ttl, 2s);
  EXPECT_TRUE(o.revalidate_behind);
  EXPECT_TRUE(o.immutable);
  EXPECT_EQ(o.hot, 0s);
  EXPECT_EQ(o.timeout, 2s);
  EXPECT_EQ(o.on_error, OnError::kStale);
  EXPECT_TRUE(o.verify_always);
  EXPECT_EQ(o.simulate, "rtt=1ms");
  EXPECT_EQ(o.bandwidth, (Bandwidth{.up = 1 << 20, .down = 2 << 20}));
  EXPECT_TRUE(o.asked_read_write);
  EXPECT_TRUE(o.read_only) << "\"rw\" alone, which mount(8) always says, does not make it writable";
  EXPECT_TRUE(o.allow_other);
  EXPECT_EQ(o.uid, 7u);
  EXPECT_EQ(o.gid, 8u);
  EXPECT_EQ(o.umask, 027u);
  EXPECT_EQ(o.symlinks, Symlinks::kAsIs);
  EXPECT_TRUE(o.dev && o.suid && o.noatime && o.foreground);
  EXPECT_FALSE(o.exec);
  EXPECT_FALSE(o.passthrough);
  EXPECT_TRUE(o.over_ring);
  EXPECT_EQ(o.log_file, "/l");
  EXPECT_EQ(o.log_level, telemetry::LogLevel::kDebug);
  EXPECT_EQ(o.origin.at("identity"), "/k");
}

TEST(Options, UnknownAndBadOnesAreNamed) {
  const Result<MountOptions> unknown = parse_options({{"cash-dir", "/c"}});
  ASSERT_TRUE(unknown.is_error(EINVAL));
  EXPECT_NE(unknown.error().message().find("cash-dir"), std::string::npos);
  const OptionMap bad[] = {
      {{"timeout", "soon"}},    {{"timeout", "0"}},          {{"timeout", "forever"}},
      {{"cache-size", "much"}}, {{"cache-dir", "relative"}}, {{"umask", "999"}},
      {{"uid", "root"}},        {{"uid", "4294967295"}},     {{"symlinks", "maybe"}},
      {{"immutable", "yes"}},   {{"revalidate", "never"}},   {{"memory", "1M"}},
      {{"verify", "never"}},    {{"bwlimit", "1K"}}};
  for (const OptionMap& map : bad) {
    const Result<MountOptions> parsed = parse_options(map);
    ASSERT_TRUE(parsed.is_error(EINVAL)) << map.begin()->first;
    EXPECT_NE(parsed.error().message().find(map.begin()->first), std::string::npos);
  }
}

TEST(Options, VerifyAlwaysGivesUpPassthrough) {
  EXPECT_FALSE(parse_options({{"verify", "always"}}).value().passthrough);
}

TEST(MountWords, WhatMountPassesIsUnderstood) {
  const MountWords words =
      parse_mount_words(
          "rw,noatime,nosuid,nodev,noexec,relatime,strictatime,sync,dirsync,_netdev,"
          "nofail,noauto,x-systemd.automount,user=me,allow_other,cache_dir=/c,"
          "default_permissions,identity=/k,defaults")
          .value();
  EXPECT_FALSE(words.remount);
  EXPECT_EQ(words.options, (OptionMap{{"read-only", "false"},
                                      {"noatime", "true"},
                                      {"suid", "false"},
                                      {"dev", "false"},
                                      {"exec", "false"},
                                      {"allow-other", "true"},
                                      {"cache-dir", "/c"},
                                      {"origin.identity", "/k"}}));
}

TEST(MountWords, EveryRowOfTheTableIsAWordToo) {
  OptionMap every = every_option();
  for (const OptionRow& row : option_table()) {
    const std::string name(row.name);
    std::string word = name;
    std::replace(word.begin(), word.end(), '-', '_');
    ASSERT_TRUE(every.contains(name)) << name << " has no value in every_option()";
    const auto expect = [&](const std::string& list, const std::string& value) {
      const Result<MountWords> words = parse_mount_words(list);
      ASSERT_TRUE(words.ok()) << list << ": " << words.error().message();
      EXPECT_EQ(words.value().options, (OptionMap{{name, value}})) << list;
    };
    if (row.kind == OptionKind::kFlag) {
      expect(word, "true");
      expect("no_" + word, "false");
    } else {
      expect(word + "=" + every.at(name), every.at(name));
    }
    every.erase(name);
  }
  EXPECT_EQ(every, (OptionMap{{"origin.identity", "/k"}})) << "not in the table";
}

TEST(MountWords, LaterWordWins) {
  EXPECT_EQ(parse_mount_words("ro,rw,nodev,dev").value().options,
            (OptionMap{{"read-only", "false"}, {"dev", "true"}}));
}

TEST(MountWords, RemountKeepsTheKernelsWordsInOrder) {
  const MountWords words = parse_mount_words("remount,ro,noatime,allow_other,identity=/k").value();
  EXPECT_TRUE(words.remount);
  EXPECT_EQ(words.kernel, (std::vector<std::string>{"ro", "noatime"}));
}

TEST(MountWords, QuotesAndBackslashesKeepCommas) {
  EXPECT_EQ(parse_mount_words("simulate=\"rtt=1ms,bandwidth=1Gbit\",cache_dir=/a\\,b\\\\c")
                .value()
                .options,
            (OptionMap{{"simulate", "rtt=1ms,bandwidth=1Gbit"}, {"cache-dir", "/a,b\\c"}}));
}

TEST(MountWords, MistakesAreNamed) {
  for (const char* list : {"timeout", "allow_other=1", "=x", "cache_dir=\"/c", "no_immutable=1"}) {
    EXPECT_TRUE(parse_mount_words(list).is_error(EINVAL)) << list;
  }
}

TEST(MountWords, DashesAndUnderscoresAreOneInOurNames) {
  EXPECT_EQ(parse_mount_words("metadata-ttl=1s,negative_ttl=2s,no_passthrough").value().options,
            (OptionMap{{"metadata-ttl", "1s"}, {"negative-ttl", "2s"}, {"passthrough", "false"}}));
}

TEST(Options, AMountIsWritableOnlyWhenItIsSaidHow) {
  EXPECT_TRUE(parse_options({{"read-only", "false"}}).value().read_only);
  const MountOptions through = parse_options({{"write", "through"}}).value();
  EXPECT_FALSE(through.read_only);
  EXPECT_EQ(through.write, WriteMode::kThrough);
  EXPECT_EQ(parse_options({{"write", "close"}}).value().write, WriteMode::kClose);
  EXPECT_FALSE(parse_options({{"write", "through"}, {"read-only", "false"}}).value().read_only);
}

TEST(Options, WhatIsUploadedLaterNeedsAPlaceUntilThen) {
  EXPECT_EQ(parse_options({{"write", "back"}}).value().write, WriteMode::kBack);
  EXPECT_TRUE(parse_options({{"write", "back"}, {"no-cache", "true"}}).is_error(EINVAL));
  EXPECT_EQ(parse_options({{"journal-size", "1G"}}).value().journal_bytes, 1ULL << 30);
  EXPECT_TRUE(parse_options({{"journal-size", "1M"}}).is_error(EINVAL));
}

TEST(Options, ReadOnlyWinsOverWrite) {
  const MountOptions options = parse_options({{"write", "through"}, {"read-only", "true"}}).value();
  EXPECT_TRUE(options.read_only);
  EXPECT_EQ(options.write, WriteMode::kNo);
}

TEST(Options, WhatIsImmutableCannotBeWritten) {
  EXPECT_TRUE(parse_options({{"write", "through"}, {"immutable", "true"}}).is_error(EINVAL));
  EXPECT_TRUE(parse_options({{"write", "close"}, {"revalidate", "behind"}}).is_error(EINVAL));
  EXPECT_TRUE(parse_options({{"write", "sideways"}}).is_error(EINVAL));
}

}  // namespace netfs::daemon
