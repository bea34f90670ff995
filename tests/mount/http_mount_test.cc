// Goal: a tree behind real web servers is mounted, read byte for byte, and read again from the
// cache without a byte from the server. Method: tests/servers/http.sh, a mount of each.

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <map>
#include <string>
#include <sys/stat.h>
#include <vector>

#include "base/unique_fd.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_http.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kBound{150};

struct Web {
  const char* name;
  const char* port;
};

class HttpMount : public testing::TestWithParam<Web> {
 protected:
  static void SetUpTestSuite() {
    if (!root().empty() || !fuse().empty()) return;
    shared_ = new TempDir;
    http_ = new TestHttp(*shared_);
  }
  static void TearDownTestSuite() {
    delete std::exchange(http_, nullptr);
    delete std::exchange(shared_, nullptr);
  }
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    ASSERT_TRUE(http_->ready()) << http_->log();
    ASSERT_EQ(::chmod(temp_.path().c_str(), 0755), 0);
    tree_ = temp_.make_dir("tree");
    ASSERT_EQ(::chmod(tree_.c_str(), 0755), 0);
  }

  [[nodiscard]] bool is_tls() const { return std::string(GetParam().port).ends_with("HTTPS_PORT"); }
  [[nodiscard]] NetfsMount::Options options(std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"--hot", "0s"});
    if (is_tls()) more.insert(more.end(), {"-o", "ca_cert=" + http_->setting("HTTP_CA")});
    return {.url = http_->url(GetParam().port, tree_ + "/", is_tls() ? "https" : "http"),
            .cache_dir = temp_ / "cache",
            .more = std::move(more)};
  }
  // How often a server of nginx sent the bytes of a file of this tree; of the others nothing is
  // written down.
  [[nodiscard]] int64_t downloads() const {
    const std::string log = read_text(http_->setting("HTTP_NGINX_ACCESS"));
    int64_t count = 0;
    const std::string get = " GET " + tree_;
    for (size_t at = log.find(get); at != std::string::npos; at = log.find(get, at + 1)) {
      // Of a folder the URL ends with '/'.  That a file is empty is asked by a GET, at each look.
      const std::string url = log.substr(at + 5, log.find(' ', at + 5) - at - 5);
      count += !url.ends_with('/') && !url.ends_with("/empty");
    }
    return count;
  }

  static TempDir* shared_;
  static TestHttp* http_;
  TempDir temp_;
  std::string tree_;
};

TempDir* HttpMount::shared_ = nullptr;
TestHttp* HttpMount::http_ = nullptr;

INSTANTIATE_TEST_SUITE_P(Servers, HttpMount,
                         testing::Values(Web{"nginx", "HTTP_NGINX_HTML_PORT"},
                                         Web{"nginx_json", "HTTP_NGINX_JSON_PORT"},
                                         Web{"nginx_without_ranges", "HTTP_NGINX_NORANGES_PORT"},
                                         Web{"nginx_https", "HTTP_NGINX_HTTPS_PORT"},
                                         Web{"apache", "HTTP_APACHE_PORT"},
                                         Web{"apache_https", "HTTP_APACHE_HTTPS_PORT"},
                                         Web{"python", "HTTP_PYTHON_PORT"}),
                         [](const auto& each) { return each.param.name; });

void expect_same_tree(const std::string& copy, const std::string& original, unsigned& files) {
  const Result<std::vector<std::string>> names = list_names(copy);
  const Result<std::vector<std::string>> expected = list_names(original);
  ASSERT_TRUE(names.ok() && expected.ok()) << copy;
  ASSERT_EQ(names.value(), expected.value()) << copy;
  for (const std::string& name : names.value()) {
    const std::string path = copy + "/" + name;
    struct stat there {};
    struct stat here {};
    ASSERT_EQ(::stat(path.c_str(), &there), 0) << path;
    ASSERT_EQ(::stat((original + "/" + name).c_str(), &here), 0);
    ASSERT_EQ(there.st_mode & S_IFMT, here.st_mode & S_IFMT) << path;
    if (S_ISDIR(there.st_mode)) {
      ASSERT_NO_FATAL_FAILURE(expect_same_tree(path, original + "/" + name, files));
      continue;
    }
    ++files;
    EXPECT_EQ(there.st_size, here.st_size) << path;
    EXPECT_EQ(there.st_mtime, here.st_mtime) << path;
    EXPECT_TRUE(same_bytes(path, original + "/" + name));
  }
}

