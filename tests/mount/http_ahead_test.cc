// Goal: who reads small files in turn over a far HTTP link waits for few round trips, through the
// whole mount.  Method: nginx behind delay_proxy.

#include <algorithm>
#include <filesystem>
#include <gtest/gtest.h>
#include <sstream>

#include "tests/mount/files_ahead.h"
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
constexpr unsigned kDirectories = 6;
constexpr unsigned kFiles = 30;
constexpr size_t kBytes = 10'000;

class FarWeb : public testing::Test {
 protected:
  explicit FarWeb(std::string ttl = "60s") : ttl_(std::move(ttl)) {}
  // Of a server's port, with a tree of so many directories and files in each.
  void mount_it(const std::string& server, const std::string& port, unsigned directories,
                unsigned files) {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    ASSERT_EQ(::chmod(temp_.path().c_str(), 0755), 0);
    http_ = std::make_unique<TestHttp>(temp_, std::vector<std::string>{server});
    ASSERT_TRUE(http_->ready()) << http_->log();
    NETFS_TEST_NEEDS(http_->setting(port).empty()
                         ? "nginx with libnginx-mod-http-dav-ext, or Apache with mod_dav"
                         : "");
    source_ = temp_.make_dir("source");
    ASSERT_EQ(::chmod(source_.c_str(), 0755), 0);  // Apache's workers are not root
    for (unsigned d = 0; d < directories; ++d) {
      std::filesystem::create_directory(source_ + "/" + directory(d));
      for (unsigned f = 0; f < files; ++f) {
        write_file(source_ + "/" + directory(d) + "/" + name(f), bytes_of(d, f),
                   std::chrono::hours(24));
      }
    }
    proxy_ = std::make_unique<Process>(
        std::vector<std::string>{NETFS_TEST_DELAY_PROXY, "--listen", "0", "--to",
                                 "127.0.0.1:" + http_->setting(port), "--rtt", "20ms"},
        temp_ / "proxy.log");
    ASSERT_TRUE(
        wait_until([&] { return proxy_->output().find('\n') != std::string::npos; }, kBound));
    mount_ = std::make_unique<NetfsMount>(
        NetfsMount::Options{
            .url = "http://127.0.0.1:" + std::to_string(std::stoi(proxy_->output())) + source_,
            .cache_dir = temp_ / "cache",
            .more = {"--metadata-ttl", ttl_}},
        temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }

  static std::string directory(unsigned d) { return "d" + std::to_string(10 + d); }
  static std::string name(unsigned f) { return "f" + std::to_string(10 + f); }
  static std::string bytes_of(unsigned d, unsigned f) { return pattern(100 * d + f, 0, kBytes); }
  void expect_read(unsigned d, unsigned f) const {
    const std::string path = mount_->path() + "/" + directory(d) + "/" + name(f);
    const Result<std::string> bytes = read_whole(path);
    ASSERT_TRUE(bytes.ok()) << path << ": " << bytes.error().message();
    EXPECT_TRUE(bytes.value() == bytes_of(d, f)) << path;
  }
  void list(unsigned d) const {
    const std::filesystem::directory_iterator all(mount_->path() + "/" + directory(d));
    EXPECT_EQ(std::distance(begin(all), end(all)), kFiles);
  }
  [[nodiscard]] nlohmann::json status() const { return mount_->status()["mounts"][0]; }

  const std::string ttl_;
  TempDir temp_;
  std::string source_;
  std::unique_ptr<TestHttp> http_;
  std::unique_ptr<Process> proxy_;
  std::unique_ptr<NetfsMount> mount_;
  const Watchdog watchdog_{kBound, [this] {
                             if (mount_) mount_->abort();
                           }};
};

class HttpAhead : public FarWeb {
 protected:
  using FarWeb::FarWeb;
  void SetUp() override { mount_it("nginx", "HTTP_NGINX_HTML_PORT", kDirectories, kFiles); }
};

TEST_F(HttpAhead, FilesReadInTurnAreUnderWayWhenTheyAreOpened) {
  const MonoTime began = Clock::system().now();
  for (unsigned d = 0; d < kDirectories; ++d) {
    list(d);
    for (unsigned f = 0; f < kFiles; ++f) expect_read(d, f);
  }
  const std::chrono::duration<double> took = Clock::system().now() - began;
  std::printf("%.0f files a second, listings included\n", kDirectories * kFiles / took.count());
  const nlohmann::json ahead = status()["files_ahead"];
  EXPECT_GE(ahead["used"].get<unsigned>(), kDirectories * kFiles / 2) << ahead;
  EXPECT_EQ(ahead["wasted"].get<unsigned>(), 0U) << ahead;
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

// By names that he knows: he lists the first directory only.
TEST_F(HttpAhead, FilesReadInTurnGoOnInDirectoriesThatTheReaderDoesNotList) {
  EXPECT_EQ(list_names(mount_->path()).value().size(), kDirectories);
  list(0);
  for (unsigned f = 0; f < kFiles; ++f) expect_read(0, f);
  const unsigned before = status()["files_ahead"]["used"].get<unsigned>();
  for (unsigned d = 1; d < kDirectories; ++d) {
    for (unsigned f = 0; f < kFiles; ++f) expect_read(d, f);
  }
  const nlohmann::json ahead = status()["files_ahead"];
  EXPECT_GE(ahead["used"].get<unsigned>() - before, (kDirectories - 1) * kFiles / 2) << ahead;
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

// Whoever goes through the tree finds the next directories listed, with all that a HEAD says.
TEST_F(HttpAhead, ATreeThatIsWalkedIsListedAheadOfWhoWalks) {
  unsigned files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(mount_->path())) {
    if (!entry.is_regular_file()) continue;
    EXPECT_EQ(entry.file_size(), kBytes) << entry.path();
    ++files;
  }
  EXPECT_EQ(files, kDirectories * kFiles);
  const nlohmann::json names = status()["names"];
  EXPECT_GE(names["ahead_used"].get<unsigned>(), kDirectories / 2) << names;
  EXPECT_EQ(names["ahead_wasted"].get<unsigned>(), 0U) << names;
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

// What was fetched ahead was of another version than the one that was listed: its open asks.
TEST_F(HttpAhead, AFileThatWasReplacedAfterItWasListedIsReadAsItIsNow) {
  list(0);
  for (unsigned f = 10; f < kFiles; ++f) {
    const std::string path = source_ + "/" + directory(0) + "/" + name(f);
    write_file(path + ".new", bytes_of(7, f), std::chrono::hours(12));
    std::filesystem::rename(path + ".new", path);
  }
  for (unsigned f = 0; f < 10; ++f) expect_read(0, f);
  // Whoever reads slowly enough finds all that was under way settled.
  const auto settled = [&] { return status()["bytes"]["downloaded_bytes"].get<size_t>() > 0; };
  ASSERT_TRUE(wait_until(settled, kBound));
  for (unsigned f = 10; f < kFiles; ++f) {
    const Result<std::string> bytes =
        read_whole(mount_->path() + "/" + directory(0) + "/" + name(f));
    ASSERT_TRUE(bytes.ok()) << name(f) << ": " << bytes.error().message();
    EXPECT_TRUE(bytes.value() == bytes_of(7, f)) << name(f);
  }
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_F(HttpAhead, OneFileOfEachDirectoryFetchesNoOther) {
  for (unsigned d = 0; d < kDirectories; ++d) {
    list(d);
    expect_read(d, (7 * d) % kFiles);
  }
  const nlohmann::json now = status();
  EXPECT_LT(now["bytes"]["downloaded_bytes"].get<size_t>(), 2 * kDirectories * kBytes);
  EXPECT_EQ(now["files_ahead"]["fetched"].get<unsigned>(), 0U);
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_F(HttpAhead, FilesReadAtRandomFetchNoOther) {
  constexpr unsigned kMany = 200;
  std::filesystem::create_directory(source_ + "/many");
  for (unsigned f = 0; f < kMany; ++f) {
    write_file(source_ + "/many/" + name(f), bytes_of(9, f), std::chrono::hours(24));
  }
  const Result<std::vector<std::string>> listed = list_names(mount_->path() + "/many");
  ASSERT_TRUE(listed.ok()) << listed.error().message();
  const std::vector<std::string> names = far_apart(listed.value(), 40);
  EXPECT_EQ(names.size(), 40U);
  for (const std::string& name : names) {
    EXPECT_TRUE(same_bytes(mount_->path() + "/many/" + name, source_ + "/many/" + name));
  }
  EXPECT_EQ(status()["bytes"]["downloaded_bytes"].get<size_t>(), 40 * kBytes);
  EXPECT_EQ(files_ahead_of(*mount_)["fetched"].get<unsigned>(), 0U);
  // The same reader in turn.
  list(0);
  for (unsigned f = 0; f < kFiles; ++f) expect_read(0, f);
  EXPECT_GT(files_ahead_of(*mount_)["fetched"].get<unsigned>(), 0U);
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

// Names are believed for no longer, and so long a file that was fetched may yet be read.
class HttpAheadUnread : public HttpAhead {
 protected:
  HttpAheadUnread() : HttpAhead("8s") {}
};

TEST_F(HttpAheadUnread, FilesAreCountedAsWastedAndShownAndReadRightLater) {
  list(0);
  for (unsigned f = 0; f < 5; ++f) expect_read(0, f);
  expect_shown_as_wasted(*mount_, kBytes, kBound);
  for (unsigned f = 0; f < kFiles; ++f) expect_read(0, f);
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

struct Lister {
  const char* name;
  const char* port;
  unsigned listings;  // that are on their way at a time for nobody
};

class HttpListsAhead : public FarWeb, public testing::WithParamInterface<Lister> {
 protected:
  static constexpr unsigned kMany = 32;
  void SetUp() override { mount_it(server(), GetParam().port, kMany, 1); }

  [[nodiscard]] static std::string server() {
    const std::string name = GetParam().name;
    return name.substr(0, name.find('_'));
  }
  void control_servers(const std::string& what) const {
    const std::string script = std::string(NETFS_TEST_SERVERS) + "/http.sh";
    const Finished done =
        run({"env", "SERVERS_DIR=" + (temp_ / "web"), script, what}, std::chrono::seconds(30));
    EXPECT_EQ(done.status, 0) << done.output;
  }
  [[nodiscard]] unsigned begun() const {
    return status()["names"]["ahead_listings"].get<unsigned>();
  }
  // How many requests stand at the server that it has not read: one a connection.
  [[nodiscard]] unsigned standing() const {
    const unsigned long port = std::stoul(http_->setting(GetParam().port));
    std::istringstream lines(read_text("/proc/net/tcp"));
    std::string line;
    std::getline(lines, line);
    unsigned count = 0;
    while (std::getline(lines, line)) {
      std::string place, here, there, state, queues;
      std::istringstream(line) >> place >> here >> there >> state >> queues;
      const bool is_open = state == "01";
      const auto hex_after = [](const std::string& text) {
        return std::stoul(text.substr(text.find(':') + 1), nullptr, 16);
      };
      count += is_open && hex_after(here) == port && hex_after(queues) > 0;
    }
    return count;
  }
  [[nodiscard]] size_t names_in(const std::string& directory) const {
    const Result<std::vector<std::string>> names = list_names(mount_->path() + "/" + directory);
    EXPECT_TRUE(names.ok()) << directory << ": " << names.error().message();
    return names.ok() ? names.value().size() : 0;
  }
  // The server has answered the last request that its listing takes, and written that down.
  [[nodiscard]] bool is_listed(const std::string& directory) const {
    const std::string log = read_text(
        http_->setting(server() == "apache" ? "HTTP_APACHE_ACCESS" : "HTTP_NGINX_ACCESS"));
    const std::string path = source_ + "/" + directory + "/";
    const bool dav = std::string(GetParam().name).ends_with("dav");
    return log.find(dav ? " PROPFIND " + path + " " : " HEAD " + path + name(0) + " ") !=
           std::string::npos;
  }
};

INSTANTIATE_TEST_SUITE_P(Servers, HttpListsAhead,
                         testing::Values(Lister{"nginx_pages", "HTTP_NGINX_HTML_PORT", 2},
                                         Lister{"nginx_json", "HTTP_NGINX_JSON_PORT", 16},
                                         Lister{"nginx_dav", "HTTP_NGINX_DAV_PORT", 16},
                                         Lister{"apache_dav", "HTTP_APACHE_DAV_PORT", 16}),
                         [](const auto& each) { return each.param.name; });

// The servers stand still once the beginning of a walk was seen, and has had a few of them listed.
TEST_P(HttpListsAhead, AsManyAreOnTheirWayAsTheServersWayOfListingIsWorth) {
  // Whoever walks goes by the order of the listing, which is not that of the names everywhere.
  std::vector<std::string> order;
  for (const auto& entry : std::filesystem::directory_iterator(mount_->path())) {
    order.push_back(entry.path().filename());
  }
  ASSERT_EQ(order.size(), kMany);
  EXPECT_EQ(names_in(order[0]), 1U);
  constexpr unsigned kFaint = 4;
  for (unsigned d = 1; d <= kFaint; ++d) {
    ASSERT_TRUE(wait_until([&] { return is_listed(order[d]); }, kBound)) << order[d];
  }
  control_servers("pause");
  EXPECT_EQ(standing(), 0U) << "nobody is sure yet that this is a walk";
  EXPECT_EQ(names_in(order[1]), 1U) << "it is there already, or its answer on its way";
  const unsigned expected = GetParam().listings;
  // A look that compares the first file of a kind with its listing may stand there besides.
  EXPECT_TRUE(wait_until([&] { return standing() >= expected; }, kBound)) << standing();
  EXPECT_TRUE(wait_until([&] { return begun() >= kFaint + expected; }, kBound)) << begun();
  EXPECT_EQ(begun(), kFaint + expected);
  control_servers("resume");
  for (unsigned d = 2; d < kMany; ++d) EXPECT_EQ(names_in(order[d]), 1U) << order[d];
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

}  // namespace
}  // namespace netfs::test
