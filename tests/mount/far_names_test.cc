// Goal: which questions names cost over SFTP, through a whole mount: none of what is believed, one
// listing of a directory that is not, many on their way for who walks.  Method: a real sshd, with
// sftp_meter before ssh, which counts and can stand still.

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <set>
#include <string>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include "base/unique_fd.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/sftp_meter.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kBound{150};
constexpr std::chrono::seconds kSoon{30};
constexpr unsigned kDirectories = 64;
constexpr unsigned kFiles = 3;
// Names in an answer of OpenSSH's server.
constexpr unsigned kAnswerNames = 100;

size_t count(const std::string& requests, const std::string& name) {
  size_t found = 0;
  const std::string text = " " + requests + " ";
  for (size_t at = text.find(" " + name + " "); at != std::string::npos;
       at = text.find(" " + name + " ", at + 1)) {
    ++found;
  }
  return found;
}

// The most of a name that were sent before an answer came.
size_t most_together(const std::string& requests, const std::string& name) {
  size_t most = 0;
  for (size_t at = 0; at < requests.size();) {
    const size_t end = std::min(requests.find('|', at), requests.size());
    most = std::max(most, count(requests.substr(at, end - at), name));
    at = end + 1;
  }
  return most;
}

int code_of_access(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0 ? 0 : errno;
}

class FarNames : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    NETFS_TEST_NEEDS(program("sshd"));
    source_ = temp_.make_dir("source");
    for (unsigned d = 0; d < kDirectories; ++d) {
      std::filesystem::create_directory(source_ + "/" + directory(d));
      for (unsigned f = 0; f < kFiles; ++f) {
        write_file(source_ + "/" + directory(d) + "/f" + std::to_string(f), "text",
                   std::chrono::hours(2));
      }
    }
    sshd_ = std::make_unique<TestSshd>(temp_);
    ASSERT_TRUE(sshd_->ready()) << sshd_->log();
  }

  void mount_it(std::vector<std::string> more, const std::string& cache = "cache") {
    NetfsMount::Options options{
        .url = sshd_->url(source_), .cache_dir = temp_ / cache, .more = std::move(more)};
    for (const std::string& word : sshd_->mount_options()) options.more.push_back(word);
    options.more.insert(options.more.end(), {"-o", "connections=1,ssh=" + meter_.program()});
    mount_.reset();
    mount_ = std::make_unique<NetfsMount>(options, temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }

  static std::string directory(unsigned d) { return "d" + std::to_string(100 + d); }
  [[nodiscard]] std::string at(const std::string& name) const {
    return mount_->path() + "/" + name;
  }
  // As find shows it.
  [[nodiscard]] std::string found() const {
    const Finished find = run({"find", mount_->path(), "-mindepth", "1", "-type", "f", "-printf",
                               "%P %i %m %s %T@\n", "-o", "-printf", "%P %i %m\n"},
                              kBound);
    EXPECT_EQ(find.status, 0) << find.output;
    return find.output;
  }

  TempDir temp_;
  std::string source_;
  std::unique_ptr<TestSshd> sshd_;
  SftpMeter meter_{temp_, SftpMeter::Server::kBySsh};
  std::unique_ptr<NetfsMount> mount_;
  const Watchdog watchdog_{kBound, [this] { abort_mount(temp_ / "mnt"); }};
};

TEST_F(FarNames, ATreeThatIsBelievedAsksNothingAfterARemountAndElseOneListingADirectory) {
  mount_it({"--metadata-ttl", "1h"});
  const std::string before = found();
  EXPECT_EQ(std::count(before.begin(), before.end(), '\n'), kDirectories * (1 + kFiles));
  ASSERT_TRUE(mount_->unmount());
  mount_it({"--metadata-ttl", "1h", "--revalidate=first"});
  const Metered again = meter_.measure([&] { EXPECT_EQ(found(), before); });
  EXPECT_EQ(again.requests, "") << "within its time nothing is asked";
  ASSERT_TRUE(mount_->unmount());
  // Who never asks again believes nobody who would have: everything is looked at, once.
  mount_it({"--immutable"});
  const Metered sweep = meter_.measure([&] { EXPECT_EQ(found(), before); });
  EXPECT_EQ(count(sweep.requests, "OPENDIR"), kDirectories + 1) << sweep.requests;
  EXPECT_EQ(count(sweep.requests, "LSTAT") + count(sweep.requests, "STAT"), 0U) << sweep.requests;
  ASSERT_TRUE(mount_->unmount());
  mount_it({"--immutable"});
  const Metered at_last = meter_.measure([&] { EXPECT_EQ(found(), before); });
  EXPECT_EQ(at_last.requests, "");
}

