#include "origins/http/response_head.h"

#include <gtest/gtest.h>
#include <initializer_list>

#include "origins/http/edition.h"

namespace netfs::origins::http {
namespace {

ResponseHead head_of(std::initializer_list<const char*> lines) {
  ResponseHead head;
  for (const char* line : lines) head.add_line(std::string(line) + "\r\n");
  return head;
}

TEST(ResponseHead, IsCompleteWithTheEmptyLineOfAFinalAnswer) {
  EXPECT_FALSE(ResponseHead().complete());
  EXPECT_EQ(ResponseHead().status(), 0);
  EXPECT_FALSE(head_of({"HTTP/1.1 200 OK", "ETag: \"x\""}).complete());
  EXPECT_FALSE(head_of({"", "ETag: \"x\"", ""}).complete());
  EXPECT_FALSE(head_of({"HTTP/1.1 100 Continue", ""}).complete());
  EXPECT_FALSE(head_of({"HTTP/1.1 banana", ""}).complete());
  EXPECT_FALSE(head_of({"HTTP/1.1", ""}).complete());
  const ResponseHead head =
      head_of({"HTTP/1.1 100 Continue", "", "HTTP/2 206 ", "content-LENGTH:  5 ", ""});
  EXPECT_TRUE(head.complete());
  EXPECT_EQ(head.status(), 206);
  EXPECT_TRUE(head.is_http2());
  EXPECT_EQ(head.content_length(), 5U);
}

TEST(ResponseHead, TrailersAndFieldsOfAnEarlierAnswerAreNotTaken) {
  const ResponseHead head = head_of({"HTTP/1.1 401 No", "ETag: \"old\"", "", "HTTP/1.1 200 OK",
                                     "Content-Length: 1", "", "ETag: \"trailer\""});
  EXPECT_EQ(head.status(), 200);
  EXPECT_FALSE(head.entity_tag());
}

TEST(ResponseHead, OneFieldWithTwoValuesIsAContradiction) {
  EXPECT_TRUE(head_of({"HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 2", ""})
                  .contradicts_itself());
  EXPECT_TRUE(head_of({"HTTP/1.1 200 OK", "Content-Length: many", ""}).contradicts_itself());
  EXPECT_TRUE(
      head_of({"HTTP/1.1 206 Part", "Content-Range: bytes 0-1/5", "Content-Range: bytes 1-2/5", ""})
          .contradicts_itself());
  EXPECT_FALSE(head_of({"HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 1", ""})
                   .contradicts_itself());
}

TEST(ResponseHead, OnlyIdentityAndChunkedAreNoEncoding) {
  EXPECT_EQ(
      head_of({"HTTP/1.1 200 OK", "Content-Encoding: identity", "Transfer-Encoding: chunked", ""})
          .encoding(),
      "");
  EXPECT_EQ(head_of({"HTTP/1.1 200 OK", "Content-Encoding: GZip", ""}).encoding(), "gzip");
  EXPECT_EQ(head_of({"HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked", ""}).encoding(),
            "gzip, chunked");
}

TEST(Edition, AStrongTagIsAStrongValidatorWhateverTheTimes) {
  const auto edition = [](const char* tag, uint64_t size) {
    ResponseHead head;
    head.add_line("HTTP/1.1 200 OK");
    head.add_line(std::string("ETag: ") + tag);
    head.add_line("Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT");
    head.add_line("");
    return edition_of(head, size, 0);
  };
  EXPECT_EQ(edition("\"v1\"", 5).validator.strength, ValidatorStrength::kStrong);
  EXPECT_EQ(edition("\"v1\"", 5).if_range, "\"v1\"");
  EXPECT_EQ(compare(edition("\"v1\"", 5), edition("\"v1\"", 5)), Sameness::kSame);
  EXPECT_EQ(compare(edition("\"v1\"", 5), edition("\"v2\"", 5)), Sameness::kChanged);
  EXPECT_EQ(compare(edition("\"v1\"", 5), edition("\"v1\"", 6)), Sameness::kSomething);
  EXPECT_LE(edition(("\"" + std::string(900, 'x') + "\"").c_str(), 5).validator.bytes.size(), 64U);
  EXPECT_FALSE(edition(("\"" + std::string(900, 'x') + "\"").c_str(), 5).validator ==
               edition(("\"" + std::string(901, 'x') + "\"").c_str(), 5).validator);
}

// nginx's tag is the time in seconds and the size: two changes within a second have the same.
TEST(Edition, ATagThatIsOnlyTimeAndSizeIsAsWeakAsThey) {
  const ResponseHead head =
      head_of({"HTTP/1.1 200 OK", "ETag: \"2ebc9721-400\"",  // 784111393
               "Last-Modified: Sun, 06 Nov 1994 08:43:13 GMT",
               "Date: Sun, 06 Nov 1994 08:43:20 GMT", "Accept-Ranges: bytes", ""});
  const Edition edition = edition_of(head, 0x400, 784111500);
  EXPECT_EQ(edition.validator.strength, ValidatorStrength::kWeak);
  EXPECT_EQ(edition.if_range, "\"2ebc9721-400\"");
  EXPECT_TRUE(edition.ranges_said);
  // Our clock is 100 s before the server's.
  EXPECT_EQ(edition.validator.changed_at.seconds, 784111393 + 100);
  EXPECT_EQ(edition.info().attributes.mtime.seconds, 784111393);
  // A listing that says the same times and sizes speaks of the same version.
  const Edition listed = edition_of(std::nullopt, 784111393, 0x400, 100);
  EXPECT_EQ(compare(listed, edition), Sameness::kSame);
  EXPECT_EQ(listed.validator.changed_at.seconds, edition.validator.changed_at.seconds);
  EXPECT_EQ(skew_of(head, 784111500), 100);
  EXPECT_EQ(skew_of(head_of({"HTTP/1.1 200 OK", ""}), 784111500), 0);
}

// RFC 9110, 15.3.7: who asked with If-Range knows the rest.
TEST(Edition, APartNeedNotRepeatWhatIfRangeSaid) {
  const Edition whole = edition_of(head_of({"HTTP/1.1 200 OK", "ETag: \"2ebc9721-400\"",
                                            "Last-Modified: Sun, 06 Nov 1994 08:43:13 GMT", ""}),
                                   0x400, 0);
  ASSERT_EQ(whole.validator.strength, ValidatorStrength::kWeak);
  const auto part = [](const char* tag, uint64_t size) {
    return edition_of(head_of({"HTTP/1.1 206 Partial Content", tag, ""}), size, 0);
  };
  EXPECT_EQ(compare(whole, part("ETag: \"2ebc9721-400\"", 0x400)), Sameness::kSame);
  EXPECT_EQ(compare(whole, part("ETag: \"2ebc9721-400\"", 0x401)), Sameness::kSomething);
  EXPECT_EQ(compare(whole, part("ETag: \"2ebc9722-400\"", 0x400)), Sameness::kChanged);
  EXPECT_EQ(compare(whole, part("", 0x400)), Sameness::kSomething);
}

TEST(Edition, WeakTagsAndTimesAreWeakAndNothingIsNone) {
  const ResponseHead weak = head_of(
      {"HTTP/1.1 200 OK", "ETag: W/\"v1\"", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", ""});
  EXPECT_EQ(edition_of(weak, 5, 0).validator.strength, ValidatorStrength::kWeak);
  EXPECT_EQ(edition_of(weak, 5, 0).if_range, "");
  EXPECT_LE(edition_of(weak, UINT64_MAX, 0).validator.bytes.size(), 64U);
  EXPECT_EQ(compare(edition_of(weak, 5, 0), edition_of(weak, 6, 0)), Sameness::kChanged);
  const ResponseHead none = head_of({"HTTP/1.1 200 OK", ""});
  EXPECT_EQ(edition_of(none, 5, 0).validator.strength, ValidatorStrength::kNone);
  // An error's page: no version, whatever its length.
  EXPECT_EQ(compare(edition_of(weak, 5, 0), edition_of(none, 5, 0)), Sameness::kSomething);
  EXPECT_EQ(compare(edition_of(none, 5, 0), edition_of(none, 5, 0)), Sameness::kSame);
  EXPECT_EQ(compare(edition_of(none, 5, 0), edition_of(none, 6, 0)), Sameness::kChanged);
  EXPECT_EQ(compare(edition_of(none, 5, 0), edition_of(weak, 5, 0)), Sameness::kChanged);
}

}  // namespace
}  // namespace netfs::origins::http
