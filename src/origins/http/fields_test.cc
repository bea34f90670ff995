#include "origins/http/fields.h"

#include <gtest/gtest.h>

namespace netfs::origins::http {
namespace {

TEST(HttpFields, AContentRangeIsWholeOrNothing) {
  const std::optional<ContentRange> part = parse_content_range("bytes 5-9/100");
  ASSERT_TRUE(part && part->range);
  EXPECT_EQ(*part->range, (ByteRange{5, 5}));
  EXPECT_EQ(part->total_bytes, 100U);
  const std::optional<ContentRange> open = parse_content_range("bytes 0-0/*");
  ASSERT_TRUE(open && open->range);
  EXPECT_EQ(*open->range, (ByteRange{0, 1}));
  EXPECT_FALSE(open->total_bytes);
  const std::optional<ContentRange> beyond = parse_content_range("bytes */7");
  ASSERT_TRUE(beyond);
  EXPECT_FALSE(beyond->range);
  EXPECT_EQ(beyond->total_bytes, 7U);
  for (const char* bad :
       {"", "bytes", "bytes ", "bytes 5-9", "bytes 9-5/100", "bytes 5-100/100", "bytes -5/100",
        "bytes 5-/100", "bytes 5-9/", "bytes */*", "items 5-9/100", "bytes 5-9/100 ",
        "bytes +5-9/100", "bytes 0x5-9/100", "bytes 5-9/99999999999999999999",
        "bytes 5-9223372036854775807/*", "bytes 1-2-3/9"}) {
    EXPECT_FALSE(parse_content_range(bad)) << bad;
  }
}

TEST(HttpFields, ALengthIsDigitsAndNothingElse) {
  EXPECT_EQ(parse_length("0"), 0U);
  EXPECT_EQ(parse_length("9223372036854775807"), static_cast<uint64_t>(INT64_MAX));
  for (const char* bad : {"", "-1", "+1", " 1", "1 ", "1,1", "9223372036854775808", "1e3"}) {
    EXPECT_FALSE(parse_length(bad)) << bad;
  }
}

TEST(HttpFields, ADateIsOfTheOneFormThatServersSend) {
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
  EXPECT_EQ(parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
  EXPECT_EQ(parse_http_date("Thu, 29 Feb 2024 12:00:00 GMT"), 1709208000);
  EXPECT_EQ(parse_http_date("Fri, 01 Mar 2024 00:00:00 GMT"), 1709251200);
  EXPECT_EQ(parse_http_date("Wed, 31 Dec 1969 23:59:59 GMT"), -1);
  for (const char* bad : {"", "0", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
                          "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37",
                          "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC",
                          "Xxx, 06 Nov 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
                          "Sun, 06 Abc 1994 08:49:37 GMT"}) {
    EXPECT_FALSE(parse_http_date(bad)) << bad;
  }
}

TEST(HttpFields, RetryAfterIsSecondsOrADateAndAnHourAtMost) {
  using std::chrono::seconds;
  EXPECT_EQ(parse_retry_after("7", 0), seconds(7));
  EXPECT_EQ(parse_retry_after("99999999999", 0), seconds(3600));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111770), seconds(7));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111800), seconds(0));
  for (const char* bad : {"", "soon", "-1", "1.5"}) EXPECT_FALSE(parse_retry_after(bad, 0)) << bad;
}

TEST(HttpFields, AnEntityTagIsQuotedAndMayBeSentBack) {
  const std::optional<EntityTag> strong = parse_entity_tag("\"a-1\"");
  ASSERT_TRUE(strong);
  EXPECT_FALSE(strong->weak);
  EXPECT_EQ(strong->opaque(), "a-1");
  const std::optional<EntityTag> weak = parse_entity_tag("W/\"a-1\"");
  ASSERT_TRUE(weak);
  EXPECT_TRUE(weak->weak);
  EXPECT_EQ(weak->opaque(), "a-1");
  EXPECT_EQ(parse_entity_tag("\"\"")->opaque(), "");
  const std::string long_tag = "\"" + std::string(2000, 'x') + "\"";
  for (const std::string& bad :
       {std::string(), std::string("a-1"), std::string("\""), std::string("W/a"),
        std::string("w/\"a\""), std::string("\"a\"b\""), std::string("\"a\r\nX: y\""), long_tag}) {
    EXPECT_FALSE(parse_entity_tag(bad)) << bad;
  }
}

}  // namespace
}  // namespace netfs::origins::http
