// Goal: what a real web server does wrong, or means otherwise, is an errno and no wrong byte to who
// uses the mount, and the rest of the tree goes on.  Method: nginx and Apache with places that lead
// in a ring, fail, compress unasked, or answer 200 for what is not there; pages of links, of
// rubbish and of a million names that stand in place of a listing.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include "base/unique_fd.h"
#include "tests/mount/http_fixture.h"

namespace netfs::test {
namespace {

constexpr size_t kBytes = 8 << 20;

// A page of links that lead to whatever the bytes are, and to no directory.
std::string links_of(std::string bytes) {
  std::replace(bytes.begin(), bytes.end(), '/', '?');
  std::string page;
  for (size_t i = 0; i + 40 < bytes.size(); i += 40) {
    page += "<a href=" + bytes.substr(i, 20) + "><A HREF=\"" + bytes.substr(i + 20, 20) + "\">";
  }
  return page;
}

class HttpTrouble : public WebMount {};

INSTANTIATE_TEST_SUITE_P(Servers, HttpTrouble,
                         testing::Values(Web{"nginx", "HTTP_NGINX_TROUBLE_PORT"},
                                         Web{"apache", "HTTP_APACHE_TROUBLE_PORT"}),
                         [](const auto& each) { return each.param.name; });

TEST_P(HttpTrouble, RingsOfRedirectsAndFailuresAreErrnosAndTheRestIsRead) {
  write_file(tree_ + "/file", pattern(1, 0, 100'000), std::chrono::hours(2));
  mount_it({"--timeout", "10s"});
  const struct {
    const char* name;
    int code;
  } cases[] = {{"loop", ELOOP}, {"s403", EACCES},    {"s500", EIO},
               {"s502", EIO},   {"s503", ETIMEDOUT}, {"s504", ETIMEDOUT}};
  for (const auto& c : cases) {
    struct stat status {};
    EXPECT_EQ(::stat(at(c.name).c_str(), &status), -1) << c.name;
    EXPECT_EQ(errno, c.code) << c.name << ": " << std::strerror(errno);
  }
  EXPECT_TRUE(same_bytes(at("file"), tree_ + "/file"));
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

// nginx sends what lies beside it, Apache makes it of the file.
TEST_P(HttpTrouble, WhatIsSentCompressedUnaskedIsAnErrorAndNotTheFile) {
  for (const char* name : {"packed", "packed.gz", "file"}) {
    write_file(tree_ + "/" + name, pattern(3, 0, 100'000), std::chrono::hours(2));
  }
  mount_it({});
  EXPECT_TRUE(read_whole(at("packed")).is_error(EIO));
  EXPECT_TRUE(mount_->says("gzip")) << mount_->log();
  EXPECT_TRUE(same_bytes(at("file"), tree_ + "/file"));
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

// A server that answers 200 and a page for what is not there.
TEST_P(HttpTrouble, ThePageThatTakesThePlaceOfAFileIsNotReadAsTheFile) {
  const std::string bytes = pattern(2, 0, kBytes);
  write_file(tree_ + "/file", bytes, std::chrono::hours(2));
  mount_it({"--metadata-ttl", "1h"});
  const UniqueFd fd(::open(at("file").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd);
  std::string piece(100'000, '\0');
  ASSERT_EQ(::pread(fd.get(), piece.data(), piece.size(), 0), 100'000);
  std::filesystem::remove(tree_ + "/file");
  unsigned failed = 0;
  for (size_t offset = 0; offset + piece.size() < kBytes; offset += 1 << 20) {
    const ssize_t n = ::pread(fd.get(), piece.data(), piece.size(), static_cast<off_t>(offset));
    if (n < 0) {
      EXPECT_TRUE(errno == ESTALE || errno == EIO) << errno;
      ++failed;
      continue;
    }
    EXPECT_TRUE(piece.substr(0, static_cast<size_t>(n)) ==
                bytes.substr(offset, static_cast<size_t>(n)))
        << offset;
  }
  EXPECT_GT(failed, 0U);
}

TEST_P(HttpTrouble, RubbishInPlaceOfAJsonListingIsAnErrorAndWaysOutAreNoNames) {
  const std::string file =
      "{\"name\":\"file\",\"type\":\"file\",\"mtime\":\"Sun, 06 Nov 1994 08:49:37 "
      "GMT\",\"size\":4}";
  std::string out = "[" + file;
  for (const char* name : {"../secret", "/etc/passwd", "..", ".", "", "a/b", "nul\\u0000name"}) {
    out += ",{\"name\":\"" + std::string(name) + "\",\"type\":\"file\",\"size\":4}";
  }
  const struct {
    const char* name;
    std::string page;
    int code;
  } cases[] = {{"binary", pattern(5, 0, 100'000), EIO},
               {"begun", "[{" + pattern(6, 0, 100'000), EIO},
               {"cut", "[" + file + "," + file.substr(0, 30), EIO},
               {"empty", "", EIO},
               {"html", "<title>Index of /x/</title><a href=\"file\">", EIO},
               {"ways_out", out + "]", 0}};
  for (const auto& c : cases) {
    const std::string folder = tree_ + "/as_json/" + c.name;
    std::filesystem::create_directories(folder);
    write_file(folder + "/file", "text", std::chrono::hours(2));
    write_file(folder + "/index.html", c.page, std::chrono::hours(2));
  }
  mount_it({});
  for (const auto& c : cases) {
    const std::string name = std::string("as_json/") + c.name;
    const Result<std::vector<std::string>> names = list_names(at(name));
    EXPECT_EQ(names.ok() ? 0 : names.code(), c.code) << c.name;
    if (names.ok()) {
      EXPECT_EQ(names.value(), std::vector<std::string>{"file"}) << c.name;
    }
    EXPECT_TRUE(same_bytes(at(name + "/file"), tree_ + "/" + name + "/file"));
  }
  EXPECT_EQ(of_origin("names refused"), 7) << "of the last one, all but file";
  EXPECT_EQ(mount_->status_number("origin_errors"), 5);
  EXPECT_TRUE(mount_->says("as_json/binary: cannot be listed (the listing is no JSON"))
      << mount_->log();
}

class HttpPages : public WebMount {};

INSTANTIATE_TEST_SUITE_P(Servers, HttpPages,
                         testing::Values(Web{"nginx", "HTTP_NGINX_HTML_PORT"},
                                         Web{"apache", "HTTP_APACHE_PORT"}),
                         [](const auto& each) { return each.param.name; });

// Served as the directory's index: it says that it is a listing.
TEST_P(HttpPages, OfAListingWithLinksThatLeadElsewhereOnlyNamesAreShown) {
  const std::string folder = tree_ + "/folder";
  std::filesystem::create_directory(folder);
  write_file(tree_ + "/secret", "text", std::chrono::hours(2));
  write_file(folder + "/file", "text", std::chrono::hours(2));
  write_file(folder + "/index.html",
             "<html><head><title>Index of /folder/</title></head><body><h1>Index of /folder/</h1>"
             "<pre><a href=\"../\">../</a>\n<a href=\"../secret\">secret</a>\n"
             "<a href=\"/etc/passwd\">passwd</a>\n<a href=\"http://127.0.0.1:1/else\">else</a>\n"
             "<a href=\"..%2fsecret\">up</a>\n<a href=\"a%2fb\">a/b</a>\n<a href=\"%2e%2e\">x</a>\n"
             "<a href=\"nul%00name\">n</a>\n<a href=\"file\">file</a>\n</pre></body></html>",
             std::chrono::hours(2));
  mount_it({});
  const Result<std::vector<std::string>> names = list_names(at("folder"));
  ASSERT_TRUE(names.ok()) << names.error().message();
  EXPECT_EQ(names.value(), std::vector<std::string>{"file"});
  EXPECT_EQ(of_origin("names refused"), 7) << "all but ../ and file";
  EXPECT_TRUE(same_bytes(at("folder/file"), folder + "/file"));
}

// Pages of no name that is there: what comes of listing them, of a directory each.
TEST_P(HttpPages, OfRubbishInPlaceOfAListingNoNameIsShownAndItSaysSo) {
  const std::string title = "<html><title>Index of /x/</title>";
  const std::string bytes = pattern(4, 0, 100'000);
  const struct {
    const char* name;
    std::string page;
    int code;
  } cases[] = {{"binary", bytes, EOPNOTSUPP},
               {"empty", "", EOPNOTSUPP},
               {"page", "<html><title>Welcome</title><a href=\"file\">file</a>", EOPNOTSUPP},
               {"titled", title + bytes, 0},
               {"links", title + links_of(bytes), 0}};
  for (const auto& c : cases) {
    std::filesystem::create_directory(tree_ + "/" + c.name);
    write_file(tree_ + "/" + c.name + "/file", "text", std::chrono::hours(2));
    write_file(tree_ + "/" + c.name + "/index.html", c.page, std::chrono::hours(2));
  }
  mount_it({});
  for (const auto& c : cases) {
    const Result<std::vector<std::string>> names = list_names(at(c.name));
    EXPECT_EQ(names.ok() ? 0 : names.code(), c.code) << c.name;
    if (names.ok()) {
      EXPECT_EQ(names.value(), std::vector<std::string>{}) << c.name;
    } else {
      EXPECT_TRUE(same_bytes(at(c.name + std::string("/file")), tree_ + "/" + c.name + "/file"));
    }
  }
  EXPECT_GE(of_origin("names refused"), 100) << "of the links, those that can be no name";
  EXPECT_EQ(mount_->status_number("origin_errors"), 3);
  EXPECT_TRUE(mount_->says("/binary: cannot be listed (the server does not list")) << mount_->log();
}

// The kernel gives it no place on a disk: all but its beginning is a hole.
TEST_P(HttpPages, OneThatIsLongerThanAnyListingIsRefusedAndNotKept) {
  constexpr off_t kPageBytes = off_t{2} << 30;
  const std::string folder = tree_ + "/long";
  std::filesystem::create_directory(folder);
  write_file(folder + "/file", "text", std::chrono::hours(2));
  write_file(folder + "/index.html", "<title>Index of /long/</title>", std::chrono::hours(2));
  ASSERT_EQ(::truncate((folder + "/index.html").c_str(), kPageBytes), 0);
  mount_it({});
  EXPECT_TRUE(list_names(at("long")).is_error(EFBIG));
  expect_peak_below(kPageBytes / 4);  // the page would be more
  EXPECT_EQ(mount_->status_number("origin_errors"), 1);
  EXPECT_TRUE(mount_->says("/long: cannot be listed (")) << mount_->log();
  EXPECT_TRUE(same_bytes(at("long/file"), folder + "/file"));
}

// A server at which every name is there.
class HttpMillion : public WebMount {
 protected:
  // Into a directory of its own, as the page that lists it.
  void list_as(const std::string& name, const std::string& begin, const std::string& before,
               const std::string& behind, size_t count, const std::string& end) {
    std::string page = begin;
    for (size_t i = 0; i < count; ++i) page += before + million_name(i) + behind;
    std::filesystem::create_directories(tree_ + "/" + name);
    write_file(tree_ + "/" + name + "/index.html", page + end, std::chrono::hours(2));
  }
  void list_both(const std::string& name, size_t count) {
    list_as(name, "<title>Index of /x/</title>", "<a href=\"", "\">a name</a>\n", count, "");
    const std::string last = "{\"name\":\"\",\"type\":\"file\"}]";  // refused
    list_as("as_json/" + name, "[", "{\"name\":\"", "\",\"type\":\"file\"},\n", count, last);
  }
  static std::string million_name(size_t i) { return "name " + std::to_string(10'000'000 + i); }
};

INSTANTIATE_TEST_SUITE_P(Servers, HttpMillion,
                         testing::Values(Web{"nginx", "HTTP_NGINX_TROUBLE_PORT"}),
                         [](const auto& each) { return each.param.name; });

TEST_P(HttpMillion, NamesAreListedWholeInBoundedMemoryAndManyMoreAreRefused) {
  constexpr size_t kNames = 1'000'000;
  constexpr long kBytesMax = 1L << 30;  // both pages, and 400 bytes a name
  list_both("million", kNames);
  list_both("many", 1'500'001);
  for (const std::string place : {"", "as_json/"}) {
    mount_it({"--timeout", "60s"});
    const Result<std::vector<std::string>> names = list_names(at(place + "million"));
    ASSERT_TRUE(names.ok()) << place << names.error().message();
    ASSERT_EQ(names.value().size(), kNames) << place;
    size_t right = 0;
    while (right < kNames && names.value()[right] == million_name(right)) ++right;
    EXPECT_EQ(right, kNames) << place;
    expect_peak_below(kBytesMax);
    EXPECT_TRUE(list_names(at(place + "many")).is_error(EFBIG)) << place;
    expect_peak_below(kBytesMax);
    EXPECT_EQ(mount_->status_number("origin_errors"), 1);
    EXPECT_TRUE(mount_->says("many: cannot be listed (the listing has more names than"))
        << mount_->log();
    EXPECT_TRUE(mount_->unmount()) << mount_->log();
  }
}

class HttpListings : public WebMount {};

INSTANTIATE_TEST_SUITE_P(Servers, HttpListings, testing::Values(Web{"apache", "HTTP_APACHE_PORT"}),
                         [](const auto& each) { return each.param.name; });

TEST_P(HttpListings, OfEachKindThatApacheMakesAreRead) {
  const std::vector<std::string> names = {"a b", "file", "folder", "x&y"};
  for (const std::string folder : {"listed", "listed_plain", "listed_as_table"}) {
    std::filesystem::create_directories(tree_ + "/" + folder + "/folder");
    for (const char* name : {"a b", "file", "x&y"}) {
      write_file(tree_ + "/" + folder + "/" + name, "text", std::chrono::hours(2));
    }
  }
  mount_it({});
  for (const std::string folder : {"listed", "listed_plain", "listed_as_table"}) {
    const Result<std::vector<std::string>> listed = list_names(at(folder));
    ASSERT_TRUE(listed.ok()) << folder << ": " << listed.error().message();
    EXPECT_EQ(listed.value(), names) << folder;
  }
}

}  // namespace
}  // namespace netfs::test
