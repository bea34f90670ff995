// Goal: a mount takes the bandwidth it may, as much as was said last, also after its worker was
// replaced, and an unmount does not wait for it.

#include <csignal>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/kill_process.h"
#include "sync/thread.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/process.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr size_t kMiB = 1 << 20;

class Bandwidth : public WritableMount {
 protected:
  int sync_it() {
    return run({NETFS_TEST_BINARY, "sync", mount_->path(), "--timeout", "60s"},
               std::chrono::seconds(100))
        .status;
  }
};

INSTANTIATE_TEST_SUITE_P(Origins, Bandwidth,
                         testing::Values("file_through", "sftp_close", "sftp_back"),
                         [](const auto& instance) { return std::string(instance.param); });

// By close all is at the origin before anybody can unmount.
class BandwidthBack : public Bandwidth {};

INSTANTIATE_TEST_SUITE_P(Origins, BandwidthBack, testing::Values("sftp_back"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST_P(Bandwidth, WhatIsReadAndWrittenUnderALimitTakesItsTimeAndIsTheSame) {
  write_file(there("old"), pattern(1, 0, 2 * kMiB));
  mount_it({"--bwlimit=1M:2M"});
  MonoTime began = Clock::system().now();
  EXPECT_TRUE(whole(here("old")) == pattern(1, 0, 2 * kMiB));
  // What goes at once is half a MiB.
  EXPECT_GE(Clock::system().now() - began, std::chrono::milliseconds(700));
  began = Clock::system().now();
  ASSERT_EQ(put(here("new"), pattern(2, 0, kMiB)), 0);
  ASSERT_EQ(sync_it(), 0);
  EXPECT_GE(Clock::system().now() - began, std::chrono::milliseconds(700));
  EXPECT_TRUE(whole(there("new")) == pattern(2, 0, kMiB));
}

// A limit makes things slow; the timeout is for an origin that does not answer.
TEST_P(Bandwidth, WhoeverWaitsForTheLimitIsNotTimedOut) {
  constexpr size_t kReaders = 6;
  constexpr size_t kLength = 128 << 10;
  for (size_t i = 0; i < kReaders; ++i) {
    write_file(there("old" + std::to_string(i)), pattern(i, 0, kLength));
  }
  write_file(there("little"), pattern(9, 0, 100));
  mount_it({"--bwlimit=64K", "--timeout=4s"});
  std::vector<std::string> got(kReaders);
  std::vector<std::unique_ptr<sync::Thread>> readers;
  const MonoTime began = Clock::system().now();
  for (size_t i = 0; i < kReaders; ++i) {
    readers.push_back(std::make_unique<sync::Thread>(
        "reader", [this, &got, i] { got[i] = whole(here("old" + std::to_string(i))); }));
  }
  EXPECT_TRUE(whole(here("little")) == pattern(9, 0, 100));
  EXPECT_EQ(put(here("new"), pattern(7, 0, 512 << 10)), 0);
  EXPECT_EQ(sync_it(), 0);
  for (const auto& reader : readers) reader->join();
  EXPECT_GE(Clock::system().now() - began, std::chrono::seconds(8)) << "else it shows nothing";
  for (size_t i = 0; i < kReaders; ++i) {
    EXPECT_TRUE(got[i] == pattern(i, 0, kLength)) << i << ": " << got[i].substr(0, 20);
  }
  EXPECT_TRUE(whole(there("new")) == pattern(7, 0, 512 << 10));
}

TEST_P(Bandwidth, WhoWaitsForTheLimitCanBeInterruptedAndTheMountEnded) {
  write_file(there("old"), pattern(1, 0, 2 * kMiB));
  mount_it({"--bwlimit=32K"});
  const pid_t reader = ::fork();
  ASSERT_GE(reader, 0);
  if (reader == 0) {
    const int fd = ::open(here("old").c_str(), O_RDONLY | O_CLOEXEC);
    static char bytes[1 << 20];  // half a minute, as it is
    ::_exit(::pread(fd, bytes, sizeof(bytes), 1 << 20) < 0 ? 1 : 0);
  }
  EXPECT_TRUE(wait_until([&] { return !mount_->status()["mounts"][0]["library_requests"].empty(); },
                         std::chrono::seconds(30)));
  MonoTime began = Clock::system().now();
  EXPECT_EQ(kill_process(reader, SIGKILL), 0);
  int status = 0;
  EXPECT_EQ(::waitpid(reader, &status, 0), reader);
  EXPECT_LE(Clock::system().now() - began, std::chrono::seconds(20));
  began = Clock::system().now();
  EXPECT_TRUE(mount_->unmount());
  EXPECT_LE(Clock::system().now() - began, std::chrono::seconds(20));
}

TEST_P(Bandwidth, ItIsChangedWhileTheMountIsInUseAndKeptByTheNextWorker) {
  write_file(there("old"), pattern(1, 0, 8 * kMiB));
  mount_it({"--timeout=250s"});
  EXPECT_EQ(limit("").output, mount_->path() + ": up unlimited, down unlimited\n");
  EXPECT_EQ(limit("64K:32K").output, mount_->path() + ": up 64.0 KiB/s, down 32.0 KiB/s\n");
  const nlohmann::json status = mount_->status();
  EXPECT_EQ(status["mounts"][0]["bandwidth_limit"]["up"], 64 << 10);
  EXPECT_EQ(status["mounts"][0]["bandwidth_limit"]["down"], 32 << 10);

  const pid_t worker = mount_->worker();
  ASSERT_GT(worker, 0);
  ASSERT_EQ(kill_process(worker, SIGKILL), 0);
  ASSERT_TRUE(wait_until([&] { return mount_->worker() > 0 && mount_->worker() != worker; },
                         std::chrono::seconds(30)));
  EXPECT_EQ(stat_of(here("old")).st_size, static_cast<off_t>(8 * kMiB));
  EXPECT_EQ(limit("").output, mount_->path() + ": up 64.0 KiB/s, down 32.0 KiB/s\n");

  std::string got;
  sync::Thread reader("reader", [&] { got = whole(here("old")); });  // four minutes, as it is
  EXPECT_TRUE(wait_until([&] { return !mount_->status()["mounts"][0]["library_requests"].empty(); },
                         std::chrono::seconds(30)));
  EXPECT_EQ(limit("off").status, 0);
  reader.join();
  EXPECT_TRUE(got == pattern(1, 0, 8 * kMiB));

  const Finished wrong = limit("fast");
  EXPECT_EQ(wrong.status, 1);
  EXPECT_NE(wrong.output.find("'fast' is not a bandwidth"), std::string::npos) << wrong.output;
  const Finished nothing = run({NETFS_TEST_BINARY, "bwlimit", source_}, std::chrono::seconds(60));
  EXPECT_EQ(nothing.status, 32);
  EXPECT_NE(nothing.output.find("is no mount of netfs"), std::string::npos) << nothing.output;
}

// A second name is given at the origin, behind the upload.
TEST_P(BandwidthBack, WhatStandsBehindTheUploadWaitsForTheLimitAsWell) {
  mount_it({"--bwlimit=64K", "--timeout=4s"});
  ASSERT_EQ(put(here("new"), pattern(2, 0, 512 << 10)), 0);
  const MonoTime began = Clock::system().now();
  EXPECT_EQ(code(::link(here("new").c_str(), here("second").c_str())), 0);
  EXPECT_GE(Clock::system().now() - began, std::chrono::seconds(4)) << "else it shows nothing";
  EXPECT_TRUE(whole(there("second")) == pattern(2, 0, 512 << 10));
}

TEST_P(BandwidthBack, AnUnmountEndsThoughMuchWaitsAndWhatWasAcknowledgedIsThereLater) {
  mount_it({"--bwlimit=32K"});
  ASSERT_EQ(put(here("new"), pattern(2, 0, 8 * kMiB)), 0);
  ASSERT_TRUE(mount_->unmount());
  mount_it();
  EXPECT_TRUE(whole(here("new")) == pattern(2, 0, 8 * kMiB));
  ASSERT_EQ(sync_it(), 0);
  EXPECT_TRUE(whole(there("new")) == pattern(2, 0, 8 * kMiB));
}

}  // namespace
}  // namespace netfs::test
