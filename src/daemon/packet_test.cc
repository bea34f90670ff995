// Goal: a descriptor that a process has no room for is told from nonsense, and the packets behind
// it come as they were sent.

#include "daemon/packet.h"

#include <cerrno>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/clock.h"

namespace netfs::daemon {
namespace {

Deadline bound() {
  return Deadline::after(Clock::system(), std::chrono::seconds(60));
}

// As long as it lives this process opens nothing more.
class NoRoom {
 public:
  NoRoom() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit none = before_;
    none.rlim_cur = 1;  // poll(2) takes no more than so many
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoRoom() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }
  NoRoom(const NoRoom&) = delete;
  NoRoom& operator=(const NoRoom&) = delete;

 private:
  rlimit before_{};
};

TEST(Packet, ADescriptorWithoutRoomCostsNoMoreThanItself) {
  Result<std::pair<UniqueFd, UniqueFd>> pair = packet_pair();
  ASSERT_TRUE(pair.ok());
  const auto& [ours, theirs] = pair.value();
  const UniqueFd given(::memfd_create("given", MFD_CLOEXEC));
  for (const char* text : {"first", "second", "third"}) {
    ASSERT_TRUE(send_packet(ours.get(), text, {given.get()}, bound()).ok());
  }
  {
    const NoRoom none;
    const Result<Packet> first = receive_packet(theirs.get(), bound(), LackOfFds::kIsTold);
    ASSERT_TRUE(first.ok());
    EXPECT_EQ(first.value().text, "first");
    EXPECT_TRUE(first.value().lacks_fds);
    EXPECT_TRUE(first.value().fds.empty());
    EXPECT_TRUE(receive_packet(theirs.get(), bound()).is_error(EPROTO));
  }
  const Result<Packet> third = receive_packet(theirs.get(), bound(), LackOfFds::kIsTold);
  ASSERT_TRUE(third.ok());
  EXPECT_EQ(third.value().text, "third");
  EXPECT_FALSE(third.value().lacks_fds);
  EXPECT_EQ(third.value().fds.size(), 1U);
}

}  // namespace
}  // namespace netfs::daemon
