// Goal: a tree of a server that speaks WebDAV is listed by one request a directory, says what looks
// would say, and is read byte for byte.  Method: mounts of nginx and Apache, and what they wrote
// down.

#include <algorithm>
#include <filesystem>

#include "tests/mount/http_fixture.h"

namespace netfs::test {
namespace {

constexpr unsigned kDirectories = 12;
constexpr unsigned kFiles = 4;

class HttpWebdav : public WebMount {
 protected:
  void SetUp() override {
    WebMount::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    NETFS_TEST_NEEDS(http_->setting(GetParam().port).empty()
                         ? "nginx without WebDAV (libnginx-mod-http-dav-ext), or Apache"
                         : "");
    // The root's file is the one of its kind that is compared.
    write(tree_ + "/first", 1);
    for (unsigned d = 0; d < kDirectories; ++d) {
      const std::string directory = tree_ + "/d&" + std::to_string(d) + "%41#";
      std::filesystem::create_directory(directory);
      for (unsigned f = 0; f < kFiles; ++f) {
        write(directory + "/\xe9<" + std::to_string(f) + ">", 10 * d + f);
      }
    }
  }
  static void write(const std::string& path, unsigned seed) {
    write_file(path, pattern(seed, 0, 1000 + 3000 * seed), std::chrono::hours(2));
  }
  void expect_same() const {
    unsigned found = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(tree_)) {
      const std::string copy = mount_->path() + entry.path().string().substr(tree_.size());
      struct stat there {};
      struct stat here {};
      ASSERT_EQ(::stat(copy.c_str(), &there), 0) << copy;
      ASSERT_EQ(::stat(entry.path().c_str(), &here), 0);
      ++found;
      ASSERT_EQ(there.st_mode & S_IFMT, here.st_mode & S_IFMT) << copy;
      if (!S_ISREG(here.st_mode)) continue;
      EXPECT_EQ(there.st_size, here.st_size) << copy;
      EXPECT_EQ(there.st_mtime, here.st_mtime) << copy;
      EXPECT_TRUE(same_bytes(copy, entry.path().string())) << copy;
    }
    const Finished find = run({"find", mount_->path(), "-mindepth", "1", "-printf", "x\n"}, kBound);
    EXPECT_EQ(std::count(find.output.begin(), find.output.end(), '\n'), found) << find.output;
  }
  // Of directories or of files; a server writes a line once it has answered.
  [[nodiscard]] unsigned asked(const std::string& method, bool of_directories) const {
    const std::vector<WebRequest> all = requests();
    return static_cast<unsigned>(std::count_if(all.begin(), all.end(), [&](const auto& one) {
      return one.method == method && one.uri.ends_with('/') == of_directories;
    }));
  }
  [[nodiscard]] std::string listings() const {
    const nlohmann::json status = mount_->status();
    for (const auto& word : status["mounts"][0]["origin"]) {
      if (word["name"] == "listings") return word["value"].get<std::string>();
    }
    return "";
  }
};

INSTANTIATE_TEST_SUITE_P(Servers, HttpWebdav,
                         testing::Values(Web{"nginx", "HTTP_NGINX_DAV_PORT"},
                                         Web{"apache", "HTTP_APACHE_DAV_PORT"}),
                         [](const auto& each) { return each.param.name; });

TEST_P(HttpWebdav, ATreeIsFoundByOneRequestADirectoryAndReadByteForByte) {
  mount_it({"--metadata-ttl", "1h", "--timeout", "60s"});
  EXPECT_EQ(listings(), "by WebDAV");
  const Finished find = run({"find", mount_->path(), "-ls"}, kBound);
  EXPECT_EQ(find.status, 0) << find.output;
  const unsigned listed = kDirectories + 1;
  EXPECT_TRUE(wait_until([&] { return asked("PROPFIND", true) > listed; }, kSoon));
  EXPECT_TRUE(wait_until([&] { return asked("HEAD", false) > 0; }, kSoon));
  EXPECT_EQ(asked("PROPFIND", true), listed + 1) << "each once, and the root when it was mounted";
  EXPECT_EQ(asked("HEAD", false), 1U) << "of the one that is compared";
  EXPECT_EQ(asked("GET", true) + asked("GET", false), 0U);
  expect_same();
  EXPECT_EQ(asked("PROPFIND", true), listed + 1);
  EXPECT_EQ(asked("GET", true), 0U);
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_P(HttpWebdav, WhatChangesAtTheServerIsSeen) {
  mount_it({"--metadata-ttl", "0s", "--timeout", "60s"});
  expect_same();
  write(tree_ + "/first.new", 2);
  std::filesystem::rename(tree_ + "/first.new", tree_ + "/first");
  write(tree_ + "/second", 3);
  std::filesystem::remove_all(tree_ + "/d&0%41#");
  expect_same();
  // Of this moment: its time alone may say nothing.
  write_file(tree_ + "/first", "one", std::chrono::seconds(0));
  expect_same();
  write_file(tree_ + "/first", "two", std::chrono::seconds(0));
  expect_same();
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_P(HttpWebdav, WithoutItDirectoriesAreListedByTheirPages) {
  mount_it({"-o", "webdav=no", "--timeout", "60s"});
  EXPECT_EQ(listings(), "by page");
  expect_same();
  EXPECT_TRUE(wait_until([&] { return asked("GET", true) > kDirectories; }, kSoon));
  EXPECT_EQ(asked("PROPFIND", true), 0U);
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
  // Who does not speak it is asked once.
  mount_ = std::make_unique<NetfsMount>(
      NetfsMount::Options{
          .url =
              http_->url(server() == "apache" ? "HTTP_APACHE_PORT" : "HTTP_NGINX_HTML_PORT", tree_),
          .cache_dir = temp_ / "cache",
          .more = {"--timeout", "60s"}},
      temp_);
  ASSERT_TRUE(mount_->ready()) << mount_->log();
  EXPECT_EQ(listings(), "by page");
  expect_same();
  EXPECT_TRUE(wait_until([&] { return asked("GET", true) > 2 * kDirectories; }, kSoon));
  EXPECT_TRUE(wait_until([&] { return asked("PROPFIND", true) > 0; }, kSoon));
  EXPECT_EQ(asked("PROPFIND", true), 1U);
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

}  // namespace
}  // namespace netfs::test
