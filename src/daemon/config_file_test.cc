#include "daemon/config_file.h"

#include <gtest/gtest.h>

namespace netfs::daemon {

TEST(ConfigFile, KeysAreTheLongFlags) {
  const OptionMap map = parse_config(
                            "cache-size = \"20G\"\nallow_other = true\nuid = 7\n"
                            "[origin]\nknown_hosts = \"/k\"\nconnections = 4\n",
                            "f")
                            .value();
  EXPECT_EQ(map, (OptionMap{{"cache-size", "20G"},
                            {"allow-other", "true"},
                            {"uid", "7"},
                            {"origin.known_hosts", "/k"},
                            {"origin.connections", "4"}}));
}

TEST(ConfigFile, MistakesNameFileAndLine) {
  const char* const kBad[] = {"# one\ncash-size = 1\n", "# one\ntimeout = \"soon\"\n",
                              "# one\nuid = [1]\n", "# one\n= 5\n", "# one\norigin = 5\n"};
  for (const char* text : kBad) {
    const Result<OptionMap> parsed = parse_config(text, "netfs.toml");
    ASSERT_TRUE(parsed.is_error(EINVAL)) << text;
    EXPECT_EQ(parsed.error().message().substr(0, 13), "netfs.toml:2:") << parsed.error().message();
  }
}

TEST(ConfigFile, MissingFileIsEmpty) {
  EXPECT_TRUE(read_config("/nonexistent/netfs.toml").value().empty());
}

// Found by the fuzzer: the TOML library asserts on it.
TEST(ConfigFile, AControlCharacterIsRefusedWithItsLine) {
  const Result<OptionMap> parsed = parse_config(std::string("uid = 1\n[\0)", 11), "f");
  ASSERT_TRUE(parsed.is_error(EINVAL));
  EXPECT_EQ(parsed.error().message(), "f:2: a control character");
}

// Found by the fuzzer: the library's own look at such a letter is undefined.
TEST(ConfigFile, LettersBeyondAsciiAreEscapedOrInComments) {
  EXPECT_EQ(parse_config("# \u00e9\nlog_file = \"/tmp/\\u00e9\"\n", "f").value().at("log-file"),
            "/tmp/\u00e9");
  const Result<OptionMap> bare = parse_config("uid = 1\n\u00e9 = 1\n", "f");
  ASSERT_TRUE(bare.is_error(EINVAL));
  EXPECT_EQ(bare.error().message(), "f:2: a letter beyond ASCII; write it as \\u and its number");
  const Result<OptionMap> lines = parse_config("log_file = \"\"\"x\n\u00e9\"\"\"\n", "f");
  ASSERT_TRUE(lines.is_error(EINVAL));
  EXPECT_EQ(lines.error().message(), "f:1: strings over several lines are not known here");
}

TEST(ConfigFile, FlagWinsOverFile) {
  const OptionMap file = parse_config("timeout = \"9s\"\nuid = 1\n", "f").value();
  EXPECT_EQ(merge(file, {{"timeout", "3s"}}), (OptionMap{{"timeout", "3s"}, {"uid", "1"}}));
}

}  // namespace netfs::daemon
