// Goal: what a mount over HTTP keeps it shows again without asking, asks for again when it should,
// and never mixes two versions of a file; and how it treats a server's connections.  Method: mounts
// of nginx, Apache and Python's server, and what they wrote down.

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <set>
#include <unistd.h>

#include "base/unique_fd.h"
#include "sync/thread.h"
#include "tests/mount/http_fixture.h"

namespace netfs::test {
namespace {

constexpr unsigned kDirectories = 12;
constexpr unsigned kFiles = 4;
constexpr size_t kBytes = 50'000;

std::string directory(unsigned d) {
  return "d" + std::to_string(10 + d);
}

std::string file(unsigned d, unsigned f) {
  return directory(d) + "/f" + std::to_string(f);
}

class HttpKept : public WebMount {
 protected:
  void make_tree() const {
    for (unsigned d = 0; d < kDirectories; ++d) {
      std::filesystem::create_directory(tree_ + "/" + directory(d));
      for (unsigned f = 0; f < kFiles; ++f) {
        write_file(tree_ + "/" + file(d, f), pattern(10 * d + f, 0, kBytes), std::chrono::hours(2));
      }
    }
  }
  // As find shows it; of directories a server tells no time.
  [[nodiscard]] std::string found() const {
    const Finished find = run({"find", mount_->path(), "-mindepth", "1", "-type", "f", "-printf",
                               "%P %i %m %s %T@\n", "-o", "-printf", "%P %i %m\n"},
                              kBound);
    EXPECT_EQ(find.status, 0) << find.output;
    return find.output;
  }
  // How often a method asked for each path below the tree, from the first so many requests on.
  [[nodiscard]] std::map<std::string, int> asked(const std::string& method, size_t from) const {
    std::map<std::string, int> times;
    const std::vector<WebRequest> all = requests();
    for (size_t i = from; i < all.size(); ++i) {
      if (all[i].method == method) ++times[all[i].uri.substr(tree_.size() + 1)];
    }
    return times;
  }
};

INSTANTIATE_TEST_SUITE_P(Servers, HttpKept,
                         testing::Values(Web{"nginx", "HTTP_NGINX_HTML_PORT"},
                                         Web{"apache", "HTTP_APACHE_PORT"}),
                         [](const auto& each) { return each.param.name; });

TEST_P(HttpKept, ATreeThatIsBelievedAsksNothingAfterARemountAndElseOneListingADirectory) {
  make_tree();
  mount_it({"--metadata-ttl", "1h"});
  const std::string before = found();
  EXPECT_EQ(std::count(before.begin(), before.end(), '\n'), kDirectories * (1 + kFiles));
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
  mount_it({"--metadata-ttl", "1h", "--revalidate=first"});
  const long sent_before = sent();
  ASSERT_GT(sent_before, 0);
  EXPECT_EQ(found(), before);
  EXPECT_EQ(sent(), sent_before) << "within its time nothing is asked";
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
  // Who never asks again believes nobody who would have: everything is looked at, once.  A server
  // writes its line once it is done with the answer: those of the first mount are all there.
  EXPECT_TRUE(wait_until([&] { return asked("GET", 0).size() > kDirectories; }, kSoon));
  const size_t from = requests().size();
  mount_it({"--immutable"});
  EXPECT_EQ(found(), before);
  EXPECT_TRUE(wait_until([&] { return asked("GET", from).size() > kDirectories; }, kSoon));
  for (unsigned d = 0; d < kDirectories; ++d) {
    EXPECT_EQ(asked("GET", from)[directory(d) + "/"], 1) << directory(d);
  }
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
  mount_it({"--immutable"});
  const long at_last = sent();
  EXPECT_EQ(found(), before);
  EXPECT_EQ(sent(), at_last);
}

TEST_P(HttpKept, BehindWhatChangedMeanwhileIsSeenSoonAndReadAtOnceAndTheRestIsReadFromTheCache) {
  const std::vector<std::string> behind = {"--metadata-ttl", "1s", "--revalidate=behind"};
  make_tree();
  mount_it(behind);
  (void)found();
  const std::string kept = file(1, 0);
  const std::string changed = file(2, 0);
  EXPECT_TRUE(same_bytes(at(kept), tree_ + "/" + kept));
  EXPECT_TRUE(same_bytes(at(changed), tree_ + "/" + changed));
  ASSERT_TRUE(wait_until([&] { return mount_->status_number("sealed_count") >= 2; }, kSoon))
      << mount_->status();
  const MonoTime seen = Clock::system().now();
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
  // As long as it was.
  write_file(tree_ + "/" + changed, pattern(999, 0, kBytes), std::chrono::hours(1));
  write_file(tree_ + "/" + directory(3) + "/new", "text", std::chrono::hours(1));
  std::filesystem::remove(tree_ + "/" + file(4, 1));
  mount_it(behind);
  EXPECT_TRUE(same_bytes(at(kept), tree_ + "/" + kept));
  EXPECT_EQ(mount_->status_number("downloaded_bytes"), 0) << mount_->status();
  // Within its time what was seen of it is believed.
  ASSERT_TRUE(
      wait_until([&] { return Clock::system().now() - seen > std::chrono::seconds(1); }, kSoon));
  EXPECT_TRUE(same_bytes(at(changed), tree_ + "/" + changed)) << "an open looks first";
  EXPECT_TRUE(wait_until(
      [&] {
        // What goes between its name and its attributes is an error of find's.
        (void)run({"find", mount_->path(), "-size", "+0"}, kBound);
        return ::access(at(directory(3) + "/new").c_str(), F_OK) == 0 &&
               ::access(at(file(4, 1)).c_str(), F_OK) != 0;
      },
      kSoon));
}

class HttpVersions : public WebMount {};

INSTANTIATE_TEST_SUITE_P(Servers, HttpVersions,
                         testing::Values(Web{"nginx", "HTTP_NGINX_HTML_PORT"},
                                         Web{"nginx_https", "HTTP_NGINX_HTTPS_PORT"},
                                         Web{"apache", "HTTP_APACHE_PORT"},
                                         Web{"python", "HTTP_PYTHON_PORT"}),
                         [](const auto& each) { return each.param.name; });

// Whether the server is asked once more behind a file's bytes: not where its tag promises them.
TEST_P(HttpVersions, AStrongTagIsBelievedAndWhatIsOnlyTimeAndSizeIsConfirmed) {
  write_file(tree_ + "/file", pattern(5, 0, kBytes), std::chrono::hours(2));
  mount_it({"--metadata-ttl", "1h"});
  const long before = sent();
  EXPECT_TRUE(same_bytes(at("file"), tree_ + "/file"));
  EXPECT_TRUE(wait_until([&] { return mount_->status_number("sealed_count") == 1; }, kSoon))
      << mount_->status();
  const long asked = sent() - before;
  const int64_t confirmed = mount_->status()["mounts"][0]["confirmations"]["issued"].get<int64_t>();
  if (server() == "apache") {
    EXPECT_EQ(confirmed, 0);
    EXPECT_EQ(asked, 2) << "a look, and the bytes";
  } else {
    EXPECT_GT(confirmed, 0);
    EXPECT_GT(asked, 2);
  }
  EXPECT_TRUE(same_bytes(at("file"), tree_ + "/file"));
  EXPECT_EQ(sent(), before + asked) << "what is kept is asked for no more";
}

// Written over while it is read: each read is of the version that its handle has, or fails.
TEST_P(HttpVersions, OfAFileThatIsWrittenOverWhileItIsReadNoTwoVersionsAreMixed) {
  // Of a server without ranges it is more than what lies between it and the reader.
  const uint64_t length = uint64_t{server() == "python" ? 40U : 8U} << 20;
  constexpr uint64_t kPiece = 100'000;
  const std::string before = pattern(1, 0, length);
  const std::string after = pattern(2, 0, length);
  mount_it({"--metadata-ttl", "0s"});
  // Of an hour ago, and of now: a weak tag of Apache's.  The others show nothing of a second change
  // within a second.
  for (const std::chrono::seconds age : {std::chrono::seconds(3600), std::chrono::seconds(0)}) {
    if (age.count() == 0 && server() != "apache") continue;
    write_file(tree_ + "/file", before, age);
    const UniqueFd fd(::open(at("file").c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(fd);
    std::string piece(kPiece, '\0');
    ASSERT_EQ(::pread(fd.get(), piece.data(), kPiece, 0), static_cast<ssize_t>(kPiece));
    EXPECT_TRUE(piece == before.substr(0, kPiece));
    write_file(tree_ + "/file", after, std::chrono::seconds(age.count() / 2));
    // The last piece first: of all that is the least likely to have been on its way before.
    std::vector<uint64_t> offsets = {length - kPiece};
    for (uint64_t offset = 0; offset + kPiece < length; offset += 1 << 20) {
      offsets.push_back(offset);
    }
    for (const uint64_t offset : offsets) {
      const ssize_t n = ::pread(fd.get(), piece.data(), kPiece, static_cast<off_t>(offset));
      if (n < 0) {
        EXPECT_EQ(errno, ESTALE);
        continue;
      }
      EXPECT_TRUE(piece.substr(0, static_cast<size_t>(n)) ==
                  before.substr(offset, static_cast<size_t>(n)))
          << "bytes of another version at " << offset;
    }
    const Result<std::string> now = read_whole(at("file"));
    ASSERT_TRUE(now.ok()) << now.error().message();
    EXPECT_TRUE(now.value() == after);
  }
}

// Python's server has neither tags nor ranges.
class HttpTags : public WebMount {};

INSTANTIATE_TEST_SUITE_P(Servers, HttpTags,
                         testing::Values(Web{"nginx", "HTTP_NGINX_HTML_PORT"},
                                         Web{"nginx_https", "HTTP_NGINX_HTTPS_PORT"},
                                         Web{"apache", "HTTP_APACHE_PORT"}),
                         [](const auto& each) { return each.param.name; });

// nginx and Python show nothing of it: neither the time, in whole seconds, nor the size, nor a tag.
TEST_P(HttpVersions, AChangeWithinTheSecondOfTheLastOneIsReadByWhoOpensTheFileThen) {
  mount_it({"--metadata-ttl", "0s"});
  const std::string there = tree_ + "/file";
  bool within = false;
  for (int attempt = 0; attempt < 20 && !within; ++attempt) {
    const std::string before = pattern(100 + attempt, 0, kBytes);
    const std::string after = pattern(200 + attempt, 0, kBytes);
    write_file(there, before, std::chrono::seconds(0));
    struct stat first {};
    ASSERT_EQ(::stat(there.c_str(), &first), 0);
    const Result<std::string> read = read_whole(at("file"));
    write_file(there, after, std::chrono::seconds(0));
    struct stat second {};
    ASSERT_EQ(::stat(there.c_str(), &second), 0);
    within = first.st_mtim.tv_sec == second.st_mtim.tv_sec;
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_TRUE(read.value() == before);
    const Result<std::string> again = read_whole(at("file"));
    ASSERT_TRUE(again.ok()) << again.error().message();
    EXPECT_TRUE(again.value() == after) << "attempt " << attempt << ", within: " << within;
  }
  EXPECT_TRUE(within) << "the machine is too slow for this";
  EXPECT_GT(mount_->status_number("racy"), 0) << "it was read, and not kept";
}

// Each range is asked for under the condition that the file is what it was.
TEST_P(HttpTags, RangesAreAskedForByTheTagWhereThereIsOne) {
  write_file(tree_ + "/file", pattern(6, 0, 8 << 20), std::chrono::hours(2));
  mount_it({"--metadata-ttl", "1h"});
  EXPECT_TRUE(same_bytes(at("file"), tree_ + "/file"));
  unsigned parts = 0;
  EXPECT_TRUE(wait_until(
      [&] {
        parts = 0;
        for (const WebRequest& one : requests()) parts += one.status == "206" ? 1 : 0;
        return parts >= 2;
      },
      kSoon));
  unsigned tagged = 0;
  for (const WebRequest& one : requests()) {
    // Its quotes are escaped in the log.
    if (one.status == "206" && one.if_range.size() > 6) ++tagged;
  }
  EXPECT_GE(2 * tagged, parts) << "but for those sent before the first answer has come";
  EXPECT_GT(tagged, 0U);
}

class HttpManners : public WebMount {};

INSTANTIATE_TEST_SUITE_P(Servers, HttpManners,
                         testing::Values(Web{"nginx", "HTTP_NGINX_HTML_PORT"},
                                         Web{"nginx_https", "HTTP_NGINX_HTTPS_PORT"},
                                         Web{"apache", "HTTP_APACHE_PORT"},
                                         Web{"apache_https", "HTTP_APACHE_HTTPS_PORT"}),
                         [](const auto& each) { return each.param.name; });

TEST_P(HttpManners, ManyReadsAtOnceUseNoMoreConnectionsThanWereGivenAndHttp2UsesOne) {
  constexpr unsigned kReaders = 8;
  constexpr unsigned kEach = 6;
  for (unsigned i = 0; i < kReaders * kEach; ++i) {
    write_file(tree_ + "/f" + std::to_string(i), pattern(i, 0, 200'000), std::chrono::hours(2));
  }
  mount_it({"-o", "connections=4"});
  std::vector<sync::Thread> readers;
  for (unsigned reader = 0; reader < kReaders; ++reader) {
    readers.emplace_back("reader", [this, reader] {
      for (unsigned i = reader * kEach; i < (reader + 1) * kEach; ++i) {
        const Result<std::string> bytes = read_whole(at("f" + std::to_string(i)));
        EXPECT_TRUE(bytes.ok() && bytes.value() == pattern(i, 0, 200'000)) << i;
      }
    });
  }
  for (sync::Thread& reader : readers) reader.join();
  const auto gets = [&] {
    const std::vector<WebRequest> all = requests();
    return std::count_if(all.begin(), all.end(),
                         [](const WebRequest& one) { return one.method == "GET"; });
  };
  EXPECT_TRUE(wait_until([&] { return gets() >= kReaders * kEach; }, kSoon)) << gets();
  std::set<std::string> connections;
  for (const WebRequest& one : requests()) {
    connections.insert(one.connection);
    EXPECT_EQ(one.protocol, is_tls() ? "HTTP/2.0" : "HTTP/1.1") << one.uri;
  }
  EXPECT_LE(connections.size(), is_tls() ? 1U : 4U);
}

class HttpLimited : public WebMount {};

INSTANTIATE_TEST_SUITE_P(Servers, HttpLimited,
                         testing::Values(Web{"nginx", "HTTP_NGINX_LIMITED_PORT"}),
                         [](const auto& each) { return each.param.name; });

// Each URL is answered once in two seconds, else 429 with Retry-After: 2.
TEST_P(HttpLimited, AServerThatSaysComeBackLaterIsComeBackToAndNobodyHearsOfIt) {
  write_file(tree_ + "/file", pattern(1, 0, kBytes), std::chrono::hours(2));
  mount_it({"--metadata-ttl", "1h"});
  EXPECT_TRUE(same_bytes(at("file"), tree_ + "/file"));
  const auto of_file = [&](const std::string& status) {
    const std::vector<WebRequest> all = requests();
    return std::count_if(all.begin(), all.end(), [&](const WebRequest& one) {
      return one.uri.ends_with("/file") && one.status == status;
    });
  };
  EXPECT_TRUE(wait_until([&] { return of_file("429") >= 1; }, kSoon));
  EXPECT_TRUE(wait_until([&] { return of_file("200") + of_file("206") >= 2; }, kSoon));
  EXPECT_EQ(mount_->status_number("origin_errors"), 0) << mount_->status();
}

}  // namespace
}  // namespace netfs::test
