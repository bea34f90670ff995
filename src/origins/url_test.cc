#include "origins/url.h"

#include <gtest/gtest.h>

namespace netfs::origins {
namespace {

TEST(Url, TakesEveryPartOfTheLongForm) {
  const Url url = MUST(Url::parse("SFTP://ann@h.example:2222/a%20b/c"));
  EXPECT_EQ(url.scheme, "sftp");
  EXPECT_EQ(url.user, "ann");
  EXPECT_EQ(url.host, "h.example");
  EXPECT_EQ(url.port, 2222);
  EXPECT_EQ(url.path, "/a b/c");
}

TEST(Url, TakesBracketedAddressesAndFolders) {
  const Url v6 = MUST(Url::parse("sftp://[fe80::1]:22/x"));
  EXPECT_EQ(v6.host, "fe80::1");
  EXPECT_EQ(v6.port, 22);
  EXPECT_EQ(MUST(Url::parse("sftp://h")).path, "/");
  EXPECT_EQ(MUST(Url::parse("file:///usr/share")).path, "/usr/share");
  EXPECT_EQ(MUST(Url::parse("file:///a%3Fb?c")).path, "/a?b?c");
}

TEST(Url, TakesTheShortFormOfScp) {
  const Url home = MUST(Url::parse("ann@h:data/x"));
  EXPECT_EQ(home.scheme, "sftp");
  EXPECT_EQ(home.user, "ann");
  EXPECT_EQ(home.path, "data/x");
  EXPECT_EQ(MUST(Url::parse("h:")).path, "");
  EXPECT_EQ(MUST(Url::parse("h:/abs%20olute")).path, "/abs%20olute");
  EXPECT_EQ(MUST(Url::parse("ann@[::1]:d")).host, "::1");
}

TEST(Url, RefusesWhatItCannotMeanAndSaysWhy) {
  const struct {
    const char* text;
    const char* why;
  } cases[] = {
      {"", "write SCHEME"},
      {"/usr/share", "write SCHEME"},
      {"./a:b", "no scheme"},
      {"1x://h/", "not a scheme"},
      {"sftp:///p", "host is missing"},
      {"sftp://h:99999/p", "not a port"},
      {"sftp://h:0/p", "not a port"},
      {"sftp://h:22x/p", "not a port"},
      {"sftp://ann:secret@h/p", "password"},
      {"sftp://@h/p", "user"},
      {"sftp://-oProxyCommand=x/p", "host"},
      {"-l@h:p", "'-'"},
      {"sftp://[::1/p", "']'"},
      {"http://.#'h@example.org/a", "%23"},
      {"http://ann?b@example.org/a", "%3F"},
      {"http://example.org?list", "comes between"},
      {"sftp://h/%zz", "hex"},
      {"sftp://h/%0", "hex"},
      {"sftp://h/%00", "NUL"},
      {"file://host/p", "no host"},
  };
  for (const auto& c : cases) {
    const Result<Url> url = Url::parse(c.text);
    ASSERT_TRUE(url.is_error(EINVAL)) << c.text;
    EXPECT_NE(url.error().message().find(c.why), std::string::npos) << url.error().message();
  }
}

}  // namespace
}  // namespace netfs::origins
