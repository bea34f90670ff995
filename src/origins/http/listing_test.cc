#include "origins/http/listing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "origins/percent.h"

namespace netfs::origins::http {
namespace {

std::vector<std::string> names_of(const Result<ListingPage>& page) {
  std::vector<std::string> names;
  if (!page.ok()) return {page.error().message()};
  for (const ListedName& entry : page.value().names) {
    names.push_back(entry.name + (entry.is_directory ? "/" : ""));
  }
  return names;
}

std::string html(const std::string& links) {
  return "<html><head><title>Index of /x/</title></head><body>" + links + "</body></html>";
}

using testing::ElementsAre;

TEST(HttpListing, NginxPagesAreReadByTheirLinksAndNotByTheirTexts) {
  const Result<ListingPage> page = parse_html_listing(
      "<html>\r\n<head><title>Index of /data/</title></head>\r\n<body>\r\n<h1>Index of "
      "/data/</h1><hr><pre><a href=\"../\">../</a>\r\n<a href=\"d/\">d/</a>    27-Nov-2026 20:50   "
      " -\r\n<a href=\"a%20b%26c%3F.txt\">a b&amp;c..&gt;</a>  27-Nov-2026 20:50   3\r\n"
      "</pre><hr></body>\r\n</html>\r\n");
  EXPECT_THAT(names_of(page), ElementsAre("d/", "a b&c?.txt"));
  EXPECT_EQ(page.value().refused, 0U);
}

TEST(HttpListing, ApachePagesHaveOrdersOfColumnsAndAnAbsoluteParent) {
  const Result<ListingPage> page = parse_html_listing(
      "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\">\n<html>\n <head>\n  <title>Index of "
      "/data</title>\n </head>\n <body>\n<h1>Index of /data</h1>\n<table><tr><th><a "
      "href=\"?C=N;O=D\">Name</a></th></tr>\n<tr><td><a href=\"/\">Parent Directory</a></td></tr>\n"
      "<tr><td><a href=\"a%20b&amp;c%3f.txt\">a b&amp;c?.txt</a></td></tr>\n<tr><td><a "
      "href=\"./with:colon\">x</a></td></tr><tr><td><a href=\"d/\">d/</a></td></tr>\n</table>"
      "<address>Apache</address></body></html>");
  EXPECT_THAT(names_of(page), ElementsAre("a b&c?.txt", "with:colon", "d/"));
  EXPECT_EQ(page.value().refused, 0U);
}

TEST(HttpListing, PythonPagesAreListings) {
  EXPECT_THAT(names_of(parse_html_listing(
                  "<!DOCTYPE HTML>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<title>Directory listing for /data/</title>\n</head>\n<body>\n<ul>\n"
                  "<li><a href=\"big\">big</a></li>\n<li><a href=\"d/\">d/</a></li>\n</ul>")),
              ElementsAre("big", "d/"));
}

TEST(HttpListing, APageThatIsNoListingIsSaidToBeNone) {
  for (const char* page :
       {"", "<html><title>Welcome</title><a href=\"x\">x</a>", "Index of /x/ <a href=\"x\">",
        "<title>The Index of Prices</title><a href=\"x\">", "\x7f\x45\x4c\x46\x02\x01"}) {
    EXPECT_TRUE(parse_html_listing(page).is_error(EOPNOTSUPP)) << page;
  }
}

TEST(HttpListing, WhatIsNoNameIsLeftOutAndCounted) {
  const Result<ListingPage> page = parse_html_listing(html(
      "<a href=\"good\"><a href=\"%2e%2e\"><a href=\"%2e%2e/\"><a href=\".\"><a href=\"a/b\">"
      "<a href=\"a%2fb\"><a href=\"a%00b\"><a href=\"a%0\"><a href=\"a%zz\"><a "
      "href=\"/etc/passwd\">"
      "<a href=\"http://other.example/x\"><a href=\"//other.example/x\"><a href=\"javascript:x\">"
      "<a href=\"x?y\"><a href=\"x#y\"><a href=\"good\"><a href=\"%67ood\">"
      "<a href=\"" +
      std::string(256, 'n') + "\"><a href=\"../../x\">"));
  EXPECT_THAT(names_of(page), ElementsAre("good"));
  EXPECT_EQ(page.value().refused, 18U);
}

TEST(HttpListing, TagsMayBeWrittenInManyWays) {
  EXPECT_THAT(
      names_of(parse_html_listing(
          html("<A HREF='one'>1</A><a class=\"x\" href=two>2</a><a\nhref = \"three\" >3</a>"
               "<abbr href=\"no\"><a name=\"no\"><a data-href=\"no\"><a href=\"&#102;our&#x21;\">"
               "<a href=\"f&apos;i&lt;v&gt;e&quot;\"><a href=\"&unknown;&#;&#x110000;\">"))),
      ElementsAre("one", "two", "three", "four!", "f'i<v>e\""));
}

// A tag within a tag is none of its own.  The page is so long that a time which grows with its
// square does not end.
TEST(HttpListing, NoByteIsReadForTwoTags) {
  std::string tags;
  while (tags.size() < size_t{8} << 20) tags += "<a ";
  const Result<ListingPage> page = parse_html_listing(html(tags + "href=\"x\"><a href=\"y\">"));
  EXPECT_THAT(names_of(page), ElementsAre("x", "y"));
  EXPECT_EQ(page.value().refused, 0U);
}

TEST(HttpListing, ACutPageGivesWhatItHas) {
  const std::string page = html("<a href=\"one\">1</a><a href=\"two\">2</a>");
  for (size_t length = 0; length < page.size(); ++length) {
    const Result<ListingPage> cut = parse_html_listing(page.substr(0, length));
    EXPECT_LE(cut.ok() ? cut.value().names.size() : 0, 2U) << length;
  }
}

TEST(HttpListing, MoreNamesThanAreTakenIsAnError) {
  std::string links;
  for (size_t i = 0; i <= kListingEntriesMax; ++i) {
    links += "<a href=" + std::to_string(i) + ">";
  }
  EXPECT_TRUE(parse_html_listing(html(links)).is_error(EFBIG));
}

TEST(HttpListing, NginxJsonIsExact) {
  const Result<ListingPage> page = parse_json_listing(
      "[\r\n{ \"name\":\"d\", \"type\":\"directory\", \"mtime\":\"Fri, 27 Nov 2026 20:50:07 GMT\" "
      "},"
      "\r\n{ \"name\":\"a \\\"b\\\\\\u0001\\n\xe9\", \"type\":\"file\", \"mtime\":\"Sun, 06 Nov "
      "1994 "
      "08:49:37 GMT\", \"size\":3 },\r\n{ \"name\":\"pipe\", \"type\":\"other\", \"size\":9 "
      "}\r\n]");
  EXPECT_THAT(names_of(page), ElementsAre("d/", "a \"b\\\x01\n\xe9", "pipe"));
  EXPECT_EQ(page.value().names[1].size_bytes, 3U);
  EXPECT_EQ(page.value().names[1].mtime_seconds, 784111777);
  EXPECT_FALSE(page.value().names[2].size_bytes);
  EXPECT_TRUE(parse_json_listing(" [ ] ").ok());
}

TEST(HttpListing, JsonThatIsNoListingIsRefusedWhole) {
  for (const char* page :
       {"", "{}", "[", "[{]", "[{}", "[{\"name\":\"x\"}", "[{\"name\":\"x\"}]x", "[{\"name\"}]",
        "[{\"name\":\"\\u0\"}]", "[{\"name\":\"\\uffff\"}]", "[{\"name\":\"\\q\"}]",
        "[{\"name\":\"x\",}]", "[{\"size\":-1}]", "[{\"size\":1e9}]", "[{\"name\":[1]}]",
        "[{\"name\":\"x\"},]", "\x7f\x45"}) {
    EXPECT_TRUE(parse_json_listing(page).is_error(EIO)) << page;
  }
  const Result<ListingPage> odd =
      parse_json_listing("[{\"name\":\"..\"},{\"name\":\"a/b\"},{\"name\":\"\\u0000\"},{}]");
  ASSERT_TRUE(odd.ok());
  EXPECT_TRUE(odd.value().names.empty());
  EXPECT_EQ(odd.value().refused, 4U);
}

TEST(HttpPercent, EveryByteComesBack) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  const std::string encoded = percent_encode_path(all);
  EXPECT_EQ(encoded.find_first_of("?#%& \n"), encoded.find('%'));
  EXPECT_EQ(percent_decode(encoded), all);
}

}  // namespace
}  // namespace netfs::origins::http
