// Goal: what a real web server does wrong, or means otherwise, is an errno and no wrong byte to who
// uses the mount, and the rest of the tree goes on.  Method: nginx and Apache with places that lead
// in a ring, fail, compress unasked, or answer 200 for what is not there; pages of links that stand
// in place of a listing.

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
