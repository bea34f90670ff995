// Large directories are read while their listing comes in; small ones come whole or not at all.

#include <set>

#include "vfs/limits.h"
#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {
namespace {

class ComingListing : public MountFixture {
 protected:
  ~ComingListing() override { end(); }

  void make(size_t files) {
    for (size_t i = 0; i < files; ++i) tree_.add_file("name-" + std::to_string(i), "x");
  }
  // Names from `offset` on, until an answer takes longer; `offset` is then where that goes on.
  size_t read_what_there_is(uint64_t handle, uint64_t& offset, size_t names) {
    size_t count = 0;
    while (count < names) {
      const Answer answer = read_directory(fuse::kRootNode, handle, offset, 65536);
      EXPECT_EQ(answer.error, 0);
      if (answer.error != 0 || answer.body.empty()) return count;
      for (const Listed& one : listed_in(answer)) {
        offset = one.dirent.off;
        if (one.name != "." && one.name != "..") ++count;
      }
    }
    return count;
  }
  uint64_t send_read_directory(uint64_t handle, uint64_t offset) {
    return kernel_->send(Opcode::kReaddirplus, fuse::kRootNode,
                         proto::ReadIn{.fh = handle, .offset = offset, .size = 65536});
  }

  static constexpr size_t kNames = 5000;
  static constexpr size_t kHeldAt = 3000;
  static constexpr size_t kShown = kHeldAt / kListingBatch * kListingBatch;
};

TEST_F(ComingListing, ALargeDirectoryIsReadWhileItsListingComesIn) {
  make(kNames);
  start();
  origin_.hold_listings_at(kHeldAt);
  const auto first = open_directory(fuse::kRootNode).as<proto::OpenOut>().fh;
  ASSERT_TRUE(origin_.wait_held(1));
  uint64_t offset = 0;
  EXPECT_EQ(read_what_there_is(first, offset, kShown), kShown);

  const auto second = open_directory(fuse::kRootNode).as<proto::OpenOut>().fh;
  const uint64_t waits = send_read_directory(first, offset);
  EXPECT_TRUE(wait_for([&] { return fs_->sizes().waiting == 1; }));
  origin_.release();
  EXPECT_FALSE(await(waits).body.empty());
  EXPECT_EQ(read_what_there_is(first, offset, kNames - kShown), kNames - kShown);
  EXPECT_TRUE(await(send_read_directory(first, offset)).body.empty()) << "the end";

  const std::vector<std::string> names = names_of(list(fuse::kRootNode, second));
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), kNames);
  EXPECT_EQ(origin_.counts().lists, 1U);
}

TEST_F(ComingListing, ASmallOneComesWholeOrNotAtAll) {
  make(kShownFrom - 1);
  start();
  origin_.hold_listings_at(kShownFrom - 2, EIO);
  const uint64_t opens = kernel_->send(Opcode::kOpendir, fuse::kRootNode, proto::OpenIn{});
  ASSERT_TRUE(origin_.wait_held(1));
  EXPECT_EQ(fs_->sizes().waiting, 1U);
  origin_.release();
  EXPECT_EQ(await(opens).error, EIO);
  EXPECT_EQ(list().size(), kShownFrom - 1 + 2);
}

TEST_F(ComingListing, OneThatBreaksOffSaysSoWhereItBreaksAndIsListedAnew) {
  make(kNames);
  start();
  origin_.hold_listings_at(kHeldAt, ETIMEDOUT);
  const auto handle = open_directory(fuse::kRootNode).as<proto::OpenOut>().fh;
  ASSERT_TRUE(origin_.wait_held(1));
  uint64_t offset = 0;
  EXPECT_EQ(read_what_there_is(handle, offset, kShown), kShown);
  const uint64_t waits = send_read_directory(handle, offset);
  EXPECT_TRUE(wait_for([&] { return fs_->sizes().waiting == 1; }));
  origin_.release();
  EXPECT_EQ(await(waits).error, ETIMEDOUT);
  EXPECT_EQ(await(send_read_directory(handle, offset)).error, ETIMEDOUT) << "and so it stays";
  EXPECT_EQ(names_of(list()).size(), kNames);
  EXPECT_EQ(origin_.counts().lists, 2U);
}

TEST_F(ComingListing, OneThatBreaksOffIsListedAnewForWhoRewinds) {
  make(kNames);
  start();
  origin_.hold_listings_at(kHeldAt, EIO);
  const auto handle = open_directory(fuse::kRootNode).as<proto::OpenOut>().fh;
  ASSERT_TRUE(origin_.wait_held(1));
  uint64_t offset = 0;
  EXPECT_EQ(read_what_there_is(handle, offset, kShown), kShown);
  origin_.release();
  EXPECT_EQ(await(send_read_directory(handle, offset)).error, EIO);
  EXPECT_EQ(names_of(list(fuse::kRootNode, handle)).size(), kNames);
}

TEST_F(ComingListing, WhereAnotherMayTakeItsPlaceItIsShownWhenItIsWhole) {
  make(kNames);
  for (const OnError policy : {OnError::kWait, OnError::kStale}) {
    start({.on_error = policy});
    origin_.hold_listings_at(kHeldAt);
    const uint64_t opens = kernel_->send(Opcode::kOpendir, fuse::kRootNode, proto::OpenIn{});
    ASSERT_TRUE(origin_.wait_held(1));
    EXPECT_EQ(fs_->sizes().waiting, 1U);
    origin_.release();
    EXPECT_EQ(await(opens).error, 0);
    end();
  }
}

TEST_F(ComingListing, WhoReadsOnIsAnsweredWhenTheMountEnds) {
  make(kNames);
  start();
  origin_.hold_listings_at(kHeldAt);
  const auto handle = open_directory(fuse::kRootNode).as<proto::OpenOut>().fh;
  ASSERT_TRUE(origin_.wait_held(1));
  uint64_t offset = 0;
  EXPECT_EQ(read_what_there_is(handle, offset, kShown), kShown);
  (void)send_read_directory(handle, offset);
  EXPECT_TRUE(wait_for([&] { return fs_->sizes().waiting == 1; }));
  end();
}

}  // namespace
}  // namespace netfs::vfs