// Who walks lists a directory before he reads its links.
TEST_F(FarNames, ALinkThatAFirstWalkHasReadIsNotReadAgainAfterARemount) {
  constexpr unsigned kLinks = 8;
  // One that was just made could be another of the same moment.
  const timespec old = {.tv_sec = ::time(nullptr) - 7200, .tv_nsec = 0};
  const timespec times[2] = {old, old};
  for (unsigned d = 0; d < kLinks; ++d) {
    const std::string link = source_ + "/" + directory(d) + "/link";
    std::filesystem::create_symlink("../" + directory(d + 1) + "/f0", link);
    ASSERT_EQ(::utimensat(AT_FDCWD, link.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  }
  const auto walk = [&] {
    const Finished find = run({"find", mount_->path(), "-type", "l", "-printf", "%P %l\n"}, kBound);
    EXPECT_EQ(find.status, 0) << find.output;
    return find.output;
  };
  std::string before;
  mount_it({"--metadata-ttl", "1h"});
  const Metered first = meter_.measure([&] { before = walk(); });
  EXPECT_EQ(std::count(before.begin(), before.end(), '\n'), kLinks);
  EXPECT_EQ(count(first.requests, "READLINK"), kLinks) << first.requests;
  ASSERT_TRUE(mount_->unmount());
  mount_it({"--metadata-ttl", "1h"});
  const Metered again = meter_.measure([&] { EXPECT_EQ(walk(), before); });
  EXPECT_EQ(again.requests, "");
}

TEST_F(FarNames, BehindTheOldListingIsShownWhileTheServerStandsStillAndTheNewOneSoonAfter) {
  const std::vector<std::string> behind = {"--metadata-ttl", "1s", "--revalidate=behind"};
  mount_it(behind);
  const std::string before = found();
  const MonoTime listed = Clock::system().now();
  ASSERT_TRUE(mount_->unmount());
  write_file(source_ + "/" + directory(3) + "/new", "text", std::chrono::hours(1));
  std::filesystem::remove(source_ + "/" + directory(4) + "/f1");
  mount_it(behind);
  ASSERT_TRUE(
      wait_until([&] { return Clock::system().now() - listed > std::chrono::seconds(1); }, kSoon));
  meter_.hold_after(0);
  EXPECT_EQ(found(), before) << "no answer of the server is needed";
  EXPECT_GT(mount_->status_number("shown_first"), 0);
  meter_.let_go();
  EXPECT_TRUE(wait_until(
      [&] {
        return code_of_access(at(directory(3) + "/new")) == 0 &&
               code_of_access(at(directory(4) + "/f1")) == ENOENT;
      },
      kSoon));
}

// One after the other each waits for two round trips.
TEST_F(FarNames, WhoWalksHasManyDirectoriesListedAtATime) {
  Metered best{.requests = "", .trips = UINT_MAX};
  for (int attempt = 0; attempt < 8 && best.trips > kDirectories / 2; ++attempt) {
    mount_it({"--metadata-ttl", "1h"}, "cache" + std::to_string(attempt));
    const Metered walk = meter_.measure([&] { (void)found(); });
    EXPECT_EQ(count(walk.requests, "OPENDIR"), kDirectories + 1) << walk.requests;
    EXPECT_GE(mount_->status_number("ahead_used"), kDirectories / 2);
    EXPECT_EQ(mount_->status_number("ahead_wasted"), 0);
    ASSERT_TRUE(mount_->unmount());
    if (walk.trips < best.trips) best = walk;
  }
  EXPECT_LE(best.trips, kDirectories / 2) << best.requests;
  EXPECT_GE(most_together(best.requests, "OPENDIR"), 8U) << best.requests;
}

// The server stands still after the answers of a few of them, three each.
TEST_F(FarNames, WhoWalksHasSixteenDirectoriesOnTheirWayAtATime) {
  mount_it({"--metadata-ttl", "1h"});
  EXPECT_EQ(list_names(mount_->path()).value().size(), kDirectories);
  meter_.hold_after(24);
  Process find({"find", mount_->path()}, temp_ / "find.log");
  const auto on_their_way = [&] {
    const auto opened = static_cast<int>(meter_.come("OPENDIR"));  // first: the log grows
    return opened - static_cast<int>(meter_.come("CLOSE"));
  };
  EXPECT_TRUE(wait_until([&] { return on_their_way() >= 16; }, kSoon)) << on_their_way();
  meter_.let_go();
  EXPECT_EQ(find.wait(kBound), 0) << find.output();
  EXPECT_EQ(mount_->status_number("listings"), kDirectories + 1) << "each once";
}

TEST_F(FarNames, ThatANameIsNotThereIsBelievedForItsTimeAndByTheNextProcessOnlyOfAListing) {
  const std::vector<std::string> kept = {"--metadata-ttl", "1h", "--negative-ttl", "1h"};
  const std::string single = directory(1) + "/later";
  const std::string listed = directory(2) + "/later";
  const auto asked = [&](const std::string& name, int expected) {
    return meter_.measure([&] { EXPECT_EQ(code_of_access(at(name)), expected) << name; }).requests;
  };
  mount_it(kept);
  EXPECT_EQ(code_of_access(at(directory(1))), 0);
  EXPECT_EQ(asked(single, ENOENT), "LSTAT");
  EXPECT_EQ(list_names(at(directory(2))).value().size(), kFiles);
  EXPECT_EQ(asked(listed, ENOENT), "") << "the listing says so";
  write_file(source_ + "/" + single, "text", std::chrono::hours(1));
  EXPECT_EQ(asked(single, ENOENT), "");
  EXPECT_EQ(asked(listed, ENOENT), "");
  ASSERT_TRUE(mount_->unmount());
  mount_it(kept);
  EXPECT_EQ(code_of_access(at(directory(1))), 0);
  EXPECT_NE(asked(single, 0), "") << "of one name alone nothing was kept";
  EXPECT_EQ(list_names(at(directory(2))).value().size(), kFiles);
  EXPECT_EQ(asked(listed, ENOENT), "") << "of a listing that it is not in it";
}

TEST_F(FarNames, ThatANameIsNotThereEndsWithItsTime) {
  mount_it({"--metadata-ttl", "1h", "--negative-ttl", "1s"});
  const std::string name = directory(1) + "/later";
  EXPECT_EQ(code_of_access(at(name)), ENOENT);
  write_file(source_ + "/" + name, "text", std::chrono::hours(1));
  EXPECT_TRUE(wait_until([&] { return code_of_access(at(name)) == 0; }, kSoon));
}

struct GotEntries {
  std::vector<std::string> names;
  bool end = false;
};

// One call of the kernel's.
GotEntries getdents(int fd) {
  alignas(8) char buffer[32768];
  const long n = ::syscall(SYS_getdents64, fd, buffer, sizeof buffer);
  EXPECT_GE(n, 0) << errno;
  GotEntries got{.names = {}, .end = n <= 0};
  for (long at = 0; at < n;) {
    const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
    const std::string name = entry->d_name;
    if (name != "." && name != "..") got.names.push_back(name);
    at += entry->d_reclen;
  }
  return got;
}

// The server stands still when 4,000 of them have come.
TEST_F(FarNames, OfAHundredThousandEntriesTheFirstAreReadWhileTheRestHasNotCome) {
  constexpr unsigned kEntries = 100'000;
  const std::string big = temp_.make_dir("source/big");
  std::set<std::string> expected;
  const UniqueFd folder(::open(big.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (unsigned i = 0; i < kEntries; ++i) {
    const std::string name = "entry" + std::to_string(i);
    const UniqueFd made(::openat(folder.get(), name.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    ASSERT_TRUE(made);
    expected.insert(name);
  }
  mount_it({"--metadata-ttl", "1h"});
  ASSERT_EQ(code_of_access(at("big")), 0);
  meter_.hold_after(4000 / kAnswerNames);
  const UniqueFd fd(::open(at("big").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_TRUE(fd) << errno;
  GotEntries got = getdents(fd.get());
  EXPECT_GT(got.names.size(), 100U);
  std::vector<std::string> names = got.names;
  meter_.let_go();
  for (unsigned calls = 0; !got.end && calls < kEntries; ++calls) {
    got = getdents(fd.get());
    names.insert(names.end(), got.names.begin(), got.names.end());
  }
  EXPECT_TRUE(got.end);
  EXPECT_EQ(names.size(), kEntries);
  EXPECT_TRUE(std::set<std::string>(names.begin(), names.end()) == expected);
  EXPECT_EQ(mount_->status_number("listings"), 1);
}

}  // namespace
}  // namespace netfs::test
