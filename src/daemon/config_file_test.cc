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
  EXPECT_EQ(parsed.error().message(), "f:2: a control character (0x00)");
}

TEST(ConfigFile, FlagWinsOverFile) {
  const OptionMap file = parse_config("timeout = \"9s\"\nuid = 1\n", "f").value();
  EXPECT_EQ(merge(file, {{"timeout", "3s"}}), (OptionMap{{"timeout", "3s"}, {"uid", "1"}}));
}

}  // namespace netfs::daemon
