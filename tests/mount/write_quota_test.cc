// Goal: an origin with a real quota that is reached: the writer is told as on a local disk, what
// was accepted is there, and nothing is lost: the rest comes there when the quota is raised.

#include <algorithm>

#include "tests/mount/write_back_fixture.h"
#include "tests/support/loop_image.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr size_t kMib = 1 << 20;

// Until nothing more is taken: what the file system keeps free for a while is used, too.
void fill(const std::string& path) {
  const UniqueFd fd = open_file(path, O_WRONLY | O_CREAT | O_APPEND);
  for (size_t length = kMib; length >= 4096; length /= 2) {
    const std::string bytes = pattern(83, length, length);
    while (::write(fd.get(), bytes.data(), length) > 0) {
    }
    ::fsync(fd.get());
  }
}

TEST_P(Write, AQuotaThatIsReachedIsToldAndWhoGoesOnWhenItIsRaisedLosesNothing) {
  if (!is_refused_at_once())
    GTEST_SKIP() << "SKIPPED: by back WriteBack.AQuotaMakesTheUploadWaitUntilItIsRaised";
  NETFS_TEST_NEEDS(quotas());
  QuotaFolder folder(temp_, 8);
  ASSERT_TRUE(folder.ready()) << folder.trouble();
  mount_ = mount_of(folder.path(), {how()});
  // SFTP has no word for it.
  const int over = is_sftp() ? EIO : EDQUOT;
  const std::string bytes = pattern(81, 0, 16 * kMib);
  const auto put_at = [&](int fd, size_t at) {
    const ssize_t n = ::pwrite(fd, bytes.data() + at, kMib, static_cast<off_t>(at));
    if (n < 0) return errno;
    // As on a local disk: a write of which a part was taken says how much.
    return n == static_cast<ssize_t>(kMib) ? 0 : over;
  };
  {
    const UniqueFd fd = open_file(here("big"), O_RDWR | O_CREAT);
    const UniqueFd other = open_file(here("other"), O_RDWR | O_CREAT);
    ASSERT_TRUE(fd && other) << strerror(errno);
    size_t promised = 0;
    int told = 0;
    for (; told == 0 && promised < bytes.size(); promised += told == 0 ? kMib : 0) {
      told = put_at(fd.get(), promised);
      if (keeps_writes()) {
        EXPECT_EQ(told, 0) << "by close the sync tells";
        told = code(::fsync(fd.get()));
      }
    }
    EXPECT_EQ(told, over) << strerror(told);
    EXPECT_GE(promised, 4 * kMib);
    EXPECT_LE(promised, 8 * kMib);
    EXPECT_GE(status_object(mount_->status(), "origin_writes")["failed"], 1);
    EXPECT_TRUE(whole(folder.path() + "/big").substr(0, promised) == bytes.substr(0, promised));
    // And at a close, of another file: the next write to this one would hear it itself.
    fill(folder.path() + "/filler");
    const int dup = ::dup(other.get());
    const int written = code(::pwrite(dup, bytes.data(), 100'000, 0));
    EXPECT_EQ(written, keeps_writes() ? 0 : over) << strerror(written);
    const int closed = code(::close(dup));
    EXPECT_EQ(closed, keeps_writes() ? over : 0) << strerror(closed);
    EXPECT_EQ(mount_->status_number("lost_bytes") > 0, keeps_writes());

    ASSERT_TRUE(folder.limit(64)) << folder.trouble();
    for (size_t at = promised; at < bytes.size(); at += kMib) {
      ASSERT_EQ(put_at(fd.get(), at), 0) << "the same descriptor goes on";
    }
    EXPECT_EQ(code(::fsync(fd.get())), 0);
    EXPECT_EQ(::pwrite(other.get(), bytes.data(), 100'000, 0), 100'000);
    EXPECT_EQ(code(::fsync(other.get())), 0);
  }
  EXPECT_TRUE(whole(folder.path() + "/big") == bytes);
  EXPECT_TRUE(whole(here("big")) == bytes);
  EXPECT_TRUE(whole(folder.path() + "/other") == bytes.substr(0, 100'000));
  mount_.reset();
}

TEST_P(WriteBack, AQuotaMakesTheUploadWaitUntilItIsRaised) {
  NETFS_TEST_NEEDS(quotas());
  QuotaFolder folder(temp_, 8);
  ASSERT_TRUE(folder.ready()) << folder.trouble();
  mount_ = mount_of(folder.path(), {how()});
  const std::string bytes = pattern(82, 0, 12 * kMib);
  {
    const UniqueFd fd = open_file(here("big"), O_RDWR | O_CREAT);
    ASSERT_TRUE(fd) << strerror(errno);
    ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), 0), 12L << 20);
    EXPECT_EQ(code(::fsync(fd.get())), 0) << "it is durable here";
  }
  ASSERT_EQ(put(here("behind"), "small"), 0);
  const char* why = strerror(is_sftp() ? EIO : EDQUOT);
  EXPECT_TRUE(
      wait_until([&] { return journal().value("upload_error", "").find(why) != std::string::npos; },
                 std::chrono::seconds(60)))
      << journal();
  EXPECT_NE(journal().value("upload_error", "").find("'big'"), std::string::npos) << journal();
  EXPECT_GE(journal()["pending_changes"], 1);
  EXPECT_NE(sync_it("1s"), 0);
  EXPECT_NE(last_output_.find("'big'"), std::string::npos) << last_output_;
  EXPECT_NE(last_output_.find(why), std::string::npos) << last_output_;
  EXPECT_TRUE(whole(here("big")) == bytes) << "and is seen meanwhile";
  ASSERT_TRUE(folder.limit(64)) << folder.trouble();
  ASSERT_EQ(sync_it(), 0) << last_output_;
  EXPECT_TRUE(whole(folder.path() + "/big") == bytes);
  EXPECT_EQ(whole(folder.path() + "/behind"), "small");
  EXPECT_EQ(journal()["pending_changes"], 0);
  EXPECT_EQ(journal()["changes_set_aside"], 0);
  mount_.reset();
}

}  // namespace
}  // namespace netfs::test
