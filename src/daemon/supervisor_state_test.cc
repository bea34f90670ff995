// Goal: what a supervisor leaves to the program it becomes is found by that, descriptors included.

#include "daemon/supervisor_state.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace netfs::daemon {
namespace {

UniqueFd some_fd() {
  return UniqueFd(::open("/dev/null", O_RDWR));
}

// As a worker's locks have them.
constexpr uint64_t kKeys[] = {(uint64_t{1} << 56) + 7, (uint64_t{1} << 56) + (uint64_t{1} << 48)};

SupervisorState full_state() {
  SupervisorState state;
  state.listener = some_fd();
  state.settings = "{\"a\":\"\xff\"}";
  state.worker_version = "1.2";
  state.belongings = {.lock = some_fd(), .lock_path = "/l", .socket_path = "/s", .log_path = ""};
  state.client = -1;
  state.worker = 77;
  state.worker_socket = some_fd();
  state.workers_started = 5;
  state.exit_code = 1;
  HeldMount& held = state.held[(uint64_t{3} << 32) + 9];
  held.mount_point = "/mnt";
  held.state = "state";
  held.fds.push_back(some_fd());
  held.fds.push_back(some_fd());
  held.arena = some_fd();
  held.kept = true;
  held.served_by = 4;
  held.connection = 61;
  for (const uint64_t key : kKeys) held.descriptors.keep(key, some_fd());
  return state;
}

// As if this process were the next program: what is open is named by its number only.
void forget(SupervisorState& state) {
  (void)state.listener.release();
  (void)state.belongings.lock.release();
  (void)state.worker_socket.release();
  for (auto& [id, held] : state.held) {
    for (UniqueFd& fd : held.fds) (void)fd.release();
    (void)held.arena.release();
    for (auto& [key, fd] : held.descriptors.take()) (void)fd.release();
  }
}

TEST(SupervisorState, IsFoundByTheNextProgram) {
  SupervisorState left = full_state();
  const std::string text = encode(left);
  const std::vector<int> numbers = descriptors(left);
  EXPECT_EQ(numbers.size(), 8U);
  forget(left);
  const Result<SupervisorState> found = decode_supervisor_state(text);
  ASSERT_TRUE(found.ok()) << found.error().message();
  const SupervisorState& state = found.value();
  EXPECT_EQ(descriptors(state), numbers);
  for (const int fd : numbers) EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC) << "not for its workers";
  EXPECT_EQ(state.settings, "{\"a\":\"\xff\"}");
  EXPECT_EQ(state.worker_version, "1.2");
  EXPECT_EQ(state.belongings.lock_path, "/l");
  EXPECT_EQ(state.belongings.socket_path, "/s");
  EXPECT_EQ(state.worker, 77);
  EXPECT_EQ(state.client, -1);
  EXPECT_EQ(state.workers_started, 5U);
  EXPECT_EQ(state.exit_code, 1);
  ASSERT_EQ(state.held.size(), 1U);
  const HeldMount& held = state.held.at((uint64_t{3} << 32) + 9);
  EXPECT_EQ(held.mount_point, "/mnt");
  EXPECT_EQ(held.state, "state");
  EXPECT_EQ(held.fds.size(), 2U);
  EXPECT_TRUE(held.kept);
  EXPECT_EQ(held.served_by, 4U);
  EXPECT_EQ(held.connection, 61U);
  ASSERT_EQ(held.descriptors.count(), 2U);
  const int first = held.descriptors.all().at(kKeys[0]).get();
  const int second = held.descriptors.all().at(kKeys[1]).get();
  EXPECT_EQ(first, numbers[6]);
  EXPECT_EQ(second, numbers[7]);
}

TEST(SupervisorState, WhatIsAbsentStaysAbsent) {
  SupervisorState left = full_state();
  left.listener.reset();
  left.held.begin()->second.arena.reset();
  const std::string text = encode(left);
  forget(left);
  const Result<SupervisorState> found = decode_supervisor_state(text);
  ASSERT_TRUE(found.ok());
  EXPECT_FALSE(found.value().listener);
  EXPECT_FALSE(found.value().held.begin()->second.arena);
}

TEST(SupervisorState, NonsenseIsRefused) {
  for (const char* text : {"", "{}", "[]", "{\"version\":2}", "{\"version\":1}"}) {
    EXPECT_TRUE(decode_supervisor_state(text).is_error(EPROTO)) << text;
  }
  SupervisorState left = full_state();
  const std::string text = encode(left);
  // Closed: the numbers lead nowhere.
  left = SupervisorState();
  EXPECT_TRUE(decode_supervisor_state(text).is_error(EBADF));
}

}  // namespace
}  // namespace netfs::daemon
