#include "daemon/control_socket.h"

#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/packet.h"
#include "daemon/runtime_dir.h"
#include "sync/thread.h"

namespace netfs::daemon {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

namespace {

Deadline soon() {
  return Deadline::after(Clock::system(), 60s);
}

std::string temporary_directory() {
  std::string path = "/tmp/netfs-control-XXXXXX";
  EXPECT_NE(::mkdtemp(path.data()), nullptr);
  return path;
}

}  // namespace

TEST(Packet, DescriptorsArriveCloseOnExec) {
  auto [left, right] = packet_pair().value();
  const UniqueFd file(::open("/dev/null", O_RDONLY));
  ASSERT_TRUE(send_packet(left.get(), "x", {file.get(), file.get()}, soon()).ok());
  const Packet packet = receive_packet(right.get(), soon()).value();
  EXPECT_EQ(packet.text, "x");
  ASSERT_EQ(packet.fds.size(), 2u);
  EXPECT_NE(packet.fds[0].get(), packet.fds[1].get());
  EXPECT_EQ(::fcntl(packet.fds[1].get(), F_GETFD), FD_CLOEXEC);
}

TEST(Packet, EndOfTheOtherSideIsConnectionReset) {
  auto [left, right] = packet_pair().value();
  left.reset();
  EXPECT_TRUE(receive_packet(right.get(), soon()).is_error(ECONNRESET));
  EXPECT_TRUE(send_packet(right.get(), "x", {}, soon()).is_error(ECONNRESET));
}

TEST(Packet, SilenceEndsAtTheDeadline) {
  auto [left, right] = packet_pair().value();
  EXPECT_TRUE(
      receive_packet(right.get(), Deadline::after(Clock::system(), 5ms)).is_error(ETIMEDOUT));
}

TEST(Packet, WhatIsTooLongIsRefused) {
  auto [left, right] = packet_pair().value();
  EXPECT_TRUE(send_packet(left.get(), std::string(kPacketBytesMax + 1, 'x'), {}, soon())
                  .is_error(EMSGSIZE));
  EXPECT_TRUE(send_packet(left.get(), "", {}, soon()).is_error(EMSGSIZE));
}

TEST(ControlSocket, LongMessageTravelsInPieces) {
  const std::string dir = temporary_directory();
  const UniqueFd listener = listen_control(dir + "/s").value();
  const UniqueFd client = connect_control(dir + "/s").value();
  const UniqueFd server = accept_control(listener.get()).value();
  std::string text(3'000'001, 'a');
  text[2'000'000] = 'b';
  Result<std::string> got = Error(EIO, "unset");
  {
    sync::Thread reader("reader", [&] { got = receive_message(client.get(), soon()); });
    EXPECT_TRUE(send_message(server.get(), text, soon()).ok());
  }
  ASSERT_TRUE(got.ok());
  EXPECT_TRUE(got.value() == text);
  ::unlink((dir + "/s").c_str());
  ::rmdir(dir.c_str());
}

TEST(ControlSocket, NobodyThereIsRefused) {
  const std::string dir = temporary_directory();
  EXPECT_TRUE(connect_control(dir + "/s").is_error(ENOENT));
  { const UniqueFd listener = listen_control(dir + "/s").value(); }
  EXPECT_TRUE(connect_control(dir + "/s").is_error(ECONNREFUSED));
  EXPECT_TRUE(listen_control(dir + "/s").ok()) << "what a dead daemon left is replaced";
  ::unlink((dir + "/s").c_str());
  ::rmdir(dir.c_str());
}

TEST(RuntimeDir, OwnerLockHasOneHolder) {
  const std::string dir = temporary_directory();
  const OwnerPaths paths = owner_paths(dir, "x");
  std::optional<UniqueFd> first = try_lock_owner(paths).value();
  ASSERT_TRUE(first.has_value());
  EXPECT_FALSE(try_lock_owner(paths).value().has_value());
  // The holder removes the name when it ends; whoever comes then gets a lock of a new file.
  ::unlink(paths.lock.c_str());
  EXPECT_TRUE(try_lock_owner(paths).value().has_value());
  ::unlink(paths.lock.c_str());
  ::rmdir(dir.c_str());
}

TEST(RuntimeDir, TwoSpellingsOfOneCacheMeet) {
  const std::string dir = temporary_directory();
  EXPECT_EQ(owner_name(dir).value(), owner_name(dir + "/../" + dir.substr(5)).value());
  EXPECT_TRUE(owner_name(dir + "/none").is_error(ENOENT));
  ::rmdir(dir.c_str());
}

}  // namespace netfs::daemon