TEST_P(HttpMount, ATreeIsReadByteForByteAndTheSecondTimeFromTheCache) {
  for (int i = 0; i < 4; ++i) {
    const std::string dir = tree_ + "/dir " + std::to_string(i) + "/deeper";
    std::filesystem::create_directories(dir);
    for (int j = 0; j < 5; ++j) {
      write_file(dir + "/f&" + std::to_string(j) + "?#%",
                 pattern(i * 10 + j, 0, 1000 + 70'000 * j));
    }
  }
  write_file(tree_ + "/large", pattern(99, 0, (20 << 20) + 12'345));
  write_file(tree_ + "/empty", "");
  const int64_t before = downloads();
  {
    NetfsMount mount(options(), temp_);
    ASSERT_TRUE(mount.ready()) << mount.log();
    const Watchdog watchdog(kBound, [&] { mount.abort(); });
    unsigned files = 0;
    expect_same_tree(mount.path(), tree_, files);
    EXPECT_EQ(files, 22U);
    EXPECT_TRUE(wait_until([&] { return mount.status_number("sealed_count") >= 21; }, kBound))
        << mount.status();
    ASSERT_TRUE(mount.unmount()) << mount.log();
  }
  const int64_t first = downloads();
  NetfsMount mount(options(), temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const Watchdog watchdog(kBound, [&] { mount.abort(); });
  unsigned files = 0;
  expect_same_tree(mount.path(), tree_, files);
  EXPECT_EQ(files, 22U);
  const bool is_nginx = std::string(GetParam().name).starts_with("nginx");
  EXPECT_EQ(first > before, is_nginx);
  EXPECT_EQ(downloads(), first) << "the second time no byte of a file comes from the server";
  EXPECT_EQ(mount.status_number("downloaded_bytes"), 0) << mount.status();
  ASSERT_TRUE(mount.unmount()) << mount.log();
}

TEST_P(HttpMount, AFileThatIsReplacedIsAnotherVersionToWhoOpensItThen) {
  write_file(tree_ + "/file", pattern(1, 0, 500'000), std::chrono::seconds(200));
  NetfsMount mount(options({"--metadata-ttl", "0s"}), temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const Watchdog watchdog(kBound, [&] { mount.abort(); });
  const std::string path = mount.path() + "/file";
  EXPECT_TRUE(same_bytes(path, tree_ + "/file"));
  write_file(tree_ + "/new", pattern(2, 0, 500'000), std::chrono::seconds(100));
  std::filesystem::rename(tree_ + "/new", tree_ + "/file");
  EXPECT_TRUE(same_bytes(path, tree_ + "/file"));
  std::filesystem::remove(tree_ + "/file");
  EXPECT_TRUE(read_whole(path).is_error(ENOENT));
}

TEST_P(HttpMount, NothingCanBeChangedThere) {
  write_file(tree_ + "/file", "bytes");
  NetfsMount mount(options(), temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const Watchdog watchdog(kBound, [&] { mount.abort(); });
  const UniqueFd fd(::open((mount.path() + "/new").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  EXPECT_EQ(fd.get(), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(::unlink((mount.path() + "/file").c_str()), -1);
  EXPECT_EQ(errno, EROFS);
}

class HttpMountLogin : public HttpMount {};

INSTANTIATE_TEST_SUITE_P(Servers, HttpMountLogin,
                         testing::Values(Web{"nginx_basic", "HTTP_NGINX_BASIC_PORT"},
                                         Web{"apache_basic", "HTTP_APACHE_BASIC_PORT"}),
                         [](const auto& each) { return each.param.name; });

TEST_P(HttpMountLogin, ASecretComesFromTheEnvironmentOrFromAFileBesideTheUser) {
  write_file(tree_ + "/file", pattern(1, 0, 100'000));
  write_file(temp_ / "secret", http_->setting("HTTP_PASSWORD") + "\n");
  ::setenv("NETFS_TEST_PASSWORD", http_->setting("HTTP_PASSWORD").c_str(), 1);
  const std::string before = std::filesystem::current_path();
  std::filesystem::current_path(temp_.path());  // where the daemon does not stand
  for (const char* from : {"password_env=NETFS_TEST_PASSWORD", "password_file=secret"}) {
    NetfsMount mount(options({"-o", "login=ann", "-o", from}), temp_);
    ASSERT_TRUE(mount.ready()) << mount.log();
    const Watchdog watchdog(kBound, [&] { mount.abort(); });
    EXPECT_TRUE(same_bytes(mount.path() + "/file", tree_ + "/file"));
    EXPECT_EQ(mount.status().dump().find(http_->setting("HTTP_PASSWORD")), std::string::npos);
    ASSERT_TRUE(mount.unmount()) << mount.log();
  }
  std::filesystem::current_path(before);
  ::unsetenv("NETFS_TEST_PASSWORD");
}

}  // namespace
}  // namespace netfs::test
