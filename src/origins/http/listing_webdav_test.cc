#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "origins/http/listing.h"

namespace netfs::origins::http {
namespace {

using testing::ElementsAre;

const ListedAt kAt{.host = "h.example", .path = "/a dir/"};
constexpr const char* kItself =
    "<d:response><d:href>/a%20dir/</d:href><d:propstat><d:prop>"
    "<d:resourcetype><d:collection/></d:resourcetype></d:prop>"
    "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>";

std::string multistatus(const std::string& responses) {
  return "<?xml version=\"1.0\" encoding=\"utf-8\"?><d:multistatus xmlns:d=\"DAV:\">" + responses +
         "</d:multistatus>";
}

std::string response(const std::string& href, const std::string& properties = "",
                     const std::string& status = "HTTP/1.1 200 OK") {
  return "<d:response><d:href>" + href + "</d:href><d:propstat><d:prop>" + properties +
         "</d:prop><d:status>" + status + "</d:status></d:propstat></d:response>";
}

Result<ListingPage> parse(const std::string& responses) {
  return parse_multistatus(multistatus(kItself + responses), kAt);
}

std::vector<std::string> names_of(const Result<ListingPage>& page) {
  std::vector<std::string> names;
  if (!page.ok()) return {page.error().message()};
  for (const ListedName& entry : page.value().names) {
    names.push_back(entry.name + (entry.is_directory ? "/" : ""));
  }
  return names;
}

TEST(HttpMultistatus, TypesSizesTimesAndTagsAreRead) {
  const Result<ListingPage> page =
      parse(response("/a%20dir/file",
                     "<d:resourcetype/><d:getcontentlength> 3\n</d:getcontentlength>"
                     "<d:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT"
                     "</d:getlastmodified><d:getetag>\"a&amp;b\"</d:getetag>") +
            response("/a%20dir/weak",
                     "<d:getcontentlength>0</d:getcontentlength>"
                     "<d:getetag>W/\"w\"</d:getetag>") +
            response("/a%20dir/sub/",
                     "<d:resourcetype><d:collection/></d:resourcetype>"
                     "<d:getcontentlength>4096</d:getcontentlength>"));
  ASSERT_THAT(names_of(page), ElementsAre("file", "weak", "sub/"));
  const std::vector<ListedName>& names = page.value().names;
  EXPECT_EQ(names[0].size_bytes, 3U);
  EXPECT_EQ(names[0].mtime_seconds, 784111777);
  ASSERT_TRUE(names[0].tag);
  EXPECT_EQ(names[0].tag->text, "\"a&b\"");
  EXPECT_EQ(names[1].size_bytes, 0U);
  ASSERT_TRUE(names[1].tag);
  EXPECT_TRUE(names[1].tag->weak);
  EXPECT_FALSE(names[1].mtime_seconds);
  EXPECT_FALSE(names[2].size_bytes);
  EXPECT_EQ(page.value().refused, 0U);
}

TEST(HttpMultistatus, AnyPrefixMayStandForTheNamespaceAndNoOtherNamespaceForIt) {
  const Result<ListingPage> page = parse_multistatus(
      "<multistatus xmlns=\"DAV:\" xmlns:o=\"other:\"><response><href>/a%20dir</href><propstat>"
      "<prop><resourcetype><x:collection xmlns:x=\"DAV:\"/></resourcetype></prop><status>HTTP/1.1 "
      "200 OK</status></propstat></response><response><href>/a%20dir/f</href><o:href>/no</o:href>"
      "<propstat><prop><resourcetype><o:collection/></resourcetype><o:getcontentlength>9"
      "</o:getcontentlength><getcontentlength>8</getcontentlength></prop><status>HTTP/2 200"
      "</status></propstat></response></multistatus>",
      kAt);
  ASSERT_THAT(names_of(page), ElementsAre("f"));
  EXPECT_EQ(page.value().names[0].size_bytes, 8U);
}

TEST(HttpMultistatus, WhatAPropertyIsNotThereWithIsNotBelieved) {
  const Result<ListingPage> page =
      parse(response("/a%20dir/one", "<d:getcontentlength>3</d:getcontentlength>",
                     "HTTP/1.1 404 Not Found") +
            response("/a%20dir/two",
                     "<d:getcontentlength>-3</d:getcontentlength>"
                     "<d:getlastmodified>yesterday</d:getlastmodified>"
                     "<d:getetag>bare</d:getetag>") +
            "<d:response><d:href>/a%20dir/three</d:href><d:status>HTTP/1.1 403 No</d:status>"
            "</d:response><d:response><d:href>/a%20dir/gone</d:href><d:status>HTTP/1.1 404 No"
            "</d:status></d:response>");
  ASSERT_THAT(names_of(page), ElementsAre("one", "two", "three"));
  for (const ListedName& entry : page.value().names) {
    EXPECT_FALSE(entry.size_bytes || entry.mtime_seconds || entry.tag) << entry.name;
  }
}

TEST(HttpMultistatus, NamesAreBytesBelowTheDirectoryAndNothingElse) {
  const Result<ListingPage> page = parse(
      response("/a%20dir/%e9%01&amp;%3F") + response("http://H.example:8080/a%20dir/whole") +
      response("https://h.example/a%20dir/safe") + response("http://other.example/a%20dir/x") +
      response("//h.example/a%20dir/x") + response("/a%20dir/a/b") + response("/a%20dir/a%2Fb") +
      response("/a%20dir/..") + response("/a%20dir/%2e%2e/") + response("/a%20dir/.") +
      response("/a%20dir//") + response("/a%20dir/%00") + response("/a%20dir/%zz") +
      response("/a%20dir/x?y") + response("/a%20dir/x#y") + response("relative") + response("") +
      response("/") + response("/etc/passwd") + response("/a%20dir/safe") +
      response("/a%20dir/" + std::string(256, 'n')) +
      response("/a%20dir/" + std::string(100'000, 'n')));
  EXPECT_THAT(names_of(page), ElementsAre("\xe9\x01&?", "whole", "safe"));
  EXPECT_EQ(page.value().refused, 19U);
}

TEST(HttpMultistatus, OneOfAnotherDirectoryIsNoneOfThisOne) {
  for (const std::string& responses :
       {std::string(), response("/a%20dir/f"), response("/a%20dir/"),
        response("/b/", "<d:resourcetype><d:collection/></d:resourcetype>"),
        response("http://other/a%20dir/", "<d:resourcetype><d:collection/></d:resourcetype>")}) {
    EXPECT_TRUE(parse_multistatus(multistatus(responses), kAt).is_error(EOPNOTSUPP)) << responses;
  }
}

TEST(HttpMultistatus, WhatIsNoneIsSaidToBeNoneAndWhatBreaksOffIsNonsense) {
  for (const char* body : {"", " ", "<html></html>", "<multistatus/>", "{}", "\x7f\x45\x4c\x46",
                           "<!-- x -->", "<d:multistatus xmlns:d=\"DAV\"/>"}) {
    EXPECT_TRUE(parse_multistatus(body, kAt).is_error(EOPNOTSUPP)) << body;
  }
  const std::string whole = multistatus(kItself + response("/a%20dir/f"));
  for (size_t length = whole.find("<d:resp"); length < whole.size(); ++length) {
    EXPECT_TRUE(parse_multistatus(whole.substr(0, length), kAt).is_error(EIO)) << length;
  }
}

TEST(HttpMultistatus, ADocumentTypeIsRefusedWhateverItDeclares) {
  for (const char* type : {"<!DOCTYPE d:multistatus>", "<!DOCTYPE x SYSTEM \"file:///etc/passwd\">",
                           "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>"}) {
    EXPECT_TRUE(parse_multistatus(type + multistatus(kItself).substr(38), kAt).is_error(EIO))
        << type;
  }
}

// They are kept by who reads them.
TEST(HttpMultistatus, MoreNamesOfOtherElementsThanAnyServerHasAreNonsense) {
  const auto many = [](const std::string& before, bool distinct, const std::string& behind) {
    std::string all = response("/a%20dir/f");
    for (int i = 0; i < 1000; ++i) all += before + (distinct ? std::to_string(i) : "") + behind;
    return all;
  };
  for (const bool distinct : {false, true}) {
    for (const std::string& responses :
         {many("<a", distinct, "/>"), many("<d:response b", distinct, "=\"\"/>"),
          many("<d:response xmlns:c", distinct, "=\"DAV:\"/>")}) {
      const Result<ListingPage> page = parse(responses);
      if (distinct) {
        EXPECT_TRUE(page.is_error(EIO)) << responses.substr(200, 100);
      } else {
        EXPECT_THAT(names_of(page), ElementsAre("f"));
      }
    }
  }
  EXPECT_TRUE(parse("<" + std::string(2000, 'a') + "/>").is_error(EIO));
}

TEST(HttpMultistatus, OfSeveralHrefsInAResponseTheOthersAreCounted) {
  const Result<ListingPage> page = parse(
      "<d:response><d:href>/a%20dir/one</d:href><d:href>/a%20dir/two</d:href>"
      "<d:status>HTTP/1.1 403 No</d:status></d:response>");
  EXPECT_THAT(names_of(page), ElementsAre("one"));
  EXPECT_EQ(page.value().refused, 1U);
}

// Neither one tag nor tags in tags may take memory for ever; the second page would take seconds if
// it were read to its end.
TEST(HttpMultistatus, WhatHasNoEndIsNotReadToItsEnd) {
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "<a>";
  EXPECT_TRUE(parse(deep).is_error(EIO));
  EXPECT_TRUE(parse("<a b=\"" + std::string(size_t{8} << 20, 'x') + "\"/>").is_error(EIO));
  EXPECT_TRUE(parse("<!--" + std::string(size_t{8} << 20, 'x') + "-->").is_error(EIO));
}

}  // namespace
}  // namespace netfs::origins::http
